"""Keypoint tokens: normalisation over real tokens, positional encoding, residual self-attention (Yang et al., 2023)."""

from __future__ import annotations

import itertools
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kaf.network.batch_norm import TokenNorm, at_least_float
from kaf.network.occupied_cells import OccupiedCells


class TokenLayerNorm(nn.LayerNorm):
    """Layer normalisation with the call of :class:`TokenNorm`; independent of the batch."""

    def forward(self, tokens: Tensor, weights: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(tokens)


def token_norm(kind: str, width: int) -> nn.Module:
    return TokenNorm(width) if kind == "batch" else TokenLayerNorm(width)


class TokenMLP(nn.Module):
    """Linear layers with normalisation and ReLU between them; the last bias starts at zero (Yang et al., 2023)."""

    def __init__(self, widths: list[int], norm: str):
        super().__init__()
        linears = [nn.Linear(a, b) for a, b in itertools.pairwise(widths)]
        nn.init.zeros_(linears[-1].bias)
        self.linears = nn.ModuleList(linears)
        self.norms = nn.ModuleList(token_norm(norm, width) for width in widths[1:-1])

    def forward(self, tokens: Tensor, weights: Tensor) -> Tensor:
        for linear, norm in zip(self.linears[:-1], self.norms, strict=True):
            tokens = F.relu(norm(linear(tokens), weights))
        return self.linears[-1](tokens)


class PositionalEncoder(TokenMLP):
    """(row, column) of a site -> token, after centring on the map and scaling by 0.7 of its longer side."""

    def __init__(self, width: int, norm: str):
        super().__init__([2, width // 8, width // 4, width // 2, width, width], norm)

    def forward(self, sites: OccupiedCells) -> Tensor:  # type: ignore[override]
        rows, columns = sites.positions.unbind(-1)
        centred = torch.stack([rows - sites.height / 2, columns - sites.width / 2], -1)
        return super().forward(centred / (0.7 * max(sites.height, sites.width)), sites.counts)


class AttentionBlock(nn.Module):
    """x + MLP(concat(x, MHA(x, x, x))): the residual block of the keypoint branch (Yang et al., 2023)."""

    def __init__(self, width: int, heads: int, norm: str):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.merge = nn.Linear(width, width)
        self.mlp = TokenMLP([2 * width, 2 * width, width], norm)

    def forward(self, tokens: Tensor, sites: OccupiedCells, bias: Tensor, capture: bool = False
                ) -> tuple[Tensor, Tensor | None]:
        """(B, M, D) tokens -> the same, and the attention (B, heads, M, M) when it is captured."""
        batch, count, width = tokens.shape
        qkv = self.qkv(tokens)
        if qkv.device.type == "cpu":
            # On CPUs bf16 makes this no faster and its backward pass nine times slower.
            with torch.autocast("cpu", enabled=False):
                message, attention = self._attend(at_least_float(qkv), bias, capture)
        else:
            message, attention = self._attend(qkv, bias.to(qkv.dtype), capture)
        message = self.merge(message.transpose(1, 2).reshape(batch, count, width))
        return tokens + self.mlp(torch.cat([tokens, message], -1), sites.counts), attention

    def _attend(self, qkv: Tensor, bias: Tensor, capture: bool) -> tuple[Tensor, Tensor | None]:
        """(B, M, 3D) -> message (B, heads, M, D / heads); captured weights are those that were used."""
        batch, count, _ = qkv.shape
        q, k, v = qkv.view(batch, count, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        if not capture:
            return F.scaled_dot_product_attention(q, k, v, attn_mask=bias), None
        attention = (q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1]) + bias).softmax(-1)
        return attention @ v, attention


def attention_bias(sites: OccupiedCells) -> Tensor:
    """(B, 1, 1, M) added to the logits: log(count), so that a site weighs as its keypoints do; -inf on padding."""
    bias = sites.counts.log()
    empty = ~sites.mask.any(1)  # a slice without any keypoint: keep the softmax finite, its tokens are never used
    return torch.where(empty[:, None], 0.0, bias)[:, None, None, :]


def to_keypoint_attention(attention: Tensor, sites: OccupiedCells) -> Tensor:
    """(B, heads, M, M) between sites -> (B, heads, N, N) between keypoints; rows sum to one, padding gets 0."""
    share = attention / sites.counts.clamp(min=1)[:, None, None, :]
    heads, inverse = attention.shape[1], sites.inverse
    count = inverse.shape[1]
    rows = share.gather(2, inverse[:, None, :, None].expand(-1, heads, -1, share.shape[-1]))
    columns = rows.gather(3, inverse[:, None, None, :].expand(-1, heads, count, -1))
    return columns * sites.real[:, None, None, :]
