"""Attention from the places of unfinished slices to finished ones, block by block within a spatial window."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

BLOCK = 8  # side of a block of places that share their window
_NEVER = 1e4
_CHUNK = 8 << 20  # floats of attention weights at a time


@dataclass(frozen=True)
class Window:
    """How one place attends to another: exp(-|q - k|^2 / temperature - |x_q - x_k|^2 / (2 spread^2)) within ``reach``.

    reach: places on each side that a block of queries sees; spread: of the spatial bias, in places; temperature: of
    the squared distance of features.
    """

    reach: int = 8
    spread: float = 4.0
    temperature: float = 0.4


@dataclass(frozen=True)
class Neighbours:
    """Slices to attend to.

    features: (N, D, h, w); labels: soft, (N, K, h, w), class 0 is the background; log_weights: (T, N), the logarithm of
    the weight of each slice for each target, -inf where a target does not look; hidden: (N, h, w) bool, places whose
    label nobody knows.
    """

    features: Tensor
    labels: Tensor
    log_weights: Tensor
    hidden: Tensor | None = None


def active_blocks(labels: Tensor, looked_at: Tensor, reach: int) -> Tensor:
    """(T, rows, columns) bool: blocks of each target within reach of a structure of a slice that it looks at.

    labels: (N, K, h, w), class 0 is the background; looked_at: (T, N) bool.
    """
    held = (labels[:, :1] < 1 - 1e-3).float()
    height, width = held.shape[2:]
    held = F.pad(held, (0, -width % BLOCK, 0, -height % BLOCK))
    near = F.max_pool2d(F.pad(held, (reach,) * 4), BLOCK + 2 * reach, BLOCK)[:, 0] > 0
    return torch.einsum("tn,nyx->tyx", looked_at.float(), near.float()) > 0


def attend(queries: Tensor, memory: Neighbours, window: Window, blocks: Tensor | None = None) -> Tensor:
    """Soft labels of targets, read from the neighbours that each looks at.

    Args:
        queries: (T, D, h, w).
        blocks: (T, rows, columns) bool, where to read; default: near any structure.  Elsewhere it is background.

    Returns:
        soft labels (T, K, h, w), which sum to one.
    """
    targets, _, height, width = queries.shape
    classes = memory.labels.shape[1]
    looked_at = memory.log_weights > -math.inf
    if blocks is None:
        blocks = active_blocks(memory.labels, looked_at, window.reach)
    rows, columns = blocks.shape[1:]
    soft = queries.new_zeros(targets, classes, rows * BLOCK, columns * BLOCK)
    soft[:, 0] = 1
    soft_blocks = soft.view(targets, classes, rows, BLOCK, columns, BLOCK)
    places = Places(queries, memory, window, rows, columns)
    # Targets that look at equally many slices go together.
    for count in looked_at.sum(1).unique().tolist():
        if count == 0:
            continue
        for where in places.chunks(blocks & (looked_at.sum(1) == count)[:, None, None], count):
            values = places.read(where, count)
            t, y, x = where.unbind(1)
            soft_blocks[t, :, y, :, x, :] = values.view(-1, BLOCK, BLOCK, classes).permute(0, 3, 1, 2)
    return soft[:, :, :height, :width]


class Places:
    """Blocks of queries and the windows around them, laid out so that a gather fetches each."""

    def __init__(self, queries: Tensor, memory: Neighbours, window: Window, rows: int, columns: int):
        self.window, self.memory = window, memory
        reach = window.reach
        side = BLOCK + 2 * reach
        height, width = rows * BLOCK, columns * BLOCK
        depth = queries.shape[1]
        scale = (2 / window.temperature) ** 0.5
        self.classes = memory.labels.shape[1]
        # Equal for queries, keys and values, and a multiple of 8: torch's fused attention asks for that.
        channels = -(-max(depth + 1, self.classes) // 8) * 8
        pad = (0, width - queries.shape[3], 0, height - queries.shape[2])
        wide = F.pad(queries * scale, (*pad, 0, channels - depth))
        wide[:, depth] = 1
        self.depth, self.queries = depth, wide.view(len(queries), channels, rows, BLOCK, columns, BLOCK)
        around = (reach, reach + pad[1], reach, reach + pad[3])
        # The bias of a key is one more feature: -|k|^2 / 2, and the edges of the picture; -|q|^2 / 2 is the same for
        # all keys.
        keys = F.pad(memory.features * scale, (*around, 0, channels - depth))
        bias = -keys.square().sum(1) / 2
        if memory.hidden is not None:
            bias = bias.masked_fill(F.pad(memory.hidden, around), -_NEVER)
        keys[:, depth] = bias + F.pad(torch.zeros_like(memory.labels[:, 0]), around, value=-_NEVER)
        self.keys = keys.permute(0, 2, 3, 1).reshape(-1, channels)
        labels = F.pad(memory.labels, (*around, 0, channels - self.classes))
        self.values = labels.permute(0, 2, 3, 1).reshape(-1, channels)
        self.width, self.area = width + 2 * reach, (width + 2 * reach) * (height + 2 * reach)
        offsets = torch.arange(side, device=queries.device)
        self.offsets = (offsets[:, None] * self.width + offsets).reshape(-1)
        places = torch.arange(BLOCK, device=queries.device) + reach
        far = (places[:, None] - offsets).square().float()  # (block, side), along one axis
        squared = (far[:, None, :, None] + far[None, :, None, :]).reshape(BLOCK * BLOCK, side * side)
        self.bias = torch.where(squared <= reach * reach + 1, -squared / (2 * window.spread ** 2), -_NEVER)

    def chunks(self, blocks: Tensor, count: int) -> Iterator[Tensor]:
        found = blocks.nonzero()
        step = max(1, _CHUNK // (BLOCK * BLOCK * len(self.offsets) * count))
        yield from found.split(step) if len(found) else ()

    def read(self, where: Tensor, count: int) -> Tensor:
        """Soft labels (M, 64, K) of the places of M blocks (target, row, column).

        Torch's fused attention never holds the weights of all places.
        """
        query, keys, values, _ = self._gathered(where, count)
        bias = self.bias.repeat(1, count)[None, None].expand(len(query), 1, -1, -1)
        soft = F.scaled_dot_product_attention(query[:, None], keys[:, None], values[:, None], attn_mask=bias, scale=1.0)
        return soft[:, 0, :, :self.classes]

    def scores(self, where: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
        """Logits (M, 64, N * side * side) of M blocks, labels of the keys, and the slices (M, N)."""
        query, keys, values, slices = self._gathered(where, count)
        logits = query @ keys.transpose(1, 2) + self.bias.repeat(1, count)[None]
        return logits, values[:, :, :self.classes], slices

    def _gathered(self, where: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Queries (M, 64, D), keys and values (M, N * side * side, D), and the slices (M, N) that these are of."""
        t, y, x = where.unbind(1)
        query = self.queries[t, :, y, :, x, :].flatten(2).transpose(1, 2)
        slices = self.memory.log_weights[t].topk(count, 1).indices
        start = slices * self.area + (y * self.width * BLOCK + x * BLOCK)[:, None]
        index = (start[:, :, None] + self.offsets).flatten(1)
        keys = self.keys[index]
        weight = self.memory.log_weights[t[:, None], slices]
        keys.view(len(t), count, -1, keys.shape[2])[..., self.depth] += weight[:, :, None]
        return query, keys, self.values[index], slices
