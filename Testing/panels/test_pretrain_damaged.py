"""Damaged files in a folder of runs: the panel's list shows all other runs, whatever they hold."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("slicer", reason="needs slicer-core")
pytest.importorskip("PySide6", reason="needs PySide6-Essentials")

import kaf
from kaf.modelfile.card import copy_with_card, read_card
from KAFPretrainLib.models.ModelRegistration import libraryName
from KAFPretrainLib.runs.JobList import findRuns
from KAFPretrainLib.runs.RunMessages import progressText, runEntry, statusText
from KAFPretrainLib.runs.RunSummary import RunSummary
from KAFPretrainLib.runs.TransferReport import transferReport

pytestmark = pytest.mark.usefixtures("quietHost")
VALUES = [None, True, -1, 1.5, 10 ** 400, float("nan"), float("inf"), "", "x", [], [[]], [1], {}, {"a": 1}]
CONTENTS = ["", "{", "[" * 10_000, "7", "null", "[1]", "\0" * 10]
SOUND = {
    "settings.json": {"data": "scans", "method": "kaf", "device": "cpu", "learning_rate": 0.1},
    "split.json": {"train": ["a", "b"], "validation": []},
    "transfer.json": {"coverage": 1.0, "loaded": ["encoder.a"], "adapted": [], "skipped": [], "missing": [],
                      "unexpected": [], "digest": "00"},
    "run.json": {"format": 1, "verb": "pretrain", "version": kaf.__version__, "created": 1.7e9},
    "library.json": {"name": "a"},
}


def makeRun(folder):
    folder.mkdir(parents=True)
    for name, values in SOUND.items():
        (folder / name).write_text(json.dumps(values))
    (folder / "events.jsonl").write_text('{"event": "progress", "stage": "a", "done": 1, "total": 2}\n')
    model = next((Path(kaf.__file__).parent / "models").glob("*.safetensors"))
    card = replace(read_card(model), labels=(), metrics={})  # as weights that were only pretrained
    copy_with_card(model, folder / "model.safetensors", card)


@pytest.mark.parametrize("name", SOUND)
def test_the_others_are_listed(tmp_path, monkeypatch, name):
    monkeypatch.setattr("kaf.runs.job_folder.time.sleep", lambda _: None)
    makeRun(tmp_path / "sound")
    makeRun(tmp_path / "damaged")
    wrong = [json.dumps({**SOUND[name], key: value}) for key in SOUND[name] for value in VALUES]
    for content in [*CONTENTS, *map(json.dumps, VALUES), *wrong]:
        (tmp_path / "damaged" / name).write_text(content)
        found, weights, lineage, _ready, _entries = findRuns(str(tmp_path))
        assert "sound" in [job.folder.name for job in found], content[:200]
        assert "run sound" in [each.name for each in weights], content[:200]
        for each in weights:
            lineage.seenPatients(each, tmp_path)
            assert each.recipe is None or isinstance(each.recipe["method"], str)
        assert any(each.recipe == SOUND["settings.json"] for each in weights)
        for job in found:
            summary = RunSummary()
            for event in job.events()[0]:
                summary.take(event)
            words = [runEntry(job), statusText(job, job.state(), summary), progressText(job, job.state(), summary)[1],
                     *transferReport(job.folder), libraryName(job)]
            assert all(isinstance(each, str) for each in words)
