"""For tests of the verbs and the command line: tiny models with random weights, scans stored in many ways."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from small_models import listening

from kaf.cli.entry import main
from kaf.imaging.labels import Label
from kaf.imaging.volume import Volume
from kaf.inference.segmentation import Segmentation
from kaf.modelfile.card import Card
from kaf.modelfile.model import save_model
from kaf.network import build_network
from kaf.runtime import user_folders
from kaf.runtime.events import OnEvent, ignore
from kaf.settings.network import NetworkSettings
from kaf.settings.preparation import NormalisationSettings
from kaf.settings.segment import SegmentSettings
from kaf.verbs.segment import segment

SPACING, SLICE_SPACING = 1.6, 8.0
RUN = {"device": "cpu", "threads": 1, "precision": "fp32"}
HERE = ["--device", "cpu", "--threads", "1", "--precision", "fp32"]
LABELS = (Label(1, "RV cavity", (111, 184, 210)), Label(2, "myocardium", (230, 103, 91)),
          Label(3, "LV cavity", (241, 214, 145)))


def tiny_network(seed: int = 0, **more) -> torch.nn.Module:
    """Width 4, one attention block of two heads per scale, four classes.

    Queries and keys are made larger, so that attention is far from even.
    """
    torch.manual_seed(seed)
    settings = {"width": 4, "token_width": 16, "blocks": 1, "heads": 2, "diffusion_width": 8, "classes": 4}
    network = listening(build_network(NetworkSettings(**{**settings, **more})))
    for name, value in network.state_dict().items():
        if name.endswith("qkv.weight"):
            value.mul_(6)
    return network.eval()


def tiny_model(path: Path, seed: int = 0, spacing: float = SPACING, network: dict | None = None,
               **card) -> Path:
    """A model file of :func:`tiny_network`; ``network`` changes its settings, ``card`` other words."""
    made = tiny_network(seed, **(network or {}))
    values = {
        "name": "tiny", "version": "1", "description": "random weights, for tests", "labels": LABELS,
        "modality": "MR", "spacing": spacing, "slice_spacing": SLICE_SPACING,
        "slicing_axis": "largest-spacing", "slice_context": 0,
        "normalisation": NormalisationSettings().model_dump(), "network": made.settings.model_dump(),
        "keypoints": {"limit": 48}, "weights_licence": "CC0-1.0",
        "training_data": "nothing", **card,
    }
    save_model(path, made, Card(**values), half=False, overwrite=True)
    return path


def run(model: Path, volume: Volume, cache: dict | None = None, on_event: OnEvent = ignore, **more) -> Segmentation:
    """``segment`` on this CPU with one thread; ``more`` are other settings."""
    return segment(volume, SegmentSettings(model=str(model), **{**RUN, **more}), on_event, cache)


def private_home(monkeypatch, folder: Path) -> Path:
    """Library, cache and notices of this user are kept in a folder of the test."""
    monkeypatch.setattr(user_folders, "_folder", lambda kind: folder / kind.lower() / "kaf")
    return folder


class Done(NamedTuple):
    """What a command left: its exit code, stdout, stderr."""

    code: int
    out: str
    err: str


def command_line(capsys, monkeypatch, folder: Path) -> Callable[..., Done]:
    """Makes ``folder`` and a home beside it, goes there, and gives a function that runs a command."""
    private_home(monkeypatch, folder.with_name("home"))
    folder.mkdir()
    monkeypatch.chdir(folder)

    def call(*arguments: object) -> Done:
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as stop:  # argparse after help
            code = stop.code
        return Done(code, *capsys.readouterr())

    return call


def files_here() -> set[str]:
    """The names in the current folder, hidden ones too."""
    return {path.name for path in Path().iterdir()}


def turned(degrees: float = 20.0) -> np.ndarray:
    """A patient turned about an oblique axis and moved: 4 x 4, less than half way to another plane."""
    x, y, z = np.array([2.0, -1.0, 3.0]) / np.sqrt(14)
    across = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = np.radians(degrees)
    result = np.eye(4)
    result[:3, :3] += np.sin(angle) * across + (1 - np.cos(angle)) * across @ across
    result[:3, 3] = 12.5, -40.25, 7.0
    return result


def stored(volume: Volume, order: tuple[int, int, int], flips: tuple[bool, bool, bool]) -> Volume:
    """The same scan with its array axes in another order, some of them reversed."""
    sizes = np.array(volume.voxels.shape)[list(order)]
    back = np.eye(4)  # new index (i, j, k, 1) -> old index
    back[:3, :3] = 0
    for new, old in enumerate(order):
        back[2 - old, 2 - new] = -1 if flips[new] else 1
        back[2 - old, 3] = sizes[new] - 1 if flips[new] else 0
    return Volume(moved(volume.voxels, order, flips), volume.affine @ back)


def only(truth: Volume, slices: list[int], axis: int = 0) -> Volume:
    """The reference in these slices, nothing elsewhere."""
    drawn = np.zeros_like(truth.voxels)
    np.moveaxis(drawn, axis, 0)[slices] = np.moveaxis(truth.voxels, axis, 0)[slices]
    return Volume(drawn, truth.affine)


def moved(voxels: np.ndarray, order: tuple[int, int, int], flips: tuple[bool, bool, bool]) -> np.ndarray:
    axes = [axis for axis, flip in enumerate(flips) if flip]
    return np.ascontiguousarray(np.flip(voxels.transpose(order), axes))


# All six orders of axes, each with other axes reversed; between them every axis runs both ways.
STORAGES = list(zip(itertools.permutations(range(3)),
                    [(False, False, True), (True, False, False), (True, True, False), (False, True, True),
                     (True, False, True), (True, True, True)], strict=True))
