"""Matched keypoints of neighbouring slices."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch

from kaf.methods.base import MethodInput
from kaf.methods.sheet import Sheet, best_items, middle_slices, tile_size
from kaf.picture.draw import grey, window
from kaf.picture.sheet import BACKGROUND, Colour, rounded_corners

if TYPE_CHECKING:
    from kaf.methods.kaf.method import Kaf

FOUND, MISSED, ALONE = (98, 216, 180), (246, 158, 92), (150, 160, 175)
_PAIRS, _LINES, _WIDE, _GAP = 2, 16, 430, 14


def matched(method: Kaf, given: MethodInput) -> Sheet:
    """Pairs of neighbouring slices; lines join keypoints that match, in colour by whether the network finds it."""
    log_p = method.transport(given)
    first, second = (given.batch.views[name] for name in ("anchor", "neighbour"))
    there = torch.cat([second.mask, second.mask.new_ones(len(log_p), 1)], 1)
    guess = log_p[:, :-1].masked_fill(~there[:, None], -torch.inf).argmax(2).cpu().numpy()
    matches = np.where(first.mask.cpu().numpy(), given.batch.matches.cpu().numpy(), -1)
    images = [middle_slices(view) for view in (first, second)]
    size = tile_size(images[0], _WIDE)
    found = int(((guess == matches) & (matches >= 0)).sum())
    total, rows = int((matches >= 0).sum()), []
    chance = ((matches >= 0).sum(1) / (1.0 + second.mask.cpu().numpy().sum(1))).sum() / max(1, total)
    for item in best_items((matches >= 0).sum(1), _PAIRS):
        points = [view.keypoints[item].cpu().numpy() for view in (first, second)]
        masks = [view.mask[item].cpu().numpy() for view in (first, second)]
        tiles = [grey(image[item], size, window(image[item])) for image in images]
        rows.append(("", [_joined(tiles, points, masks, matches[item], guess[item], images[0].shape[1:])]))
    legend: list[tuple[Colour | None, str, str]] = [
        (FOUND, "found by the network", f"{found} of {total} in {len(matches)} pairs: "
         f"{found / max(1, total):.0%}, and {chance:.1%} by chance"), (MISSED, "missed", ""),
        (ALONE, "keypoint without a match", "")]
    return Sheet("matches", "Matched keypoints of neighbouring slices", rows, legend)


def _joined(tiles: list[np.ndarray], points: list[np.ndarray], masks: list[np.ndarray], matches: np.ndarray,
            guess: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Two slices beside each other with the lines between them."""
    height, width = tiles[0].shape[:2]
    sheet = np.zeros((height, 2 * width + _GAP, 3), np.uint8)
    sheet[:] = BACKGROUND
    sheet[:, :width], sheet[:, width + _GAP:] = (rounded_corners(tile) for tile in tiles)
    scale = height / shape[0]
    where = [(p + 0.5) * scale + [0, offset] for p, offset in zip(points, (0, width + _GAP), strict=True)]
    pairs = np.flatnonzero(matches >= 0)
    for places, mask, paired in zip(where, masks, (pairs, matches[pairs]), strict=True):
        for index in set(np.flatnonzero(mask)) - set(paired):
            _dot(sheet, places[index], ALONE, 1.6)
    step = max(1, -(-len(pairs) // _LINES))  # all keypoints are drawn, and some of the lines
    for turn, index in enumerate(pairs):
        colour = FOUND if guess[index] == matches[index] else MISSED
        a, b = where[0][index], where[1][matches[index]]
        if turn % step == 0:
            over = sheet.copy()
            cv2.line(over, _at(a), _at(b), colour, 2, cv2.LINE_AA, 4)
            cv2.addWeighted(over, 0.75, sheet, 0.25, 0, dst=sheet)
        for place in (a, b):
            _dot(sheet, place, colour, 4.0 if turn % step == 0 else 2.8)
    return sheet


def _at(place: np.ndarray) -> tuple[int, int]:
    """(row, column) as OpenCV's (x, y) in sixteenths of a pixel."""
    return round(float(place[1]) * 16), round(float(place[0]) * 16)


def _dot(sheet: np.ndarray, place: np.ndarray, colour: Colour, radius: float) -> None:
    cv2.circle(sheet, _at(place), round((radius + 1.2) * 16), BACKGROUND, -1, cv2.LINE_AA, 4)
    cv2.circle(sheet, _at(place), round(radius * 16), colour, -1, cv2.LINE_AA, 4)
