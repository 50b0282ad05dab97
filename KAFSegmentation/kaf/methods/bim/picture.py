"""Clusters of slices."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from kaf.methods.base import MethodInput
from kaf.methods.sheet import TILE, Sheet, full_items, middle_slices, palette, slice_tiles, tile_size

if TYPE_CHECKING:
    from kaf.methods.bim.method import Bim


def clusters(method: Bim, given: MethodInput) -> Sheet:
    """Slices above their clusters: one colour per cluster, darker where the network is uncertain."""
    view = given.batch.views["anchor"]
    posterior = method.posteriors(given.features["anchor"].decoder)[0]
    stride = 2 ** method.settings.level
    sure, cluster = (t.repeat_interleave(stride, 1).repeat_interleave(stride, 2) for t in posterior.max(1))
    image, valid = middle_slices(view), view.valid.cpu().numpy()
    height, width = image.shape[1:]
    sure_, cluster_ = sure[:, :height, :width].cpu().numpy(), cluster[:, :height, :width].cpu().numpy()
    colours, size, chosen = palette(method.settings.clusters), tile_size(image, TILE), full_items(given.batch)
    light = np.sqrt(np.clip((sure_ - 1 / len(colours)) / (1 - 1 / len(colours)), 0, 1))
    pictures = colours[cluster_] * (valid * (0.35 + 0.65 * light))[..., None]
    tiles = [cv2.resize(np.rint(pictures[item]).astype(np.uint8), size[::-1], interpolation=cv2.INTER_NEAREST)
             for item in chosen]
    used = len(np.unique(cluster_[valid]))
    heading = f"Clusters: {used} of {len(colours)} are used; darker where uncertain"
    rows = [("Slices", slice_tiles(image, chosen, size)), (heading, tiles)]
    return Sheet("clusters", "Unsupervised clusters", rows, [])
