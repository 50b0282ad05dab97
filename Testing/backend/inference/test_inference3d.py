"""The sliding window: the weighted mean of all patches, slice by slice, whatever was asked for."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from kaf.inference.volumes import VolumePredictor, gaussian, layer_starts
from kaf.network import Features
from kaf.runtime.device_choice import DeviceChoice
from kaf.runtime.errors import ResourceError

CPU = DeviceChoice(torch.device("cpu"), False, "test")
PATCH = (4, 8, 6)


class Recorder(nn.Module):
    """Three classes whose scores depend on the intensity and on the place inside the patch."""

    def __init__(self):
        super().__init__()
        places = np.meshgrid(*[np.linspace(-1, 1, n) for n in PATCH], indexing="ij")
        self.seen = []
        self.by_place = torch.from_numpy(np.stack([places[0], places[1] * places[2], places[2]])).float()

    def forward(self, patches):
        self.seen.append(tuple(patches.shape))
        return Features(torch.cat([patches, 1 - patches, patches * 0.5], 1) + self.by_place, [], patches, [])


def predict(image, network=None, slices=None, **options):
    predictor = VolumePredictor(network or Recorder(), CPU, patch=PATCH, **options)
    parts, logits = [], []
    for part, features in predictor(image, slices=slices):
        parts += part
        logits.append(features.logits)
    return parts, torch.cat(logits)


def some_image(shape=(11, 13, 9), seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def starts_of(length, size, overlap):
    step = max(1, int(size * (1 - overlap)))
    return sorted({min(start, length - size) for start in range(0, length, step) if start < length - size + step})


@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.5, 0.8])
def test_scores_are_the_weighted_mean_over_patches(overlap):
    """Every patch by itself: sum of w(place) scores / sum of w(place), layer by layer."""
    image = some_image()
    weights = [gaussian(n) for n in PATCH]
    plane = np.maximum(weights[1][:, None] * weights[2], 1e-3)
    total, norm = np.zeros((3, *image.shape)), np.zeros(image.shape)
    network = Recorder()
    for s in starts_of(11, 4, overlap):
        layer, below = np.zeros((3, 4, 13, 9)), np.zeros((4, 13, 9))
        for r in starts_of(13, 8, overlap):
            for c in starts_of(9, 6, overlap):
                patch = torch.from_numpy(image[s:s + 4, r:r + 8, c:c + 6])[None, None]
                weight = np.maximum(weights[0][:, None, None] * weights[1][:, None] * weights[2], 1e-3)
                layer[:, :, r:r + 8, c:c + 6] += weight * network(patch).logits[0].numpy()
                below[:, r:r + 8, c:c + 6] += weight
        share = weights[0][:, None, None]
        total[:, s:s + 4] += share * layer / below
        norm[s:s + 4] += share
    assert plane.min() < 0.1, "the weights matter"
    parts, found = predict(image, overlap=overlap)
    assert parts == list(range(11))
    assert np.allclose(found.numpy().transpose(1, 0, 2, 3), total / norm, atol=1e-4)


def test_it_agrees_with_monai_over_the_whole_volume():
    from monai.inferers import sliding_window_inference

    image = some_image((14, 20, 15))
    whole = sliding_window_inference(torch.from_numpy(image)[None, None], PATCH, 3, lambda p: Recorder()(p).logits, 0.5,
                                     mode="gaussian")[0]
    _, found = predict(image)
    difference = (found.transpose(0, 1) - whole).abs()
    assert float(difference.mean()) < 0.06, "they differ only where MONAI cuts small weights off"
    assert float(whole.std()) > 0.5
    assert float((found.transpose(0, 1).argmax(0) == whole.argmax(0)).float().mean()) > 0.95


def test_layers_cover_the_volume():
    assert layer_starts(11, 4, 0.5) == [0, 2, 4, 6, 7]
    assert layer_starts(12, 4, 0.0) == [0, 4, 8]
    assert layer_starts(4, 4, 0.5) == [0]
    assert layer_starts(1, 4, 0.5) == [-1]
    assert layer_starts(9, 4, 0.9) == [0, 1, 2, 3, 4, 5]


def test_only_the_slices_asked_for_and_only_their_layers():
    image = some_image((20, 13, 9))
    _, whole = predict(image)
    network = Recorder()
    parts, some = predict(image, network, [7, 3])
    assert parts == [3, 7]
    assert torch.allclose(some, whole[[3, 7]], atol=1e-5)
    everything = Recorder()
    predict(image, everything)
    assert len(network.seen) < len(everything.seen) / 2


def test_a_volume_smaller_than_a_patch_lies_in_the_middle_of_air():
    image = some_image((2, 5, 4)) + 7
    network = Recorder()
    parts, found = predict(image, network)
    padded = np.full(PATCH, image.min(), np.float32)
    padded[1:3, 1:6, 1:5] = image
    expected = Recorder()(torch.from_numpy(padded)[None, None]).logits[0, :, 1:3, 1:6, 1:5]
    assert parts == [0, 1]
    assert torch.allclose(found.transpose(0, 1), expected, atol=1e-5)
    assert network.seen == [(1, 1, *PATCH)]


def test_batches_hold_a_quarter_as_many_patches_as_slices():
    for batch, most in ((1, 1), (8, 2), (20, 5)):
        network = Recorder()
        _, found = predict(some_image(), network, batch=batch)
        assert max(shape[0] for shape in network.seen) == most
        assert torch.allclose(found, predict(some_image())[1], atol=1e-5)


def test_flips_average_probabilities():
    """A network that knows left from right no longer does."""
    image = some_image((4, 8, 6))
    _, found = predict(image, flips=True)
    _, mirrored = predict(np.ascontiguousarray(image[:, ::-1, ::-1]), flips=True)
    assert torch.allclose(found.flip(2, 3), mirrored, atol=1e-5)
    assert not torch.allclose(predict(image)[1].flip(2, 3), predict(np.ascontiguousarray(image[:, ::-1, ::-1]))[1])
    assert torch.allclose(found.exp().sum(1), torch.ones(4, 8, 6), atol=1e-5)


def test_slices_come_out_as_soon_as_they_are_done():
    """Of a deep volume only the scores of a patch's depth are in memory."""
    network, left = Recorder(), []
    for part, _ in VolumePredictor(network, CPU, patch=PATCH)(some_image((60, 8, 6))):
        assert len(part) <= 4
        left.append(2 * len(network.seen) + 2 - part[-1])  # slices that layers have reached and did not come out yet
    assert max(left) <= PATCH[0]


class Short(nn.Module):
    """Runs out of memory for more than one patch at a time, or always."""

    def __init__(self, always=False):
        super().__init__()
        self.always, self.reported = always, Recorder()

    def forward(self, patches):
        if self.always or len(patches) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return self.reported(patches)


def test_memory_that_runs_out_means_fewer_patches_then_words(monkeypatch):
    said = []
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: said.append("emptied"))
    _, found = predict(some_image(), Short(), batch=16, on_event=said.append)
    assert torch.allclose(found, predict(some_image())[1], atol=1e-5)
    assert "emptied" in said
    with pytest.raises(ResourceError, match="CPU too"):
        predict(some_image(), Short(always=True), batch=8)
