"""Runs from the panel: started, watched, stopped, killed, resumed, found again; the scene closed, Slicer closed."""

import json
import os
import signal
import subprocess

import pytest

pytest.importorskip("slicer", reason="needs slicer-core")
pytest.importorskip("PySide6", reason="needs PySide6-Essentials")

import qt
import slicer
from pretrain_panel import (
    cpu_time,
    scan_folder,
    start_pretraining,
    steps_in,
    tiny_pretraining,
    wait_for_end,
    wait_for_steps,
)

import host
from kaf.runs import start as jobs
from kaf.runtime.message_codes import RESUMED


def nodes(kind):
    return [node.GetID() for node in slicer.util.getNodesByClass(kind)]


def endless(folder, **values):
    """Settings of a run that goes on until somebody ends it."""
    return tiny_pretraining(folder, **{"steps": 1_000_000, **values})


def test_a_run_from_start_to_end(pretrain, makePretrain, hearts, tmp_path, pictures):
    ui = pretrain.ui
    scan_folder(pretrain, hearts)
    layout = slicer.app.layoutManager().layout
    slicer.util.findChild(ui.methodsFrame, "bimCheckBox").checked = True
    view = start_pretraining(pretrain, tiny_pretraining(tmp_path, method="kaf+bim", probe_every=0.02))
    assert "It continues when Slicer is closed" in ui.messageLabel.text
    assert ui.pretrainStopButton.isEnabled()
    wait_for_steps(view, 2)
    made = [nodes("vtkMRMLPlotChartNode"), nodes("vtkMRMLTableNode")]
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
    wide = ui.pretrainPictureLabel.pixmap.width()
    pretrain.unload()
    again = makePretrain()  # whose first tab is another one
    again.ui.tabs.setCurrentWidget(again.ui.pretrainTab)
    host.pump(50)
    assert abs(again.ui.pretrainPictureLabel.pixmap.width() - wide) < 10  # a line of text decides on a scroll bar


def test_the_devices_of_this_computer_are_offered(makePretrain):
    ui = makePretrain(devices=True).ui
    combos = (ui.pretrainDeviceComboBox, ui.finetuneDeviceComboBox, ui.evaluateDeviceComboBox)
    host.wait_until(lambda: all(combo.count > 1 for combo in combos) and any(
        combos[0].itemText(index).startswith("cpu: ") for index in range(combos[0].count)), "the list of devices",
                    progress=cpu_time)


def test_show_in_the_views_changes_the_layout_and_nothing_else_does(pretrain, hearts, tmp_path):
    scan_folder(pretrain, hearts)
    view = start_pretraining(pretrain, tiny_pretraining(tmp_path))
    assert wait_for_end(view) == jobs.FINISHED
    node = slicer.app.layoutManager().layoutLogic().GetLayoutNode()
    before = node.GetViewArrangement()
    host.click(pretrain.ui.pretrainViewsButton)
    assert node.GetViewArrangement() == node.SlicerLayoutFourUpPlotView
    selected = slicer.app.applicationLogic().GetSelectionNode().GetActivePlotChartID()
    assert slicer.mrmlScene.GetNodeByID(selected).GetTitle() == "Loss"
    node.SetViewArrangement(before)


def test_stop_keeps_a_checkpoint_and_resume_goes_on_from_it(pretrain, hearts, tmp_path, pictures):
    scan_folder(pretrain, hearts)
    view = start_pretraining(pretrain, endless(tmp_path))
    wait_for_steps(view, 2)
    pictures(pretrain, "pretrain-running")
    host.click(pretrain.ui.pretrainStopButton)
    assert wait_for_end(view) == jobs.STOPPED
    assert "Stopped. Resume continues from the last checkpoint" in pretrain.ui.pretrainStatusLabel.text
    last = max(steps_in(view))
    host.click(pretrain.ui.pretrainResumeButton)
    host.wait_until(lambda: max(steps_in(view)) > last, "steps after the resumed ones", progress=cpu_time)
    steps = steps_in(view)
    assert steps == sorted(set(steps))  # no step twice, and none lost
    assert steps == [10.0 * n for n in range(1, len(steps) + 1)]
    assert view.summary.message(RESUMED).data["step"] > 0


def test_a_killed_run_says_that_it_broke_off_and_is_resumed(pretrain, hearts, tmp_path):
    scan_folder(pretrain, hearts)
    view = start_pretraining(pretrain, endless(tmp_path))
    host.wait_until(lambda: list(view.job.folder.glob("checkpoints/checkpoint-*")), "a checkpoint", progress=cpu_time)
    wait_for_steps(view)
    child = json.loads((view.job.folder / "job" / "child.json").read_bytes().strip(b"\0 "))
    os.kill(child["pid"], signal.SIGKILL)
    assert wait_for_end(view) == jobs.LOST
    assert "Resume continues from the last checkpoint" in pretrain.ui.pretrainStatusLabel.text
    assert "starts from the beginning" not in pretrain.ui.pretrainStatusLabel.text
    assert pretrain.ui.messageLabel.text.startswith("The run first failed. The Pretrain tab shows why")
    host.click(pretrain.ui.pretrainResumeButton)
    host.wait_until(lambda: view.summary.message(RESUMED), "the run to go on", progress=cpu_time)


def test_a_run_that_broke_off_before_its_first_checkpoint_begins_again_and_says_so(pretrain, hearts, tmp_path):
    scan_folder(pretrain, hearts)
    view = start_pretraining(pretrain, endless(tmp_path, checkpoint_every=100_000))
    wait_for_steps(view)
    view._menu.action("kill").trigger()
    assert wait_for_end(view) == jobs.STOPPED
    status = pretrain.ui.pretrainStatusLabel.text
    assert "No checkpoint was saved yet: Resume starts from the beginning" in status
    assert "last checkpoint" not in status
    host.click(pretrain.ui.pretrainResumeButton)
    host.wait_until(lambda: view.summary.message(RESUMED), "the run to begin again", progress=cpu_time)
    assert view.summary.message(RESUMED).data["step"] == 0
    host.wait_until(lambda: view._curves.chart("loss") is not None, "the curves")
    assert steps_in(view)[:2] == [10, 20]


def test_slicer_is_closed_in_the_middle_and_finds_the_run_again(makePretrain, hearts, tmp_path, pictures):
    module = makePretrain()
    scan_folder(module, hearts)
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
    host.wait_until(lambda: len(steps_in(found)) > len(seen), "steps of the run that was found", progress=cpu_time)
    pictures(again, "pretrain-found-again")
    host.click(again.ui.pretrainStopButton)
    assert wait_for_end(found) == jobs.STOPPED


def test_the_scene_is_closed_in_the_middle_and_the_curves_come_back(pretrain, hearts, tmp_path):
    scan_folder(pretrain, hearts)
    view = start_pretraining(pretrain, endless(tmp_path))
    wait_for_steps(view, 2)
    seen = steps_in(view)
    host.close_scene()
    host.check_errors()
    host.wait_until(lambda: view._curves.chart("loss") is not None, "the curves")
    assert steps_in(view)[:len(seen)] == seen
    assert len(nodes("vtkMRMLPlotChartNode")) == len(view._curves.groups())
    assert view._plot._node.GetPlotChartNode() is not None
    wait_for_steps(view, len(seen) + 1)
    assert view.job.state() == jobs.RUNNING


def test_two_runs_on_one_device_wait_for_each_other(pretrain, hearts, tmp_path):
    scan_folder(pretrain, hearts)
    more = endless(tmp_path)
    first = start_pretraining(pretrain, more).job
    view = start_pretraining(pretrain, more, "second")
    host.wait_until(lambda: view.job.state() == jobs.QUEUED, "the second run to wait", progress=cpu_time)
    host.wait_until(lambda: "Waiting for another run on this device" in pretrain.ui.pretrainStatusLabel.text,
                    "what it waits for", progress=cpu_time)
    assert pretrain.ui.pretrainRunComboBox.count == 2
    first.stop()
    host.wait_until(lambda: view.job.state() == jobs.RUNNING, "the turn of the second run", progress=cpu_time)


def test_two_runs_on_two_devices_run_side_by_side(pretrain, hearts, tmp_path, monkeypatch):
    import KAFPretrainLib.runs.JobList as source

    monkeypatch.setattr(source, "queueOf", lambda device: {"auto": "one device"}.get(device, "another"))
    scan_folder(pretrain, hearts)
    more = endless(tmp_path)
    first = start_pretraining(pretrain, more).job
    pretrain.ui.pretrainSettingsSection.collapsed = False
    host.pump(20)
    host.choose(pretrain.ui.pretrainDeviceComboBox, pretrain.ui.pretrainDeviceComboBox.itemText(1))
    view = start_pretraining(pretrain, more, "second")
    wait_for_steps(view)
    host.wait_until(lambda: first.progress() is not None, "steps of the first run", progress=cpu_time)
    assert (first.state(), view.job.state()) == (jobs.RUNNING, jobs.RUNNING)
    host.choose(pretrain.ui.pretrainRunComboBox, pretrain.ui.pretrainRunComboBox.itemText(1))
    assert view.job.folder == first.folder
    wait_for_steps(view)  # the curves are those of the run that is shown
    assert [node.GetName() for node in slicer.util.getNodesByClass("vtkMRMLTableNode")] == ["first steps"]


def test_a_run_is_deleted_after_a_question(pretrain, hearts, tmp_path):
    scan_folder(pretrain, hearts)
    view = start_pretraining(pretrain, tiny_pretraining(tmp_path))
    assert wait_for_end(view) == jobs.FINISHED
    folder = view.job.folder
    view._menu.update()
    host.dialogs().answer(qt.QMessageBox.Ok)
    view._menu.action("delete").trigger()
    assert not folder.exists()
    assert view.job is None
    assert "No run yet" in pretrain.ui.pretrainStatusLabel.text


def test_deleting_a_run_leaves_what_somebody_put_beside_it(pretrain, hearts, tmp_path):
    scan_folder(pretrain, hearts)
    view = start_pretraining(pretrain, tiny_pretraining(tmp_path))
    assert wait_for_end(view) == jobs.FINISHED
    folder = view.job.folder
    (folder / "scans").mkdir()
    (folder / "scans" / "heart.nii.gz").write_bytes(b"a scan")
    (folder / "notes.txt").write_text("mine")
    host.dialogs().answer(qt.QMessageBox.Ok)
    view._menu.action("delete").trigger()
    assert "Files that KAF did not write are kept: notes.txt, scans/heart.nii.gz." in host.dialogs().texts()[-1]
    assert sorted(path.name for path in folder.rglob("*")) == ["heart.nii.gz", "notes.txt", "scans"]
    assert (folder / "scans" / "heart.nii.gz").read_bytes() == b"a scan"
    assert view.job is None


def test_the_same_run_elsewhere(pretrain, hearts, tmp_path):
    scan_folder(pretrain, hearts)
    ui = pretrain.ui
    ui.tabs.setCurrentWidget(ui.pretrainTab)
    host.pump(20)
    host.click(ui.pretrainCommandButton)
    command = slicer.app.clipboard().text()
    assert f" -m kaf pretrain {hearts} " in command
    assert "--leave-out" in command
    host.dialogs().answer(str(tmp_path / "s.json"))
    host.click(ui.pretrainSaveButton)
    assert f' -m kaf pretrain {hearts} --settings {tmp_path / "s.json"}' in ui.messageLabel.text
    assert json.loads((tmp_path / "s.json").read_text())["data"] == str(hearts)
    host.dialogs().answer(str(tmp_path / "job.sh"))
    host.click(ui.pretrainClusterButton)
    assert "kaf submit pretrain" in (tmp_path / "job.sh").read_text()


@pytest.mark.skipif(os.name == "nt", reason="a POSIX shell")
def test_what_was_copied_runs_in_a_clean_shell(pretrain, hearts, tmp_path):
    """Neither kaf on the PATH, nor a way to it in the environment, nor this folder."""
    scan_folder(pretrain, hearts)
    ui = pretrain.ui
    ui.tabs.setCurrentWidget(ui.pretrainTab)
    ui.pretrainFilePath.setCurrentPath(tiny_pretraining(tmp_path, steps=2))
    host.type_text(ui.pretrainNameLineEdit, "a copy")
    host.pump(20)
    host.dialogs().answer(str(tmp_path / "settings of mine.json"))
    host.click(ui.pretrainCommandButton)
    command = slicer.app.clipboard().text()
    done = subprocess.run(["env", "-i", "PATH=/usr/bin:/bin", f"HOME={tmp_path}", "sh", "-c", command], cwd="/",
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "runs" / "a-copy" / "model.safetensors").is_file() or list(
        (tmp_path / "runs").glob("*/model.safetensors")), done.stdout
