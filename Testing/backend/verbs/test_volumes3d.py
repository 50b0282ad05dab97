"""3-D end to end: pretrain, fine-tune and segment solid scans by the same commands and the same model file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
import torch
from made_models import HERE, RUN, command_line
from volume_toys import two_bodies, write_volumes

from kaf.imaging.volume import Volume
from kaf.methods.pgl.settings import PglSettings
from kaf.modelfile.card import read_card
from kaf.modelfile.model import load_tensors
from kaf.network import build_network
from kaf.runtime.errors import InputError, SettingsError
from kaf.runtime.events import Message
from kaf.settings.adapt import AdaptSettings
from kaf.settings.augmentation import AugmentationSettings
from kaf.settings.base import build
from kaf.settings.explain import ExplainSettings
from kaf.settings.finetune import FinetuneSettings
from kaf.settings.network import NetworkSettings
from kaf.settings.pretrain import PretrainSettings
from kaf.settings.segment import SegmentSettings
from kaf.verbs.adapt import adapt
from kaf.verbs.explain import explain
from kaf.verbs.finetune import finetune
from kaf.verbs.pretrain import pretrain
from kaf.verbs.segment import segment
from kaf.worker.process import Request
from kaf.worker.verbs import segment as serve

NETWORK = NetworkSettings(dimensions=3, width=4, patch=(8, 16, 16))
HEADS = PglSettings(hidden=8, width=6, points=4)


def pretraining(folder: Path, **values) -> PretrainSettings:
    given = {"data": str(folder / "scans"), "output": str(folder / "pretrained"), "cache": str(folder / "cache"),
             "method": "pgl", "network": NETWORK, "pgl": HEADS, "batch": 2, "epochs": 4, **RUN, **values}
    return PretrainSettings(**given)


def training(folder: Path, **values) -> FinetuneSettings:
    given = {"data": str(folder / "scans"), "output": str(folder / "run"), "cache": str(folder / "cache"),
             "network": NETWORK, "batch": 2, "epochs": 4, "augmentation": AugmentationSettings(elastic=0.0), **RUN,
             **values}
    return FinetuneSettings(**given)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A pretraining and a fine-tuning from it; what was said, and the folder."""
    folder = tmp_path_factory.mktemp("solid")
    write_volumes(folder / "scans")
    said = []
    weights = pretrain(pretraining(folder), said.append)
    settings = training(folder, init_from=str(weights), validation_cases=("v3",), epochs=45, learning_rate=8e-3)
    settings = FinetuneSettings(**settings.model_dump(exclude_unset=True, exclude={"network"}))
    model = finetune(settings, said.append)
    return folder, weights, model, [event.text for event in said if isinstance(event, Message)]


def test_the_encoder_is_what_pretraining_hands_over(made):
    folder, weights, model, said = made
    card = read_card(weights)
    assert card.trained_modules == ("encoder",)
    assert card.network["dimensions"] == 3
    assert card.network["patch"] == [8, 16, 16]
    assert card.network["strides"] == [[1, 1, 1], [2, 2, 2], [2, 2, 2], [1, 2, 2]]
    report = json.loads((folder / "run" / "transfer.json").read_text())
    assert report["coverage"] == 1.0
    assert report["loaded"]
    assert all(name.startswith("encoder.") for name in report["loaded"])
    assert all(not name.startswith("encoder.") for name in report["skipped"])
    assert any("100.0 % of the weights transferred" in text for text in said)
    assert read_card(model).network == {**card.network, "classes": 3}, "inherited from the weights"
    assert read_card(model).trained_modules == ("encoder", "decoder", "head")


def test_pretraining_changes_the_encoder_alone(made):
    _, weights, *_ = made
    card, tensors = load_tensors(weights)
    torch.manual_seed(0)
    untrained = build_network(build(NetworkSettings, card.network)).state_dict()
    changed = {name.split(".")[0] for name, value in tensors.items()
               if not torch.allclose(value, untrained[name], atol=2e-3)}
    assert changed == {"encoder"}


def test_it_learns_and_validates_by_sliding_window(made):
    _, _, model, _ = made
    validation = read_card(model).metrics["validation"]
    assert validation["patients"] == 1
    assert validation["Dice"] > 0.5


def test_segment_puts_labels_on_the_grid_of_the_scan(made, tmp_path):
    """An oblique scan of other pixels: the same size, spacing, origin and direction come back."""
    _, _, model, _ = made
    image, truth = two_bodies(7, (12, 26, 24))
    fine = image.repeat(2, 2)  # pixels of 0.5 mm along the rows
    affine = np.diag([0.5, 1.0, 2.0, 1.0])
    turn = np.eye(4)
    turn[:2, :2] = [[0.98, -0.199], [0.199, 0.98]]
    volume = Volume(fine, turn @ affine)
    result = segment(volume, SegmentSettings(model=str(model), uncertainty=True, **RUN))
    assert result.labels.voxels.shape == fine.shape
    assert np.array_equal(result.labels.affine, volume.affine)
    expected = truth.repeat(2, 2)
    both = (result.labels.voxels == expected) & (expected > 0)
    assert 2 * both.sum() / ((expected > 0).sum() + (result.labels.voxels > 0).sum()) > 0.5
    assert result.uncertainty is not None
    assert result.uncertainty.voxels.shape == fine.shape
    assert 0 <= result.uncertainty.voxels.min() <= result.uncertainty.voxels.max() <= 1


def test_roi_flips_and_attention(made):
    _, _, model, _ = made
    image, _ = two_bodies(8)
    volume = Volume(image, np.diag([1.0, 1.0, 2.0, 1.0]))
    plain = segment(volume, SegmentSettings(model=str(model), **RUN))
    box = segment(volume, SegmentSettings(model=str(model), roi=(0, 0, 4.0, 23, 25, 10.0), **RUN))
    assert np.array_equal(box.labels.voxels[2:6], plain.labels.voxels[2:6])
    assert not box.labels.voxels[:2].any()
    assert not box.labels.voxels[6:].any()
    mirrored = segment(volume, SegmentSettings(model=str(model), flips=True, attention=True, overlap=0.25, **RUN))
    assert (mirrored.labels.voxels == plain.labels.voxels).mean() > 0.5
    assert any("no keypoint attention" in text for text in mirrored.warnings)


def test_the_worker_serves_it(made, tmp_path):
    _, _, model, _ = made
    image, _ = two_bodies(8)
    volume = Volume(image, np.diag([1.0, 1.0, 2.0, 1.0]))
    request = Request("segment", {"model": str(model), **RUN}, volumes={"image": volume}, folder=tmp_path)
    answer = serve(request, lambda event: None)
    plain = segment(volume, SegmentSettings(model=str(model), **RUN))
    assert np.array_equal(answer["arrays"]["labels"].voxels, plain.labels.voxels)


def test_what_needs_slices_says_so(made):
    folder, _, model, _ = made
    image, truth = two_bodies(8)
    volume, drawn = Volume(image, np.diag([1.0, 1.0, 2.0, 1.0])), Volume(truth, np.diag([1.0, 1.0, 2.0, 1.0]))
    with pytest.raises(InputError, match="has no keypoint attention"):
        explain(volume, ExplainSettings(model=str(model), **RUN))
    with pytest.raises(InputError, match="is a 3-D model"):
        adapt(volume, drawn, AdaptSettings(model=str(model), **RUN))
    for wrong, words in (({"method": "pgl+simclr"}, "method simclr learns from slices"),
                         ({"labelled": str(folder / "scans")}, "on slices only"), ({"slice_context": 1}, "patches")):
        with pytest.raises(SettingsError, match=words):
            pretrain(pretraining(folder, output=str(folder / "wrong"), overwrite=True, **wrong))


def test_a_stopped_pretraining_goes_on_with_the_same_numbers(made, tmp_path):
    folder, weights, *_ = made
    short = pretraining(folder, output=str(tmp_path / "again"), checkpoint_every=1e-6)
    pretrain(short)
    kept = sorted((tmp_path / "again" / "checkpoints").glob("*.safetensors"))
    kept[-1].unlink()
    pretrain(short.model_copy(update={"resume": True}))
    ours, theirs = load_tensors(tmp_path / "again" / "model.safetensors")[1], load_tensors(weights)[1]
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_the_same_commands(capsys, monkeypatch, tmp_path):
    call = command_line(capsys, monkeypatch, tmp_path / "work")
    write_volumes(Path("scans"), ("v1", "v2"))
    small = ["--network.dimensions", "3", "--network.width", "4", "--network.patch", "8,16,16", "--cache", "cache",
             *HERE]
    done = call("pretrain", "scans", "--output", "pre", "--method", "pgl", "--pgl.hidden", "8", "--pgl.width", "6",
                "--pgl.points", "4", "--epochs", "1", "--batch", "2", *small)
    assert done.code == 0, done.err
    done = call("finetune", "scans", "--output", "run", "--epochs", "1", "--batch", "2", "--labels", "1=ball,2=box",
                *small)
    assert done.code == 0, done.err
    done = call("segment", "scans/v1.nii.gz", "--model", "run/model.safetensors", "--output", "out.nii.gz", *HERE)
    assert done.code == 0, done.err
    labels, scan = SimpleITK.ReadImage("out.nii.gz"), SimpleITK.ReadImage("scans/v1.nii.gz")
    assert labels.GetSize() == scan.GetSize()
    assert labels.GetSpacing() == pytest.approx(scan.GetSpacing())
    assert labels.GetDirection() == pytest.approx(scan.GetDirection())
    assert "ball" in done.out
    done = call("pretrain", "scans", "--output", "wrong", "--network.dimensions", "3", "--network.kind", "unet")
    assert done.code == 2
    assert "kind unet has no 3-D form" in done.err
