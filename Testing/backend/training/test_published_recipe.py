"""What a training as published changes: each is a switch, and each does what it says."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from finetune_toys import small_run
from pretrain_toys import small_pretraining
from small_models import PLAIN, SMALL, some_slices, write_phantoms

from kaf.data.geometry import sample_warp
from kaf.imaging.prepare import normalise
from kaf.modelfile.model import load_model, load_tensors
from kaf.modelfile.weights_file import load_weights
from kaf.network import build_network
from kaf.runtime.errors import InputError, SettingsError
from kaf.settings.augmentation import AugmentationSettings
from kaf.settings.preparation import NormalisationSettings
from kaf.training.schedule import Schedule, finetune_schedule, learning_rate_at, make_optimiser, pretrain_schedule
from kaf.verbs.finetune import finetune


def test_the_learning_rate_without_warm_up_ends_at_its_share():
    assert learning_rate_at(0.0, 5e-4, 0.0, 0.1) == 5e-4
    assert learning_rate_at(1.0, 5e-4, 0.0, 0.1) == pytest.approx(5e-5)
    assert learning_rate_at(1.0, 5e-4, 0.0, 0.0) == pytest.approx(0)
    assert learning_rate_at(0.5, 5e-4, 0.0, 0.1) == pytest.approx(5e-4 * 0.55)


def test_the_schedule_takes_the_switches(tmp_path):
    settings = small_run(tmp_path, tmp_path, clip=0, warm_up=0, last_rate=0.1, validate_epochs=2, batch=10, epochs=201)
    schedule = finetune_schedule(settings, 36)
    assert (schedule.clip, schedule.warm_up, schedule.last_rate) == (0, 0, 0.1)
    assert schedule.validate_steps == round(2 * 36 / 10)
    pretraining = pretrain_schedule(small_pretraining(tmp_path, tmp_path, clip=0, warm_up=0, last_rate=0), 36)
    assert (pretraining.clip, pretraining.warm_up, pretraining.last_rate) == (0, 0, 0)


def test_adam_decays_weights_through_the_gradient():
    network = build_network(PLAIN)
    made = make_optimiser(network, Schedule(1e-3, 1e-5, 1.0, 0.9, "adam", steps=1))
    assert type(made) is torch.optim.Adam
    assert made.param_groups[0]["weight_decay"] == 1e-5


def test_the_fusion_starts_at_nothing_or_at_random():
    image, points, mask = some_slices()
    found = {}
    for start in ("zero", "random"):
        torch.manual_seed(0)
        network = build_network(SMALL, start).eval()
        with torch.no_grad():
            found[start] = [network(image, *given).logits for given in ((points, mask), ())]
    assert torch.equal(*found["zero"])
    assert not torch.equal(*found["random"])


def test_cubic_interpolation_is_sharper():
    checks = np.kron(np.indices((16, 16)).sum(0) % 2, np.ones((2, 2))).astype(np.float32)[None]
    made = {}
    for how in ("linear", "cubic"):
        settings = AugmentationSettings(interpolation=how, elastic=0)
        made[how] = sample_warp(np.random.default_rng(3), (32, 32), (32, 32), settings).image(checks)
    assert made["cubic"].std() > made["linear"].std()


def test_normalisation_over_all_voxels():
    voxels = np.random.default_rng(0).gamma(1.0, 50.0, (4, 20, 20))
    low, high, offset, scale = normalise(voxels, NormalisationSettings(kind="volume", low=0, high=100))
    assert (low, high) == (voxels.min(), voxels.max())
    assert (offset, scale) == pytest.approx((voxels.mean(), voxels.std()))
    low, high, offset, scale = normalise(voxels, NormalisationSettings(kind="volume", low=1, high=99))
    clipped = np.clip(voxels, *np.percentile(voxels, [1, 99]))
    assert (offset, scale) == pytest.approx((clipped.mean(), clipped.std()))


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    folder = tmp_path_factory.mktemp("published")
    write_phantoms(folder / "scans", ("a", "b"))
    write_phantoms(folder / "others", ("v", "w"))
    return folder


def test_the_best_network_is_kept_beside_the_last(scans):
    settings = small_run(scans, scans / "scans", "best", ema=0, validation_data=str(scans / "others"), keep_best=True,
                         validate_epochs=0.5, epochs=4, learning_rate=0.02, normalisation={"kind": "volume"})
    last = finetune(settings)
    run = last.parent
    lines = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    scores = [line["values"]["validation Dice"] for line in lines
              if line["event"] == "metric" and "validation Dice" in line["values"]]
    assert len(scores) == 6, "12 steps, every second one"
    assert json.loads((run / "split.json").read_text())["validation"] == ["v", "w"]
    newest = load_weights(max((run / "checkpoints").iterdir()))[0]
    for name, value in load_tensors(last)[1].items():
        assert torch.equal(newest[f"average/{name}"], newest[f"network/{name}"]), "no EMA"
        assert torch.equal(value, newest[f"network/{name}"].half().float())
    if scores.index(max(scores)) < len(scores) - 1:
        assert any(not torch.equal(value, load_tensors(last)[1][name])
                   for name, value in load_tensors(run / "best.safetensors")[1].items())
    assert load_model(run / "best.safetensors")[1].normalisation["kind"] == "volume"
    assert "/" not in json.dumps(load_model(last)[1].recipe["validation_data"])


def test_validation_patients_elsewhere_do_not_train(scans):
    settings = small_run(scans, scans / "scans", "twice", validation_data=str(scans / "scans"))
    with pytest.raises(InputError, match="patient a is in train and in validation"):
        finetune(settings)
    with pytest.raises(SettingsError, match="cannot be combined"):
        finetune(small_run(scans, scans / "scans", "both", validation_data="x", validation=0.5))


def test_cross_entropy_alone(scans, monkeypatch):
    heard = []
    monkeypatch.setattr("kaf.training.entropy_task.F.cross_entropy",
                        lambda logits, labels, own=F.cross_entropy: heard.append(own(logits, labels)) or heard[-1])
    finetune(small_run(scans, scans / "scans", "entropy", loss="ce", epochs=1))
    assert len(heard) == 3
    with pytest.raises(SettingsError, match="ce is for labelled slices in 2-D"):
        finetune(small_run(scans, scans / "scans", "mixed", loss="ce", unlabelled=str(scans / "others")))
