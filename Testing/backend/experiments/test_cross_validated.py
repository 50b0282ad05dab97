"""kaf finetune --folds: a network per fold, every patient validated by one that has not seen them, one model file."""

import json

import numpy as np
import pytest
import torch
from finetune_toys import small_run
from small_models import write_phantoms

from kaf.cli import entry
from kaf.experiments.cross_validated import finetune_folds
from kaf.imaging.volume import read_volume
from kaf.modelfile.card import read_card
from kaf.modelfile.model import load_model
from kaf.modelfile.verdict import verdict_on
from kaf.runs.layout import RUN
from kaf.runtime.errors import InputError, ModelError
from kaf.runtime.events import Progress, Result
from kaf.settings.segment import SegmentSettings
from kaf.verbs.finetune import finetune
from kaf.verbs.segment import segment

NAMES = ("anna", "bert", "carl")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The run folder of three folds of one patient each, and the events."""
    folder = tmp_path_factory.mktemp("folds")
    write_phantoms(folder / "scans", NAMES)
    heard = []
    finetune_folds(small_run(folder, folder / "scans", epochs=1), 3, heard.append)
    return folder / "run", heard


def test_every_patient_is_validated_by_a_network_that_has_not_seen_them(run):
    folder, _ = run
    splits = [json.loads((folder / f"fold-{n}" / "split.json").read_text()) for n in (1, 2, 3)]
    assert sorted(name for split in splits for name in split["validation"]) == list(NAMES)
    assert all(set(split["train"]) == set(NAMES) - set(split["validation"]) for split in splits)
    cases = json.loads((folder / "validation.json").read_text())["cases"]
    assert sorted(row["case"] for row in cases) == list(NAMES)
    card = read_card(folder / "model.safetensors")
    every = [dice for row in cases for dice in row["dice"].values()]
    assert card.metrics["validation"]["Dice"] == pytest.approx(np.mean(every), abs=1e-4)
    assert card.metrics["validation"]["patients"] == card.metrics["training_patients"] == 3
    assert verdict_on(card).patients == 3


def test_the_model_averages_the_probabilities_of_its_members(run):
    folder, _ = run
    network, card = load_model(folder / "model.safetensors")
    assert card.network["members"] == 3
    image = torch.randn(2, card.network["in_channels"], 32, 32, generator=torch.Generator().manual_seed(0))
    points = torch.tensor([[[4.0, 5.0], [20.0, 9.0]]]).repeat(2, 1, 1), torch.ones(2, 2, dtype=torch.bool)
    with torch.inference_mode():
        each = [load_model(folder / f"fold-{n}" / "model.safetensors")[0](image, *points).logits.softmax(1)
                for n in (1, 2, 3)]
        found = network(image, *points)
    assert torch.allclose(found.logits.exp(), torch.stack(each).mean(0), atol=1e-6)


def test_it_segments_like_any_model(run):
    folder, _ = run
    scan = next((folder.parent / "scans").rglob("anna*.nii.gz"))
    made = segment(scan, SegmentSettings(model=str(folder / "model.safetensors"), device="cpu", threads=1))
    assert made.labels.voxels.shape == read_volume(scan).voxels.shape


def test_progress_is_that_of_all_folds_and_the_run_ends_once(run):
    folder, heard = run
    shares = [event.done for event in heard if isinstance(event, Progress) and event.code]
    assert shares == sorted(shares)
    assert len([event for event in heard if isinstance(event, Result)]) == 1
    assert heard[-1].values["folds"] == 3
    assert "Validation cases" in (folder / "report.html").read_text(encoding="utf-8")
    assert RUN.strangers(folder) == []


def test_an_interrupted_run_is_resumed_at_the_fold_where_it_was(run, tmp_path, monkeypatch):
    folder, _ = run
    settings = small_run(tmp_path, folder.parent / "scans", epochs=1)
    trained = []

    def interrupted(settings, on_event):
        if len(trained) == 1:
            raise KeyboardInterrupt
        trained.append(settings.output)
        return finetune(settings, on_event)

    monkeypatch.setattr("kaf.experiments.cross_validated.finetune", interrupted)
    with pytest.raises(KeyboardInterrupt):
        finetune_folds(settings, 3)
    again = []
    monkeypatch.setattr("kaf.experiments.cross_validated.finetune",
                        lambda settings, on_event: again.append(settings.output) or finetune(settings, on_event))
    path = finetune_folds(settings.model_copy(update={"resume": True}), 3)
    assert trained[0] not in again
    assert len(again) == 2
    assert read_card(path).digest == read_card(folder / "model.safetensors").digest, "as if it had not been interrupted"


def test_training_does_not_start_from_several_networks(run, tmp_path):
    folder, _ = run
    with pytest.raises(ModelError, match="averages several networks"):
        finetune(small_run(tmp_path, folder.parent / "scans", init_from=str(folder / "model.safetensors"),
                           network=None))


def test_more_folds_than_patients_are_refused(run, tmp_path, capsys):
    folder, _ = run
    with pytest.raises(InputError, match="3 labelled patients, which do not go into 4 folds"):
        finetune_folds(small_run(tmp_path, folder.parent / "scans"), 4)
    code = entry.main(["finetune", str(folder.parent / "scans"), "--output", str(tmp_path / "run"), "--folds", "9"])
    assert code == 1
    assert "do not go into 9 folds" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
