"""Settings -> network: ours, or one of MONAI's behind the same call."""

from __future__ import annotations

from importlib.util import find_spec

import torch.nn.functional as F
from torch import Tensor, nn

from kaf.network.ensemble import Ensemble
from kaf.network.kafunet import Features, KAFUNet
from kaf.network.volumes import VolumeNetwork
from kaf.runtime.errors import ResourceError
from kaf.settings.network import NetworkSettings

_MULTIPLE = 32


class ReferenceNetwork(nn.Module):
    """A MONAI network with :class:`KAFUNet`'s call; keypoints are taken and not used."""

    def __init__(self, settings: NetworkSettings):
        super().__init__()
        self.settings = settings
        self.body = _monai_body(settings)

    def forward(self, image: Tensor, keypoints: Tensor | None = None, mask: Tensor | None = None,
                capture: bool = False) -> Features:
        height, width = image.shape[2:]
        # SwinUNETR normalises its coarsest map over pixels: it needs more than the one that 32 leave there.
        least = 2 * _MULTIPLE if self.settings.kind == "swinunetr" else 1
        bottom, right = (max(-size % _MULTIPLE, least - size) for size in (height, width))
        image = F.pad(image, (0, right, 0, bottom))
        logits = self.body(image)[:, :, :height, :width]
        return Features(logits, [], logits, [], [] if capture else None)


def _monai_body(settings: NetworkSettings) -> nn.Module:
    from monai.networks import nets

    inputs, outputs, width = settings.in_channels, settings.classes, settings.width
    if settings.kind == "unet":
        return nets.UNet(2, inputs, outputs, channels=tuple(width * 2 ** s for s in range(5)),
                         strides=(2, 2, 2, 2), num_res_units=2)
    if settings.kind == "basicunet":
        return nets.BasicUNet(2, inputs, outputs, features=(width, width, 2 * width, 4 * width, 8 * width, width))
    if settings.kind == "dynunet":
        return nets.DynUNet(2, inputs, outputs, kernel_size=[3] * 5, strides=[1, 2, 2, 2, 2],
                            upsample_kernel_size=[2] * 4, filters=[width * 2 ** s for s in range(5)])
    if find_spec("einops") is None:
        raise ResourceError("network swinunetr", "needs the package einops, which is not installed",
                            "Install it with `pip install einops`, or choose another network.")
    feature_size = max(12, width // 12 * 12)  # SwinUNETR asks for a multiple of 12
    return nets.SwinUNETR(in_channels=inputs, out_channels=outputs, feature_size=feature_size, spatial_dims=2)


def build_network(settings: NetworkSettings, fusion_start: str = "zero") -> nn.Module:
    """A network with random weights; torch's generator decides them.

    fusion_start: "zero", the keypoint branch contributes nothing yet; "random", it does, as published.
    """
    if settings.members > 1:
        return Ensemble(settings, build_network)
    if settings.dimensions == 3:
        return VolumeNetwork(settings)
    if settings.kind != "kaf":
        return ReferenceNetwork(settings)
    network = KAFUNet(settings)
    if fusion_start == "random":
        network.start_fusion_at_random()
    return network


def count_parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())
