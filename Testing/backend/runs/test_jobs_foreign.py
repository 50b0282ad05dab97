"""Runs that no job made: of the command line, an older version, a comparison; found, told, gone on with."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from pathlib import Path

import pytest
from jobs_toys import toy_python, until

from kaf.cli import entry as cli
from kaf.runs import start as jobs
from kaf.runs.run_folder import RunFolder
from kaf.runtime.errors import Cancelled, InputError, KafError, OutputError
from kaf.runtime.events import Message, Metric, Progress, Result, to_json
from kaf.settings.finetune import FinetuneSettings
from kaf.settings.pretrain import PretrainSettings


def settings_of(folder: Path, **values) -> FinetuneSettings:
    return FinetuneSettings(data="scans", output=str(folder), **values)


def begun(folder: Path, kind=FinetuneSettings) -> RunFolder:
    return RunFolder(folder, kind(data="scans", output=str(folder)), False, False)


def ended(folder: Path, error: BaseException | None = None, *events) -> jobs.Job:
    """A run that said these events and ended with that error."""
    with contextlib.suppress(*[type(error)] * (error is not None)), begun(folder) as run:
        for event in events:
            run.recording(lambda _: None)(event)
        if error is not None:
            raise error
    return jobs.Job(folder)


def test_a_run_of_the_command_line_is_seen_while_it_runs_and_after(tmp_path):
    with begun(tmp_path / "run", PretrainSettings) as run:
        run.recording(lambda _: None)(Progress("training", 0.25, 1.0, 30.0))
        job = jobs.find(tmp_path)[0]
        assert (job.is_foreign, job.verb, job.state(), job.note) == (True, "pretrain", jobs.RUNNING, "")
        assert (job.seconds_left, job.values["data"]) == (30.0, "scans")
        with pytest.raises(KafError, match="was not started from here"):
            job.stop()
        run.recording(lambda _: None)(Result({"model": "m"}))
    assert (job.state(), job.seconds_left, job.error) == (jobs.FINISHED, None, "")
    assert job.events()[0] == [Progress("training", 0.25, 1.0, 30.0), Result({"model": "m"})]


@pytest.mark.parametrize(("error", "state", "words"), [
    (Cancelled("run", "training was stopped", "Go on."), jobs.STOPPED, ""),
    (KeyboardInterrupt(), jobs.STOPPED, ""),
    (OutputError("run", "no space", "Free some."), jobs.FAILED, "run: no space. Free some."),
    (RuntimeError("inside torch"), jobs.FAILED, "RuntimeError: inside torch"),
])
def test_the_end_of_a_run_of_the_command_line_is_reported(tmp_path, error, state, words):
    job = ended(tmp_path / "run", error, Metric(1, {"loss": 1.0}))
    assert (job.state(), job.error) == (state, words)


def test_a_run_that_ended_without_a_word_is_lost(tmp_path):
    job = ended(tmp_path / "run", None, Metric(1, {"loss": 1.0}))
    assert job.state() == jobs.LOST
    assert "Resume it" in job.error


def test_two_processes_do_not_work_in_one_folder(tmp_path):
    with begun(tmp_path / "run"):
        for resume in (True, False):
            with pytest.raises(OutputError, match="is in use by another process"):
                RunFolder(tmp_path / "run", settings_of(tmp_path / "run"), resume, not resume)
        assert (tmp_path / "run" / "events.jsonl").exists(), "the folder was emptied under the other one"
    RunFolder(tmp_path / "run", settings_of(tmp_path / "run"), True, False).__exit__(None, None, None)


@pytest.mark.parametrize("overwrite", [True, False])
def test_a_run_leaves_the_files_of_its_job_alone(tmp_path, overwrite):
    kept = tmp_path / "run" / "job" / "log.txt"
    kept.parent.mkdir(parents=True)
    kept.write_text("words")
    if overwrite:
        (tmp_path / "run" / "settings.json").write_text(settings_of(tmp_path).model_dump_json())
        (tmp_path / "run" / "plan.json").write_text("old")
    before = sorted(file.name for file in (tmp_path / "run").iterdir())
    with contextlib.suppress(InputError), RunFolder(tmp_path / "run", settings_of(tmp_path), False, overwrite):
        assert not (tmp_path / "run" / "plan.json").exists()
        raise InputError("scans", "is empty", "Fill it.")
    assert sorted(file.name for file in (tmp_path / "run").iterdir()) == before
    assert kept.read_text() == "words"


@pytest.mark.parametrize(("words", "which", "usable"), [
    (None, "This run was made by an older version of KAF.", False),
    ({"format": 0, "version": "0.0.1"}, "This run was made by an older version of KAF (0.0.1; this is", False),
    ({"format": 99, "version": "9.0"}, "This run was made by a newer version of KAF (9.0; this is", False),
    ({"format": 1, "version": "0.0.9"}, "This run was made by KAF 0.0.9; this is KAF", True),
])
def test_the_folder_of_another_version_is_named_as_such(tmp_path, words, which, usable):
    for name, settings in (("a", {"method": "kaf"}), ("b", {"init_from": ""})):
        (tmp_path / name).mkdir()
        (tmp_path / name / "settings.json").write_text(json.dumps(settings))
        (tmp_path / name / "events.jsonl").write_text(to_json(Metric(1, {"loss": 1.0})) + "\n")
        if words is not None:
            verb = "pretrain" if name == "a" else "finetune"
            (tmp_path / name / "run.json").write_text(json.dumps({**words, "verb": verb}))
    found = {job.folder.name: job for job in jobs.find(tmp_path)}
    assert [found[name].verb for name in "ab"] == ["pretrain", "finetune"]
    assert found["a"].note.startswith(which)
    assert found["a"].events()[0] == [Metric(1, {"loss": 1.0})]
    assert found["a"].can_resume == usable
    if not usable:
        with pytest.raises(KafError, match="is lost and cannot be resumed"):
            found["a"].resume(sys.executable)


def test_a_comparison_is_one_run(tmp_path):
    for name in ("folds.json", "scratch/m2-draw0-fold0/run/settings.json", "scratch/m2-draw0-fold0/run/events.jsonl"):
        (tmp_path / "experiment" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "experiment" / name).write_text("{}")
    job, = jobs.find(tmp_path)
    assert (job.folder.name, job.verb, job.state()) == ("experiment", "compare", jobs.STOPPED)
    table = {"facts": ["3 out of six"], "networks": 3, "planned": 6, "settings": {"folds": 5}}
    (job.folder / "comparison.json").write_text(json.dumps(table))
    assert (job.state(), jobs.Job(job.folder).values) == (jobs.STOPPED, {"folds": 5})
    (job.folder / "comparison.json").write_text(json.dumps({**table, "networks": 6}))
    assert job.state() == jobs.FINISHED


def test_of_a_comparison_of_an_older_version_the_networks_are_counted(tmp_path):
    """Its table says how many there are in a sentence only."""
    settings = {"methods": ["scratch", "kaf"], "arms": {}, "few_shot": [2, 6], "draws": 1, "run_folds": [0]}
    (tmp_path / "folds.json").write_text("[]")
    (tmp_path / "comparison.json").write_text(json.dumps({"facts": ["4 of 4 networks"], "settings": settings}))
    (job,) = jobs.find(tmp_path)
    cells = [tmp_path / arm / f"m{m}-draw0-fold0" / "result.json" for arm in ("scratch", "kaf") for m in (2, 6)]
    others = [tmp_path / "kaf" / name / "result.json" for name in ("m9-draw0-fold0", "x")]
    for cell in (*cells[:3], *others):
        cell.parent.mkdir(parents=True)
        cell.write_text("{}")
    assert job.state() == jobs.STOPPED
    cells[3].parent.mkdir()
    cells[3].write_text("{}")
    assert job.state() == jobs.FINISHED
    for damaged in ({**settings, "draws": "many"}, {**settings, "few_shot": 2}, {}, None, [1]):
        (tmp_path / "comparison.json").write_text(json.dumps({"facts": ["4 of 4 networks"], "settings": damaged}))
        assert job.state() == jobs.STOPPED
    (tmp_path / "comparison.json").write_text(json.dumps({"settings": {**settings, "draws": 10 ** 18}}))
    assert job.state() == jobs.STOPPED


@pytest.mark.skipif(os.name == "nt", reason="the toy interpreter is a shell script")
def test_a_run_of_the_command_line_goes_on_as_a_job_with_its_events(tmp_path):
    run = tmp_path / "run"
    with begun(run, PretrainSettings) as folder:
        folder.recording(lambda _: None)(Metric(1, {"loss": 1.0}))
    (run / "checkpoint").write_text("1")
    values = json.loads((run / "settings.json").read_text())
    (run / "settings.json").write_text(json.dumps({**values, "steps": 2}))
    again = jobs.Job(run).resume(toy_python(tmp_path))
    until(lambda: again.state() not in jobs.ALIVE)
    assert again.state() == jobs.FINISHED, again.error
    reported = again.events()[0]
    assert reported[:3] == [Metric(1, {"loss": 1.0}), Message("from step 1"), Metric(2, {"loss": 0.5})]


def test_kaf_jobs_lists_the_runs(tmp_path, capsys):
    ended(tmp_path / "a", None, Progress("training", 0.5, 1.0, 90.0), Result({}))
    ended(tmp_path / "deep" / "b", OutputError("b", "no space", "Free some."), Message("hello"))
    assert cli.main(["jobs", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [" ".join(line.split()) for line in lines] == ["failed finetune deep/b b: no space. Free some.",
                                                          "finished finetune a 50 %"]
    assert cli.main(["jobs", str(tmp_path), "--events"]) == 0
    rows = json.loads(capsys.readouterr().out)["values"]["jobs"]
    assert [(row["state"], row["progress"]) for row in rows] == [("failed", None), ("finished", 0.5)]
    assert cli.main(["jobs", str(tmp_path / "nowhere")]) == 1
    (tmp_path / "empty").mkdir()
    capsys.readouterr()
    assert cli.main(["jobs", str(tmp_path / "empty")]) == 0
    assert "no runs in" in capsys.readouterr().out
