"""Runs that come to grief: they diverge, the disk fills up, the device disappears, settings are wrong, another version
made them. Each is reported where the user looks, with the way out, which is then taken."""

import json
import os
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("slicer", reason="needs slicer-core")
pytest.importorskip("PySide6", reason="needs PySide6-Essentials")

from pretrain_panel import (
    scan_folder,
    settings_file,
    settle,
    start_pretraining,
    steps_in,
    tiny_pretraining,
    wait_for_end,
)
from reworded import said
from segmentation_panel import ReadySetup

import host
from kaf.runs import start as jobs


def test_a_run_that_diverges_says_so_and_what_to_do(pretrain, hearts, tmp_path, pictures):
    scan_folder(pretrain, hearts)
    view = start_pretraining(pretrain, tiny_pretraining(
        tmp_path, optimiser="sgd", learning_rate=10, clip=1e30, steps=300))
    assert wait_for_end(view) == jobs.FAILED
    text = pretrain.ui.pretrainStatusLabel.text
    assert said("NaN or infinite") in text
    assert said("Lower the learning rate") in text
    assert "The Pretrain tab shows why, and what to do." in pretrain.ui.messageLabel.text
    assert "the menu … can resume with 1." in text
    pictures(pretrain, "pretrain-diverged")
    view._menu.update()
    lower = view._menu.action("lower")
    assert lower.text == "Resume with learning rate 1 instead of 10"
    lower.trigger()
    assert wait_for_end(view) in (jobs.FAILED, jobs.FINISHED)
    assert json.loads((view.job.folder / "settings.json").read_text())["learning_rate"] == 1
    assert jobs.Job(view.job.folder).values["learning_rate"] == 1


def test_a_device_that_is_not_there_is_reported_and_the_run_goes_on_elsewhere(pretrain, hearts, tmp_path):
    scan_folder(pretrain, hearts)
    pretrain.ui.tabs.setCurrentWidget(pretrain.ui.pretrainTab)
    panel = pretrain.widget.pretraining
    panel.pretraining.devices.offer([("auto", "Automatic"), ("cpu", "cpu"), ("cuda:7", "cuda:7")])
    host.choose(pretrain.ui.pretrainDeviceComboBox, "cuda:7")
    view = start_pretraining(pretrain, tiny_pretraining(tmp_path))
    assert wait_for_end(view) == jobs.FAILED
    assert "cuda:7" in pretrain.ui.pretrainStatusLabel.text
    assert "on the device selected above" in pretrain.ui.pretrainStatusLabel.text
    pretrain.ui.pretrainSettingsSection.collapsed = False
    host.pump(20)
    host.choose(pretrain.ui.pretrainDeviceComboBox, "cpu")
    host.click(pretrain.ui.pretrainResumeButton)
    assert wait_for_end(view) == jobs.FINISHED


def _started_by_a_panel(folder, **words):
    (folder / "job").mkdir(parents=True)
    (folder / "job" / "job.json").write_text(json.dumps({
        **words, "verb": "pretrain", "python": "python", "queue": "", "values": {},
        "created": time.time(), "attempts": [{"id": "a", "started": 0, "offset": 0}]}))


def _started_elsewhere(folder, **words):
    folder.mkdir(parents=True)
    (folder / "settings.json").write_text(json.dumps({"method": "kaf"}))
    (folder / "events.jsonl").write_text("".join(
        json.dumps({"event": "metric", "step": step, "values": {"loss": 1.0 / step}}) + "\n" for step in (10, 20)))
    if words:
        (folder / "run.json").write_text(json.dumps({**words, "verb": "pretrain"}))


@pytest.mark.parametrize(("make", "words", "which"), [
    (_started_by_a_panel, {"format": 99, "version": "9.9"}, "made by a newer version of KAF (9.9; this is "),
    (_started_by_a_panel, {"format": 0, "version": "0.0.1"}, "made by an older version of KAF (0.0.1; this is "),
    (_started_elsewhere, {"format": 0, "version": "0.0.1"}, "made by an older version of KAF (0.0.1; this is "),
    (_started_elsewhere, {}, "made by an older version of KAF.")])
def test_a_run_of_another_version_is_shown_with_the_way_out(pretrain, tmp_path, make, words, which):
    make(tmp_path / "runs" / "old", **words)
    panel = pretrain.widget.pretraining
    panel.refreshRuns()
    settle(pretrain)
    pretrain.ui.tabs.setCurrentWidget(pretrain.ui.pretrainTab)
    host.pump(20)
    status = pretrain.ui.pretrainStatusLabel.text
    assert which in status
    assert "resume it with that version, or start a new run in another folder" in status
    assert "Resume" not in status
    assert not pretrain.ui.pretrainResumeButton.isEnabled()
    if make is _started_elsewhere:  # what it has told can be looked at
        assert steps_in(panel.pretraining.run) == [10, 20]


class OtherPython(ReadySetup):
    """A set-up whose Python begins with lines of shell, as long as there are any."""

    before = ""

    def python(self):
        if not self.before:
            return super().python()
        path = Path(self.folder) / "python"
        path.write_text(f'#!/bin/sh\n{self.before}\nexec "{sys.executable}" "$@"\n')
        path.chmod(0o755)
        return str(path)


@pytest.mark.skipif(os.name == "nt", reason="the Python of this test is a shell script")
def test_a_disk_that_fills_up_is_reported_and_the_run_goes_on_when_there_is_room(makePretrain, hearts, tmp_path):
    module = makePretrain(OtherPython)
    setup = module.widget.pretraining.setup
    setup.folder = tmp_path
    scan_folder(module, hearts)
    setup.before = "ulimit -f 160"  # blocks of 512 bytes: enough for the slices, not for a checkpoint
    view = start_pretraining(module, tiny_pretraining(tmp_path))
    assert wait_for_end(view) == jobs.FAILED
    status = module.ui.pretrainStatusLabel.text
    assert "the file grows larger than a limit allows" in status or "File too large" in status
    assert "space" in status or "limit" in status
    setup.before = ""
    host.click(module.ui.pretrainResumeButton)
    assert wait_for_end(view) == jobs.FINISHED
    assert steps_in(view) == [10, 20]


_GONE = """
import os, sys
if "kaf.cli.job_process" in sys.orig_argv:
    from kaf.training.loop import Loop
    step = Loop._step
    def broken(self, batch):
        if self.state.step == 12:
            raise RuntimeError("CUDA error: unspecified launch failure")
        return step(self, batch)
    Loop._step = broken
"""


@pytest.mark.skipif(os.name == "nt", reason="the Python of this test is a shell script")
def test_a_device_that_disappears_is_reported_and_the_run_goes_on_elsewhere(makePretrain, hearts, tmp_path):
    module = makePretrain(OtherPython)
    setup = module.widget.pretraining.setup
    setup.folder = tmp_path
    scan_folder(module, hearts)
    (tmp_path / "sitecustomize.py").write_text(_GONE)
    setup.before = f'export PYTHONPATH="{tmp_path}:$PYTHONPATH"'
    view = start_pretraining(module, tiny_pretraining(tmp_path))
    assert wait_for_end(view) == jobs.FAILED
    status = module.ui.pretrainStatusLabel.text
    assert "GPU: failed or is no longer available" in status
    assert "Resume on another device" in status
    setup.before = ""
    module.ui.pretrainSettingsSection.collapsed = False
    host.pump(20)
    host.choose(module.ui.pretrainDeviceComboBox, module.ui.pretrainDeviceComboBox.itemText(1))
    host.click(module.ui.pretrainResumeButton)
    assert wait_for_end(view) == jobs.FINISHED
    assert steps_in(view) == [10, 20]


def test_settings_that_nobody_knows_are_recognised_by_the_run(pretrain, hearts, tmp_path):
    scan_folder(pretrain, hearts)
    view = start_pretraining(pretrain, settings_file(tmp_path, learning_rat=1))
    assert wait_for_end(view) == jobs.FAILED
    assert "learning_rate" in pretrain.ui.pretrainStatusLabel.text  # the nearest one is suggested


def test_a_settings_file_that_is_broken_stops_the_start(pretrain, hearts, tmp_path):
    scan_folder(pretrain, hearts)
    path = tmp_path / "broken.json"
    path.write_text("{not json")
    start_pretraining(pretrain, str(path))
    assert "is not valid JSON" in pretrain.ui.messageLabel.text
    assert not (tmp_path / "runs").exists()


def test_a_folder_for_runs_that_cannot_be_written(pretrain, hearts, tmp_path):
    scan_folder(pretrain, hearts)
    (tmp_path / "file").touch()
    pretrain.ui.runsPath.setCurrentPath(str(tmp_path / "file" / "runs"))
    start_pretraining(pretrain, tiny_pretraining(tmp_path))
    assert pretrain.widget.pretraining.message.level == "error"
    assert str(tmp_path / "file") in pretrain.ui.messageLabel.text
