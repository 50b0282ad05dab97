"""Sheets of pictures: what a method shows of a network under pretraining, in rows of tiles under a title."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass

import numpy as np
import torch

from kaf.data.views import View, ViewBatch
from kaf.picture.draw import grey, window
from kaf.picture.sheet import BRIGHT, QUIET, Colour, Page

COLUMNS, TILE = 4, 260
"""Tiles of a row, and the longest side of a tile in pixels."""
_GAP, _MARGIN, _HEADING = 14, 30, 46


@dataclass
class Sheet:
    """Rows of pictures under a title: heading and tiles of equal size per row; legend: colour, name, value."""

    name: str
    title: str
    rows: list[tuple[str, list[np.ndarray]]]
    legend: list[tuple[Colour | None, str, str]]

    def render(self, words: str) -> np.ndarray:
        """The sheet (height, width, 3) uint8 with ``words`` under its title."""
        widest = max(sum(tile.shape[1] + _GAP for tile in tiles) - _GAP for _, tiles in self.rows)
        page = Page(2 * _MARGIN + widest, _MARGIN)
        page.text(_MARGIN, _MARGIN + 12, self.title, 26)
        page.text(_MARGIN, _MARGIN + 46, words, 15, QUIET)
        y = _MARGIN + 62
        if self.legend:
            y += 6 + page.entries(y + 6, self.legend, 15)
        for heading, tiles in self.rows:
            if heading:
                page.text(_MARGIN, y + _HEADING - 17, heading, 18, BRIGHT)
            y += _HEADING if heading else _GAP
            for column, tile in enumerate(tiles):
                page.picture(_MARGIN + column * (tile.shape[1] + _GAP), y, tile)
            y += tiles[0].shape[0]
        return page.render(y + _MARGIN)


def middle_slices(view: View) -> np.ndarray:
    """(B, H, W) the views' own slices, without their neighbours; outside of them the darkest that is inside."""
    image = view.image[:, view.image.shape[1] // 2].float()
    darkest = image.masked_fill(~view.valid, torch.inf).amin((1, 2), keepdim=True)
    return torch.where(view.valid | darkest.isinf(), image, darkest).cpu().numpy()


def tile_size(image: np.ndarray, longest: int) -> tuple[int, int]:
    rows, columns = image.shape[-2:]
    return max(1, round(longest * rows / max(rows, columns))), max(1, round(longest * columns / max(rows, columns)))


def best_items(score: np.ndarray, count: int) -> list[int]:
    """The items of the largest score, in their order."""
    return sorted(np.argsort(-score, kind="stable")[:count].tolist())


def full_items(batch: ViewBatch, count: int = COLUMNS) -> list[int]:
    """The items that show the most of their slice and lie in the middle of their volume."""
    view = batch.views["anchor"]
    middle = 1 - np.abs(batch.position.cpu().numpy() - 0.55)
    return best_items(view.valid.float().mean((1, 2)).cpu().numpy() + middle, count)


def slice_tiles(image: np.ndarray, chosen: list[int], size: tuple[int, int]) -> list[np.ndarray]:
    return [grey(image[item], size, window(image[item])) for item in chosen]


def palette(count: int) -> np.ndarray:
    """(count, 3) uint8 colours that are easy to tell apart on a dark sheet."""
    turns = [(0.55 + index * 0.618034) % 1 for index in range(count)]
    bright = [(0.95, 0.72, 0.84)[index % 3] for index in range(count)]
    pale = [(0.62, 0.70, 0.42)[index % 3] for index in range(count)]
    return np.array([[round(255 * c) for c in colorsys.hsv_to_rgb(*hsv)]
                     for hsv in zip(turns, pale, bright, strict=True)], np.uint8)
