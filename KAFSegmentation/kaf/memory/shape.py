"""What shape alone says about an unfinished slice: signed distances of the finished ones, interpolated, or shrinking
beyond the last one as a ball would."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from scipy.ndimage import binary_dilation, distance_transform_edt, label
from torch import Tensor

_FAR = 20.0  # places: the signed distance of a structure that a slice has not
_MOST_PARTS = 12  # parts of a slice that shrink each towards its own centre; smaller ones towards a common one
_FALL = 8.0  # places of signed distance that a structure loses per place beyond its end
_BLUNT_END = 2.0  # how bluntly a structure ends beyond the outermost finished slice; 2: as a ball
_BLUNT = 4.0  # how bluntly a structure that one of two neighbours holds ends halfway; 2: as a ball


def signed_distances(labels: np.ndarray, classes: int) -> Tensor:
    """(h, w) -> (classes, h, w) in places: positive inside.  Only the surroundings of a structure are looked at."""
    result = np.full((classes, *labels.shape), -_FAR, np.float32)
    for value in range(classes):
        mask = labels == value
        if mask.any():
            box = _around(mask) if value else (slice(None), slice(None))
            result[value][box] = np.clip(_signed(mask[box]), -_FAR, _FAR)
    return torch.from_numpy(result)


def _signed(mask: np.ndarray) -> np.ndarray:
    """Distance to the edge of a mask, positive inside."""
    if mask.all():
        return np.full(mask.shape, _FAR, np.float32)
    distance = distance_transform_edt(mask) - distance_transform_edt(~mask)
    return (distance - np.sign(distance) * 0.5).astype(np.float32)


def _around(mask: np.ndarray) -> tuple[slice, slice]:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    reach = int(_FAR)
    return (slice(max(0, int(rows[0]) - reach), int(rows[-1]) + reach + 1),
            slice(max(0, int(columns[0]) - reach), int(columns[-1]) + reach + 1))


def interpolated(distances: Tensor, weights: Tensor, softness: float = 3.0) -> Tensor:
    """Probabilities (T, K, h, w) from signed distances (N, K, h, w) and weights (T, N) whose rows sum to one.

    A structure that only some of the slices hold stays as it is in these, and ends where they count for half.
    """
    places = (distances > 0).flatten(2).sum(2).float()  # (N, K)
    held = (places > 0).float()
    count = (weights @ held)[:, :, None, None]
    mean = torch.einsum("tn,nk,nkyx->tkyx", weights, held, distances) / count.clamp_min(1e-6)
    radius = (weights @ (places / torch.pi).sqrt())[:, :, None, None] / count.clamp_min(1e-6)
    lost = ((1 - count) * 2).clamp(0, 1)  # 0: next to the slices that hold it, 1: halfway and beyond
    left = (1 - lost ** _BLUNT) ** (1 / _BLUNT)
    moved = torch.where(count > 0.5, mean - radius * (1 - left), mean.new_tensor(-_FAR))
    return _with_background(moved, softness)


def _with_background(distances: Tensor, softness: float) -> Tensor:
    """Probabilities from signed distances of structures: the background, class 0, is where none of them is."""
    logits = distances.clone()
    logits[:, 0] = -distances[:, 1:].amax(1) if distances.shape[1] > 1 else _FAR
    return (logits / softness).softmax(1)


def ending(labels: np.ndarray, classes: int, beyond: Tensor, size: float, least: float, softness: float) -> Tensor:
    """Probabilities (T, K, h, w) beyond a finished slice with labels (h, w): what touches ends together, as a ball of
    its area would, so that a cavity stays inside its wall.

    Args:
        beyond: (T,) distance from the finished slice, in places.
        size: radius of the ball, in that of the finished slice; least: the same in places.
    """
    logits = torch.full((len(beyond), classes, *labels.shape), -_FAR)
    for part in _parts(labels):
        radius = max(least, (np.count_nonzero(part) / np.pi) ** 0.5 * size, 1.0)
        scale = (1 - (beyond / radius).clamp_max(1) ** _BLUNT_END) ** (1 / _BLUNT_END)
        values = [int(value) for value in np.unique(labels[part])]
        distances = torch.stack([torch.from_numpy(_signed(part & (labels == value))) for value in values])
        shrunk = _scaled(distances, scale.clamp_min(0.05), np.argwhere(part).mean(0))
        shrunk -= (_FALL * (beyond - radius)).clamp_min(0)[:, None, None, None]
        for value, maps in zip(values, shrunk.unbind(1), strict=True):
            logits[:, value] = torch.maximum(logits[:, value], maps)
    return _with_background(logits, softness)


def _parts(labels: np.ndarray) -> list[np.ndarray]:
    """Masks of what touches."""
    found, count = label(binary_dilation(labels > 0, np.ones((3, 3))))
    found = np.where(labels > 0, found, 0)
    order = np.argsort(-np.bincount(found.ravel(), minlength=count + 1)[1:]) + 1
    parts = [found == number for number in order[:_MOST_PARTS]]
    return [*parts, np.isin(found, order[_MOST_PARTS:])] if count > _MOST_PARTS else parts


def _scaled(distances: Tensor, scale: Tensor, centre: np.ndarray) -> Tensor:
    """Signed distances (K, h, w) made smaller around a centre (row, column) by each scale (T,): (T, K, h, w)."""
    height, width = distances.shape[1:]
    rows = (torch.arange(height) - centre[0])[None] / scale[:, None] + centre[0]
    columns = (torch.arange(width) - centre[1])[None] / scale[:, None] + centre[1]
    grid = torch.stack([
        (columns / max(1, width - 1) * 2 - 1)[:, None, :].expand(-1, height, -1),
        (rows / max(1, height - 1) * 2 - 1)[:, :, None].expand(-1, -1, width)], 3)
    moved = F.grid_sample(distances[None].expand(len(scale), -1, -1, -1), grid.to(distances.dtype),
                          padding_mode="border", align_corners=True)
    return moved * scale[:, None, None, None]
