"""From a position between pixels to the pixel it lies in: one rule for keypoints, wherever they are used.

No torch: the functions work on its tensors and on NumPy's arrays by the methods that both have.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def nearest_pixel(positions: Any, size: Sequence[int]) -> Any:
    """The pixel that each position lies in, as whole numbers; one outside the image goes to the nearest inside.

    Pixel i reaches from i - 0.5, which is part of it, to i + 0.5, which is part of the next.  So a keypoint on the
    border of two pixels goes the same way at even and at odd pixels; rounding half to even would not do that.

    Args:
        positions: (..., D) float array or tensor, (row, column) or (slice, row, column) in pixels.
        size: pixels along each of the D axes.

    Returns:
        (..., D) int64 of the same kind and on the same device.
    """
    whole = (positions + 0.5) // 1
    whole = whole.long() if hasattr(whole, "long") else whole.astype("int64")
    for axis, length in enumerate(size):
        whole[..., axis] = whole[..., axis].clip(0, length - 1)
    return whole
