"""Wall thickness in the segments of the American Heart Association (Cerqueira et al., Circulation 105:539-542, 2002).

The slices with a ring of myocardium around a cavity are cut into thirds from base to apex: six basal, six mid and four
apical segments (the 16-segment model; the tip, segment 17, is not measured in short-axis slices).  The septum lies
between the two insertions of the right ventricle, and is halved; the free wall is cut into four equal parts (apical:
septum and three).  Thickness is taken along rays from the middle of the cavity, from the endocardium to the epicardium.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

NAMES = ("basal anterior", "basal anteroseptal", "basal inferoseptal", "basal inferior", "basal inferolateral",
         "basal anterolateral", "mid anterior", "mid anteroseptal", "mid inferoseptal", "mid inferior",
         "mid inferolateral", "mid anterolateral", "apical anterior", "apical septal", "apical inferior",
         "apical lateral")
_RAYS, _STEP = 180, 0.25  # rays of a slice; mm between samples along them
_REACH = 80.0  # mm
_LEAST_CAVITY = 30.0  # mm2: a smaller cavity has no middle worth of rays
_CLOSED = 0.9  # share of the rays that must cross myocardium, so that a slice counts
_LEAST_RAYS = 3  # of a segment in a slice
_TOWARDS_ANTERIOR = np.array([0.0, 1.0, 1.0]) / math.sqrt(2)  # RAS: up in a short-axis image, whatever the grid


@dataclass(frozen=True)
class Wall:
    """thickness: (16,) mm, NaN where a segment was not seen; slices: canonical slices that were used, base first;
    note: why there is nothing, empty where there is."""

    thickness: np.ndarray
    slices: tuple[int, ...]
    note: str = ""


@dataclass(frozen=True)
class Structures:
    """Label values of the right ventricle, the myocardium and the left ventricle."""

    rv: int
    myocardium: int
    lv: int


def measure_wall(labels: np.ndarray, affine: np.ndarray, values: Structures) -> Wall:
    """Thickness by segment.

    Args:
        labels: (slice, row, column) in canonical order, slices along the long axis.
        affine: 4 x 4, index (column, row, slice, 1) to RAS mm.
    """
    rays = {index: found for index in range(len(labels))
            if (found := _slice_rays(labels[index], affine, values)) is not None}
    if len(rays) < 3:
        return Wall(np.full(16, np.nan), (), "fewer than three slices show a ring of myocardium around the cavity")
    insertions = {index: ends for index in rays if (ends := _insertions(labels[index], affine, values)) is not None}
    if not insertions:
        return Wall(np.full(16, np.nan), (), "the right ventricle does not touch the myocardium, so that the septum is "
                    "not known")
    order = sorted(rays, reverse=_apex_first(labels, sorted(rays), values))
    nearest = {index: insertions[min(insertions, key=lambda other: abs(other - index))] for index in order}
    sums, counts = np.zeros(16), np.zeros(16)
    for level, part in enumerate(np.array_split(np.array(order), 3)):
        for index in part:
            segment = _segments(*nearest[int(index)], level)
            thickness = rays[int(index)]
            for number in np.unique(segment):
                own = thickness[segment == number]
                own = own[np.isfinite(own)]
                if own.size >= _LEAST_RAYS:
                    sums[number] += own.mean()
                    counts[number] += 1
    with np.errstate(invalid="ignore"):
        return Wall(sums / np.where(counts, counts, np.nan), tuple(int(index) for index in order))


def _slice_rays(labels: np.ndarray, affine: np.ndarray, values: Structures) -> np.ndarray | None:
    """(rays,) thickness in mm of a slice, NaN where a ray does not cross the wall; None for a slice without a ring."""
    cavity, wall = labels == values.lv, labels == values.myocardium
    spacing = np.linalg.norm(affine[:3, :2], axis=0)[::-1]  # row, column
    if cavity.sum() * spacing.prod() < _LEAST_CAVITY or not wall.any():
        return None
    middle = np.array(ndimage.center_of_mass(cavity))
    angles = np.arange(_RAYS) * 2 * np.pi / _RAYS
    along = np.arange(0, _REACH, _STEP)
    rows = middle[0] + np.sin(angles)[:, None] * along / spacing[0]
    columns = middle[1] + np.cos(angles)[:, None] * along / spacing[1]
    # The share of a mask at a place, half of which is its outline: finer than the pixels.
    inner, both = (ndimage.map_coordinates(mask.astype(np.float32), [rows, columns], order=1, cval=0.0) >= 0.5
                   for mask in (cavity, cavity | wall))
    within = np.cumprod(both, axis=1).sum(axis=1) * _STEP  # to where the first of both ends
    hollow = (inner & np.cumprod(both, axis=1).astype(bool))
    last = np.where(hollow.any(axis=1), (along.size - np.argmax(hollow[:, ::-1], axis=1)) * _STEP, 0.0)
    thickness = np.where(within - last > _STEP, within - last, np.nan)
    return thickness if np.isfinite(thickness).mean() >= _CLOSED else None


def _insertions(labels: np.ndarray, affine: np.ndarray, values: Structures) -> tuple[float, float] | None:
    """Angles (radians, from column axis to row axis) of the anterior and the inferior insertion of the RV."""
    heart = np.isin(labels, (values.lv, values.myocardium))
    touching = ndimage.binary_dilation(labels == values.rv, iterations=2) & (labels == values.myocardium)
    if touching.sum() < 4 or not heart.any():
        return None
    spacing = np.linalg.norm(affine[:3, :2], axis=0)[::-1]
    middle = np.array(ndimage.center_of_mass(heart))
    rows, columns = np.nonzero(touching)
    angles = np.arctan2((rows - middle[0]) * spacing[0], (columns - middle[1]) * spacing[1])
    centre = math.atan2(np.sin(angles).mean(), np.cos(angles).mean())
    away = np.angle(np.exp(1j * (angles - centre)))
    ends = [centre + float(np.percentile(away, share)) for share in (2, 98)]
    if not 0.35 < ends[1] - ends[0] < 3.0:  # 20 to 170 degrees
        return None
    rows_ras, columns_ras = (affine[:3, axis] / np.linalg.norm(affine[:3, axis]) for axis in (1, 0))
    heights = [(math.cos(end) * columns_ras + math.sin(end) * rows_ras) @ _TOWARDS_ANTERIOR for end in ends]
    return (ends[0], ends[1]) if heights[0] > heights[1] else (ends[1], ends[0])


def _segments(anterior: float, inferior: float, level: int) -> np.ndarray:
    """(rays,) index of the segment of each ray; ``level`` 0 basal, 1 mid, 2 apical."""
    septum = float(np.angle(np.exp(1j * (inferior - anterior))))  # signed, the way through the septum
    angles = np.arange(_RAYS) * 2 * np.pi / _RAYS
    turned = np.sign(septum) * (angles - anterior) % (2 * np.pi)  # from the anterior insertion through the septum
    width = abs(septum)
    inside = turned < width
    half = np.minimum(1, (turned / (width / 2)).astype(int))
    beyond = (turned - width) / (2 * np.pi - width)  # 0 at the inferior insertion, 1 at the anterior one
    if level < 2:
        free = np.array([3, 4, 5, 0])[np.clip((beyond * 4).astype(int), 0, 3)]
        return np.where(inside, 1 + half, free) + 6 * level
    free = np.array([14, 15, 12])[np.clip((beyond * 3).astype(int), 0, 2)]
    return np.where(inside, 13, free)


def _apex_first(labels: np.ndarray, slices: list[int], values: Structures) -> bool:
    """Whether the slices run from apex to base: the half with less of both cavities is the apical one."""
    areas = [int(np.isin(labels[index], (values.lv, values.rv)).sum()) for index in slices]
    half = len(areas) // 2
    return sum(areas[:half]) < sum(areas[-half:])
