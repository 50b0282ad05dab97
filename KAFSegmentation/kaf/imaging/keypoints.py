"""Keypoints of slices: SIFT detection, selection, padding, the fallback grid, and matching (Yang et al., 2023)."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from kaf.imaging.pixels import nearest_pixel
from kaf.settings.preparation import KeypointSettings

DESCRIPTOR_WIDTH = 128


@dataclass(frozen=True)
class Keypoints:
    """Keypoints of one slice, strongest first.

    positions: (N, 2) float32 (row, column) in pixels, sub-pixel; response: (N,) float32, 0 for the fallback
    grid; descriptors: (N, 128) uint8, or None where they were not computed.
    """

    positions: np.ndarray
    response: np.ndarray
    descriptors: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.positions)

    def take(self, index: np.ndarray) -> Keypoints:
        descriptors = None if self.descriptors is None else self.descriptors[index]
        return Keypoints(self.positions[index], self.response[index], descriptors)


def to_uint8(image: np.ndarray) -> np.ndarray:
    """(H, W) of any scale -> uint8 by its own minimum and maximum, as SIFT expects."""
    low, high = float(image.min()), float(image.max())
    if high <= low:
        return np.zeros(image.shape, np.uint8)
    return ((image - low) * (255.0 / (high - low))).astype(np.uint8)


def fallback_grid(height: int, width: int, spacing: int = 32) -> np.ndarray:
    """(N, 2) positions of a coarse grid, at least one, for a slice in which nothing is found."""
    rows = (np.arange(max(1, height // spacing)) + 0.5) * height / max(1, height // spacing) - 0.5
    columns = (np.arange(max(1, width // spacing)) + 0.5) * width / max(1, width // spacing) - 0.5
    return np.stack(np.meshgrid(rows, columns, indexing="ij"), -1).reshape(-1, 2).astype(np.float32)


def space_apart(positions: np.ndarray, minimum: float, shape: tuple[int, int], limit: int) -> np.ndarray:
    """Index of the first ``limit`` positions at least ``minimum`` rows or columns from all kept before them.

    It is counted between the whole pixels they fall in, since that is where the network will place them.
    """
    if minimum <= 0 or len(positions) == 0:
        return np.arange(min(limit, len(positions)))
    reach = int(np.ceil(minimum)) - 1
    cells = nearest_pixel(positions, shape)
    taken = np.zeros(shape, bool)
    kept = []
    for index, (row, column) in enumerate(cells):
        if not taken[row, column]:
            kept.append(index)
            taken[max(0, row - reach):row + reach + 1, max(0, column - reach):column + reach + 1] = True
            if len(kept) == limit:
                break
    return np.asarray(kept, int)


def detect(image: np.ndarray, settings: KeypointSettings, describe: bool = False) -> Keypoints:
    """SIFT keypoints of one (H, W) slice: the strongest ``settings.limit``, spaced apart, never none."""
    import cv2

    # OpenCV's own threads cost more than they give inside one slice; slices run side by side instead.
    cv2.setNumThreads(1)
    sift = cv2.SIFT_create(contrastThreshold=settings.contrast, enable_precise_upscale=True)  # type: ignore[attr-defined]
    picture = to_uint8(image)
    found = sift.detect(picture, None)
    if not found:
        positions = fallback_grid(*image.shape)
        zeros = np.zeros(len(positions), np.float32)
        empty = np.zeros((len(positions), DESCRIPTOR_WIDTH), np.uint8) if describe else None
        return Keypoints(positions, zeros, empty)
    # Response first; position breaks ties so that the order never depends on the detector's threads.
    found = sorted(found, key=lambda point: (-point.response, point.pt[1], point.pt[0]))
    positions = np.array([point.pt[::-1] for point in found], np.float32)
    kept = space_apart(positions, settings.spacing, image.shape, settings.limit)
    points = [found[index] for index in kept]
    descriptors = None
    if describe:
        _, values = sift.compute(picture, points)
        descriptors = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return Keypoints(positions[kept], np.array([p.response for p in points], np.float32), descriptors)


def detect_slices(slices: np.ndarray, settings: KeypointSettings, describe: bool = False, threads: int = 2
                  ) -> list[Keypoints]:
    """Keypoints of every slice of (S, H, W), several slices at a time (OpenCV releases the interpreter)."""
    with ThreadPoolExecutor(max(1, threads)) as pool:
        return list(pool.map(lambda image: detect(image, settings, describe), slices))


def pad_keypoints(positions: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Positions of B slices -> (B, N, 2) float32 padded to the largest count, (B, N) bool mask."""
    count = max(1, max(len(p) for p in positions))
    padded = np.zeros((len(positions), count, 2), np.float32)
    mask = np.zeros((len(positions), count), bool)
    for index, points in enumerate(positions):
        padded[index, :len(points)] = points
        mask[index, :len(points)] = True
    return padded, mask


def match(a: Keypoints, b: Keypoints, radius: float, ratio: float = 1.0) -> np.ndarray:
    """(M, 2) index pairs of mutual nearest descriptors among pairs within a Manhattan ``radius`` in pixels.

    ratio: below 1, the distance to the nearest descriptor must be at most this share of that to the second nearest
    within the radius (Lowe, IJCV 2004), and there must be a second one; 1 for no such test.

    The correspondence criterion of Yang et al., NeurIPS 2023, in the coordinates of the slices before any augmentation.
    """
    if a.descriptors is None or b.descriptors is None:
        raise ValueError("matching needs descriptors: detect with describe=True")
    first, second = _near(a.positions, b.positions, radius)
    apart = a.descriptors[first].astype(np.int32) - b.descriptors[second]
    cost = np.einsum("ij,ij->i", apart, apart)
    forward, backward = _nearest(first, second, cost, len(a)), _nearest(second, first, cost, len(b))
    index = np.flatnonzero(forward >= 0)
    mutual = index[backward[forward[index]] == index]
    if ratio < 1:
        first_cost, second_cost = _two_least(first, cost, len(a))
        mutual = mutual[first_cost[mutual] <= ratio ** 2 * second_cost[mutual]]
    return np.stack([mutual, forward[mutual]], 1)


def _near(a: np.ndarray, b: np.ndarray, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """Indices (P,), (P,) of all pairs of positions (N, 2), (M, 2) within a Manhattan ``radius``; the work grows with
    their number and not with N x M."""
    from scipy.spatial import cKDTree

    if not len(a) or not len(b):
        return np.empty(0, int), np.empty(0, int)
    # The tree computes in float64: it finds a little more, and the distance in the type of the positions decides.
    pairs = cKDTree(a).sparse_distance_matrix(cKDTree(b), radius * (1 + 1e-5) + 1e-5, p=1, output_type="ndarray")
    first, second = pairs["i"], pairs["j"]
    within = np.abs(a[first] - b[second]).sum(-1) <= radius
    return first[within], second[within]


def _two_least(own: np.ndarray, cost: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """(count,), (count,): the least and the second least cost of each of ``own``; -inf for a second that is not there,
    so that no first one passes the ratio test."""
    order = np.lexsort((cost, own))
    owner, least, second = own[order], np.full(count, np.inf), np.full(count, -np.inf)
    starts = np.flatnonzero(np.diff(owner, prepend=-1))
    least[owner[starts]] = cost[order][starts]
    after = starts + 1
    after = after[(after < len(owner))]
    after = after[owner[after] == owner[after - 1]]
    second[owner[after]] = cost[order][after]
    return least, second


def by_chance(a: Keypoints, b: Keypoints, radius: float, ratio: float, rng: np.random.Generator) -> int:
    """How many matches there are when the descriptors of ``b`` are those of others of its keypoints: what is left when
    descriptors say nothing."""
    if b.descriptors is None:
        raise ValueError("matching needs descriptors: detect with describe=True")
    shuffled = Keypoints(b.positions, b.response, b.descriptors[rng.permutation(len(b))])
    return len(match(a, shuffled, radius, ratio))


def _nearest(own: np.ndarray, other: np.ndarray, cost: np.ndarray, count: int) -> np.ndarray:
    """(count,): for each of ``own`` the ``other`` of least cost, the first of several; -1 without any."""
    order = np.lexsort((other, cost, own))
    found = np.full(count, -1)
    starts = np.flatnonzero(np.diff(own[order], prepend=-1))
    found[own[order][starts]] = other[order][starts]
    return found
