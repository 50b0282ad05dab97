"""Runs from the panel: started, watched, stopped, killed, resumed, found again; the scene closed, Slicer closed."""

import json
import os
import signal
import time

import pytest

pytest.importorskip("slicer", reason="needs slicer-core")
pytest.importorskip("PySide6", reason="needs PySide6-Essentials")

import qt
import slicer
from pretrain_panel import look_into, settings_file, start_pretraining, tiny_pretraining, wait_for_end, wait_for_steps
from segmentation_panel import PATIENCE

import host
from kaf import jobs


def steps_in(view):
    """The steps of the loss curve, as the table in the scene has them."""
    chart = view._curves.chart("loss")
    table = chart.GetNthPlotSeriesNode(0).GetTableNode().GetTable()
    column = table.GetColumnByName("step")
    return [column.GetValue(row) for row in range(column.GetNumberOfTuples())]


def nodes(kind):
    return [node.GetID() for node in slicer.util.getNodesByClass(kind)]


def endless(folder, **values):
    """Settings of a run that goes on until somebody ends it."""
    return tiny_pretraining(folder, **{"steps": 1_000_000, **values})


def set_minutes(module, minutes):
    module.ui.pretrainMinutesSpinBox.value = minutes


def test_a_run_from_start_to_end(pretrain, hearts, tmp_path, pictures):
    ui = pretrain.ui
    look_into(pretrain, hearts)
    layout = slicer.app.layoutManager().layout
    ui.bimCheckBox.checked = True
    view = start_pretraining(pretrain, tiny_pretraining(tmp_path, method="kaf+bim", probe_every=0.02))
    assert "goes on when Slicer is closed" in ui.messageLabel.text
    assert ui.pretrainStopButton.isEnabled()
    wait_for_steps(view, 2)
    made = [nodes("vtkMRMLPlotChartNode"), nodes("vtkMRMLTableNode")]
    pictures(pretrain, "pretrain-running")
    assert wait_for_end(view) == jobs.FINISHED
    assert steps_in(view) == [10, 20]
    assert [nodes("vtkMRMLPlotChartNode")[:len(made[0])], nodes("vtkMRMLTableNode")[:len(made[1])]] == made
    assert slicer.app.layoutManager().layout == layout  # the person's views are theirs
    assert ui.pretrainStatusLabel.text.startswith("Finished after 20 steps")
    assert "Forecast: " in ui.pretrainStatusLabel.text
    assert not ui.pretrainProgressBar.isVisible()
    assert ui.pretrainPictureComboBox.count == 2  # matches and clusters
    assert ui.baseComboBox.findText("run first") >= 0
    settings = json.loads((view.job.folder / "settings.json").read_text())
    assert settings["leave_out"] == list(pretrain.widget.pretraining.data.split.test)
    assert settings["method"] == "kaf+bim"
    pictures(pretrain, "pretrain-finished")


def test_show_in_the_views_changes_the_layout_and_nothing_else_does(pretrain, hearts, tmp_path):
    look_into(pretrain, hearts)
    view = start_pretraining(pretrain, tiny_pretraining(tmp_path))
    assert wait_for_end(view) == jobs.FINISHED
    node = slicer.app.layoutManager().layoutLogic().GetLayoutNode()
    before = node.GetViewArrangement()
    host.click(pretrain.ui.pretrainViewsButton)
    assert node.GetViewArrangement() == node.SlicerLayoutFourUpPlotView
    selected = slicer.app.applicationLogic().GetSelectionNode().GetActivePlotChartID()
    assert slicer.mrmlScene.GetNodeByID(selected).GetTitle() == "Loss"
    node.SetViewArrangement(before)


def test_stop_keeps_a_checkpoint_and_resume_goes_on_from_it(pretrain, hearts, tmp_path):
    look_into(pretrain, hearts)
    view = start_pretraining(pretrain, endless(tmp_path))
    wait_for_steps(view, 2)
    host.click(pretrain.ui.pretrainStopButton)
    assert wait_for_end(view) == jobs.STOPPED
    assert "Resume goes on from there" in pretrain.ui.pretrainStatusLabel.text
    last = max(steps_in(view))
    host.click(pretrain.ui.pretrainResumeButton)
    host.wait_until(lambda: max(steps_in(view)) > last, PATIENCE, "steps after the resumed ones")
    steps = steps_in(view)
    assert steps == sorted(set(steps))  # no step twice, and none lost
    assert steps == [10.0 * n for n in range(1, len(steps) + 1)]
    assert view.story.said("Going on from step")


def test_a_killed_run_says_that_it_broke_off_and_is_resumed(pretrain, hearts, tmp_path):
    look_into(pretrain, hearts)
    view = start_pretraining(pretrain, endless(tmp_path))
    host.wait_until(lambda: list(view.job.folder.glob("checkpoints/checkpoint-*")), PATIENCE, "a checkpoint")
    wait_for_steps(view)
    child = json.loads((view.job.folder / "job" / "child.json").read_bytes().strip(b"\0 "))
    os.kill(child["pid"], signal.SIGKILL)
    assert wait_for_end(view) == jobs.LOST
    assert "Resume goes on from its last checkpoint" in pretrain.ui.pretrainStatusLabel.text
    assert pretrain.ui.messageLabel.text.startswith("first: ")
    host.click(pretrain.ui.pretrainResumeButton)
    host.wait_until(lambda: view.story.said("Going on from step"), PATIENCE, "the run to go on")


def test_slicer_is_closed_in_the_middle_and_finds_the_run_again(makePretrain, hearts, tmp_path, pictures):
    module = makePretrain()
    look_into(module, hearts)
    view = start_pretraining(module, endless(tmp_path))
    wait_for_steps(view, 2)
    seen = steps_in(view)
    folder = view.job.folder
    module.unload()
    host.close_scene()
    assert jobs.Job(folder).state() == jobs.RUNNING  # it is no part of Slicer
    again = makePretrain()
    again.ui.tabs.setCurrentWidget(again.ui.pretrainTab)
    found = again.widget.pretraining.pretraining.run
    assert found.job.folder == folder
    assert steps_in(found)[:len(seen)] == seen
    host.wait_until(lambda: len(steps_in(found)) > len(seen), PATIENCE, "steps of the run that was found")
    pictures(again, "pretrain-found-again")
    host.click(again.ui.pretrainStopButton)
    assert wait_for_end(found) == jobs.STOPPED


def test_the_scene_is_closed_in_the_middle_and_the_curves_come_back(pretrain, hearts, tmp_path):
    look_into(pretrain, hearts)
    view = start_pretraining(pretrain, endless(tmp_path))
    wait_for_steps(view, 2)
    seen = steps_in(view)
    host.close_scene()
    host.check_errors()
    host.wait_until(lambda: view._curves.chart("loss") is not None, PATIENCE, "the curves")
    assert steps_in(view)[:len(seen)] == seen
    assert len(nodes("vtkMRMLPlotChartNode")) == len(view._curves.groups())
    assert view._plot._node.GetPlotChartNode() is not None
    wait_for_steps(view, len(seen) + 1)
    assert view.job.state() == jobs.RUNNING


def test_two_runs_on_one_device_wait_for_each_other(pretrain, hearts, tmp_path):
    look_into(pretrain, hearts)
    more = endless(tmp_path)
    first = start_pretraining(pretrain, more).job
    view = start_pretraining(pretrain, more, "second")
    host.wait_until(lambda: view.job.state() == jobs.QUEUED, PATIENCE, "the second run to wait")
    host.wait_until(lambda: "Waits until the run before it" in pretrain.ui.pretrainStatusLabel.text, PATIENCE)
    assert pretrain.ui.pretrainRunComboBox.count == 2
    first.stop()
    host.wait_until(lambda: view.job.state() == jobs.RUNNING, PATIENCE, "the turn of the second run")


def test_a_run_that_diverges_says_so_and_what_to_do(pretrain, hearts, tmp_path, pictures):
    look_into(pretrain, hearts)
    view = start_pretraining(pretrain, tiny_pretraining(
        tmp_path, optimiser="sgd", learning_rate=10, clip=1e30, steps=2000))
    assert wait_for_end(view) == jobs.FAILED
    text = pretrain.ui.pretrainStatusLabel.text
    assert "the loss was not a number" in text
    assert "Lower the learning rate" in text
    assert "Lower the learning rate" in pretrain.ui.messageLabel.text
    pictures(pretrain, "pretrain-diverged")


def test_a_device_that_is_not_there_is_told_and_the_run_goes_on_elsewhere(pretrain, hearts, tmp_path):
    look_into(pretrain, hearts)
    pretrain.ui.tabs.setCurrentWidget(pretrain.ui.pretrainTab)
    panel = pretrain.widget.pretraining
    host.wait_until(lambda: panel._lookingForDevices._child is None, PATIENCE, "the list of devices")
    panel.pretraining.devices.offer([("auto", "Automatic"), ("cpu", "cpu"), ("cuda:7", "cuda:7")])
    host.choose(pretrain.ui.pretrainDeviceComboBox, "cuda:7")
    view = start_pretraining(pretrain, tiny_pretraining(tmp_path))
    assert wait_for_end(view) == jobs.FAILED
    assert "cuda:7" in pretrain.ui.pretrainStatusLabel.text
    assert "on the device that is chosen above" in pretrain.ui.pretrainStatusLabel.text
    pretrain.ui.pretrainSettingsSection.collapsed = False
    host.pump(20)
    host.choose(pretrain.ui.pretrainDeviceComboBox, "cpu")
    host.click(pretrain.ui.pretrainResumeButton)
    assert wait_for_end(view) == jobs.FINISHED


def test_a_run_of_another_version_is_shown_with_a_word(pretrain, tmp_path):
    folder = tmp_path / "runs" / "old"
    (folder / "job").mkdir(parents=True)
    (folder / "job" / "job.json").write_text(json.dumps({
        "format": 99, "version": "9.9", "verb": "pretrain", "python": "python", "queue": "", "values": {},
        "created": time.time(), "attempts": [{"id": "a", "started": 0, "offset": 0}]}))
    pretrain.widget.pretraining.refreshRuns()
    pretrain.ui.tabs.setCurrentWidget(pretrain.ui.pretrainTab)
    host.pump(20)
    assert "9.9" in pretrain.ui.pretrainStatusLabel.text
    assert not pretrain.ui.pretrainResumeButton.isEnabled()


def test_settings_that_nobody_knows_are_told_by_the_run(pretrain, hearts, tmp_path):
    look_into(pretrain, hearts)
    view = start_pretraining(pretrain, settings_file(tmp_path, learning_rat=1))
    assert wait_for_end(view) == jobs.FAILED
    assert "learning_rate" in pretrain.ui.pretrainStatusLabel.text  # the nearest one is suggested


def test_a_settings_file_that_is_broken_stops_the_start(pretrain, hearts, tmp_path):
    look_into(pretrain, hearts)
    path = tmp_path / "broken.json"
    path.write_text("{not json")
    start_pretraining(pretrain, str(path))
    assert "is not valid JSON" in pretrain.ui.messageLabel.text
    assert not (tmp_path / "runs").exists()


def test_a_folder_for_runs_that_cannot_be_written(pretrain, hearts, tmp_path):
    look_into(pretrain, hearts)
    (tmp_path / "file").touch()
    pretrain.ui.runsPath.setCurrentPath(str(tmp_path / "file" / "runs"))
    start_pretraining(pretrain, tiny_pretraining(tmp_path))
    assert pretrain.widget.pretraining.message.level == "error"
    assert str(tmp_path / "file") in pretrain.ui.messageLabel.text


def test_a_run_is_deleted_after_a_question(pretrain, hearts, tmp_path):
    look_into(pretrain, hearts)
    view = start_pretraining(pretrain, tiny_pretraining(tmp_path))
    assert wait_for_end(view) == jobs.FINISHED
    folder = view.job.folder
    view._menu.update()
    host.dialogs().answer(qt.QMessageBox.Ok)
    view._menu.action("delete").trigger()
    assert not folder.exists()
    assert view.job is None
    assert "No run yet" in pretrain.ui.pretrainStatusLabel.text


def test_the_same_run_elsewhere(pretrain, hearts, tmp_path):
    look_into(pretrain, hearts)
    ui = pretrain.ui
    ui.tabs.setCurrentWidget(ui.pretrainTab)
    host.pump(20)
    host.click(ui.pretrainCommandButton)
    command = slicer.app.clipboard().text()
    assert command.startswith(f"kaf pretrain {hearts} ")
    assert "--leave-out" in command
    host.dialogs().answer(str(tmp_path / "s.json"))
    host.click(ui.pretrainSaveButton)
    assert json.loads((tmp_path / "s.json").read_text())["data"] == str(hearts)
    host.dialogs().answer(str(tmp_path / "job.sh"))
    host.click(ui.pretrainClusterButton)
    assert "kaf submit pretrain" in (tmp_path / "job.sh").read_text()
