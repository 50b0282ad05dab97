"""The 3-D network: MONAI's DynUNet (an nnU-Net) taken apart into encoder, decoder and head, behind KAFUNet's call."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kaf.network.kafunet import Depth, Features
from kaf.settings.network import NetworkSettings
from kaf.settings.stages import LEAST_CELLS, stages_of, total_stride, widths

_SHORT = 2  # voxels


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
        strides, kernels = stages_of(settings)
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
        missing[2] = max(missing[2], LEAST_CELLS * self._cell[2] - size[2])
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
