"""Views, features and inputs made by hand, for tests of the self-supervised methods' formulas."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from kaf.data.views import View, ViewBatch
from kaf.methods.base import MethodInput
from kaf.network import Features
from kaf.settings.network import NetworkSettings

# The bottleneck has 64 channels, decoder maps 4, 8, 16 and 32 from fine to coarse, tokens 8 numbers at each scale.
NETWORK = NetworkSettings(width=4, decoder_width=4, blocks=1, token_width=8, heads=2, diffusion_width=4)
ITERATIONS = 400  # of the plain transport, far more than it takes to converge


def random_numbers(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def make_view(image: Tensor, **parts: Any) -> View:
    """A view of (B, C, H, W) images that is the slice itself, with one keypoint, but for the ``parts`` given."""
    batch, _, height, width = image.shape
    known: dict[str, Any] = {
        "keypoints": torch.zeros(batch, 1, 2), "mask": torch.ones(batch, 1, dtype=torch.bool),
        "valid": torch.ones(batch, height, width, dtype=torch.bool),
        "matrix": torch.eye(2, 3, dtype=torch.float64).expand(batch, 2, 3)}
    return View(image, **{**known, **parts})


def make_batch(views: dict[str, View], position: Tensor | None = None, matches: Tensor | None = None) -> ViewBatch:
    count, keypoints = views["anchor"].mask.shape
    return ViewBatch(views, torch.zeros(count) if position is None else position,
                     torch.full((count, keypoints), -1) if matches is None else matches, torch.arange(count) + 40)


def make_features(bottleneck: Tensor | None = None, tokens: list[Tensor] | None = None,
                  decoder: list[Tensor] | None = None) -> Features:
    nothing = torch.zeros(0)
    return Features(nothing, tokens or [], nothing if bottleneck is None else bottleneck, decoder or [])


def make_input(batch: ViewBatch, features: dict[str, Features], progress: float = 0.5,
               teacher: dict[str, Features] | None = None) -> MethodInput:
    return MethodInput(batch, features, progress, teacher)


def decoder_maps(level: int, values: Tensor) -> list[Tensor]:
    """Decoder maps, coarse to fine, of which only the one at ``level`` is looked at."""
    maps = [torch.zeros(0)] * 4
    maps[3 - level] = values
    return maps


def turned(angle: float, zoom: float = 1.0, flips: tuple[bool, bool] = (False, False),
           offset: tuple[float, float] = (0.0, 0.0)) -> Tensor:
    """(2, 3) matrix from pixels of a view to pixels of the slice: turned by degrees, enlarged, mirrored, moved."""
    radians = torch.deg2rad(torch.tensor(angle, dtype=torch.float64))
    cosine, sine = radians.cos(), radians.sin()
    linear = torch.stack([torch.stack([cosine, -sine]), torch.stack([sine, cosine])]) / zoom
    linear = linear * torch.tensor([-1.0 if flip else 1.0 for flip in flips], dtype=torch.float64)
    return torch.cat([linear, torch.tensor(offset, dtype=torch.float64)[:, None]], 1)


def about(matrix: Tensor, view: tuple[int, int], slice_: tuple[int, int]) -> Tensor:
    """The matrix moved so that the middle of the view looks at the middle of the slice (plus the offset it had)."""
    middle = torch.tensor([(n - 1) / 2 for n in view], dtype=torch.float64)
    centre = torch.tensor([(n - 1) / 2 for n in slice_], dtype=torch.float64)
    return torch.cat([matrix[:, :2], (centre - matrix[:, :2] @ middle + matrix[:, 2])[:, None]], 1)


def cells_of(matrix: Tensor, height: int, width: int, stride: int) -> Tensor:
    """(h, w, 2) places in the slice of the middles of a map's cells, one by one."""
    rows, columns = -(-height // stride), -(-width // stride)
    places = torch.zeros(rows, columns, 2, dtype=torch.float64)
    for row in range(rows):
        for column in range(columns):
            pixel = torch.tensor([row * stride + (stride - 1) / 2, column * stride + (stride - 1) / 2, 1.0],
                                 dtype=torch.float64)
            places[row, column] = matrix @ pixel
    return places


def plain_contrast(embeddings: Tensor, are_positives: Callable[[int, int], bool], temperature: float) -> float:
    """-1/|P(i)| sum over P(i) of log [exp(s_ij / tau) / sum over k != i of exp(s_ik / tau)], mean over i."""
    losses = []
    for i, own in enumerate(embeddings):
        others = [k for k in range(len(embeddings)) if k != i]
        alike = {k: float(own @ embeddings[k] / (own.norm() * embeddings[k].norm())) for k in others}
        below = sum(math.exp(alike[k] / temperature) for k in others)
        chosen = [k for k in others if are_positives(i, k)]
        if chosen:
            losses.append(-sum(math.log(math.exp(alike[k] / temperature) / below) for k in chosen) / len(chosen))
    return sum(losses) / len(losses)


def plain_transport(scores: Tensor, dustbin: Tensor, iterations: int = ITERATIONS) -> Tensor:
    """log P (n + 1, m + 1) of one pair of slices (n, m): rows and columns scaled in turn, in the log domain.

    One unit per keypoint; the row of the dustbin holds m, its column n, all normalised by n + m and then rescaled.
    """
    n, m = scores.shape
    table = torch.cat([torch.cat([scores, dustbin.expand(n, 1)], 1), dustbin.expand(1, m + 1)])
    total = n + m
    rows = torch.tensor([1 / total] * n + [m / total], dtype=torch.float64).log()
    columns = torch.tensor([1 / total] * m + [n / total], dtype=torch.float64).log()
    u, v = torch.zeros(n + 1, dtype=torch.float64), torch.zeros(m + 1, dtype=torch.float64)
    for _ in range(iterations):
        u = rows - torch.logsumexp(table + v[None, :], 1)
        v = columns - torch.logsumexp(table + u[:, None], 0)
    return table + u[:, None] + v[None, :] + torch.log(torch.tensor(float(total), dtype=torch.float64))
