"""The same run as a command line, a file of settings, a cluster job: the commands themselves read them back."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess

import pytest

from kaf.cli.compare import CompareCommand
from kaf.cli.evaluate import EvaluateCommand
from kaf.cli.finetune import FinetuneCommand
from kaf.cli.flags import parse
from kaf.cli.pretrain import PretrainCommand
from kaf.cli.submit import split_arguments
from kaf.runs.command_line import arguments, cluster_command, cluster_script, command, save_settings
from kaf.runs.submit import SubmitSettings
from kaf.runtime.errors import SettingsError
from kaf.settings.compare import CompareSettings
from kaf.settings.evaluate import EvaluateSettings
from kaf.settings.finetune import FinetuneSettings
from kaf.settings.pretrain import PretrainSettings

RUNS = {
    "pretrain": (PretrainCommand, PretrainSettings, {
        "data": "my scans", "output": "runs/a b", "method": "kaf+bim:0.1", "preset": "kaf-compact", "minutes": 5,
        "kaf": {"radius": 12.5}, "augmentation": {"flips": [True, False]}, "strict": True, "overwrite": False,
        "cases": ["p 1", "it's, two"], "network": {"width": 8, "scales": [True, True, False, True]}, "labelled": "",
        "spacing": None, "name": "-odd name", "training_data": "[80 scans]"}),
    "finetune": (FinetuneCommand, FinetuneSettings, {
        "data": "-scans", "output": "run", "labels": {"1": "left ventricle", "2": "myo=x,y"}, "few_shot": 2,
        "learning_rate": 1e-4, "terminology": {"1": "~SCT^1^Heart"}, "leave_out": ["p3"], "init_from": "w.safetensors",
        "description": 'a "quoted" $word'}),
    "compare": (CompareCommand, CompareSettings, {
        "data": "scans", "output": "run", "methods": ["scratch", "kaf+bim:0.5"], "few_shot": [2, 6],
        "pretrain": {"minutes": 1, "kaf": {"radius": 5}}, "finetune": {"epochs": 2.5},
        "arms": {"mine": {"finetune": {"batch": 4}}}, "baseline": "scratch", "run_folds": [0, 1]}),
    "evaluate": (EvaluateCommand, EvaluateSettings, {
        "prediction": "p", "reference": "r", "output": "out", "tolerance": 3.0, "labels": {"1": "a"}}),
}


def settings_of(verb, given, values):
    kind, settings, _ = RUNS[verb]
    read = parse(kind, given, verb)
    return settings(**{name: getattr(read, name) for name in values if values[name] is not None})


def expected(verb):
    _, settings, values = RUNS[verb]
    place = values.get("data", "")
    return settings(**{**values, **({"data": os.path.join(".", place)} if place.startswith("-") else {})})


@pytest.mark.skipif(os.name == "nt", reason="quotes of a POSIX shell")
@pytest.mark.parametrize("verb", RUNS)
def test_a_copied_command_is_the_same_run(verb):
    values = RUNS[verb][2]
    words = shlex.split(command(verb, values))
    assert words[:2] == ["kaf", verb]
    assert settings_of(verb, words[2:], values).model_dump() == expected(verb).model_dump()


@pytest.mark.parametrize("verb", RUNS)
def test_saved_settings_are_the_same_run(verb, tmp_path):
    values = {**RUNS[verb][2], **({"data": "scans"} if verb == "finetune" else {})}
    save_settings(tmp_path / "settings.json", verb, values)
    places = [values[name] for name in ("data", "prediction", "reference") if name in values]
    read = settings_of(verb, [*places, "--settings", str(tmp_path / "settings.json")], values)
    assert read.model_dump() == RUNS[verb][1](**values).model_dump()


@pytest.mark.parametrize(("patients", "words"), [
    (["p01", "heart.2"], "--leave-out p01,heart.2"), (["001", "1e5"], """'--leave-out=["001", "1e5"]'"""),
    (["true"], """'--leave-out=["true"]'"""), (["a,b", "c d"], """'--leave-out=["a,b", "c d"]'""")])
@pytest.mark.skipif(os.name == "nt", reason="quotes of a POSIX shell")
def test_lists_are_plain_words_where_they_can_be(patients, words):
    line = command("pretrain", {"data": "d", "output": "o", "leave_out": patients})
    assert line == f"kaf pretrain d {words} --output o"
    assert parse(PretrainCommand, shlex.split(line)[2:], "pretrain").leave_out == tuple(patients)


def test_what_json_cannot_hold_is_refused(tmp_path):
    with pytest.raises(SettingsError, match="cannot be written as JSON"):
        save_settings(tmp_path / "a.json", "pretrain", {"minutes": float("nan")})
    assert not (tmp_path / "a.json").exists()


def test_the_command_for_the_cluster_asks_what_kaf_submit_takes():
    values, asked = RUNS["pretrain"][2], {"gpus": 2, "hours": 1.5, "partition": "gpu long", "account": ""}
    words = shlex.split(cluster_command("pretrain", values, asked))
    assert words[:3] == ["kaf", "submit", "pretrain"]
    own, rest = split_arguments(words[3:])
    assert rest == arguments("pretrain", values)
    assert SubmitSettings(gpus=2, hours=1.5, partition="gpu long") == \
        SubmitSettings(**dict(zip((flag.strip("-") for flag in own[::2]), own[1::2], strict=True)))
    with pytest.raises(SettingsError, match="kaf evaluate: is no job for a cluster"):
        cluster_command("evaluate", {}, {})


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize("begun", [False, True])
def test_the_batch_script_begins_or_goes_on(tmp_path, begun):
    values = {"data": "my scans", "output": str(tmp_path / "a run"), "overwrite": True, "minutes": 5}
    script = cluster_script("pretrain", values, {"gpus": 2, "partition": "gpu", "hours": 1.5})
    for line in ("--gpus-per-node=2", "--partition=gpu", "--time=01:30:00", "--requeue", "--cpus-per-task=8"):
        assert f"#SBATCH {line}\n" in script
    if begun:
        (tmp_path / "a run").mkdir()
        (tmp_path / "a run" / "settings.json").touch()
    srun = tmp_path / "srun"
    srun.write_text('#!/bin/sh\nfor word in "$@"; do echo "$word"; done\n')
    srun.chmod(0o755)
    done = subprocess.run(["bash"], input=script, text=True, capture_output=True, check=True,
                          env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"})
    words = done.stdout.splitlines()
    assert words[:5] == ["torchrun", "--nnodes=1", "--nproc-per-node=2", "-m", "kaf"]
    read = parse(PretrainCommand, words[6:], "pretrain")
    assert (read.data, read.output, read.minutes, read.resume) == ("my scans", values["output"], 5, begun)


def test_the_batch_script_of_a_single_process():
    script = cluster_script("finetune", {"data": "d", "output": "r"}, {})
    assert "\nsrun kaf finetune d --output r $resume\n" in script
    assert "gpus" not in script
    with pytest.raises(SettingsError, match="compare: is one process, not 4"):
        cluster_script("compare", {}, {"gpus": 2, "nodes": 2})
    again = cluster_script("compare", {"data": "d", "output": "r"}, {})
    assert "--resume" not in again  # it goes on by itself
    assert "\nsrun kaf compare d --output r $resume\n" in again
    assert "--rdzv-backend=c10d" in cluster_script("pretrain", {"data": "d"}, {"gpus": 4, "nodes": 2})
