"""Fine-tuning from a folder of scans to a model file; what is written, what is refused, who trains."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from finetune_toys import small_run
from small_models import CARD, PLAIN, logits_of, small_network, taken_apart, write_phantoms

from kaf.modelfile.card import read_card
from kaf.modelfile.model import load_model, load_tensors, save_model
from kaf.modelfile.weights_file import load_weights
from kaf.runtime.errors import Cancelled, InputError, ModelError, OutputError
from kaf.runtime.events import Message, Metric, Progress, Result, from_json
from kaf.runtime.message_codes import DATASET, RESUMED, STARTED_FROM
from kaf.settings.finetune import FinetuneSettings
from kaf.training.task import SegmentationTask
from kaf.verbs.finetune import finetune

NAMES = ("anna", "bert", "carl")
WORDS = {"labels": {1: "RV", 3: "LV"}, "terminology": {3: "~SCT^LV"}, "description": "Größe",
         "weights_licence": "CC0", "training_data": "three phantoms", "validation": 0.3, "seed": 4}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("secret-home")
    write_phantoms(folder / "scans", NAMES)
    return folder


@pytest.fixture(scope="module")
def trained(folder):
    """A whole run: two patients train (6 slices, two passes of two at a time: 6 steps), one validates."""
    reported = []
    settings = small_run(folder, folder / "scans", "trained", **WORDS)
    path = finetune(settings, reported.append)
    return path, settings, reported


def read(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def test_the_model_loads_and_is_the_averaged_network(trained):
    path, _, _ = trained
    network, _ = load_model(path)
    assert torch.isfinite(logits_of(network)).all()
    newest = max((path.parent / "checkpoints").iterdir())
    assert newest.name == "checkpoint-00000006.safetensors"
    kept, _ = load_weights(newest)
    for name, value in load_tensors(path)[1].items():
        assert torch.equal(value, kept[f"average/{name}"].half().float())


def test_the_card_calibrates_predicted_quality_on_the_validation_patients(trained):
    """One patient validates: lines, no bound; the statistics of the two that were trained on."""
    quality = read_card(trained[0]).quality
    assert quality["source"] == "1 validation case of 1 patient not trained on"
    assert all(line["patients"] == 1 and line["margin"] is None for line in quality["lines"])
    assert quality["training"]["scans"] == 2
    assert {"spacing", "intensity"} <= quality["training"]["groups"].keys()


def test_the_card_says_what_is_known_and_invents_nothing(trained):
    path, settings, reported = trained
    card = read_card(path)
    assert card.label_names == {1: "RV", 2: "label 2", 3: "LV"}
    assert [label.terminology for label in card.labels] == ["", "", "~SCT^LV"]
    assert len({label.colour for label in card.labels}) == 3
    assert (card.name, card.version, card.description, card.modality, card.seed) == (
        "tiny heart", "1", "Größe", "MR", 4)
    assert (card.spacing, card.slice_spacing, card.slicing_axis) == (3.0, 8.0, "largest-spacing")
    assert (card.weights_licence, card.training_data) == ("CC0", "three phantoms")
    assert card.network == settings.network.model_dump(mode="json") | {"classes": 4}
    assert card.trained_modules == ("encoder", "decoder", "head")
    assert card.metrics["training_patients"] == 2
    assert card.metrics["validation"]["patients"] == 1
    last = next(event for event in reversed(reported) if isinstance(event, Metric))
    assert card.metrics["validation"]["Dice"] == round(last.values["validation Dice"], 4)
    assert card.recipe["epochs"] == 2
    assert card.recipe["data"] == "scans"


def test_no_path_and_no_patient_travels_with_the_model(folder, trained):
    chosen = small_run(folder, folder / "scans", "chosen", cases=NAMES, validation_cases=NAMES[:1], epochs=0.1,
                       init_from=str(trained[0]))
    for path in (trained[0], finetune(chosen)):
        words = json.dumps(taken_apart(path)[0])
        for private in (*NAMES, str(folder), folder.name, "cache"):
            assert private not in words
    assert read_card(Path(chosen.output) / "model.safetensors").recipe["init_from"] == "model.safetensors"


def test_the_run_folder_holds_the_whole_story(trained):
    path, settings, reported = trained
    run = path.parent
    assert sorted(file.name for file in run.iterdir()) == [
        "checkpoints", "events.jsonl", "model.safetensors", "pictures", "plan.json", "report.html", "run.json",
        "settings.json", "split.json", "validation.json"]
    assert FinetuneSettings(**read(run / "settings.json")) == settings
    split = read(run / "split.json")
    assert (len(split["train"]), len(split["validation"])) == (2, 1)
    assert sorted(split["train"] + split["validation"]) == list(NAMES)
    plan = read(run / "plan.json")
    assert (plan["values"], plan["patch"], plan["spacing"]) == ([1, 2, 3], 32, pytest.approx(3.0))
    answers = [from_json(line) for line in (run / "events.jsonl").read_text().splitlines()]
    assert answers == reported
    assert reported[0] == Message("2 patients for training, 1 for validation, on cpu (as asked).", code=DATASET,
                                  data={"patients": 2, "validation": 1})
    assert isinstance(reported[-1], Result)
    assert reported[-1].values | {"seconds": 0, "validation": []} == {
        "verdict": read_card(path).metrics["verdict"],
        "model": str(path), "digest": read_card(path).digest, "steps": 6, "left_out": 0, "seconds": 0,
        "validation": [], "report": str(run / "report.html")}
    assert {"looking at the labelled cases", "reading and preparing cases"} <= {
        event.stage for event in reported if isinstance(event, Progress)}


def test_the_same_settings_give_the_same_model(folder, trained):
    again = finetune(trained[1].model_copy(update={"output": str(folder / "again")}))
    assert read_card(again).digest == read_card(trained[0]).digest
    other = finetune(trained[1].model_copy(update={"output": str(folder / "other"), "seed": 5}))
    assert read_card(other).digest != read_card(trained[0]).digest


def test_a_folder_in_use_is_refused_resumed_or_replaced(folder, trained):
    path, settings, _ = trained
    before = {file.name: file.read_bytes() for file in path.parent.iterdir() if file.is_file()}
    with pytest.raises(OutputError, match=r"trained: already contains a run\. .*--resume.*--overwrite"):
        finetune(settings)
    assert {file.name: file.read_bytes() for file in path.parent.iterdir() if file.is_file()} == before
    reported = []
    finetune(settings.model_copy(update={"resume": True}), reported.append)
    assert reported[-1].values["steps"] == 6
    assert Message("Resuming from step 6.", code=RESUMED, data={"step": 6}) in reported
    assert load_tensors(path)[0].digest == json.loads(before["events.jsonl"].splitlines()[-1])["values"]["digest"]
    lines = (path.parent / "events.jsonl").read_bytes()
    assert lines.startswith(before["events.jsonl"])
    assert len(lines) > len(before["events.jsonl"])
    finetune(settings.model_copy(update={"overwrite": True, "epochs": 0.1}))
    answers = [from_json(line) for line in (path.parent / "events.jsonl").read_text().splitlines()]
    assert [event.values["steps"] for event in answers if isinstance(event, Result)] == [1]
    assert [file.name for file in (path.parent / "checkpoints").iterdir()] == ["checkpoint-00000001.safetensors"]


def test_folders_that_are_no_runs_are_never_touched(folder, tmp_path):
    settings = small_run(tmp_path, folder / "scans", "nothing", resume=True)
    with pytest.raises(OutputError, match=r"nothing: contains no run to resume"):
        finetune(settings)
    assert not Path(settings.output).exists()
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_bytes(b"cat")
    for how in ({}, {"resume": True}, {"overwrite": True}):
        with pytest.raises(OutputError, match="contains other files"):
            finetune(small_run(tmp_path, folder / "scans", "photos", **how))
    assert [file.name for file in (tmp_path / "photos").iterdir()] == ["cat.jpg"]


@pytest.mark.parametrize(("values", "words"), [
    ({"cases": ("anna", "dora", "emil")}, "scans: has no labelled case dora, emil. See `kaf data scan`"),
    ({"validation_cases": ("dora",)}, "scans: has no labelled patient dora"),
    ({"validation_cases": NAMES}, "scans: leaves no patient for training"),
    ({"validation": 0.9}, "would hold out 3 of 3 patients and leave nobody"),
    ({"few_shot": 4}, "there are 3 patients to draw from"),
])
def test_patients_that_are_not_there_are_named(folder, tmp_path, values, words):
    with pytest.raises(InputError, match=words):
        finetune(small_run(tmp_path, folder / "scans", **values))
    assert list(tmp_path.iterdir()) == []


def test_labels_are_needed(tmp_path):
    write_phantoms(tmp_path / "scans", ("anna",))
    (tmp_path / "scans" / "anna_gt.nii.gz").unlink()
    with pytest.raises(InputError, match=r"scans: contains no labelled case. Put label maps beside the scans"):
        finetune(small_run(tmp_path, tmp_path / "scans"))
    write_phantoms(tmp_path / "blank", ("anna", "bert"), blank=True)
    with pytest.raises(InputError, match=r"blank: no label map holds any structure \(all voxels are 0\)"):
        finetune(small_run(tmp_path, tmp_path / "blank"))
    with pytest.raises(InputError, match="absent"):
        finetune(small_run(tmp_path, tmp_path / "absent"))


def test_weights_to_start_from_are_taken_and_reported(folder, tmp_path, trained):
    """With a learning rate of nearly nothing the start is what comes out."""
    source = tmp_path / "start.safetensors"
    network = small_network(seed=9)
    save_model(source, network, CARD, half=False)
    reported = []
    path = finetune(small_run(tmp_path, folder / "scans", init_from=str(source), epochs=0.1, learning_rate=1e-12,
                              slice_context=1), reported.append)
    report = read(path.parent / "transfer.json")
    assert (report["source"], report["digest"]) == (str(source), read_card(source).digest)
    assert report["adapted"] == ["encoder.stages.0.0.weight"]
    assert (report["coverage"], report["missing"], report["skipped"], report["unexpected"]) == (1.0, [], [], [])
    assert len(report["loaded"]) == len(load_tensors(source)[1]) - 1
    assert Message(f"Started from heart: 100.0 % of the weights transferred ({len(report['loaded'])} loaded, "
                   "1 adapted).", code=STARTED_FROM, data={"model": "heart", "coverage": 1.0}) in reported
    found, given = load_tensors(path)[1], network.state_dict()
    assert torch.equal(found["head.weight"], given["head.weight"].half().float())
    first = given["encoder.stages.0.0.weight"].expand(-1, 3, -1, -1) / 3
    assert torch.equal(found["encoder.stages.0.0.weight"], first.half().float())


def test_weights_that_do_not_fit_are_refused_with_numbers(folder, tmp_path):
    source = tmp_path / "start.safetensors"
    other = PLAIN.model_copy(update={"width": 8, "decoder_width": 8})
    save_model(source, small_network(other), replace(CARD, network=other.model_dump(mode="json")))
    with pytest.raises(ModelError, match=r"fits only \d+\.\d % of this network \(at least 90 % are needed"):
        finetune(small_run(tmp_path, folder / "scans", init_from=str(source)))


@pytest.mark.parametrize("step", [1, 4])
def test_a_stop_keeps_a_checkpoint_and_going_on_gives_the_same_model(folder, tmp_path, monkeypatch, step):
    settings = small_run(folder, folder / "scans", **WORDS).model_copy(update={"output": str(tmp_path / "run")})
    straight = finetune(settings.model_copy(update={"output": str(tmp_path / "straight")}))
    calls = []
    real = SegmentationTask.loss

    def loss(self, batch, *rest):
        calls.append(batch)
        if len(calls) == step + 1:
            raise KeyboardInterrupt
        return real(self, batch, *rest)

    monkeypatch.setattr(SegmentationTask, "loss", loss)
    with pytest.raises(Cancelled, match=r"run: training was stopped\. Continue it with --resume\."):
        finetune(settings)
    assert [file.name for file in (tmp_path / "run" / "checkpoints").iterdir()] == [
        f"checkpoint-{step:08d}.safetensors"]
    assert not (tmp_path / "run" / "model.safetensors").exists()
    path = finetune(settings.model_copy(update={"resume": True}))
    assert len(calls) == 6 + 1, "no step is done twice"
    assert read_card(path).digest == read_card(straight).digest


def test_a_resumed_run_keeps_its_patients(tmp_path):
    """A scan that came later would draw another split, and a patient who has trained would validate."""
    write_phantoms(tmp_path / "scans", NAMES)
    settings = small_run(tmp_path, tmp_path / "scans", epochs=0.1, validation=0.3)
    finetune(settings)
    before = {file.name: file.read_bytes() for file in (tmp_path / "run").glob("*.json*")}
    write_phantoms(tmp_path / "scans", (*NAMES, "dora"))
    with pytest.raises(InputError, match=r"split\.json: the run was started with other patients\. Resume with its"):
        finetune(settings.model_copy(update={"resume": True}))
    assert {file.name: file.read_bytes() for file in (tmp_path / "run").glob("*.json*")} == before
    finetune(settings.model_copy(update={"resume": True, "cases": NAMES}))


def test_phantoms_are_mixed_into_training_alone(folder, tmp_path):
    """Nine slices of three patients and ten of a phantom, one pass of two at a time."""
    reported = []
    finetune(small_run(tmp_path, folder / "scans", phantoms=1, epochs=1, batch=10), reported.append)
    assert reported[-1].values["steps"] == round(19 / 10)
    assert read(tmp_path / "run" / "split.json")["train"] == list(NAMES)
