"""Strides, kernels and widths of the stages of a 3-D network."""

from __future__ import annotations

from collections.abc import Sequence

from kaf.settings.network import Axes, NetworkSettings

LEAST_CELLS = 2  # along an axis at the bottom
_STEPS = 4
_SAME_SHARPNESS = 2.0  # axes are halved, and looked across, once their spacing is within this factor of the finest
_WIDEST = 10  # times the first width: 32, 64, 128, 256, 320 as PGL has it


def design(patch: Sequence[float], spacing: Sequence[float]) -> tuple[tuple[Axes, ...], tuple[Axes, ...]]:
    """Strides and kernels of the stages for patches of this size (voxels) and spacing (mm), both (slice, row, column).

    As in nnU-Net: an axis much coarser than the finest one is neither halved nor looked across until the others
    have caught up.  At most four times, and as long as two cells are left along an axis.
    """
    sizes, lengths, kernel = list(patch), list(spacing), [1, 1, 1]
    strides, kernels = [(1, 1, 1)], []
    while True:
        fine = [length <= _SAME_SHARPNESS * min(lengths) for length in lengths]
        kernel = [3 if good else side for good, side in zip(fine, kernel, strict=True)]
        kernels.append((kernel[0], kernel[1], kernel[2]))
        step = [2 if good and size / 2 >= LEAST_CELLS else 1 for good, size in zip(fine, sizes, strict=True)]
        if len(strides) > _STEPS or (max(step) == 1 and len(strides) >= 3):
            return tuple(strides), tuple(kernels)
        strides.append((step[0], step[1], step[2]))
        sizes = [size / s for size, s in zip(sizes, step, strict=True)]
        lengths = [length * s for length, s in zip(lengths, step, strict=True)]


def total_stride(settings: NetworkSettings) -> Axes:
    """Voxels of the patch per cell at the bottom, (slice, row, column)."""
    total = [1, 1, 1]
    for stage in stages_of(settings)[0]:
        total = [t * s for t, s in zip(total, stage, strict=True)]
    return total[0], total[1], total[2]


def widths(settings: NetworkSettings) -> list[int]:
    """Channels of the stages."""
    stages = len(stages_of(settings)[0])
    return [min(settings.width * 2 ** stage, _WIDEST * settings.width) for stage in range(stages)]


def stages_of(settings: NetworkSettings) -> tuple[tuple[Axes, ...], tuple[Axes, ...]]:
    """Strides and kernels; for equally sharp axes where the settings do not say."""
    if settings.strides:
        return settings.strides, settings.kernels
    return ((1, 1, 1),) + ((2, 2, 2),) * _STEPS, ((3, 3, 3),) * (_STEPS + 1)
