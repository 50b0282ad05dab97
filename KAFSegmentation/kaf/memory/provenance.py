"""Where the label of one place came from: the places of finished slices that it attended to, and how much."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from kaf.memory.attention import BLOCK, Neighbours, Places, Window


@dataclass(frozen=True)
class Origin:
    """A place that a label was taken from: the index of the slice in the memory, (row, column), the
    share of the attention, 0..1, and the label there."""

    slice: int
    row: int
    column: int
    weight: float
    label: int


def origins(query: Tensor, memory: Neighbours, window: Window, place: tuple[int, int], most: int = 24) -> list[Origin]:
    """The places that ``place`` (row, column) of one target, (D, h, w), attended to, the strongest first."""
    height, width = query.shape[1:]
    rows, columns = -(-height // BLOCK), -(-width // BLOCK)
    count = int((memory.log_weights[0] > -math.inf).sum())
    if not count:
        return []
    places = Places(query[None], memory, window, rows, columns)
    where = torch.tensor([[0, place[0] // BLOCK, place[1] // BLOCK]], device=query.device)
    logits, values, slices = places.scores(where, count)
    weights = logits[0, place[0] % BLOCK * BLOCK + place[1] % BLOCK].softmax(0)
    side = BLOCK + 2 * window.reach
    found = []
    for weight, index in zip(*(part.tolist() for part in weights.topk(min(most, len(weights)))), strict=True):
        which, inside = divmod(index, side * side)
        row = place[0] // BLOCK * BLOCK - window.reach + inside // side
        column = place[1] // BLOCK * BLOCK - window.reach + inside % side
        if weight > 1e-4:
            found.append(Origin(int(slices[0, which]), row, column, weight, int(values[0, index].argmax())))
    return found
