"""Attention at half the resolution first, and again at the full one where that leaves doubt: near boundaries."""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from kaf.memory.attention import BLOCK, Neighbours, Window, active_blocks, attend
from kaf.memory.features import enlarged, pooled

_SURE = 0.9  # share of the best label from which a place needs no second look
_LEAST = 2 * BLOCK  # places along a side, below which half the resolution saves nothing


class Reading:
    """Targets and what they look at, in both resolutions; may be read through any number of windows.

    Args:
        queries: (T, D, h, w).
    """

    def __init__(self, queries: Tensor, memory: Neighbours):
        self._queries, self._memory = queries, memory
        self._size = (queries.shape[2], queries.shape[3])
        small = min(self._size) < _LEAST or not len(memory.features)
        self._halves = None if small else (pooled(queries, 2), _halved(memory))

    def read(self, window: Window) -> Tensor:
        """:func:`kaf.memory.attention.attend`, a few times faster: blocks of places whose label is clear at half the
        resolution keep what was read there.

        Returns:
            soft labels (T, K, h, w), which sum to one.
        """
        if self._halves is None or window.reach < 2:
            return attend(self._queries, self._memory, window)
        half = Window(-(-window.reach // 2), window.spread / 2, window.temperature)
        soft = enlarged(attend(*self._halves, half), 2, self._size)
        looked_at = self._memory.log_weights > -torch.inf
        blocks = _doubtful(soft) & active_blocks(self._memory.labels, looked_at, window.reach)
        fine = attend(self._queries, self._memory, window, blocks)
        again = blocks.repeat_interleave(BLOCK, 1).repeat_interleave(BLOCK, 2)
        return torch.where(again[:, None, :self._size[0], :self._size[1]], fine, soft)


def _halved(memory: Neighbours) -> Neighbours:
    """Two by two places as one; of these only the known ones count."""
    if memory.hidden is None:
        return replace(memory, features=pooled(memory.features, 2), labels=pooled(memory.labels, 2))
    known = (~memory.hidden)[:, None].float()
    share = pooled(known, 2)
    few = share.clamp_min(1e-6)
    return Neighbours(pooled(memory.features * known, 2) / few, pooled(memory.labels * known, 2) / few,
                      memory.log_weights, share[:, 0] == 0)


def _doubtful(soft: Tensor) -> Tensor:
    """(T, rows, columns) bool: blocks with a place whose best label is not sure."""
    unsure = (soft.amax(1, keepdim=True) < _SURE).float()
    unsure = F.pad(unsure, (0, -unsure.shape[3] % BLOCK, 0, -unsure.shape[2] % BLOCK))
    return F.max_pool2d(unsure, BLOCK)[:, 0] > 0
