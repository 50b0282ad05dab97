"""From captured attention to numbers per keypoint and to a picture of where the network looked."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor


def combine(attention: Sequence[Tensor], index: int, count: int, scale: int | None = None, head: int | None = None,
            how: str = "mean") -> np.ndarray:
    """One (N, N) matrix from the captured attention of a slice: row = from, column = to; rows sum to one.

    Args:
        attention: per fused scale (B, blocks, heads, N', N').
        index: the slice in the batch; count: N, its number of real keypoints.
        scale: one fused scale (0 is the finest of them), or None for the mean over scales.
        head: one head, or None for their mean.
        how: "mean" over the blocks, or "rollout": the product of (A + 1) / 2 over the blocks in order, which
            follows attention through the residual connections (Abnar and Zuidema, 2020).
    """
    chosen = attention if scale is None else [attention[scale]]
    total = np.zeros((count, count))
    for layers in chosen:
        blocks = layers[index, :, :, :count, :count].float().cpu().numpy().astype(np.float64)
        matrices = blocks.mean(1) if head is None else blocks[:, head]
        if how == "mean":
            total += matrices.mean(0)
            continue
        rolled = np.eye(count)
        for matrix in matrices:
            rolled = (0.5 * matrix + 0.5 * np.eye(count)) @ rolled
        total += rolled
    return total / len(chosen)


def keypoint_weights(matrix: np.ndarray, direction: str, chosen: int | None = None) -> np.ndarray:
    """(N,) weights that sum to one: how much each keypoint is attended ("saliency"), where ``chosen`` attends
    ("from"), or who attends to ``chosen`` ("to")."""
    if direction == "saliency":
        weights = matrix.mean(0)
    else:
        assert chosen is not None, "a direction needs a chosen keypoint"
        weights = matrix[chosen] if direction == "from" else matrix[:, chosen]
    return weights / max(float(weights.sum()), 1e-12)


def spot_map(positions: np.ndarray, weights: np.ndarray, shape: tuple[int, int], width: float) -> np.ndarray:
    """(H, W) float32 density of attention: each keypoint's weight spread by a Gaussian of ``width`` pixels.

    The weights are laid on the four pixels around each position, then blurred once: no work per keypoint.
    """
    import cv2

    canvas = np.zeros(shape, np.float32)
    corner = np.floor(positions).astype(int)
    part = (positions - corner).astype(np.float32)
    for dr in (0, 1):
        for dc in (0, 1):
            share = np.abs(1 - dr - part[:, 0]) * np.abs(1 - dc - part[:, 1])
            rows = (corner[:, 0] + dr).clip(0, shape[0] - 1)
            columns = (corner[:, 1] + dc).clip(0, shape[1] - 1)
            np.add.at(canvas, (rows, columns), share * weights.astype(np.float32))
    return cv2.GaussianBlur(canvas, (0, 0), width, borderType=cv2.BORDER_CONSTANT)


def scaled(values: np.ndarray) -> np.ndarray:
    """The map divided by its largest value: 0 (not looked at) to 1 (most)."""
    peak = float(values.max(initial=0.0))
    return values / np.float32(peak) if peak > 0 else values
