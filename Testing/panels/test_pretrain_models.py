"""From weights to a model that is evaluated: the tabs Fine-tune, Evaluate and Models; which scans to label first."""

import json
import shlex
import shutil
from pathlib import Path

import pytest

pytest.importorskip("slicer", reason="needs slicer-core")
pytest.importorskip("PySide6", reason="needs PySide6-Essentials")

import qt
import slicer
from made_models import tiny_model
from pretrain_panel import (
    cpu_time,
    scan_folder,
    settings_file,
    settle,
    start_finetuning,
    wait_for_end,
    wait_for_library,
    wait_for_steps,
    with_split,
)
from reworded import said
from test_pretrain_data import cells

import host
from kaf.cli.compare import CompareCommand
from kaf.cli.flags import parse
from kaf.cli.submit import split_arguments
from kaf.modelfile.card import read_card
from kaf.runs import start as jobs
from kaf.settings.compare import CompareSettings


def test_fine_tuning_from_pretrained_weights(makePretrain, hearts, runs, tmp_path, library, pictures):
    shutil.rmtree(runs / "tuned")
    module = makePretrain(runs=runs)
    ui = module.ui
    with_split(module, hearts)
    ui.tabs.setCurrentWidget(ui.finetuneTab)
    host.choose(ui.baseComboBox, "run weights")
    assert "Labelled patients: 2 for training, 1 for validation, 1 held out for testing. Time: 20 min." in \
        ui.finetuneForecastLabel.text
    pictures(module, "pretrain-finetune")
    host.type_text(ui.descriptionLineEdit, "Synthetic hearts.")
    view = start_finetuning(module, settings_file(tmp_path, steps=40, validate_every=0.5), "heart")
    wait_for_steps(view, 2)
    pictures(module, "pretrain-finetune-running")
    assert wait_for_end(view) == jobs.FINISHED
    assert "dice" in view._curves.groups()
    assert "Transferred weights" in ui.transferLabel.text
    assert "100.0 %" in ui.transferLabel.text
    assert "loaded: encoder." in ui.transferLabel.toolTip
    lights = {row[1].text: row[2].text for row in view._monitors._rows if row[1].isVisible()}
    assert "Failed its check" in lights["Model"] or "Not shown to be useful" in lights["Model"]
    assert "The model was not added to the library automatically: " in ui.finetuneStatusLabel.text
    settle(module)
    host.pump(200)
    assert not (library / "heart.safetensors").exists()
    assert ui.libraryButton.text == "Add to library"
    host.dialogs().answer(qt.QMessageBox.Cancel)
    host.click(ui.libraryButton)
    host.pump(200)
    assert not (library / "heart.safetensors").exists()
    host.dialogs().answer(qt.QMessageBox.Ok)
    host.click(ui.libraryButton)
    wait_for_library(module, "heart")
    assert "was not shown to be worth more than nothing: " in host.dialogs().texts()[-1]
    card = read_card(library / "heart.safetensors")
    assert (card.description, card.weights_licence) == ("Synthetic hearts.", "unspecified")
    assert ui.libraryButton.text == "In the library as heart"
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
    settle(module)
    host.pump(200)
    assert sorted(path.stem for path in library.iterdir()) == ["tiny", "tuned"]


def test_a_name_that_is_taken_gets_a_number(makePretrain, runs, library):
    shutil.copy(library / "tiny.safetensors", library / "tuned.safetensors")
    module = makePretrain(runs=runs)
    wait_for_library(module, "tuned-2")


def test_evaluation_compared_with_another_model_and_a_row_that_is_clicked(makePretrain, hearts, runs, pictures,
                                                                         monkeypatch, tmp_path):
    module = makePretrain(runs=runs)
    ui, tab = module.ui, module.widget.pretraining.evaluation
    wait_for_library(module, "tuned")
    with_split(module, hearts, 50, 0)
    ui.tabs.setCurrentWidget(ui.evaluateTab)
    host.choose(ui.evaluateModelComboBox, "run tuned")
    host.choose(ui.evaluateBaselineComboBox, "tiny")
    host.click(ui.evaluateButton)
    assert ui.evaluateButton.text == "Stop"
    pictures(module, "pretrain-evaluate-running")
    host.wait_until(lambda: not tab.isRunning, "the evaluation", progress=cpu_time)
    assert ui.evaluateTable.isVisible(), ui.messageLabel.text
    names = cells(ui.evaluateTable, "Case")
    assert len(names) == 2
    assert all(float(text) >= 0 for text in cells(ui.evaluateTable, "Dice"))
    assert len(cells(ui.evaluateTable, "Gain")) == 2
    chart = tab._chart.chart
    assert [chart.GetNthPlotSeriesNode(n).GetName() for n in (0, 1)] == ["tiny", "run tuned"]  # both in one chart
    assert chart.GetYAxisRange() == (0, 1)
    assert chart.GetXAxisRange()[1] > 4  # room for the legend beside the data
    assert tab.dots.label.pixmap is not None
    assert "Mean Dice" in ui.evaluateLabel.text
    opened = []
    monkeypatch.setattr(qt.QDesktopServices, "openUrl", lambda url: opened.append(Path(url.toLocalFile())) or True)
    host.click(ui.reportButton)
    assert [path.is_file() for path in opened] == [True]
    host.dialogs().answer(str(tmp_path / "scores.csv"))
    host.click(ui.evaluateCsvButton)
    assert (tmp_path / "scores.csv").read_text().startswith("Case,Dice,Gain,HD95 (mm),")
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


def test_folds_compare_with_training_from_scratch(makePretrain, hearts, runs, tmp_path):
    module = makePretrain(runs=runs)
    ui = module.ui
    scan_folder(module, hearts)
    ui.tabs.setCurrentWidget(ui.finetuneTab)
    host.choose(ui.baseComboBox, "run weights")
    ui.foldsSpinBox.value = 2
    host.pump(20)
    assert "Trains 4 networks for 20 min each" in ui.finetuneForecastLabel.text
    assert "Pretraining is repeated for every fold" in ui.finetuneForecastLabel.text
    request = module.widget.pretraining.finetuning.request()
    verb, values, name = request.verb, request.values, request.name
    assert (verb, values["methods"], values["folds"], name) == ("compare", ["scratch", "kaf"], 2, "my-model-folds")
    host.dialogs().answer(str(tmp_path / "folds.sh"))
    host.click(ui.finetuneClusterButton)
    line = (tmp_path / "folds.sh").read_text().splitlines()[-1]
    words = shlex.split(line)
    assert words[:3] == ["kaf", "submit", "compare"]
    own, rest = split_arguments(words[3:])
    assert own == ["--gpus", "1", "--hours", "24"]
    assert parse(CompareCommand, rest, "compare").only(CompareSettings) == \
        CompareSettings(**values, output=str(runs / name))
    ui.foldsSpinBox.value = 9
    host.pump(20)
    reported = "9 folds need as many labelled patients, and there are 4. Choose fewer folds."
    assert reported in ui.finetuneForecastLabel.text


def test_which_scans_to_label_first(makePretrain, hearts, runs, pictures):
    module = makePretrain(runs=runs)
    ui, part = module.ui, module.widget.pretraining.selection
    scan_folder(module, hearts)
    ui.selectionSection.collapsed = False
    host.pump(20)
    host.choose(ui.selectionModelComboBox, "run weights")
    assert "together cover the others" in ui.selectionLabel.text
    ui.selectionCountSpinBox.value = 2
    host.click(ui.selectButton)
    host.wait_until(lambda: not part.isRunning, "the choice", progress=cpu_time)
    assert ui.selectionTable.isVisible(), ui.messageLabel.text
    assert set(cells(ui.selectionTable, "Scan")) == {"p04", "p05"}
    host.pump(50)
    table = ui.selectionTable
    assert table.rowHeight(0) > 1.5 * table.fontMetrics().height()  # the whole reason can be read: its lines break
    pictures(module, "pretrain-selection")
    part._onOpen(0, 0)
    assert slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")[0].GetName() in {"p04", "p05"}
    host.choose(ui.selectionModelComboBox, "run tuned")  # a model that segments knows where it is unsure
    host.click(ui.selectButton)
    host.wait_until(lambda: not part.isRunning, "the choice", progress=cpu_time)
    assert {choice["case"] for choice in part._choices} == {"p04", "p05"}
    assert all(choice["score"] > 0 for choice in part._choices)
    assert cells(ui.selectionTable, "Reason") == [choice["reason"] for choice in part._choices]


def test_models_are_imported_exported_edited_and_deleted(makePretrain, runs, tmp_path, library, pictures):
    module = makePretrain(runs=runs)
    ui, tab = module.ui, module.widget.pretraining.models
    wait_for_library(module, "tuned")
    ui.tabs.setCurrentWidget(ui.modelsTab)
    tab.refresh("tuned")
    host.pump(20)
    pictures(module, "pretrain-models")
    assert "label&nbsp;1" in ui.cardLabel.text
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
    poor = tiny_model(tmp_path / "poor.safetensors", name="poor", metrics={"verdict": {"code": "missed"}})
    host.dialogs().answer(str(poor), qt.QMessageBox.Cancel)
    host.click(ui.importButton)
    assert said("was not shown to be worth more than nothing") in host.dialogs().texts()[-1]
    assert not tab.isImporting
    host.dialogs().answer(str(poor), qt.QMessageBox.Ok)
    host.click(ui.importButton)
    host.wait_until(lambda: not tab.isImporting, "the import", progress=cpu_time)
    assert (library / "poor.safetensors").is_file()
    host.dialogs().answer(str(tmp_path / "out.safetensors"))
    host.click(ui.importButton)
    pictures(module, "pretrain-models-running")
    host.wait_until(lambda: not tab.isImporting, "the import", progress=cpu_time)
    assert (library / "tuned.safetensors").is_file()
    assert "was added to the library" in ui.messageLabel.text
