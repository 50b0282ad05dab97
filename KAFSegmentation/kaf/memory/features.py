"""What the memory compares: decoder features of three scales and the intensity, per slice, in few components."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from kaf.imaging.prepare import Prepared
from kaf.inference.slices import SlicePredictor

SCALES = 3  # of the decoder, the finest ones
COMPONENTS = 24
WEIGHTS = (0.7, 1.0, 1.0, 2.0)  # of the parts: full, half and quarter resolution of the decoder, and the image
_FIT = 12  # slices that the projection is found on
_SAMPLES = 20_000
MOST_BYTES = 240 << 20  # of features and probabilities kept for a scan


def pooled(maps: Tensor, stride: int) -> Tensor:
    """(B, C, H, W) averaged over places of ``stride`` x ``stride`` pixels, 1 or 2; an odd side is repeated at its
    edge."""
    if stride == 1:
        return maps
    height, width = maps.shape[2:]
    return F.avg_pool2d(F.pad(maps, (0, width % 2, 0, height % 2), mode="replicate"), 2)


def enlarged(soft: Tensor, stride: int, size: tuple[int, int]) -> Tensor:
    """Places (T, K, h, w) as pixels (T, K, H, W), bilinear."""
    if stride == 1:
        return soft[:, :, :size[0], :size[1]]
    height, width = soft.shape[2:]
    large = F.interpolate(soft, size=(2 * height, 2 * width), mode="bilinear", align_corners=False)
    return large[:, :, :size[0], :size[1]]


def _smooth(image: Tensor) -> Tensor:
    """(B, 1, H, W) -> (B, 4, H, W): intensity, smoothed intensity and its gradient along rows and columns."""
    kernel = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0], device=image.device) / 16
    padded = F.pad(image, (2, 2, 2, 2), mode="replicate")
    smooth = F.conv2d(F.conv2d(padded, kernel.view(1, 1, 1, 5)), kernel.view(1, 1, 5, 1))
    wide = F.pad(smooth, (1, 1, 1, 1), mode="replicate")
    rows = (wide[:, :, 2:, 1:-1] - wide[:, :, :-2, 1:-1]) / 2
    columns = (wide[:, :, 1:-1, 2:] - wide[:, :, 1:-1, :-2]) / 2
    return torch.cat([image, smooth, rows, columns], 1)


def raw_parts(decoder: Sequence[Tensor], image: Tensor, stride: int) -> list[Tensor]:
    """Parts of the features, each (B, C, h, w) in places of ``stride`` pixels: the finest scales of the decoder, the
    image."""
    height, width = image.shape[2:]
    size = (-(-height // stride), -(-width // stride))
    parts = []
    for level, maps in enumerate(reversed(decoder[-SCALES:])):
        maps = maps.float()
        factor = 2 ** level // stride
        if factor == 0:
            maps = pooled(maps, stride)
        elif factor > 1:
            maps = F.interpolate(maps, scale_factor=float(factor), mode="bilinear", align_corners=False)
        parts.append(maps[:, :, :size[0], :size[1]])
    return [*parts, pooled(_smooth(image), stride)]


@dataclass(frozen=True)
class Projection:
    """Channels -> components: z-score per channel, weights per part, principal components."""

    centre: Tensor
    scale: Tensor
    axes: Tensor  # (channels, components)

    def __call__(self, parts: Sequence[Tensor]) -> Tensor:
        """(B, C, h, w) each -> (B, components, h, w) float32."""
        stacked = torch.cat([part.float() for part in parts], 1)
        matrix = self.axes / self.scale[:, None]
        moved = torch.einsum("bchw,cd->bdhw", stacked, matrix)
        return moved - (self.centre @ matrix)[None, :, None, None]


def fit_projection(parts: Sequence[Tensor], seed: int = 0) -> Projection:
    """From features of some slices, each part (B, C, h, w)."""
    stacked = torch.cat([part.float() for part in parts], 1)
    weights = torch.cat([torch.full((part.shape[1],), weight / part.shape[1] ** 0.5)
                         for part, weight in zip(parts, WEIGHTS, strict=True)]).to(stacked.device)
    flat = stacked.permute(0, 2, 3, 1).reshape(-1, stacked.shape[1])
    if len(flat) > _SAMPLES:
        flat = flat[torch.randperm(len(flat), generator=torch.Generator().manual_seed(seed))[:_SAMPLES].to(flat.device)]
    centre, spread = flat.mean(0), flat.std(0).clamp_min(1e-4) if len(flat) > 1 else torch.ones_like(flat[0])
    weighed = (flat - centre) / spread * weights
    _, axes = torch.linalg.eigh((weighed.T @ weighed / max(1, len(flat))).double().cpu())  # ascending
    chosen = axes[:, -COMPONENTS:].flip(1).float().to(flat.device) * weights[:, None]
    return Projection(centre, spread, chosen)


@dataclass(frozen=True)
class Region:
    """Rows and columns of the canonical slices, both even at the start: where the memory looks."""

    rows: slice
    columns: slice

    @property
    def size(self) -> tuple[int, int]:
        return self.rows.stop - self.rows.start, self.columns.stop - self.columns.start

    def holds(self, other: Region) -> bool:
        return all(mine.start <= theirs.start and theirs.stop <= mine.stop
                   for mine, theirs in ((self.rows, other.rows), (self.columns, other.columns)))

    def joined(self, other: Region) -> Region:
        """The smallest region that holds both."""
        return Region(slice(min(self.rows.start, other.rows.start), max(self.rows.stop, other.rows.stop)),
                      slice(min(self.columns.start, other.columns.start), max(self.columns.stop, other.columns.stop)))


def region_around(held: np.ndarray, margin: int = 32) -> Region:
    """Around the True pixels of (H, W), with a margin in pixels; all of it where there is none."""
    height, width = held.shape
    if not held.any():
        return Region(slice(0, height), slice(0, width))
    rows, columns = np.flatnonzero(held.any(1)), np.flatnonzero(held.any(0))
    return Region(slice(max(0, int(rows[0]) - margin) // 16 * 16, min(height, -(-(int(rows[-1]) + margin) // 16) * 16)),
                  slice(max(0, int(columns[0]) - margin) // 16 * 16,
                        min(width, -(-(int(columns[-1]) + margin) // 16) * 16)))


class ScanFeatures:
    """Features and the model's probabilities of the slices of one scan, inside a region; computed once, kept while
    there is room.

    Args:
        predictor: the network over slices.
        prepared: the scan as the network sees it.
        stride: pixels along the side of a place, 1 or 2.
    """

    def __init__(self, predictor: SlicePredictor, prepared: Prepared, region: Region, stride: int = 2):
        self.prepared, self.region, self.stride = prepared, region, stride
        self._predictor = predictor
        self._stored: dict[int, tuple[Tensor, Tensor]] = {}
        count = len(prepared.image)
        chosen = sorted({round(place) for place in np.linspace(0, count - 1, min(_FIT, count)).tolist()})
        parts: list[list[Tensor]] = []
        known = []
        for part, found, probabilities in self._pass(chosen):
            parts.append(found)
            known += list(zip(part, probabilities, strict=True))
        joined = [torch.cat(level) for level in zip(*parts, strict=True)]
        self.projection = fit_projection(joined)
        self._keep([(number, maps, probabilities) for (number, probabilities), maps in
                    zip(known, self.projection(joined), strict=True)])

    def __call__(self, slices: Sequence[int]) -> Tensor:
        """(n, D, h, w) float32, places of the region."""
        self._make(slices)
        if not len(slices):
            places = (-(-size // self.stride) for size in self.region.size)
            return torch.zeros(0, self.projection.axes.shape[1], *places)
        return torch.stack([self._stored[number][0] for number in slices]).float()

    def probabilities(self, slices: Sequence[int]) -> Tensor:
        """(n, classes of the model, H, W) float32 in the region, to a 255th."""
        self._make(slices)
        if not len(slices):
            return torch.zeros(0, 1, *self.region.size)
        return torch.stack([self._stored[number][1] for number in slices]).float() / 255

    @property
    def bytes(self) -> int:
        """Memory that is taken."""
        return sum(tensor.numel() * tensor.element_size() for pair in self._stored.values() for tensor in pair)

    def raw(self, slices: Sequence[int]) -> list[Tensor]:
        """Every part (n, C, h, w), before the projection, each channel standardised by this scan."""
        found: list[list[Tensor]] = [parts for _, parts, _ in self._pass(list(slices))]
        joined = [torch.cat(level) for level in zip(*found, strict=True)]
        sizes = [part.shape[1] for part in joined]
        stacked = torch.cat(joined, 1) - self.projection.centre[None, :, None, None]
        return list((stacked / self.projection.scale[None, :, None, None]).split(sizes, 1))

    def _make(self, slices: Sequence[int]) -> None:
        missing = [number for number in dict.fromkeys(slices) if number not in self._stored]
        for part, parts, probabilities in self._pass(missing) if missing else ():
            maps = self.projection(parts)
            self._keep(list(zip(part, maps, probabilities, strict=True)))
        self._forget_but(set(slices))

    def _forget_but(self, needed: set[int]) -> None:
        """Until all fits, or nothing but what is needed is left."""
        spare = [number for number in self._stored if number not in needed]
        while spare and self.bytes > MOST_BYTES:
            del self._stored[spare.pop(0)]

    def _keep(self, slices: Sequence[tuple[int, Tensor, Tensor]]) -> None:
        for number, maps, probabilities in slices:
            self._stored[number] = maps.half().contiguous().clone(), probabilities.contiguous().clone()

    def _pass(self, slices: Sequence[int]) -> Iterator[tuple[list[int], list[Tensor], Tensor]]:
        """Slices, their parts, and the probabilities as whole 255ths, all in the region and on the CPU."""
        rows, columns = self.region.rows, self.region.columns
        places = tuple(slice(part.start // self.stride, -(-part.stop // self.stride)) for part in (rows, columns))
        for part, features in self._predictor(self.prepared.image, self.prepared.keypoints, slices):
            image = torch.from_numpy(self.prepared.image[part])[:, None].to(features.logits.device)
            with torch.inference_mode():
                parts = [maps[:, :, places[0], places[1]].cpu()
                         for maps in raw_parts(features.decoder, image, self.stride)]
                shares = (features.logits[:, :, rows, columns].softmax(1) * 255).round().to(torch.uint8).cpu()
            yield part, parts, shares
