"""Ctrl-C at any moment: one paragraph, exit code 1, nothing half-written; training goes on later."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from made_models import HERE, LABELS, command_line, tiny_model
from worker_toys import environment

from kaf.cli import entry as cli
from kaf.imaging.volume import read_volume
from kaf.imaging.write import write_labels, write_map
from kaf.phantom.heart import cardiac_phantom
from kaf.runtime.events import Error, Progress, from_json
from kaf.training.loop import Loop

START = """
import sys
from kaf.cli import entry as cli
main = cli.main
cli.main = lambda: print("up", flush=True) or main(sys.argv[1:])
cli.entry()
"""
pytestmark = pytest.mark.skipif(os.name == "nt", reason="Ctrl-C reaches all of a console there, this test too")


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("model") / "tiny.safetensors", spacing=3.0)


@pytest.fixture
def kaf(capsys, monkeypatch, tmp_path):
    return command_line(capsys, monkeypatch, tmp_path / "here")


def interrupted(process: subprocess.Popen, when: str, folder: Path) -> list[str]:
    """Reads events until the moment has come, then sends Ctrl-C as an impatient person does; the lines heard."""
    reported = [process.stdout.readline()]
    if when == "loading":
        time.sleep(0.2)
    while when in ("first slice", "last slice", "writing"):
        reported.append(process.stdout.readline())
        event = from_json(reported[-1])
        if isinstance(event, Progress) and event.done >= {"first slice": 0}.get(when, event.total):
            break
    end = time.monotonic() + 60
    while when == "writing" and not any(folder.iterdir()) and time.monotonic() < end:
        time.sleep(0.001)
    for _ in range(3):
        process.send_signal(signal.SIGINT)
        time.sleep(0.01)
    return reported + process.stdout.readlines()


@pytest.mark.parametrize("when", ["loading", "first slice", "last slice", "writing"])
def test_ctrl_c(model, tmp_path, when):
    write_map(tmp_path / "scan.nrrd", cardiac_phantom(1, slices=12, size=192, spacing=1.2)[0])
    folder = tmp_path / "here"
    folder.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-c", START, "segment", str(tmp_path / "scan.nrrd"), "--model", str(model), "--events",
         "--batch", "1", "--attention", "--uncertainty", "--output", str(folder / "a.seg.nrrd"), *HERE],
        env={**environment(), "XDG_STATE_HOME": str(tmp_path)}, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))  # a script's & leaves it ignored
    with process:
        reported = interrupted(process, when, folder)
        said = process.stderr.read()
    left = {path.name for path in folder.iterdir()}
    if process.returncode == 0:  # it was quicker
        assert left == {"a.seg.nrrd", "a-attention.nrrd", "a-uncertainty.nrrd", "a-seg.json"}
        assert read_volume(folder / "a-uncertainty.nrrd").shape == (12, 192, 192)
        return
    assert (process.returncode, left) == (1, set()), said
    assert said.count("\n") == 1
    assert "stopped on request" in said
    if len(reported) > 1 or when != "loading":  # else the command had not begun to speak
        last = from_json(reported[-1])
        assert isinstance(last, Error)
        assert (last.text, last.kind) == (said.removeprefix("kaf: ").strip(), "Cancelled")


def test_a_second_ctrl_c_leaves_the_tidying_up_alone(monkeypatch):
    tidied, left = [], []

    def command():
        try:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(5)
        finally:
            os.kill(os.getpid(), signal.SIGINT)
            tidied.append(True)

    before = {number: signal.signal(number, signal.SIG_DFL) for number in (signal.SIGINT, signal.SIGTERM)}
    monkeypatch.setattr(cli, "main", command)
    monkeypatch.setattr(os, "_exit", left.append)
    try:
        cli.entry()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert (tidied, left) == ([True], [1])


def test_ctrl_c_in_training_keeps_a_checkpoint_to_go_on_from(kaf, monkeypatch):
    for seed in (1, 2):
        volume, truth = cardiac_phantom(seed, slices=2, size=48, spacing=3)
        write_map(f"heart{seed}.nii.gz", volume)
        write_labels(f"heart{seed}_gt.nii.gz", truth, LABELS)
    Path("data").mkdir()
    for path in Path().glob("heart*"):
        path.rename(Path("data") / path.name)
    train = ["finetune", "data", "--output", "run", "--epochs", "3", "--batch", "2", "--network.width", "4",
             "--network.token-width", "16", "--network.blocks", "1", "--network.heads", "2", *HERE]
    step = Loop._step

    def stopped(self, batch):
        if self.state.step == 3:
            raise KeyboardInterrupt
        return step(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr(Loop, "_step", stopped)
        done = kaf(*train)
    assert done.code == 1
    assert done.err.endswith("kaf: run: training was stopped. Continue it with --resume.\n")
    assert not Path("run/model.safetensors").exists()
    again = kaf(*train)
    assert (again.code, "--resume" in again.err) == (1, True)
    done = kaf(*train, "--resume")
    assert done.code == 0, done.err
    assert "Resuming from step 3." in done.err
    assert Path("run/model.safetensors").is_file()
    assert "kaf segment SCAN --model run/model.safetensors" in done.out
