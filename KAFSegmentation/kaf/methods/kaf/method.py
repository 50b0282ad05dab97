"""KAF: positional contrast of slices and of their pooled keypoints, and matching of keypoints (Yang et al., 2023)."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kaf.data.needs import Needs
from kaf.methods.base import LossOutput, Method, MethodInput, bottleneck_width, mean_of_tokens
from kaf.methods.contrast import ImageHead, contrast, needs_of_contrast, standardised
from kaf.methods.kaf.info import INFO
from kaf.methods.kaf.settings import KafSettings
from kaf.methods.kaf.sinkhorn import log_transport
from kaf.methods.sheet import Sheet
from kaf.network.attention import TokenMLP
from kaf.network.batch_norm import BatchNorm1d
from kaf.network.batch_norm import at_least_float as fp32
from kaf.runtime import ranks
from kaf.settings.base import Settings
from kaf.settings.network import NetworkSettings

_LEAST_LOG = -100.0
_ROUNDS = 2  # of self- and cross-attention
_HEADS = 4


class Message(nn.Module):
    """x + MLP(concat(x, MHA(x, source))): attention to one's own keypoints or to those of the other view."""

    def __init__(self, width: int, norm: str):
        super().__init__()
        self.query, self.key_value = nn.Linear(width, width), nn.Linear(width, 2 * width)
        self.merge = nn.Linear(width, width)
        self.mlp = TokenMLP([2 * width, 2 * width, width], norm)

    def forward(self, tokens: Tensor, source: Tensor, mask: Tensor, source_mask: Tensor) -> Tensor:
        batch, count, width = tokens.shape
        split = (batch, -1, _HEADS, width // _HEADS)
        query = self.query(tokens).view(split).transpose(1, 2)
        key, value = (part.reshape(split).transpose(1, 2) for part in self.key_value(source).chunk(2, -1))
        with torch.autocast(tokens.device.type, enabled=False):
            attended = F.scaled_dot_product_attention(fp32(query), fp32(key), fp32(value),
                                                      attn_mask=source_mask[:, None, None, :])
        attended = self.merge(attended.transpose(1, 2).reshape(batch, count, width))
        return tokens + self.mlp(torch.cat([tokens, attended], -1), mask.to(attended.dtype))


class Matcher(nn.Module):
    """Scores (B, N, M) between the keypoints of two views: own positions, self, cross, self, cross, projection."""

    def __init__(self, width: int, norm: str):
        super().__init__()
        self.position = TokenMLP([2, 32, 64, 128, width, width], norm)
        self.layers = nn.ModuleList(Message(width, norm) for _ in range(2 * _ROUNDS))
        self.project = nn.Linear(width, width)
        self.dustbin = nn.Parameter(torch.tensor(1.0))

    def forward(self, tokens: list[Tensor], places: list[Tensor], masks: list[Tensor]) -> Tensor:
        mine = [t + self.position(p, m.to(t.dtype)) for t, p, m in zip(tokens, places, masks, strict=True)]
        for index, layer in enumerate(self.layers):
            sources = mine if index % 2 == 0 else mine[::-1]
            attended = masks if index % 2 == 0 else masks[::-1]
            mine = [layer(t, s, m, h) for t, s, m, h in zip(mine, sources, masks, attended, strict=True)]
        a, b = (fp32(self.project(t)) for t in mine)
        with torch.autocast(a.device.type, enabled=False):
            return a @ b.transpose(1, 2) / math.sqrt(a.shape[-1])


def matching_loss(log_p: Tensor, matches: Tensor, mask: Tensor, other: Tensor, settings: KafSettings) -> Tensor:
    """(B,) negative log-likelihood of the correspondences under a transport plan (equation 2, normalised per slice).

    log_p: (B, N + 1, M + 1); matches: (B, N) index in the other view, or -1 for unmatched; mask (B, N), other (B, M):
    real keypoints.  Means over matched and over unmatched keypoints, each log clamped to [-100, 0].
    """
    log_p = log_p.clamp(_LEAST_LOG, 0)
    paired = mask & (matches >= 0)
    taken = log_p[:, :-1].gather(2, matches.clamp(min=0)[..., None]).squeeze(-1)
    matched = -(taken * paired).sum(1) / paired.sum(1).clamp(min=1)
    free = mask & ~paired
    slots = torch.zeros(other.shape[0], other.shape[1] + 1, dtype=torch.bool, device=other.device)
    slots.scatter_(1, torch.where(paired, matches, other.shape[1]), True)
    free_other = other & ~slots[:, :-1]
    lonely = (log_p[:, :-1, -1] * free).sum(1) + (log_p[:, -1, :-1] * free_other).sum(1)
    unmatched = -lonely / (free.sum(1) + free_other.sum(1)).clamp(min=1)
    return settings.matched_share * matched + settings.unmatched_share * unmatched


class Kaf(Method):
    """w1 * contrast(image) + w2 * contrast(pooled keypoints) + w3 * matching (KAF equation 3); only the encoder learns.

    Terms: the three, before their weights; "matched keypoints", those per slice that have a match in the neighbour;
    "inliers", the share of them whose match gets most of their mass in the transport plan; "inliers by chance", that of
    a random guess; "matches above chance", the share of the matches that is not left when descriptors are shuffled:
    near 0, matching teaches nothing.
    """

    views: ClassVar[tuple[str, ...]] = ("anchor", "neighbour")
    trains: ClassVar[tuple[str, ...]] = INFO.trains

    def __init__(self, settings: KafSettings, network: NetworkSettings):
        super().__init__(settings, network)
        self.settings = settings
        width = settings.token_width
        scales = sum(network.scales) if network.fusion == "keypoints" else 0
        if not scales:
            raise ValueError("method kaf needs a network with keypoint fusion (network.fusion = keypoints)")
        self.image_head = ImageHead(bottleneck_width(network), settings)
        self.join = nn.Linear(scales * network.token_width, width)
        self.token_head = nn.Sequential(nn.Linear(width, width), BatchNorm1d(width), nn.ReLU(),
                                        nn.Linear(width, settings.width), standardised(settings))
        self.matcher = Matcher(width, network.resolved_token_norm)

    @classmethod
    def needs(cls, settings: Settings) -> Needs:
        assert isinstance(settings, KafSettings)
        return replace(needs_of_contrast(cls.views, settings), match_radius=settings.radius,
                       match_mm=settings.radius_mm or 0.0, match_ratio=settings.ratio)

    def forward(self, given: MethodInput, teacher: Method | None = None) -> LossOutput:
        batch, s = given.batch, self.settings
        views = [batch.views[name] for name in ("anchor", "neighbour")]
        features = [given.features[name] for name in ("anchor", "neighbour")]
        tokens = self._joined(given)
        masks = [view.mask for view in views]
        images = self.image_head(torch.cat([f.bottleneck for f in features])).chunk(2)
        pooled = torch.cat([mean_of_tokens(t, m) for t, m in zip(tokens, masks, strict=True)])
        around = self.token_head(pooled).chunk(2)
        terms = {"image contrast": contrast(images[0], images[1], batch.position, s),
                 "keypoint contrast": contrast(around[0], around[1], batch.position, s)}
        loss = s.image_weight * terms["image contrast"] + s.keypoint_weight * terms["keypoint contrast"]
        if s.local_weight:
            log_p = self.transport(given, tokens)
            each = matching_loss(log_p, batch.matches, masks[0], masks[1], s)
            terms["matching"] = ranks.mean(each.sum(), each.new_tensor(len(each)))
            loss = loss + s.local_weight * terms["matching"]
            terms |= _matching_figures(log_p, batch.matches, masks)
            if batch.found is not None:
                matched, chance = (ranks.all_sum(batch.found[:, index].sum()) for index in (0, 1))
                terms["matches above chance"] = 1 - chance / matched.clamp(min=1)
        terms = {name: value.detach() for name, value in terms.items()}
        return LossOutput(loss, terms, torch.stack(images).detach())

    def _joined(self, given: MethodInput) -> list[Tensor]:
        """Per view the tokens (B, N, token_width) of its keypoints, of all scales together."""
        features = [given.features[name] for name in self.views]
        return [self.join(torch.cat([t.to(f.tokens[0].dtype) for t in f.tokens], -1)) for f in features]

    def transport(self, given: MethodInput, tokens: list[Tensor] | None = None) -> Tensor:
        """(B, N + 1, M + 1) log of the transport plan from the anchor's keypoints to the neighbour's."""
        tokens = self._joined(given) if tokens is None else tokens
        views = [given.batch.views[name] for name in self.views]
        size = views[0].image.shape[2:]
        centred = [torch.stack([view.keypoints[..., axis] - size[axis] / 2 for axis in (0, 1)], -1) for view in views]
        places = [points / (0.7 * max(size)) for points in centred]
        scores = self.matcher(tokens, places, [view.mask for view in views])
        return log_transport(scores, views[0].mask, views[1].mask, self.matcher.dustbin, self.settings.sinkhorn)


    def picture(self, given: MethodInput) -> Sheet:
        from kaf.methods.kaf.picture import matched

        return matched(self, given)


METHOD = Kaf


@torch.no_grad()
def _matching_figures(log_p: Tensor, matches: Tensor, masks: list[Tensor]) -> dict[str, Tensor]:
    """How many keypoints have a match, the share of those that the network finds, and the share that a guess among the
    keypoints of the other slice (and none of them) would find."""
    paired = masks[0] & (matches >= 0)
    guess = log_p[:, :-1].masked_fill(~torch.cat([masks[1], masks[1].new_ones(len(matches), 1)], 1)[:, None],
                                      -torch.inf).argmax(2)
    right = (guess == matches) & paired
    count = paired.sum().float()
    guessed = (paired.sum(1) / (1.0 + masks[1].sum(1))).sum()
    return {"matched keypoints": count / len(matches), "inliers": right.sum() / count.clamp(min=1),
            "inliers by chance": guessed / count.clamp(min=1)}
