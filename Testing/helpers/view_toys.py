"""Cases made by hand for tests of views: every slice says which one it is, and where."""

from __future__ import annotations

from typing import Any

import numpy as np

from kaf.data.cache import CachedCase
from kaf.data.views import UnlabelledSlices
from kaf.imaging.keypoints import Keypoints
from kaf.settings.augmentation import AugmentationSettings

SLICE, PATCH = (60, 74), (40, 48)
MOVING = AugmentationSettings(rotation=180, scale=1.4, flips=(True, True), elastic=0, intensity=0)
ELASTIC = MOVING.model_copy(update={"elastic": 1.0})


def points_at(positions: Any, seed: int = 0) -> Keypoints:
    """Keypoints with descriptors that are all different."""
    positions = np.asarray(positions, np.float32).reshape(-1, 2)
    descriptors = np.random.default_rng(seed).integers(0, 255, (len(positions), 128)).astype(np.uint8)
    return Keypoints(positions, np.ones(len(positions), np.float32), descriptors)


def a_case(image: np.ndarray, keypoints: list[Keypoints] | None = None, name: str = "a", **more: Any) -> CachedCase:
    """A case of (S, H, W) slices, by default with one keypoint in the middle of each."""
    middle = [(n - 1) / 2 for n in image.shape[1:]]
    points = keypoints or [points_at([middle]) for _ in image]
    return CachedCase(name, name, image.astype(np.float32), more.pop("labels", None), points, (8.0, 1.0, 1.0),
                      more.pop("superpixels", None))


def numbered_case(slices: int, name: str = "a", first: int = 1) -> CachedCase:
    """Slice k holds the number first + k everywhere."""
    return a_case(np.broadcast_to(np.arange(first, first + slices)[:, None, None], (slices, *SLICE)).copy(), name=name)


def dots(positions: Any, sigma: float = 1.5) -> np.ndarray:
    """A slice that is 0 but for a bright dot at every position."""
    rows, columns = np.mgrid[:SLICE[0], :SLICE[1]]
    return sum((np.exp(-((rows - r) ** 2 + (columns - c) ** 2) / (2 * sigma ** 2)) for r, c in positions),
               np.zeros(SLICE))


def slices_of(cases: list[CachedCase], augmentation: AugmentationSettings = MOVING, **more: Any) -> UnlabelledSlices:
    given = {"context": 0, "seed": 3, "names": ("neighbour", "again"), "aligned": True, **more}
    return UnlabelledSlices(cases, PATCH, augmentation=augmentation, **given)
