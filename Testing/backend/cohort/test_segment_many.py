"""A folder of scans: shared by processes, gone on with after a kill, and no case written twice."""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
from pathlib import Path

import pytest
from made_models import HERE, RUN, tiny_model
from small_models import write_phantoms

from kaf.cli import entry as cli
from kaf.cohort import work_queue as sharing
from kaf.cohort.worst_first import OVERVIEW
from kaf.data.folder import scan_folder
from kaf.runtime import locks
from kaf.runtime.errors import OutputError
from kaf.settings.segment import SegmentSettings
from kaf.verbs import segment_folder as verb

NAMES = ("p1", "p2", "p3", "p4")


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("model") / "tiny.safetensors", spacing=3.0)


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return write_phantoms(tmp_path_factory.mktemp("scans"), NAMES)


@pytest.fixture
def cases(data):
    return scan_folder(data).cases


def settings(model: Path, **more) -> SegmentSettings:
    return SegmentSettings(model=str(model), **RUN, **more)


def stamps(folder: Path) -> dict[str, int]:
    return {file.name: file.stat().st_mtime_ns for file in folder.iterdir() if file.name != OVERVIEW}


def test_the_command_writes_every_case_once(tmp_path, data, model, capsys):
    output = tmp_path / "done"
    command = ["segment", str(data), "--model", str(model), "--output", str(output), "--suffix", ".nii.gz", *HERE]
    assert cli.main(command) == 0
    assert "4 of 4 scans segmented, 0 finished before" in capsys.readouterr().out
    before = stamps(output)
    assert before.keys() == {f"{name}.nii.gz" for name in NAMES} | {f"{name}-seg.json" for name in NAMES}
    (output / "p2-seg.json").unlink()
    (output / "p2.nii.gz").unlink()
    assert cli.main(command) == 0
    assert "1 of 4 scans segmented, 3 finished before" in capsys.readouterr().out
    after = stamps(output)
    assert {name for name in after if after[name] != before[name]} == {"p2.nii.gz", "p2-seg.json"}


def test_results_of_another_kind_are_not_mixed_or_replaced_unasked(tmp_path, cases, model):
    output = tmp_path / "done"
    verb.segment_folder(cases[:1], settings(model), output)
    (output / "p2.seg.nrrd").write_bytes(b"drawn by hand")
    before = stamps(output)
    for overwrite in (False, True):
        with pytest.raises(OutputError, match=r"p2\.seg\.nrrd: may not be a result of KAF: there is no report"):
            verb.segment_folder(cases, settings(model), output, overwrite=overwrite)
    with pytest.raises(OutputError, match=r"p1-seg\.json: was made with other settings \(flips\)"):
        verb.segment_folder(cases[:1], settings(model, flips=True), output)
    assert stamps(output) == before
    assert (output / "p2.seg.nrrd").read_bytes() == b"drawn by hand"


def test_a_case_that_a_killed_process_left_half_written_is_done_again(tmp_path, cases, model, monkeypatch):
    output = tmp_path / "done"

    def killed(volume, result, paths, *rest):
        (output / ".0123abcd-p1.seg.nrrd").write_bytes(b"half")
        (output / ".0123abcd-p1.txt").write_bytes(b"mine")
        raise SystemExit

    monkeypatch.setattr(verb, "write_results", killed)
    with pytest.raises(SystemExit):
        verb.segment_folder(cases[:1], settings(model), output)
    monkeypatch.undo()
    assert verb.segment_folder(cases[:1], settings(model), output).written == ["p1"]
    assert {file.name for file in output.iterdir()} == {"p1.seg.nrrd", "p1-seg.json", ".0123abcd-p1.txt", OVERVIEW}


def test_a_scan_that_cannot_be_used_is_reported_and_the_others_are_done(tmp_path, model, capsys):
    data = write_phantoms(tmp_path / "scans", ("p1", "p2"))
    (data / "p1.nii.gz").write_bytes(b"no scan")
    code = cli.main(["segment", str(data), "--model", str(model), "--output", str(tmp_path / "done"), "--events",
                     *HERE])
    result = json.loads(capsys.readouterr().out.splitlines()[-1])["values"]
    assert code == 1
    assert result["written"] == ["p2"]
    assert "p1.nii.gz" in result["failed"]["p1"]


def work(rank: int, data: Path, model: Path, output: Path) -> None:
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2"}
    cases = scan_folder(data).cases
    write = verb.write_results

    def noted(volume, result, paths, *rest):
        with (output.parent / "log").open("a") as log:
            log.write(f"{paths['labels'].name} {rank}\n")
        write(volume, result, paths, *rest)

    verb.write_results = noted
    verb.segment_folder(cases, settings(model), output)


def test_two_processes_share_the_cases_and_write_none_twice(tmp_path, data, model):
    context = multiprocessing.get_context("spawn" if sys.platform == "win32" else "forkserver")
    if sys.platform != "win32":
        context.set_forkserver_preload(["kaf.verbs.segment_folder"])
    output = tmp_path / "done"
    both = [context.Process(target=work, args=(rank, data, model, output)) for rank in (0, 1)]
    for process in both:
        process.start()
    for process in both:
        process.join(300)
    assert [process.exitcode for process in both] == [0, 0]
    log = [line.split() for line in (tmp_path / "log").read_text().splitlines()]
    assert sorted(name for name, _ in log) == [f"{name}.seg.nrrd" for name in NAMES]
    reports = [json.loads((output / f"{name}-seg.json").read_text()) for name in NAMES]
    assert all(report["volumes_ml"] for report in reports)


def test_a_process_that_is_done_may_remove_the_work_folder_while_another_waits(tmp_path, monkeypatch):
    take, removed, done = locks.take, [], []

    def acquire(path, wait):
        if not removed:
            removed.append(path)
            sharing.clear_work(tmp_path, ["a", "b"])
        return take(path, wait)

    monkeypatch.setattr(locks, "take", acquire)
    outcome = sharing.share_work(["a", "b"], str, tmp_path, lambda _: False, done.append, lambda _: None, "sharing")
    assert removed
    assert done == outcome.written == ["a", "b"]


def test_each_process_begins_with_its_own_share(monkeypatch):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "3")
    assert sharing._mine_first(list(range(7))) == [1, 4, 2, 5, 0, 3, 6]
