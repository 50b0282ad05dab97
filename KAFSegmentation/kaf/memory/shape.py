"""What shape alone says about an unfinished slice: signed distances of the finished ones, interpolated, or shrinking
beyond the last one as a ball would."""

from __future__ import annotations

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt
from torch import Tensor

_FAR = 20.0  # places: the signed distance of a structure that a slice has not


def signed_distances(labels: np.ndarray, classes: int) -> Tensor:
    """(h, w) -> (classes, h, w) in places: positive inside.  Only the surroundings of a structure are looked at."""
    result = np.full((classes, *labels.shape), -_FAR, np.float32)
    for value in range(classes):
        mask = labels == value
        if mask.all():
            result[value] = _FAR
        elif mask.any():
            box = _around(mask) if value else (slice(None), slice(None))
            inner = mask[box]
            distance = distance_transform_edt(inner) - distance_transform_edt(~inner)
            result[value][box] = np.clip(distance - np.sign(distance) * 0.5, -_FAR, _FAR)
    return torch.from_numpy(result)


def _around(mask: np.ndarray) -> tuple[slice, slice]:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    reach = int(_FAR)
    return (slice(max(0, int(rows[0]) - reach), int(rows[-1]) + reach + 1),
            slice(max(0, int(columns[0]) - reach), int(columns[-1]) + reach + 1))


def interpolated(distances: Tensor, weights: Tensor, softness: float = 3.0) -> Tensor:
    """Probabilities (T, K, h, w) from signed distances (N, K, h, w) and weights (T, N) whose rows sum to one."""
    return (torch.einsum("tn,nkyx->tkyx", weights, distances) / softness).softmax(1)


def shrunk(distances: Tensor, areas: Tensor, beyond: Tensor, softness: float) -> Tensor:
    """Probabilities (T, K, h, w) beyond a finished slice with signed distances (K, h, w): each structure ends as a ball
    of its area would.

    Args:
        areas: (K,) places of each structure.
        beyond: (T,) distance from the finished slice, in places.
    """
    radius = (areas / torch.pi).sqrt().clamp_min(1.0)
    left = (radius[None].square() - beyond[:, None].square()).clamp_min(0).sqrt()
    loss = torch.where(beyond[:, None] < radius, radius - left, radius + beyond[:, None])
    loss[:, 0] = 0
    return ((distances[None] - loss[:, :, None, None]) / softness).softmax(1)
