"""Pretraining that takes a moment: phantoms in memory or on disk, tiny networks and heads, and a plain step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from small_models import SMALL, listening

from kaf.data.cache import CachedCase, SliceSettings, as_case, prepare_case
from kaf.data.views import UnlabelledSlices, hide_squares
from kaf.methods.bim.settings import BimSettings
from kaf.methods.contrast_settings import ContrastSettings
from kaf.methods.kaf.settings import KafSettings
from kaf.methods.lrc.settings import LrcSettings
from kaf.methods.pgl.settings import PglSettings
from kaf.methods.registry import method_class
from kaf.phantom.heart import cardiac_phantom
from kaf.runtime import ranks
from kaf.settings.augmentation import AugmentationSettings
from kaf.settings.preparation import KeypointSettings, NormalisationSettings
from kaf.settings.pretrain import PretrainSettings, parse_method
from kaf.training.pretraining import Pretrainer

# "lrc-labels" is the supervised variant of lrc.
HEADS = {
    "kaf": KafSettings(width=8, token_width=8, radius=12.0), "pcl": ContrastSettings(width=8),
    "simclr": ContrastSettings(width=8, positives="view"), "pgl": PglSettings(hidden=8, width=6, points=4),
    "lrc": LrcSettings(width=6, hidden=8, samples=6, smallest=20), "bim": BimSettings(clusters=5, heads=2, window=3),
}
KEYPOINTS = KeypointSettings(limit=24)


def small_pretraining(folder: Path, data: Path, output: str = "run", **values: Any) -> PretrainSettings:
    """A run of a few steps over small patches with tiny heads, the same numbers every time."""
    given = {
        "data": str(data), "output": str(folder / output), "cache": str(folder / "cache"), "name": "tiny",
        "device": "cpu", "threads": 1, "precision": "fp32", "network": SMALL.model_copy(update={"classes": 2}),
        "patch": 32, "batch": 4, "epochs": 2, "keypoints": KEYPOINTS, **HEADS, **values,
    }
    return PretrainSettings(**given)


def some_cases(count: int = 2, slices: int = 5, size: int = 64) -> list[CachedCase]:
    """Phantoms with labels, superpixels and described keypoints."""
    wanted = SliceSettings(3.0, "largest-spacing", NormalisationSettings(), KEYPOINTS, True, (200.0, 0.8, 20))
    made = []
    for seed in range(count):
        volume, labels = cardiac_phantom(seed, slices=slices, size=size, spacing=3.0)
        made.append(as_case(f"p{seed}", f"p{seed}", *prepare_case(volume, labels, wanted)))
    return made


def some_views(cases: list[CachedCase], regions: str = "superpixels") -> UnlabelledSlices:
    """All kinds of views of the cases, with exact geometry."""
    return UnlabelledSlices(cases, (32, 32), 0, AugmentationSettings(rotation=30.0), 3,
                            names=("anchor", "neighbour", "again"), aligned=True, radius=12.0, regions=regions)


def small_pretrainer(method: str, **network: Any) -> Pretrainer:
    """A tiny network with random weights and the heads of a method, or of several joined by +."""
    from kaf.network import build_network

    settings = SMALL.model_copy(update={"classes": 2, **network})
    torch.manual_seed(5)
    net = listening(build_network(settings))
    heads = {}
    weights = parse_method(method.replace("lrc-labels", "lrc"))
    for name in weights:
        own = HEADS.get(name)
        if method == "lrc-labels":
            own = own.model_copy(update={"regions": "labels"})
        if name == "mae":
            from kaf.methods.mae.settings import MaeSettings

            own = MaeSettings(block=8)
        heads[name] = method_class(name)(own, settings)
    return Pretrainer(net, heads, weights)


def one_step(method: str, cases: list[CachedCase], count: int = 6) -> dict[str, torch.Tensor]:
    """Loss, gradients and running statistics after one step in fp64, of this process's part of the batch."""
    pretrainer = small_pretrainer(method).double().train()
    average = small_pretrainer(method).double().eval()
    views = some_views(cases, "labels" if method == "lrc-labels" else "superpixels")
    batch = views.batch(2, count, ranks.share(count))
    if "masked" in pretrainer.names:
        batch.views["masked"] = hide_squares(batch.views["anchor"], 0.6, 8, batch.seeds)
    for view in batch.views.values():
        view.image, view.matrix, view.keypoints = view.image.double(), view.matrix.double(), view.keypoints.double()
    batch.position = batch.position.double()
    loss, _, _ = pretrainer(batch, 0.5, average)
    loss.backward()
    ranks.average_gradients(pretrainer.parameters())
    found = {"loss": loss.detach()} | {f"statistic {name}": value for name, value in pretrainer.named_buffers()}
    return found | {f"gradient {name}": p.grad for name, p in pretrainer.named_parameters() if p.grad is not None}
