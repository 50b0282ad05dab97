"""Masked patches and their reconstruction."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from kaf.methods.base import MethodInput
from kaf.methods.sheet import TILE, Sheet, full_items, middle_slices, tile_size
from kaf.picture.draw import grey, window

if TYPE_CHECKING:
    from kaf.methods.mae.method import Mae


def reconstruction(method: Mae, given: MethodInput) -> Sheet:
    """Slices, their masked views, and the reconstruction of the masked patches."""
    view, masked = given.batch.views["anchor"], given.batch.views["masked"]
    assert masked.hidden is not None
    image, hidden = middle_slices(view), masked.hidden.cpu().numpy()
    height, width = image.shape[1:]
    made = method.head(given.features["masked"].decoder[-1])[:, view.image.shape[1] // 2]
    drawn = np.where(hidden, made[:, :height, :width].cpu().numpy(), image)
    chosen, size = full_items(given.batch), tile_size(image, TILE)
    levels = {item: window(image[item]) for item in chosen}
    shown = []
    for item in chosen:
        cover = cv2.resize(hidden[item].astype(np.uint8), size[::-1], interpolation=cv2.INTER_NEAREST)[..., None] > 0
        shown.append(np.where(cover, np.uint8(38), grey(image[item], size, levels[item])).astype(np.uint8))
    error = np.sqrt(np.mean((drawn - image)[hidden & view.valid.cpu().numpy()] ** 2))
    rows = [("Slices", [grey(image[item], size, levels[item]) for item in chosen]),
            ("Masked: the input of the network", shown),
            (f"Reconstructed: error of {error:.2f} standard deviations in the masked patches",
             [grey(drawn[item], size, levels[item]) for item in chosen])]
    return Sheet("drawn", "Masked patches, reconstructed", rows, [])
