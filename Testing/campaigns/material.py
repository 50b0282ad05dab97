"""Models, scans and folders that the tries start from, made once per campaign."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from campaigns.apart import call

HERE = ("--device", "cpu", "--threads", "1", "--precision", "fp32")
SMALL_NETWORK = {"width": 4, "decoder_width": 4, "blocks": 1, "token_width": 8, "heads": 2, "diffusion_width": 4}
NETWORK = tuple(word for name, value in SMALL_NETWORK.items()
                for word in (f"--network.{name.replace('_', '-')}", str(value)))
LEVELS = {0: 0, 1: 300, 3: 600, 7: 900}
"""Label -> grey value of the voxels that a :func:`threshold_model` gives this label."""


@dataclass(frozen=True)
class Material:
    """What lies in the campaign's folder.

    Attributes:
        model, other: two models with random weights that give different labels; made for 3 mm pixels.
        scan, scan2: two small hearts (.nii.gz); drawn: labels of the first (.seg.nrrd).
        hearts: a folder of three labelled hearts, to train on.
        scans: a folder of four unlabelled ones.
    """

    folder: Path

    @property
    def model(self) -> Path:
        return self.folder / "model.safetensors"

    @property
    def other(self) -> Path:
        return self.folder / "other.safetensors"

    @property
    def scan(self) -> Path:
        return self.folder / "scan.nii.gz"

    @property
    def scan2(self) -> Path:
        return self.folder / "scan2.nii.gz"

    @property
    def drawn(self) -> Path:
        return self.folder / "drawn.seg.nrrd"

    @property
    def hearts(self) -> Path:
        return self.folder / "hearts"

    @property
    def scans(self) -> Path:
        return self.folder / "scans"


def make_material(folder: Path) -> Material:
    """All of it, in a process of its own."""
    folder.mkdir(parents=True)
    call(_make, folder)
    return Material(folder)


def _make(folder: Path) -> None:
    from made_models import LABELS, tiny_model
    from small_models import write_phantoms

    from kaf.imaging.write import write_labels, write_map
    from kaf.phantom.heart import cardiac_phantom

    made = Material(folder)
    tiny_model(made.model, seed=0, spacing=3.0)
    tiny_model(made.other, seed=1, spacing=3.0, name="other")
    for seed, path in ((3, made.scan), (4, made.scan2)):
        volume, labels = cardiac_phantom(seed, slices=4, size=48, spacing=3.0)
        write_map(path, volume)
        if seed == 3:
            write_labels(made.drawn, labels, LABELS)
    write_phantoms(made.hearts)
    made.scans.mkdir()
    for seed in range(4):
        write_map(made.scans / f"s{seed}.nii.gz", cardiac_phantom(seed, slices=3, size=48, spacing=3.0)[0])


def threshold_model(path: Path, spacing: float, fused: bool = False, axis: str = "largest-spacing") -> Path:
    """A model whose weights are set by hand: a pixel's label depends on its own grey value and nothing else.

    The labels are those of :data:`LEVELS`, told apart half way between the grey values; ``fused`` puts the keypoint
    branch in, which contributes nothing.  In the plane it resamples to ``spacing`` mm.
    """
    import torch

    from kaf.imaging.labels import Label
    from kaf.modelfile.card import Card
    from kaf.modelfile.model import save_model
    from kaf.network import build_network
    from kaf.settings.network import NetworkSettings
    from kaf.settings.preparation import NormalisationSettings

    settings = NetworkSettings(classes=8, width=4, decoder_width=4, fusion="keypoints" if fused else "none", blocks=1,
                               token_width=8, heads=2, diffusion_width=4)
    network = build_network(settings)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, (torch.nn.Conv2d, torch.nn.ConvTranspose2d)):
                module.weight.zero_()
                if module.bias is not None:
                    module.bias.zero_()
        first, last = network.encoder.stages[0], network.decoder.stages[-1]
        # The window makes -1..1 of 0..1000; 2 more and nothing is negative on its way through the activations.
        first[0].weight[0, 0, 1, 1], first[0].bias[0], first[3].weight[0, 0, 1, 1] = 1.0, 2.0, 1.0
        last[0].weight[0, 4, 1, 1], last[0].bias[1] = 1.0, 1.0  # the skip, and a channel that is always 1
        last[3].weight[0, 0, 1, 1], last[3].weight[1, 1, 1, 1] = 1.0, 1.0
        network.head.weight[:, 1] = -1e4
        for label, (slope, offset) in _lines().items():
            network.head.weight[label, 0], network.head.weight[label, 1] = slope, offset
    card = Card(
        name="threshold", version="1", description="grey value to label", modality="any", spacing=spacing,
        labels=(Label(1, "low", (200, 0, 0)), Label(3, "middle", (0, 200, 0)), Label(7, "high", (0, 0, 200))),
        slice_spacing=4.0, slicing_axis=axis, slice_context=0,
        normalisation=NormalisationSettings(kind="window", low=0, high=1000).model_dump(),
        network=settings.model_dump(), weights_licence="CC0-1.0", training_data="none", keypoints={"limit": 16})
    save_model(path, network.eval(), card, half=False, overwrite=True)
    return path


def _lines() -> dict[int, tuple[float, float]]:
    """Slope and offset of each label's score; each line is on top between the thresholds around its grey value."""
    greys = list(LEVELS.values())
    middles = [(a + b) / 2 / 500 - 1 + 2 for a, b in itertools.pairwise(greys)]
    lines, offset = {0: (0.0, 0.0)}, 0.0
    for slope, (label, threshold) in enumerate(zip(list(LEVELS)[1:], middles, strict=True), 1):
        offset -= threshold
        lines[label] = (float(slope), offset)
    return lines


def grey_of(labels: np.ndarray) -> np.ndarray:
    """The scan (int16) of which a :func:`threshold_model` finds these labels."""
    table = np.zeros(256, np.int16)
    for label, grey in LEVELS.items():
        table[label] = grey
    return table[labels]


def random_labels(shape: Sequence[int], seed: int) -> np.ndarray:
    """A label drawn for every voxel by itself, so that any shift, flip or exchange of axes shows."""
    return np.random.default_rng(seed).choice(np.array(list(LEVELS), np.uint8), tuple(shape))


def blocks(shape: Sequence[int], seed: int) -> np.ndarray:
    """Some boxes of labels, large enough to survive resampling, in no symmetric order."""
    random = np.random.default_rng(seed)
    labels = np.zeros(tuple(shape), np.uint8)
    for label in (1, 3, 7):
        start = [int(random.integers(0, max(1, size // 2))) for size in shape]
        stop = [min(size, first + max(1, size // 2)) for first, size in zip(start, shape, strict=True)]
        labels[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))] = label
    return labels
