"""From weights to a model that is evaluated: the tabs Fine-tune, Evaluate and Models; which scans to label first."""

import json
import shutil
from pathlib import Path

import pytest

pytest.importorskip("slicer", reason="needs slicer-core")
pytest.importorskip("PySide6", reason="needs PySide6-Essentials")

import qt
import slicer
from pretrain_panel import (
    NETWORK,
    look_into,
    settings_file,
    start_finetuning,
    tiny_pretraining,
    wait_for_end,
    write_hearts,
)
from segmentation_panel import PATIENCE, ReadySetup
from test_pretrain_data import cells

import host
from kaf import jobs
from kaf.card import read_card


@pytest.fixture(scope="module")
def made(tmp_path_factory, hearts):
    """A folder of runs with pretrained weights and a model that was fine-tuned from them, made without the panel."""
    folder = tmp_path_factory.mktemp("made")
    python, runs = ReadySetup().python(), folder / "runs"
    common = json.loads(Path(tiny_pretraining(folder)).read_text())
    weights = jobs.start(python, "pretrain", {**common, "data": str(hearts), "device": "cpu", "method": "kaf",
                                              "leave_out": ["p00"]}, runs / "weights")
    _finish(weights)
    more = json.loads(Path(settings_file(folder, steps=20, validate_every=0.5)).read_text())
    model = jobs.start(python, "finetune", {
        **more, "data": str(hearts), "device": "cpu", "name": "tuned", "init_from": str(weights.model),
        "leave_out": ["p00"], "validation_cases": ["p01"]}, runs / "tuned")
    _finish(model)
    return runs


def _finish(job):
    host.wait_until(lambda: job.state() not in jobs.ALIVE, PATIENCE, "the end of a run")
    assert job.state() == jobs.FINISHED, job.error


@pytest.fixture
def runs(made, tmp_path):
    """A copy of these runs for one test."""
    return Path(shutil.copytree(made, tmp_path / "runs"))


@pytest.fixture(autouse=True)
def _library_as_it_was(library):
    yield
    for path in library.glob("*.safetensors"):
        if path.name != "tiny.safetensors":
            path.unlink()


def with_split(module, hearts, test=25, validation=25):
    look_into(module, hearts)
    module.ui.testShareSpinBox.value, module.ui.validationShareSpinBox.value = test, validation
    host.pump(50)


def wait_for_library(module, name):
    host.wait_until(lambda: name in [entry.name for entry in module.widget.pretraining.models._entries], PATIENCE,
                    "the model in the library")


def test_fine_tuning_from_pretrained_weights(makePretrain, hearts, runs, tmp_path, library, pictures):
    shutil.rmtree(runs / "tuned")
    module = makePretrain(runs=runs)
    ui = module.ui
    with_split(module, hearts)
    ui.tabs.setCurrentWidget(ui.finetuneTab)
    host.choose(ui.baseComboBox, "run weights")
    assert "Trains on 2 labelled patients for 20 min and watches the Dice of 1" in ui.finetuneForecastLabel.text
    pictures(module, "pretrain-finetune")
    host.type_text(ui.descriptionLineEdit, "Made-up hearts.")
    view = start_finetuning(module, settings_file(tmp_path, steps=40, validate_every=0.5), "heart")
    assert wait_for_end(view) == jobs.FINISHED
    assert "dice" in view._curves.groups()
    assert "What was taken over" in ui.transferLabel.text
    assert "100.0 %" in ui.transferLabel.text
    assert "loaded: encoder." in ui.transferLabel.toolTip
    wait_for_library(module, "heart")
    card = read_card(library / "heart.safetensors")
    assert (card.description, card.weights_licence) == ("Made-up hearts.", "unspecified")
    assert ui.libraryButton.text == "In the library: heart"
    settings = json.loads((view.job.folder / "settings.json").read_text())
    split = module.widget.pretraining.data.split
    assert settings["leave_out"] == list(split.test)
    assert settings["validation_cases"] == list(split.validation)
    pictures(module, "pretrain-finetuned")


def test_a_model_that_finished_while_slicer_was_closed_enters_the_library_once(makePretrain, runs, library):
    module = makePretrain(runs=runs)
    wait_for_library(module, "tuned")
    assert (library / "tuned.safetensors").is_file()
    module.widget.pretraining.refreshRuns()
    host.pump(200)
    assert sorted(path.stem for path in library.iterdir()) == ["tiny", "tuned"]


def test_a_name_that_is_taken_gets_a_number(makePretrain, runs, library):
    shutil.copy(library / "tiny.safetensors", library / "tuned.safetensors")
    module = makePretrain(runs=runs)
    wait_for_library(module, "tuned-2")


def test_evaluation_beside_another_model_and_a_row_that_is_clicked(makePretrain, hearts, runs, pictures):
    module = makePretrain(runs=runs)
    ui, tab = module.ui, module.widget.pretraining.evaluation
    wait_for_library(module, "tuned")
    with_split(module, hearts, 50, 0)
    ui.tabs.setCurrentWidget(ui.evaluateTab)
    host.choose(ui.evaluateModelComboBox, "run tuned")
    host.choose(ui.evaluateBaselineComboBox, "tiny")
    host.click(ui.evaluateButton)
    assert ui.evaluateButton.text == "Stop"
    host.wait_until(lambda: not tab.isRunning, PATIENCE, "the evaluation")
    assert ui.evaluateTable.isVisible(), ui.messageLabel.text
    names = cells(ui.evaluateTable, "Case")
    assert len(names) == 2
    assert all(float(text) >= 0 for text in cells(ui.evaluateTable, "Dice, run tuned"))
    assert len(cells(ui.evaluateTable, "Gain")) == 2
    chart = tab._chart.chart
    assert chart.GetNumberOfPlotSeriesNodes() == 2
    assert "Mean Dice" in ui.evaluateLabel.text
    item = ui.evaluateTable.visualItemRect(ui.evaluateTable.item(0, 0))
    from PySide6.QtCore import Qt
    from PySide6.QtTest import QTest

    QTest.mouseClick(ui.evaluateTable.viewport(), Qt.LeftButton, Qt.NoModifier, item.center())
    host.pump(50)
    shown = {node.GetName() for node in slicer.util.getNodesByClass("vtkMRMLSegmentationNode")}
    assert shown == {f"{names[0]} {what}" for what in ("reference", "prediction", "difference")}
    pictures(module, "pretrain-evaluated")
    pictures(host.main_window(module), "pretrain-evaluated-window")
    host.close_scene()
    assert tab._chart.chart.GetScene() is not None  # drawn anew


def test_a_patient_in_training_and_test_is_told(makePretrain, hearts, runs):
    module = makePretrain(runs=runs)
    ui = module.ui
    look_into(module, hearts)
    ui.tabs.setCurrentWidget(ui.evaluateTab)
    host.choose(ui.evaluateModelComboBox, "run tuned")
    host.choose(ui.evaluatePartComboBox, "all labelled patients")
    assert "<b>run tuned was trained on p02, p03: its figures will be too good.</b>" in ui.evaluateHintLabel.text


def test_weights_for_other_scans_are_refused_before_hours_are_spent(makePretrain, hearts, runs):
    from dataclasses import replace

    module = makePretrain(runs=runs)
    panel = module.widget.pretraining
    look_into(module, hearts)
    panel.data.inspection = replace(panel.data.inspection, cases=tuple(
        replace(case, modality="CT") for case in panel.data.inspection.cases))
    weights = [replace(item, card=replace(item.card, modality="MR")) for item in panel.finetuning.base._weights[1:]]
    panel.finetuning.base.offer(weights)
    module.ui.tabs.setCurrentWidget(module.ui.finetuneTab)
    host.choose(module.ui.baseComboBox, "run weights")
    assert "were made on MR scans, and these are CT. Choose other weights" in module.ui.finetuneForecastLabel.text
    assert not module.ui.finetuneStartButton.isEnabled()


def test_weights_of_another_network_are_refused_by_the_run(makePretrain, hearts, runs, tmp_path):
    module = makePretrain(runs=runs)
    look_into(module, hearts)
    host.pump(20)
    module.ui.tabs.setCurrentWidget(module.ui.finetuneTab)
    host.choose(module.ui.baseComboBox, "run weights")
    wide = {**NETWORK, "width": 8, "decoder_width": 16}
    view = start_finetuning(module, settings_file(tmp_path, network=wide), "wide")
    assert wait_for_end(view) == jobs.FAILED
    assert "fits only" in module.ui.finetuneStatusLabel.text
    assert "Use the same network settings as the weights" in module.ui.finetuneStatusLabel.text


def test_a_folder_without_labels_cannot_be_fine_tuned_on_and_says_what_to_do(makePretrain, tmp_path, runs):
    module = makePretrain(runs=runs)
    look_into(module, write_hearts(tmp_path / "bare", cases=3, labelled=0))
    assert "Put label maps beside the scans" in module.ui.finetuneForecastLabel.text
    module.ui.tabs.setCurrentWidget(module.ui.finetuneTab)
    host.pump(20)
    assert not module.ui.finetuneStartButton.isEnabled()


def test_folds_compare_with_training_from_scratch(makePretrain, hearts, runs):
    module = makePretrain(runs=runs)
    ui = module.ui
    look_into(module, hearts)
    ui.tabs.setCurrentWidget(ui.finetuneTab)
    host.choose(ui.baseComboBox, "run weights")
    ui.foldsSpinBox.value = 2
    host.pump(20)
    assert "Trains 4 networks of 20 min each" in ui.finetuneForecastLabel.text
    assert "pretrains anew for each fold" in ui.finetuneForecastLabel.text
    verb, values, name = module.widget.pretraining.finetuning.settings()
    assert (verb, values["methods"], values["folds"], name) == ("compare", ["scratch", "kaf"], 2, "my-model-folds")
    ui.foldsSpinBox.value = 9
    host.pump(20)
    assert "9 folds cannot be made of 4 labelled patients. Ask for 4 at most." in ui.finetuneForecastLabel.text


def test_which_scans_to_label_first(makePretrain, hearts, runs, pictures):
    module = makePretrain(runs=runs)
    ui, part = module.ui, module.widget.pretraining.selection
    look_into(module, hearts)
    ui.selectionSection.collapsed = False
    host.pump(20)
    host.choose(ui.selectionModelComboBox, "run weights")
    assert "together cover the others" in ui.selectionLabel.text
    ui.selectionCountSpinBox.value = 2
    host.click(ui.selectButton)
    host.wait_until(lambda: not part.isRunning, PATIENCE, "the choice")
    assert ui.selectionTable.isVisible(), ui.messageLabel.text
    assert set(cells(ui.selectionTable, "Scan")) == {"p04", "p05"}
    pictures(module, "pretrain-selection")
    part._onOpen(0, 0)
    assert slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")[0].GetName() in {"p04", "p05"}


def test_models_are_imported_exported_edited_and_deleted(makePretrain, runs, tmp_path, library, pictures):
    module = makePretrain(runs=runs)
    ui, tab = module.ui, module.widget.pretraining.models
    wait_for_library(module, "tuned")
    ui.tabs.setCurrentWidget(ui.modelsTab)
    tab.refresh("tuned")
    host.pump(20)
    pictures(module, "pretrain-models")
    assert "label 1" in ui.cardLabel.text
    host.dialogs().answer(str(tmp_path / "out.safetensors"))
    host.click(ui.exportButton)
    assert read_card(tmp_path / "out.safetensors").name == "tuned"

    def fill(dialog):
        dialog.findChild(qt.QLineEdit, "description").setText("For tests only")
        return qt.QDialog.Accepted

    host.dialogs().answer(fill)
    host.click(ui.editCardButton)
    assert read_card(library / "tuned.safetensors").description == "For tests only"
    assert "For tests only" in ui.cardLabel.text
    host.dialogs().answer(None)
    host.click(ui.deleteButton)
    assert (library / "tuned.safetensors").is_file()
    host.dialogs().answer(qt.QMessageBox.Ok)
    host.click(ui.deleteButton)
    assert not (library / "tuned.safetensors").exists()
    host.dialogs().answer(str(tmp_path / "out.safetensors"))
    host.click(ui.importButton)
    host.wait_until(lambda: not tab.isImporting, PATIENCE, "the import")
    assert (library / "tuned.safetensors").is_file()
    assert "is in the library" in ui.messageLabel.text


def test_a_file_that_is_no_model_is_not_imported(makePretrain, runs, tmp_path, library):
    module = makePretrain(runs=runs)
    module.ui.tabs.setCurrentWidget(module.ui.modelsTab)
    (tmp_path / "bad.safetensors").write_bytes(b"nothing of the kind")
    host.dialogs().answer(str(tmp_path / "bad.safetensors"))
    host.click(module.ui.importButton)
    host.wait_until(lambda: not module.widget.pretraining.models.isImporting, PATIENCE, "the import")
    assert "is not a model file, or is damaged" in module.ui.messageLabel.text
    assert not (library / "bad.safetensors").exists()
