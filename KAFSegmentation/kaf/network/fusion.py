"""The fusion layer: keypoint tokens attend to each other and are spread back over the map (Yang et al., 2023).

Paper: F_out = Concat(F, D(F_s)), where F_s holds the tokens at their pixels and zero elsewhere and D is two
3x3 convolutions.  The first of them acts on a map that is zero but at a few sites, so it is computed from the
sites: bias + sum over the nine offsets of W_offset x token.  The dense 256-channel map never exists.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kaf.network.attention import (
    AttentionBlock,
    PositionalEncoder,
    attention_bias,
    to_keypoint_attention,
)
from kaf.network.batch_norm import BatchNorm2d
from kaf.network.occupied_cells import OccupiedCells
from kaf.settings.network import NetworkSettings


def norm2d(kind: str, channels: int) -> nn.Module:
    if kind == "batch":
        return BatchNorm2d(channels)
    groups = next(g for g in (8, 4, 2, 1) if channels % g == 0)
    return nn.GroupNorm(groups, channels)


def sparse_conv3x3(tokens: Tensor, sites: OccupiedCells, weight: Tensor, bias: Tensor) -> Tensor:
    """3x3 convolution (padding 1) of the map that holds (B, M, D) tokens at their sites and zero elsewhere.

    weight: (C, D, 3, 3); bias: (C,).  Returns (B, C, H, W) in channels-last memory.
    """
    batch, count, _ = tokens.shape
    channels, (height, width) = weight.shape[0], (sites.height, sites.width)
    # Offset (a, b) of the kernel carries a token from its cell to the output 1 - (a, b) away, if that is on the map.
    away = 1 - torch.arange(3, device=tokens.device)
    rows = torch.div(sites.cells, width, rounding_mode="floor")[..., None, None] + away[:, None]
    columns = (sites.cells % width)[..., None, None] + away[None, :]
    lands = sites.mask[..., None, None] & (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    image = torch.arange(batch, device=tokens.device)[:, None, None, None] * (height * width)
    target = torch.where(lands, image + rows * width + columns, 0)
    stamps = F.linear(tokens, weight.permute(2, 3, 0, 1).reshape(9 * channels, -1))
    stamps = stamps.view(batch * count * 9, channels) * lands.reshape(-1, 1)
    canvas = bias.to(stamps.dtype).expand(batch * height * width, channels)
    canvas = canvas.index_add(0, target.flatten(), stamps)
    return canvas.view(batch, height, width, channels).permute(0, 3, 1, 2)


class KeypointFusion(nn.Module):
    """Map (B, c, H, W) and its sites -> diffused map (B, c, H, W), tokens of sites (B, M, D), attention."""

    def __init__(self, channels: int, settings: NetworkSettings):
        super().__init__()
        width, norm = settings.token_width, settings.resolved_token_norm
        self.embed = nn.Linear(channels, width)
        self.position = PositionalEncoder(width, norm)
        self.blocks = nn.ModuleList(AttentionBlock(width, settings.heads, norm) for _ in range(settings.blocks))
        self.spread = nn.Conv2d(width, settings.diffusion_width, 3, padding=1)
        self.spread_norm = norm2d(settings.norm, settings.diffusion_width)
        self.diffuse = nn.Conv2d(settings.diffusion_width, channels, 3, padding=1)

    def forward(self, features: Tensor, sites: OccupiedCells, capture: bool = False
                ) -> tuple[Tensor, Tensor, Tensor | None]:
        index = sites.cells[:, None].expand(-1, features.shape[1], -1)
        gathered = features.flatten(2).gather(2, index).transpose(1, 2)
        tokens = self.embed(gathered) + self.position(sites)
        bias = attention_bias(sites)
        captured = []
        for block in self.blocks:
            tokens, attention = block(tokens, sites, bias, capture)
            if attention is not None:
                captured.append(to_keypoint_attention(attention, sites))
        assert self.spread.bias is not None
        dense = sparse_conv3x3(tokens, sites, self.spread.weight, self.spread.bias)
        dense = self.diffuse(F.relu(self.spread_norm(dense)))
        return dense, tokens, torch.stack(captured, 1) if captured else None
