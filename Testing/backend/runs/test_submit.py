"""`kaf submit`: a training as a job, through submitit's executor for this computer."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from pretrain_toys import small_pretraining
from small_models import SMALL, write_phantoms

from kaf.cli import entry as cli
from kaf.runs.submit import Job, SubmitSettings, _parameters, submit, submit_parts
from kaf.runtime.errors import KafError, ResourceError

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="SLURM and submitit are for Unix")


@pytest.fixture
def no_job(monkeypatch):
    monkeypatch.setattr("kaf.cli.submit.submit", lambda *_: pytest.fail("a job was submitted"))


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="finds the job's process through /proc")
def test_a_job_that_is_preempted_is_queued_again_and_goes_on(tmp_path):
    data = write_phantoms(tmp_path / "scans")
    settings = small_pretraining(tmp_path, data, method="simclr", epochs=20, checkpoint_every=1e-6)
    file = tmp_path / "settings.json"
    file.write_text(json.dumps(settings.model_dump(mode="json", exclude={"data", "output", "resume"})))
    arguments = [str(data), "--output", settings.output, "--settings", str(file)]
    job = submit(cli.main, "pretrain", arguments, settings.output,
                 SubmitSettings(cluster="local", hours=1))
    checkpoints, end = Path(settings.output) / "checkpoints", time.monotonic() + 300
    while not list(checkpoints.glob("checkpoint-*")):
        assert not job.done(), job.stderr()
        assert time.monotonic() < end
        time.sleep(0.05)
    task = Path(f"/proc/{job.job_id}/task/{job.job_id}/children").read_text().split()[0]
    os.kill(int(task), signal.SIGUSR2)
    assert job.result() == settings.output
    assert (Path(settings.output) / "model.safetensors").is_file()
    reported = [json.loads(line).get("text", "") for line in
                (Path(settings.output) / "events.jsonl").read_text().splitlines()]
    assert sum(words.startswith("Resuming from step") for words in reported) == 1


def test_a_job_that_is_picked_up_again_resumes_only_what_had_begun(tmp_path):
    job = Job(cli.main, "pretrain", ("scans", "--overwrite", "--batch", "4"), str(tmp_path))
    assert job.resumed() == job.arguments
    (tmp_path / "settings.json").touch()
    assert job.resumed() == ("scans", "--batch", "4", "--no-overwrite", "--resume")
    assert job.checkpoint().function.again
    again = Job(cli.main, "compare", ("scans", "--folds", "2"), str(tmp_path), again=True)
    assert again.resumed() == again.arguments  # it goes on by itself


def test_a_job_that_is_picked_up_before_it_replaced_a_run_still_replaces_it(tmp_path, monkeypatch):
    """Preempted while it waited or imported: to resume then would train the run that was to go."""
    submitted = []
    monkeypatch.setattr("submitit.AutoExecutor.submit", lambda _, job: submitted.append(job))
    (tmp_path / "settings.json").write_text("{}")
    (tmp_path / "run.json").write_text('{"created": 1000.0}')
    arguments = ["scans", "--overwrite", "--batch", "4"]
    submit(cli.main, "pretrain", arguments, str(tmp_path), SubmitSettings(cluster="local"))
    job, = submitted
    assert job.resumed() == tuple(arguments)
    (tmp_path / "run.json").write_text('{"created": 2000.0}')
    assert job.resumed() == ("scans", "--batch", "4", "--no-overwrite", "--resume")
    submit(cli.main, "pretrain", ["scans", "--resume"], str(tmp_path), SubmitSettings(cluster="local"))
    assert submitted[1].resumed() == ("scans", "--no-overwrite", "--resume")


def test_what_is_asked_of_slurm():
    asked = _parameters(SubmitSettings(partition="gpu", gpus=4, nodes=2, hours=1.5, memory=64), "kaf-pretrain")
    assert asked == {"name": "kaf-pretrain", "timeout_min": 90, "nodes": 2, "tasks_per_node": 4, "gpus_per_node": 4,
                     "cpus_per_task": 4, "mem_gb": 64, "slurm_partition": "gpu"}


@pytest.mark.parametrize(("arguments", "words"), [
    (["train", "x"], "kaf submit train: only pretrain, finetune and compare can be submitted"),
    (["pretrain", "x", "--output", "y", "--bach", "3"], "did you mean --batch?"),
    (["pretrain", "x", "--output", "y", "--batch", "6", "--gpus", "4"], "6 slices cannot be divided among 4 processes"),
    (["finetune", "x", "--output", "y", "--gpus=2", "--batch", "3"], "3 slices cannot be divided among 2 processes"),
    (["compare", "x", "--output", "y", "--gpus=2"], "kaf submit compare: cannot use 2 processes"),
    (["compare", "x", "--output", "y", "--fold", "2"], "did you mean --folds?"),
    (["pretrain", "x", "--output", "y", "--hours", "0"], "hours"),
])
def test_wrong_usage_is_reported_before_a_job_is_queued(no_job, capsys, arguments, words):
    assert cli.main(["submit", *arguments]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1


def test_a_run_that_is_there_is_not_submitted_over(no_job, tmp_path, capsys):
    (tmp_path / "settings.json").touch()
    assert cli.main(["submit", "pretrain", "x", "--output", str(tmp_path)]) == 1
    assert "already contains a run" in capsys.readouterr().err


def test_without_submitit_the_words_say_how_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(KafError, match=r"submitit: is not installed.*pip install .*cluster"):
        submit(cli.main, "pretrain", [], str(tmp_path / "run"), SubmitSettings())


def test_without_slurm_that_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ResourceError, match=r"cluster slurm: refused the job .*login node"):
        submit(cli.main, "pretrain", [], str(tmp_path / "run"), SubmitSettings())


def compared(tmp_path, output, few_shot=(1, 2)):
    data = write_phantoms(tmp_path / "scans", "abcdef")
    tiny = {"network": SMALL.model_dump(), "patch": 32, "batch": 2, "steps": 2, "cache": str(tmp_path / "cache")}
    file = tmp_path / "compare.json"
    file.write_text(json.dumps({"methods": ["scratch", "simclr"], "few_shot": few_shot, "draws": 1, "folds": 3,
                                "pretrain": tiny, "finetune": tiny, "device": "cpu", "threads": 1}))
    return [str(data), "--output", str(output), "--settings", str(file)]


def test_a_comparison_is_an_array_with_one_part_per_task(tmp_path, monkeypatch):
    """A job of one process made all cells one after the other; a second one waited for its locks."""
    arrays, asked = [], []

    class Submitted:
        def __init__(self, number):
            self.job_id, self.paths = f"{number}_0", SimpleNamespace(stderr=tmp_path / "log" / "0")

    monkeypatch.setattr("submitit.AutoExecutor.__init__", lambda self, **_: None)
    monkeypatch.setattr("submitit.AutoExecutor.update_parameters", lambda self, **values: asked.append(values))
    monkeypatch.setattr("submitit.AutoExecutor.map_array", lambda self, call, jobs: arrays.append(jobs) or [
        Submitted(100 + len(arrays)) for _ in jobs])
    arguments = compared(tmp_path, tmp_path / "out")
    assert cli.main(["submit", "compare", *arguments, "--parallel", "8", "--gpus", "1"]) == 0
    assert [len(jobs) for jobs in arrays] == [1, 4, 1]
    parts = [job.arguments[len(arguments):] for jobs in arrays for job in jobs]
    assert parts == [("--task", "0"), ("--task", "1"), ("--task", "2"), ("--task", "3"), ("--task", "4"),
                     ("--only-report",)]
    waits = [values["slurm_additional_parameters"]["dependency"] for values in asked
             if "slurm_additional_parameters" in values]
    assert waits == ["afterany:101", "afterany:102"]
    assert asked[0]["slurm_array_parallelism"] == 8


def test_the_parts_make_the_whole_comparison(tmp_path):
    """Through the command line of every task, in this process."""
    def main(arguments):
        return cli.main(arguments)

    class Here:
        def submit(self, job):
            job()
            return SimpleNamespace(result=lambda: None, job_id="1", paths=SimpleNamespace(stderr=tmp_path / "0"))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kaf.runs.submit._executor", lambda *_: Here())
        submit_parts(main, compared(tmp_path, tmp_path / "out", (1,)), str(tmp_path / "out"),
                     SubmitSettings(cluster="local"), 1, 2)
    table = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert table["networks"] == table["planned"] == 2
