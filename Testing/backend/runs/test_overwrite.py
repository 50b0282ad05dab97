"""``--overwrite`` of a run: nothing but a run goes, and not before the new one has its first checkpoint."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from finetune_toys import small_run
from small_models import write_phantoms

from kaf.cli import entry as cli
from kaf.runs.layout import RUN, TRAINING
from kaf.runtime import locks
from kaf.runtime.errors import InputError, OutputError, ResourceError
from kaf.runtime.events import Message
from kaf.settings.finetune import FinetuneSettings
from kaf.settings.pretrain import PretrainSettings
from kaf.verbs import finetune as finetuning
from kaf.verbs.finetune import finetune
from kaf.verbs.pretrain import pretrain

EARLIER = "kaf-earlier-run"


def tree(folder: Path, *without: str) -> dict[str, bytes]:
    """Every file below a folder with its content, but for those below some names."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*"))
            if path.is_file() and path.relative_to(folder).parts[0] not in without}


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """A folder with ``scans`` and a finished run of them, ``old``."""
    folder = tmp_path_factory.mktemp("overwrite")
    write_phantoms(folder / "scans", ("a", "b"))
    finetune(small_run(folder, folder / "scans", "old", epochs=0.3))
    return folder


@pytest.fixture
def run(home, tmp_path) -> Path:
    """A finished run that a test may do anything with."""
    return Path(shutil.copytree(home / "old", tmp_path / "run"))


def again(home: Path, run: Path, **values) -> FinetuneSettings:
    """Another training in that run folder."""
    values = {"data": home / "scans", "output": str(run), "overwrite": True, "epochs": 0.3, "seed": 5, **values}
    return small_run(home, **values)


def test_all_that_a_run_writes_is_known_by_name(home, tmp_path):
    assert TRAINING.strangers(home / "old") == []
    settings = PretrainSettings(
        data=str(home / "scans"), labelled=str(home / "scans"), output=str(tmp_path / "weights"), method="mae",
        cache=str(home / "cache"), device="cpu", threads=1, precision="fp32", steps=2, batch=2, patch=32,
        network=small_run(home, home / "scans").network, augmentation={"elastic": 0.0}, probe_every=1e-6)
    model = pretrain(settings)
    finetune(small_run(tmp_path, home / "scans", "tuned", init_from=str(model), epochs=0.1))
    assert (TRAINING.strangers(tmp_path / "weights"), TRAINING.strangers(tmp_path / "tuned")) == ([], [])
    assert (tmp_path / "weights" / "pictures").is_dir()
    assert (tmp_path / "tuned" / "transfer.json").is_file()
    RUN.remove(tmp_path / "weights")
    assert not (tmp_path / "weights").exists()


def test_the_new_run_takes_the_place_of_the_old_one(home, run):
    before, reported = tree(run), []
    finetune(again(home, run), reported.append)
    after = tree(run)
    assert after.keys() == before.keys()
    assert after["model.safetensors"] != before["model.safetensors"]
    assert not [path for path in run.iterdir() if path.name.startswith(EARLIER)]
    assert any(isinstance(event, Message) and f"{run / EARLIER}" in event.text for event in reported)


def scan_in_the_run(home: Path, run: Path) -> dict:
    shutil.copytree(home / "scans", run / "scans")
    return {}


def scan_among_the_checkpoints(home: Path, run: Path) -> dict:
    shutil.copyfile(home / "scans" / "a.nii.gz", run / "checkpoints" / "a.nii.gz")
    return {}


def data_in_the_run(home: Path, run: Path) -> dict:
    shutil.copytree(home / "scans", run / "scans")
    return {"data": str(run / "scans")}


def data_around_the_run(home: Path, run: Path) -> dict:
    for file in (home / "scans").iterdir():
        shutil.copyfile(file, run.parent / file.name)
    return {"data": str(run.parent)}


def data_behind_a_link(home: Path, run: Path) -> dict:
    values = data_around_the_run(home, run)
    (home / "link").unlink(missing_ok=True)
    (home / "link").symlink_to(values["data"], target_is_directory=True)
    return {"data": str(home / "link")}


def run_behind_a_link(home: Path, run: Path) -> dict:
    values = data_around_the_run(home, run)
    (home / "other").unlink(missing_ok=True)
    (home / "other").symlink_to(run, target_is_directory=True)
    return {**values, "output": str(home / "other")}


def weights_of_the_run_itself(home: Path, run: Path) -> dict:
    return {"init_from": str(run / "model.safetensors"), "network": None}


def unlabelled_scans_around_the_run(home: Path, run: Path) -> dict:
    return {"unlabelled": data_around_the_run(home, run)["data"]}


def a_link_in_place_of_the_checkpoints(home: Path, run: Path) -> dict:
    (run / "checkpoints").rename(run.parent / "on-a-larger-disk")
    (run / "checkpoints").symlink_to(run.parent / "on-a-larger-disk", target_is_directory=True)
    return {}


def a_repository(home: Path, run: Path) -> dict:
    (run / ".git").mkdir()
    (run / ".git" / "config").write_text("mine")
    return {}


def settings_of_another_program(home: Path, run: Path) -> dict:
    for path in run.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    (run / "settings.json").write_text('{"editor.fontSize": 12}')
    return {}


@pytest.mark.skipif(os.name == "nt", reason="links need a right there")
@pytest.mark.parametrize(("prepare", "words"), [
    (scan_in_the_run, "contains files that KAF did not write and cannot be replaced: scans/a.nii.gz"),
    (scan_among_the_checkpoints, "KAF did not write and cannot be replaced: checkpoints/a.nii.gz"),
    (data_in_the_run, r"contains .*scans, which is read for this run, and cannot be replaced"),
    (data_around_the_run, "lies inside .*, which is read for this run"),
    (data_behind_a_link, "lies inside .*link, which is read for this run"),
    (run_behind_a_link, "other: lies inside .*, which is read for this run"),
    (weights_of_the_run_itself, r"contains .*model\.safetensors, which is read for this run"),
    (unlabelled_scans_around_the_run, "lies inside .*, which is read for this run"),
    (a_link_in_place_of_the_checkpoints, "KAF did not write and cannot be replaced: checkpoints"),
    (a_repository, r"KAF did not write and cannot be replaced: \.git/config"),
    (settings_of_another_program, "contains other files"),
], ids=lambda value: getattr(value, "__name__", ""))
def test_what_is_no_run_alone_is_never_replaced(home, run, prepare, words):
    settings = again(home, run, **prepare(home, run))
    before = tree(run.parent)
    with pytest.raises(OutputError, match=words):
        finetune(settings)
    assert tree(run.parent) == before


def test_submitting_tells_it_at_once(home, run, monkeypatch, capsys):
    scan_in_the_run(home, run)
    before = tree(run)
    monkeypatch.chdir(run.parent)
    assert cli.main(["submit", "finetune", str(home / "scans"), "--output", str(run), "--overwrite",
                     "--cluster", "local"]) == 1
    assert "contains files that KAF did not write" in capsys.readouterr().err
    assert (tree(run), [path.name for path in run.parent.iterdir()]) == (before, ["run"])


def no_memory(*_, **__):
    raise ResourceError("GPU", "ran out of memory", "Use a smaller batch.")


@pytest.mark.parametrize(("where", "error"), [
    ("make_plan", InputError("a scan", "cannot be read", "Check it.")),
    ("open_cache", OutputError("the cache", "is full", "Free some space.")),
    ("_task", ResourceError("GPU", "ran out of memory", "Use a smaller batch.")),
    ("Loop.run", RuntimeError("inside torch")),
    ("make_plan", KeyboardInterrupt()),
], ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else value)
def test_a_new_run_that_fails_before_its_first_checkpoint_leaves_the_old_one(home, run, monkeypatch, where, error):
    def fail(*_, **__):
        assert (run / "settings.json").read_bytes() != before["settings.json"], "it has not begun yet"
        raise error

    before, reported = tree(run), []
    owner, _, name = where.rpartition(".")
    monkeypatch.setattr(getattr(finetuning, owner) if owner else finetuning, name, fail)
    with pytest.raises(type(error)):
        finetune(again(home, run), reported.append)
    assert tree(run) == before
    assert reported[-1] == Message(f"{run} contains the earlier run again.", "warning")


def test_a_new_run_that_is_stopped_after_its_first_checkpoint_stays(home, run, monkeypatch):
    saved, save = [], finetuning.Loop.save

    def stop_then(loop):
        save(loop)
        saved.append((run / EARLIER).exists())
        raise KeyboardInterrupt

    before = tree(run)
    monkeypatch.setattr(finetuning.Loop, "save", stop_then)
    with pytest.raises(KeyboardInterrupt):
        finetune(again(home, run))
    assert saved == [False, False]
    assert "model.safetensors" not in tree(run)
    assert tree(run)["settings.json"] != before["settings.json"]
    monkeypatch.undo()
    finetune(again(home, run, overwrite=False, resume=True))
    assert tree(run).keys() == before.keys()


def test_a_file_of_somebody_beside_a_failed_run_stays(home, run, monkeypatch):
    def fail(*_, **__):
        (run / "notes.txt").write_text("mine")
        (run / "checkpoints").mkdir()
        (run / "checkpoints" / "best.txt").write_text("mine")
        no_memory()

    before = tree(run)
    monkeypatch.setattr(finetuning, "_task", fail)
    with pytest.raises(ResourceError):
        finetune(again(home, run))
    assert tree(run) == before | {"notes.txt": b"mine", os.path.join("checkpoints", "best.txt"): b"mine"}


def test_a_copy_of_a_checkpoint_that_somebody_keeps_stays(home, run):
    for name in ("good-checkpoint-00000001.safetensors", "checkpoint-best.safetensors"):
        (run / "checkpoints" / name).write_bytes(b"kept by hand")
    (run / "checkpoints" / ".0123abcd-checkpoint-00000009.safetensors").write_bytes(b"half")
    finetune(again(home, run, overwrite=False, resume=True, seed=0, epochs=1))
    names = {path.name for path in (run / "checkpoints").iterdir()}
    assert {"good-checkpoint-00000001.safetensors", "checkpoint-best.safetensors"} < names
    assert ".0123abcd-checkpoint-00000009.safetensors" not in names


def test_a_folder_in_which_another_run_is_at_work_is_left_alone(home, run):
    before = tree(run)
    lock = locks.take(run / ".lock")
    with pytest.raises(OutputError, match="is in use by another process"):
        finetune(again(home, run))
    lock.close()
    assert tree(run, ".lock") == before
