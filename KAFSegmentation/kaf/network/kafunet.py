"""KAFUNet: a 2-D U-Net whose encoder maps are joined by maps diffused from keypoint tokens (Yang et al., 2023)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kaf.network.fusion import KeypointFusion, norm2d
from kaf.network.occupied_cells import find_occupied_cells
from kaf.settings.network import NetworkSettings

STAGES = 4
SIZE_MULTIPLE = 2 ** STAGES
Depth = Literal["bottleneck", "decoder", "logits"]


@dataclass
class Features:
    """What one forward pass gives.

    logits: (B, classes, H, W); tokens: per fused scale (B, N, D), one per keypoint; bottleneck: (B, C, h, w);
    decoder: maps from coarse to fine; encoder: maps from fine to coarse, as the decoder sees them; attention: per
    fused scale (B, blocks, heads, N, N), rows sum to one over the real keypoints, or None when it was not asked
    for.  A pass that stops early leaves ``decoder`` or ``logits`` empty.
    """

    logits: Tensor
    tokens: list[Tensor]
    bottleneck: Tensor
    decoder: list[Tensor]
    attention: list[Tensor] | None = None
    encoder: list[Tensor] = field(default_factory=list)


class ConvStage(nn.Sequential):
    """Two times 3x3 convolution with bias, normalisation, LeakyReLU 0.01."""

    def __init__(self, inputs: int, outputs: int, norm: str):
        super().__init__()
        for position, channels in enumerate((inputs, outputs)):
            self.append(nn.Conv2d(channels, outputs, 3, padding=1))
            self.append(norm2d(norm, outputs))
            self.append(nn.LeakyReLU(0.01, inplace=position == 0))


class Encoder(nn.Module):
    """Four stages with fusion, and the centre: everything that self-supervised pretraining hands over."""

    def __init__(self, settings: NetworkSettings):
        super().__init__()
        self.fusion = settings.fusion
        self.scales = settings.scales if settings.fusion == "keypoints" else (settings.fusion == "copy",) * STAGES
        self.stages, self.fusions = nn.ModuleList(), nn.ModuleDict()
        self.skip_channels = []
        channels = settings.in_channels
        for scale, fused in enumerate(self.scales):
            width = settings.width * 2 ** scale
            self.stages.append(ConvStage(channels, width, settings.norm))
            if settings.fusion == "keypoints" and fused:
                self.fusions[str(scale)] = KeypointFusion(width, settings)
            channels = 2 * width if fused else width
            self.skip_channels.append(channels)
        centre = 16 * settings.resolved_decoder_width
        self.centre = nn.Sequential(
            nn.Conv2d(channels, centre, 3, padding=1), nn.ReLU(),
            nn.Conv2d(centre, centre, 3, padding=1), nn.ReLU())

    def forward(self, image: Tensor, keypoints: Tensor | None, mask: Tensor | None, capture: bool
                ) -> tuple[list[Tensor], Tensor, list[Tensor], list[Tensor]]:
        skips, tokens, attention = [], [], []
        features = image
        for scale, stage in enumerate(self.stages):
            features = stage(features if scale == 0 else F.max_pool2d(features, 2))
            if str(scale) in self.fusions and keypoints is not None and mask is not None:
                sites = find_occupied_cells(keypoints, mask, 2 ** scale, *features.shape[2:])
                dense, site_tokens, captured = self.fusions[str(scale)](features, sites, capture)
                features = torch.cat([features, dense.to(features.dtype)], 1)
                tokens.append(sites.to_keypoints(site_tokens))
                if captured is not None:
                    attention.append(captured)
            elif str(scale) in self.fusions:
                features = torch.cat([features, torch.zeros_like(features)], 1)
            elif self.scales[scale]:
                features = torch.cat([features, features], 1)
            skips.append(features)
        return skips, self.centre(F.max_pool2d(features, 2)), tokens, attention


class Decoder(nn.Module):
    """Four times: transposed convolution, joined with the skip, two convolutions."""

    def __init__(self, skip_channels: list[int], width: int, norm: str):
        super().__init__()
        self.ups, self.stages = nn.ModuleList(), nn.ModuleList()
        channels = 16 * width
        for scale in reversed(range(STAGES)):
            outputs = width * 2 ** scale
            self.ups.append(nn.ConvTranspose2d(channels, outputs, 2, stride=2))
            self.stages.append(ConvStage(outputs + skip_channels[scale], outputs, norm))
            channels = outputs

    def forward(self, centre: Tensor, skips: list[Tensor]) -> list[Tensor]:
        maps, features = [], centre
        for up, stage, skip in zip(self.ups, self.stages, reversed(skips), strict=True):
            features = stage(torch.cat([up(features), skip], 1))
            maps.append(features)
        return maps


class KAFUNet(nn.Module):
    """The published network; parameter counts in methods' table are a test.

    Args of the call:
        image: (B, C, H, W) float, any H and W (padded inside to a multiple of 16 and cut again).
        keypoints: (B, N, 2) float (row, column) in pixels, or None: the keypoint maps are zero then.
        mask: (B, N) bool, False for padding; None means that all keypoints are real.
        capture: also return the attention of every block and head.
        until: where to stop; what self-supervised losses do not look at is not computed.
    """

    def __init__(self, settings: NetworkSettings):
        super().__init__()
        self.settings = settings
        self.encoder = Encoder(settings)
        self.decoder = Decoder(self.encoder.skip_channels, settings.resolved_decoder_width, settings.norm)
        self.head = nn.Conv2d(settings.resolved_decoder_width, settings.classes, 1, bias=False)
        if settings.clusters:
            self.clusters = nn.Conv2d(settings.resolved_decoder_width, settings.clusters, 1)
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
                nn.init.kaiming_normal_(module.weight, a=0.01)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        for module in self.modules():
            if isinstance(module, KeypointFusion):
                nn.init.zeros_(module.diffuse.weight)  # it begins as a U-Net, and learns to use keypoints

    def start_fusion_at_random(self) -> None:
        """Draw the last convolution of every fusion layer from the distribution of the others, as published; torch's
        generator decides."""
        for module in self.modules():
            if isinstance(module, KeypointFusion):
                nn.init.kaiming_normal_(module.diffuse.weight, a=0.01)

    def forward(self, image: Tensor, keypoints: Tensor | None = None, mask: Tensor | None = None,
                capture: bool = False, until: Depth = "logits") -> Features:
        height, width = image.shape[2:]
        padding = (0, -width % SIZE_MULTIPLE, 0, -height % SIZE_MULTIPLE)
        if any(padding):
            image = F.pad(image, padding)
        if keypoints is not None and mask is None:
            mask = torch.ones(keypoints.shape[:2], dtype=torch.bool, device=keypoints.device)
        skips, centre, tokens, attention = self.encoder(image, keypoints, mask, capture)
        maps = self.decoder(centre, skips) if until != "bottleneck" else []
        logits = self.head(maps[-1])[:, :, :height, :width] if until == "logits" else centre.new_empty(0)
        return Features(logits, tokens, centre, maps, attention if capture else None, skips)
