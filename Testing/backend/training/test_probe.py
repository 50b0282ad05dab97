"""The probe: a linear reader of the frozen encoder, taught by some patients and asked about the others."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from small_models import SMALL, small_network
from torch import nn
from training_toys import CPU
from view_toys import a_case

from kaf.network import Features
from kaf.training.probe import probe


class Telling(nn.Module):
    """An encoder whose maps at ``scale`` show the image (0 finest, 4 the bottleneck) and are 0 elsewhere."""

    def __init__(self, scale: int, sign: float = 1.0):
        super().__init__()
        self.scale, self.sign, self.modes = scale, sign, []

    def forward(self, image, keypoints=None, mask=None, capture=False):
        self.modes.append(self.training)
        height, width = (-(-n // 16) * 16 for n in image.shape[2:])
        full = torch.zeros(len(image), 1, height, width)
        full[:, :, :image.shape[2], :image.shape[3]] = image
        maps = [torch.nn.functional.avg_pool2d(full, 2 ** s) * (s == self.scale) * self.sign for s in range(5)]
        return Features(torch.zeros(len(image), 2, *image.shape[2:]), [], maps[4], [], None, maps[:4])


def blocks(seed, slices=4, size=(70, 90), cell=32):
    """Labels 0 and 1 in large blocks, and an image that shows them."""
    rng = np.random.default_rng(seed)
    coarse = rng.random((slices, 3, 3)) < 0.35
    labels = np.kron(coarse, np.ones((1, cell, cell), int))[:, :size[0], :size[1]].astype(np.uint8)
    return labels, np.float32([-1.0, 2.0])[labels] + 0.1 * rng.normal(size=labels.shape)


def patients(count=2, shown=True, **more):
    made = []
    for seed in range(count):
        labels, image = blocks(seed, **more)
        made.append(a_case(image if shown else np.zeros_like(image), name=f"p{seed}", labels=labels))
    return made


@pytest.mark.parametrize(("scale", "least"), [(0, 0.95), (2, 0.9), (4, 0.6)])
def test_maps_of_every_scale_lie_over_their_labels(scale, least):
    """Labels shown at a scale are read again, the coarser the less exactly; 70 x 90 pixels are no multiple of 16."""
    assert least < probe(Telling(scale), CPU, patients(), 0) <= 1


def test_what_is_not_shown_is_not_read():
    assert probe(Telling(0), CPU, patients(shown=False), 0) < 0.1


def test_the_reader_is_asked_about_patients_that_did_not_teach_it():
    """Two patients who show opposite things: what one teaches is wrong for the other."""
    first, second = patients()
    second = a_case(-second.image, name="p1", labels=second.labels)
    assert probe(Telling(0), CPU, [first, second], 0) < 0.4
    assert probe(Telling(0), CPU, [first], 0) > 0.9, "one case is halved by its slices"


def test_slices_of_different_sizes_are_read():
    assert probe(Telling(0), CPU, [*patients(1), *patients(2, size=(50, 64))[1:]], 0) > 0.95


def test_every_patient_counts_once_and_the_order_does_not():
    cases = patients(3)
    assert probe(Telling(1), CPU, cases[::-1], 0) == pytest.approx(probe(Telling(1), CPU, cases, 0), abs=1e-6)


def test_the_network_is_asked_as_it_will_be_used():
    network = Telling(0).train()
    probe(network, CPU, patients(), 0)
    assert not any(network.modes)


@pytest.mark.parametrize("fusion", ["keypoints", "none"])
def test_a_real_network(fusion):
    network = small_network(SMALL.model_copy(update={"fusion": fusion}))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    found = probe(network, CPU, patients(size=(48, 64), cell=24), 0)
    assert 0 <= found <= 1
    assert found == probe(network, CPU, patients(size=(48, 64), cell=24), 0)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_one_slice_cannot_teach_and_be_asked():
    labels, image = blocks(0, slices=1)
    assert math.isnan(probe(Telling(0), CPU, [a_case(image, labels=labels)], 0))


def test_a_patient_without_a_structure():
    first, second = patients()
    empty = SimpleNamespace(**{**vars(second), "labels": np.zeros_like(second.labels)})
    assert 0 <= probe(Telling(0), CPU, [first, empty], 0) <= 1
