"""A run that replaces another and is killed at any moment: one of the two is there, whole, and can be gone on with."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import sys
import time
from pathlib import Path

import overwrite_toys
import pytest
from finetune_toys import small_run
from kill_toys import KILLED, server
from small_models import write_phantoms

from kaf.runs.run_folder import RunFolder
from kaf.runtime.errors import OutputError
from kaf.settings.finetune import FinetuneSettings
from kaf.verbs.finetune import finetune

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="fork and SIGKILL")
EARLIER = "kaf-earlier-run"


def tree(folder: Path) -> dict[str, str]:
    """Every file below a folder with its content."""
    return {str(path.relative_to(folder)): path.read_text("latin-1") for path in sorted(folder.rglob("*"))
            if path.is_file()}


@pytest.fixture(scope="module")
def child():
    """Trains in a folder, in a process of its own that is killed at the n-th change of the disk; its exit code."""
    with server(overwrite_toys) as ask:
        yield lambda folder, how, end=0: ask(end, folder, how)


def old_run(folder: Path) -> dict[str, str]:
    """The files of a finished run, and what they hold."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "checkpoints").mkdir(parents=True)
    values = FinetuneSettings(data="scans", output=str(folder), name="ancient").model_dump_json()
    for name, words in {"settings.json": values, "run.json": json.dumps({"format": 1, "verb": "finetune"}),
                        "events.jsonl": "", "plan.json": "ancient", "model.safetensors": "ancient",
                        "checkpoints/checkpoint-00000008.safetensors": "ancient 8",
                        "checkpoints/checkpoint-00000009.safetensors": "ancient 9"}.items():
        (folder / name).write_text(words)
    return tree(folder)


def has_new_checkpoint(folder: Path) -> bool:
    return any(path.read_text().startswith("new") for path in (folder / "checkpoints").glob("checkpoint-*"))


@pytest.mark.parametrize("then", ["look", "resume", "overwrite"])
def test_a_run_that_is_killed_at_any_moment_of_replacing_another_loses_neither(tmp_path, child, then):
    """Killed at every single change of the disk, and then gone on with in every way."""
    run, moments, kept, resumed = tmp_path / "run", 0, 0, 0
    while True:
        old = old_run(run)
        if child(run, "overwrite", moments + 1) == 0:
            break
        moments += 1
        began = has_new_checkpoint(run)
        if not began:
            kept += 1
            somewhere = list(tree(run).values())
            assert all(content in somewhere for content in old.values()), f"lost at change {moments}"
        if then == "look":
            with pytest.raises(OutputError, match="already contains a run"):
                RunFolder(run, FinetuneSettings(data="scans", output=str(run)), False, False)
            assert began or tree(run) == old
        elif then == "resume":
            if tree(run).items() - {(".lock", "")} == old.items():
                continue  # it had not begun: there is but one run to go on with
            code = child(run, "resume")
            resumed += code == 0
            assert code == 0 or tree(run) == old
            if code == 0:
                assert json.loads((run / "settings.json").read_text())["name"] == "new"
                assert (run / "model.safetensors").read_text() == "new"
                assert began or (run / "checkpoints" / "checkpoint-00000005.safetensors").exists()
        else:
            assert child(run, "overwrite") == 0
        if then == "overwrite" or (then == "resume" and code == 0):
            assert (run / "model.safetensors").read_text() == "new"
            assert not [path for path in run.iterdir() if path.name.startswith(EARLIER)]
            assert "ancient" not in "".join(path.read_text() for path in run.rglob("*") if path.is_file())
    assert moments > 25
    assert kept > 12
    assert resumed > 15 or then != "resume"


def test_a_kill_while_the_old_run_is_put_back_loses_nothing(tmp_path, child):
    """Every change of the disk of a process that finds what a killed one has left."""
    run, moments = tmp_path / "run", 0
    for left_at in (3, 6, 9, 14):
        end = 0
        while True:
            old = old_run(run)
            assert child(run, "overwrite", left_at) == KILLED
            assert not has_new_checkpoint(run)
            end += 1
            if child(run, "look", end) != KILLED:
                break
            moments += 1
            with pytest.raises(OutputError, match="already contains a run"):
                RunFolder(run, FinetuneSettings(data="scans", output=str(run)), False, False)
            assert tree(run) == old, f"killed at {left_at}, then at {end}"
    assert moments > 30


def test_a_training_that_is_killed_before_its_first_checkpoint_is_gone_on_with(tmp_path):
    context = multiprocessing.get_context("forkserver")
    run = tmp_path / "run"

    def again(**values) -> FinetuneSettings:
        given = {"overwrite": True, "epochs": 0.3, "seed": 5, **values}
        return small_run(tmp_path, tmp_path / "scans", **given)

    write_phantoms(tmp_path / "scans", ("a", "b"))
    finetune(again(overwrite=False, seed=0))
    before = tree(run)
    process = context.Process(target=finetune, args=(again(epochs=2000),))
    process.start()
    end = time.monotonic() + 300
    while not ((run / EARLIER).is_dir() and (run / "events.jsonl").is_file()
               and '"loss"' in (run / "events.jsonl").read_text()):
        assert process.is_alive()
        assert time.monotonic() < end
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.join(60)
    assert tree(run / EARLIER) == before
    finetune(again(overwrite=False, resume=True))
    assert tree(run).keys() == before.keys()
    assert tree(run)["model.safetensors"] != before["model.safetensors"]
