"""Regions of two views of a slice."""

from __future__ import annotations

import cv2
import numpy as np
import torch

from kaf.methods.base import MethodInput
from kaf.methods.sheet import TILE, Sheet, full_items, middle_slices, palette, tile_size
from kaf.picture.draw import grey, window


def regions(given: MethodInput) -> Sheet:
    """Two views of each slice; a region has the same colour in both, and is where a pixel's likes are sought."""
    rows = []
    chosen = full_items(given.batch)
    for heading, name in (("One view", "anchor"), ("Another view; the same region has the same colour", "again")):
        view = given.batch.views[name]
        assert view.regions is not None
        image, ids = middle_slices(view), torch.where(view.valid, view.regions, -1).cpu().numpy()
        size = tile_size(image, TILE)
        rows.append((heading, [_tinted(grey(image[item], size, window(image[item])), ids[item]) for item in chosen]))
    return Sheet("regions", "Regions whose pixels should have similar features", rows, [])


def _tinted(pixels: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """The slice under the colours of its regions, with thin dark lines between them."""
    colours = palette(97)  # a prime: neighbours by number are far apart in colour
    size = (pixels.shape[1], pixels.shape[0])
    large = cv2.resize(ids.astype(np.int32).astype(np.float32), size, interpolation=cv2.INTER_NEAREST).astype(int)
    tint = colours[large * 31 % len(colours)].astype(np.float32)
    mixed = np.where((large >= 0)[..., None], pixels * 0.55 + tint * 0.45, pixels * 0.8)
    edge = np.zeros(large.shape, bool)
    edge[:, 1:] |= large[:, 1:] != large[:, :-1]
    edge[1:] |= large[1:] != large[:-1]
    mixed[edge] *= 0.45
    return np.rint(mixed).astype(np.uint8)
