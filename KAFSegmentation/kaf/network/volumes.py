"""The 3-D network: MONAI's DynUNet (an nnU-Net) taken apart into encoder, decoder and head, behind KAFUNet's call."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kaf.network.kafunet import Depth, Features
from kaf.settings.network import Axes, NetworkSettings

_STEPS = 4
_LEAST_CELLS = 2  # along an axis at the bottom
_SAME_SHARPNESS = 2.0  # axes are halved, and looked across, once their spacing is within this factor of the finest
_SHORT = 2  # voxels
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
        step = [2 if good and size / 2 >= _LEAST_CELLS else 1 for good, size in zip(fine, sizes, strict=True)]
        if len(strides) > _STEPS or (max(step) == 1 and len(strides) >= 3):
            return tuple(strides), tuple(kernels)
        strides.append((step[0], step[1], step[2]))
        sizes = [size / s for size, s in zip(sizes, step, strict=True)]
        lengths = [length * s for length, s in zip(lengths, step, strict=True)]


def total_stride(settings: NetworkSettings) -> Axes:
    """Voxels of the patch per cell at the bottom, (slice, row, column)."""
    total = [1, 1, 1]
    for stage in _stages(settings)[0]:
        total = [t * s for t, s in zip(total, stage, strict=True)]
    return total[0], total[1], total[2]


def widths(settings: NetworkSettings) -> list[int]:
    """Channels of the stages."""
    stages = len(_stages(settings)[0])
    return [min(settings.width * 2 ** stage, _WIDEST * settings.width) for stage in range(stages)]


def _stages(settings: NetworkSettings) -> tuple[tuple[Axes, ...], tuple[Axes, ...]]:
    """Strides and kernels; for equally sharp axes where the settings do not say."""
    if settings.strides:
        return settings.strides, settings.kernels
    return ((1, 1, 1),) + ((2, 2, 2),) * _STEPS, ((3, 3, 3),) * (_STEPS + 1)


class ExactConv3d(nn.Conv3d):
    """A convolution that leaves bf16 on a CPU where a side of its input is short.

    torch 2.13 leaves memory unwritten in the bf16 gradient of the weights of a 3x3x3 convolution of two slices
    (values up to 1e36 were seen, for every number of channels and size of the plane; fp32 is right, and so are
    three slices and more); where one column comes out, bf16 is wrong too (pytorch#169688).  Such maps are small.
    """

    def forward(self, values: Tensor) -> Tensor:
        if values.device.type != "cpu" or min(values.shape[2:]) > _SHORT:
            return super().forward(values)
        with torch.autocast("cpu", enabled=False):
            return super().forward(values.to(self.weight.dtype))


class VolumeNetwork(nn.Module):
    """DynUNet for (B, 1, D, H, W) patches of any size, padded inside to whole cells and cut again.

    A cell of the bottom map looks at the voxel ``cell * total_stride`` in the middle of its field: its convolutions
    of side 3 with stride 2 are centred on every second voxel (see ``methods/align.py``).
    """

    def __init__(self, settings: NetworkSettings):
        from monai.networks.nets import DynUNet

        super().__init__()
        self.settings = settings
        strides, kernels = _stages(settings)
        body = DynUNet(3, settings.in_channels, settings.classes, kernels, strides, strides[1:],
                       filters=widths(settings), norm_name=("INSTANCE", {"affine": True}))
        for module in body.modules():
            if type(module) is nn.Conv3d:
                module.__class__ = ExactConv3d
        self.encoder = nn.ModuleList([body.input_block, *body.downsamples, body.bottleneck])
        self.decoder = body.upsamples
        self.head = body.output_block
        self._cell = total_stride(settings)

    def forward(self, image: Tensor, keypoints: Tensor | None = None, mask: Tensor | None = None,
                capture: bool = False, until: Depth = "logits") -> Features:
        """Features with logits (B, classes, D, H, W); keypoints are taken and not used."""
        size = image.shape[2:]
        missing = [-n % cell for n, cell in zip(size, self._cell, strict=True)]
        # Instance normalisation needs more than one cell at the bottom.
        missing[2] = max(missing[2], _LEAST_CELLS * self._cell[2] - size[2])
        if any(missing):
            image = F.pad(image, (0, missing[2], 0, missing[1], 0, missing[0]))
        skips = [image]
        for stage in self.encoder:
            skips.append(stage(skips[-1]))
        bottom, maps = skips.pop(), []
        features = bottom
        if until != "bottleneck":
            for up, skip in zip(self.decoder, reversed(skips[1:]), strict=True):
                features = up(features, skip)
                maps.append(features)
        logits = self.head(features)[:, :, :size[0], :size[1], :size[2]] if until == "logits" else bottom.new_empty(0)
        return Features(logits, [], bottom, maps, [] if capture else None, skips[1:])
