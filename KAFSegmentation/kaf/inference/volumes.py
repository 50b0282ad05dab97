"""A 3-D network over a volume: MONAI's sliding window, one layer of patches after the other.

The scores of a layer are added up with Gaussian weights along the slices; slices that no later layer reaches come
out at once, so that the scores of all classes exist for one patch's depth of slices only, never for the volume.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from kaf.imaging.keypoints import Keypoints
from kaf.inference.slices import SlicePredictor
from kaf.network import Features

_SIGMA = 0.125  # of the patch, as MONAI has it
_LEAST_WEIGHT = 1e-3
_SLICES_PER_PATCH = 4  # ``batch`` counts slices; so many of them are as much work as one patch, or more
_MIRRORS: tuple[tuple[int, ...], ...] = ((3,), (4,), (3, 4))


@dataclass
class VolumePredictor(SlicePredictor):
    """Scores of a volume from patches of ``patch`` (slices, rows, columns), each of which sees ``overlap`` (0..1) of
    the one before again.  With ``flips`` each patch is also seen mirrored along rows, columns and both.
    """

    patch: tuple[int, int, int] = (16, 96, 96)
    overlap: float = 0.5

    def __call__(self, image: np.ndarray, keypoints: Sequence[Keypoints] = (), slices: Sequence[int] | None = None,
                 capture: bool = False) -> Iterator[tuple[list[int], Features]]:
        """Yields (slice indices, features with float32 logits (n, K, H, W)) over (S, H, W), or (S, C, H, W) of several
        channels, in rising order."""
        wanted = set(range(len(image)) if slices is None else slices)
        channels = image[None] if image.ndim == 3 else np.moveaxis(image, 1, 0)
        border, depth = np.array([float(channel.min()) for channel in channels], np.float32), self.patch[0]
        starts = [start for start in layer_starts(len(image), depth, self.overlap)
                  if wanted & set(range(start, start + depth))]
        weight = gaussian(depth)
        totals: dict[int, Tensor] = {}
        weights: dict[int, float] = {}
        for start, after in zip(starts, [*starts[1:], len(image)], strict=True):
            scores = self._layer(channels, start, border)
            for index in wanted & set(range(max(start, 0), min(start + depth, len(image)))):
                share = float(weight[index - start])
                part = scores[:, index - start] * share
                totals[index] = totals[index].to(part.device).add_(part) if index in totals else part
                weights[index] = weights.get(index, 0.0) + share
            done = sorted(index for index in totals if index < after)
            for first in range(0, len(done), _SLICES_PER_PATCH):
                group = done[first:first + _SLICES_PER_PATCH]
                logits = torch.stack([(totals.pop(index) / weights.pop(index)).to(scores.device) for index in group])
                self._refuse_not_finite(logits, group)
                yield group, Features(logits, [], logits.new_empty(0), [], [] if capture else None)

    def _layer(self, image: np.ndarray, start: int, border: np.ndarray) -> Tensor:
        """(K, depth, H, W) float32 scores of the patches that begin at slice ``start``; less memory if it runs out."""
        from monai.inferers import sliding_window_inference

        depth = self.patch[0]
        slab = np.broadcast_to(border[:, None, None, None], (len(image), depth, *image.shape[2:])).copy()
        low, high = max(start, 0), min(start + depth, image.shape[1])
        slab[:, low - start:high - start] = image[:, low:high]
        while True:
            try:
                with torch.inference_mode(), self.place.autocast():
                    scores = sliding_window_inference(
                        torch.from_numpy(slab)[None].to(self.place.device), self.patch,
                        max(1, self.batch // _SLICES_PER_PATCH), self._patches, self.overlap, mode="gaussian",
                        sigma_scale=_SIGMA, cval=float(border[0]))
                assert isinstance(scores, Tensor)
                return scores[0]
            except Exception as error:  # which kind of error it is depends on the library
                self._make_room(error)

    def _patches(self, patches: Tensor) -> Tensor:
        """(n, C, D, H, W) -> (n, K, D, H, W) float32 logits, or the logarithm of averaged probabilities."""
        logits: Tensor = self.network(patches).logits.float()
        if not self.flips:
            return logits
        total = F.softmax(logits, 1)
        for dims in _MIRRORS:
            total += F.softmax(self.network(patches.flip(dims)).logits.float(), 1).flip(dims)
        return (total / (1 + len(_MIRRORS))).clamp_min(1e-9).log()


def layer_starts(length: int, depth: int, overlap: float) -> list[int]:
    """First slices of the layers of patches; the last one ends with the volume.  A volume that is less deep than a
    patch lies in its middle: the start is negative."""
    if length <= depth:
        return [-((depth - length) // 2)]
    step = max(1, int(depth * (1 - overlap)))
    return [min(start, length - depth) for start in range(0, length - depth + step, step)]


def gaussian(length: int) -> np.ndarray:
    """(length,) weights of the slices of a patch: 1 in its middle, as MONAI weighs windows."""
    away = np.arange(length) - (length - 1) / 2
    return np.maximum(np.exp(-0.5 * (away / (_SIGMA * length)) ** 2), _LEAST_WEIGHT)
