"""Superpixels of slices, by Felzenszwalb and Huttenlocher (IJCV 2004): regions for local contrast."""

from __future__ import annotations

import numpy as np

_AIR = 0.02  # of the range of intensities: darker regions are air


def find_superpixels(image: np.ndarray, scale: float, sigma: float, smallest: int) -> np.ndarray:
    """(S, H, W) standard intensities -> (S, H, W) uint16, regions 1, 2, ... of every slice and 0 for air.

    The window 0..1 of the algorithm is the range of the whole volume, so that noise in a dark slice makes no regions.
    """
    from skimage.segmentation import felzenszwalb

    low, high = float(image.min()), float(image.max())
    found = np.zeros(image.shape, np.uint16)
    if high <= low:
        return found
    for index, pixels in enumerate(image):
        window = (pixels.astype(np.float64) - low) / (high - low)
        regions = felzenszwalb(window, scale=scale, sigma=sigma, min_size=smallest)
        count = np.bincount(regions.ravel())
        mean = np.bincount(regions.ravel(), window.ravel()) / np.maximum(count, 1)
        names = np.where(mean > _AIR, np.cumsum(mean > _AIR), 0)
        names[names > np.iinfo(found.dtype).max] = 0  # a slice in more pieces than that has no regions to speak of
        found[index] = names[regions]
    return found
