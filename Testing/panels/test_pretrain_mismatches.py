"""What does not fit together: patients who train and test, weights of other scans or another network, label maps of
other voxels, files that are no model. It is reported before hours are spent, with the way out."""

import json
from dataclasses import replace

import pytest

pytest.importorskip("slicer", reason="needs slicer-core")
pytest.importorskip("PySide6", reason="needs PySide6-Essentials")

import numpy as np
from pretrain_panel import (
    NETWORK,
    cpu_time,
    heart,
    scan_folder,
    settings_file,
    start_finetuning,
    wait_for_end,
    wait_for_library,
    with_split,
    write_hearts,
    write_volume,
)

import host
from kaf.imaging.volume import Volume
from kaf.runs import start as jobs


def test_a_patient_in_training_and_test_is_reported(makePretrain, hearts, runs):
    module = makePretrain(runs=runs)
    ui = module.ui
    scan_folder(module, hearts)
    ui.tabs.setCurrentWidget(ui.evaluateTab)
    host.choose(ui.evaluateModelComboBox, "run tuned")
    host.choose(ui.evaluatePartComboBox, "all labelled patients")
    # The weights that it started from count, too; and the model in the library is the run's.
    for name in ("run tuned", "tuned"):
        wait_for_library(module, "tuned")
        host.choose(ui.evaluateModelComboBox, name)
        assert f"<b>Patients used in training {name}: p01, p02, p03. Its scores on them are too high.</b>" \
            in ui.evaluateHintLabel.text


def test_weights_that_have_seen_who_is_for_the_test_are_reported_before_fine_tuning(makePretrain, hearts, runs):
    module = makePretrain(runs=runs)
    ui = module.ui
    with_split(module, hearts, 25, 0)
    ui.tabs.setCurrentWidget(ui.finetuneTab)
    tested, = module.widget.pretraining.data.split.test
    assert tested != "p00"  # whom the weights have not seen
    host.choose(ui.baseComboBox, "run weights")
    assert f"<b>Test patients used in training run weights: {tested}. The scores on them will be too high.</b>" \
        in ui.finetuneForecastLabel.text
    host.choose(ui.baseComboBox, "random weights")
    assert "too high" not in ui.finetuneForecastLabel.text
    host.choose(ui.baseComboBox, "run weights")
    ui.foldsSpinBox.value = 2
    host.pump(20)
    assert "too high" not in ui.finetuneForecastLabel.text  # pretrained anew in every fold
    host.choose(ui.baseComboBox, "run tuned")
    assert "They are tested in a fold" in ui.finetuneForecastLabel.text


def test_labels_that_do_not_fit_are_left_out_of_fine_tuning_and_its_evaluation(makePretrain, tmp_path, library):
    folder = write_hearts(tmp_path / "scans", cases=4, labelled=4)
    labels = heart(2)[1]
    (folder / "labels" / "p02.nii.gz").unlink()
    write_volume(Volume(np.ascontiguousarray(labels.voxels[:, :40]), labels.affine), folder / "labels" / "p02.nii.gz")
    module = makePretrain()
    ui = module.ui
    with_split(module, folder, 0, 0)
    ui.foldsSpinBox.value = 2
    host.pump(20)
    assert "these cannot be used: p02" in ui.finetuneForecastLabel.text
    ui.foldsSpinBox.value = 1
    host.pump(20)
    assert "Labelled patients: 3 for training" in ui.finetuneForecastLabel.text
    view = start_finetuning(module, settings_file(tmp_path, steps=10, network=NETWORK))
    assert wait_for_end(view) == jobs.FINISHED, view.job.error
    assert json.loads((view.job.folder / "split.json").read_text())["train"] == ["p00", "p01", "p03"]
    ui.tabs.setCurrentWidget(ui.evaluateTab)
    host.choose(ui.evaluatePartComboBox, "all labelled patients")
    host.pump(20)
    assert ui.evaluateHintLabel.text.startswith("Cases: 3. Patients: 3.")


def test_weights_for_other_scans_are_refused_before_hours_are_spent(makePretrain, hearts, runs):
    module = makePretrain(runs=runs)
    panel = module.widget.pretraining
    scan_folder(module, hearts)
    panel.data.inspection = replace(panel.data.inspection, cases=tuple(
        replace(case, modality="CT") for case in panel.data.inspection.cases))
    weights = [replace(item, card=replace(item.card, modality="MR")) for item in panel.finetuning.base._weights[1:]]
    panel.finetuning.base.offer(weights)
    module.ui.tabs.setCurrentWidget(module.ui.finetuneTab)
    host.choose(module.ui.baseComboBox, "run weights")
    ui, words = module.ui, "were trained on MR scans, and these are CT scans. Choose other weights."
    assert words in ui.finetuneForecastLabel.text
    assert not ui.finetuneStartButton.isEnabled()
    panel.selection.model.offer(weights)
    panel.evaluation.model.offer(weights)
    panel.update()
    assert words in ui.selectionLabel.text
    assert words in ui.evaluateHintLabel.text
    ui.tabs.setCurrentWidget(ui.evaluateTab)
    host.pump(20)
    assert not ui.evaluateButton.isEnabled()
    ui.tabs.setCurrentWidget(ui.dataTab)
    ui.selectionSection.collapsed = False
    host.pump(20)
    assert not ui.selectButton.isEnabled()


def test_weights_of_another_network_are_refused_by_the_run(makePretrain, hearts, runs, tmp_path):
    module = makePretrain(runs=runs)
    scan_folder(module, hearts)
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
    scan_folder(module, write_hearts(tmp_path / "bare", cases=3, labelled=0))
    assert "Save label maps next to the scans" in module.ui.finetuneForecastLabel.text
    module.ui.tabs.setCurrentWidget(module.ui.finetuneTab)
    host.pump(20)
    assert not module.ui.finetuneStartButton.isEnabled()


def test_a_file_that_is_no_model_is_not_imported(makePretrain, tmp_path, library):
    module = makePretrain()  # without runs, whose models would come into the library and be told of
    module.ui.tabs.setCurrentWidget(module.ui.modelsTab)
    (tmp_path / "bad.safetensors").write_bytes(b"nothing of the kind")
    host.dialogs().answer(str(tmp_path / "bad.safetensors"))
    host.click(module.ui.importButton)
    host.wait_until(lambda: not module.widget.pretraining.models.isImporting, "the import", progress=cpu_time)
    assert "is not a model file, or is damaged" in module.ui.messageLabel.text
    assert not (library / "bad.safetensors").exists()
