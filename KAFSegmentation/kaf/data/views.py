"""Views of unlabelled slices for self-supervised learning: cut and changed at random, with exact geometry.

A batch is a function of (seed, step): a resumed run sees the same views, and each of several processes makes its
own part of them.  Views of one batch:

* ``anchor``: a patch of a slice; ``neighbour``: a patch of another slice nearby in the same volume (Yang et al., 2023);
* ``again``: another patch of the anchor's slice, laid so that the two overlap;
* ``masked``: the anchor's patch with squares of it hidden (made from the anchor on demand).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from kaf.data.cache import CachedCase
from kaf.data.geometry import Warp, sample_warp
from kaf.data.intensity import change_intensity
from kaf.imaging.keypoints import by_chance, fallback_grid, match, pad_keypoints
from kaf.imaging.pixels import nearest_pixel
from kaf.imaging.prepare import stack_context
from kaf.settings.augmentation import AugmentationSettings


@dataclass
class View:
    """One view of every slice of a batch.

    image: (B, C, H, W) float32; keypoints: (B, N, 2) float32 (row, column) in pixels of the view; mask: (B, N)
    bool, False for padding; valid: (B, H, W) bool, pixels that lie inside the slice; matrix: (B, 2, 3) float32,
    (row, column, 1) of the view -> (row, column) of the slice (exact for views without elastic deformation);
    regions: (B, H, W) int64, superpixel or label of each pixel, -1 for none; hidden: (B, H, W) bool.
    """

    image: Tensor
    keypoints: Tensor
    mask: Tensor
    valid: Tensor
    matrix: Tensor
    regions: Tensor | None = None
    hidden: Tensor | None = None

    def to(self, device: torch.device) -> View:
        """On the device; the copy of what is pinned does not wait."""
        return self._each(lambda values: values.to(device, non_blocking=True))

    def pin_memory(self) -> View:
        """In memory that a GPU copies from by itself."""
        return self._each(lambda values: values.pin_memory())

    def take(self, items: slice) -> View:
        return self._each(lambda values: values[items])

    def _each(self, change: Callable[[Tensor], Tensor]) -> View:
        return View(**{name: change(values) if isinstance(values, Tensor) else values
                       for name, values in vars(self).items()})


@dataclass
class ViewBatch:
    """Views by name; position: (B,) float32, (slice + 1) / slices of the anchor; matches: (B, N) int64, for each
    anchor keypoint the neighbour's that it matches, or -1; seeds: (B,) int64, one per item for what a loss draws;
    found: (B, 2) float32, matches of the two slices, and those when descriptors are shuffled, or None."""

    views: dict[str, View]
    position: Tensor
    matches: Tensor
    seeds: Tensor
    found: Tensor | None = None

    def to(self, device: torch.device) -> ViewBatch:
        return ViewBatch({name: view.to(device) for name, view in self.views.items()},
                         self.position.to(device, non_blocking=True), self.matches.to(device, non_blocking=True),
                         self.seeds, None if self.found is None else self.found.to(device, non_blocking=True))

    def pin_memory(self) -> ViewBatch:
        """In memory that a GPU copies from by itself; the name is the one that torch's DataLoader calls."""
        return ViewBatch({name: view.pin_memory() for name, view in self.views.items()}, self.position.pin_memory(),
                         self.matches.pin_memory(), self.seeds,
                         None if self.found is None else self.found.pin_memory())

    def split(self, parts: int) -> list[ViewBatch]:
        """The batch in ``parts`` of equal size, or nothing where it does not go into that many."""
        count = len(self.seeds)
        if count % parts:
            return []
        cuts = [slice(i, i + count // parts) for i in range(0, count, count // parts)]
        return [ViewBatch({name: view.take(cut) for name, view in self.views.items()}, self.position[cut],
                          self.matches[cut], self.seeds[cut], None if self.found is None else self.found[cut])
                for cut in cuts]


@dataclass
class _Piece:
    """One view of one slice; ``kept`` are the source keypoints inside it, or empty for the fallback grid."""

    image: np.ndarray
    points: np.ndarray
    kept: np.ndarray
    valid: np.ndarray
    matrix: np.ndarray
    regions: np.ndarray | None


def hide_squares(view: View, share: float, block: int, seeds: Tensor) -> View:
    """The view with about ``share`` of its squares of ``block`` pixels set to 0, the mean of standard intensities.

    Keypoints in masked patches are masked: their place alone would tell what is there.
    """
    height, width = view.image.shape[2:]
    rows, columns = -(-height // block), -(-width // block)
    draws = np.stack([np.random.default_rng([int(seed), 7]).random((rows, columns)) for seed in seeds])
    coarse = torch.from_numpy(draws < share).to(view.image.device)
    hidden = coarse.repeat_interleave(block, 1).repeat_interleave(block, 2)[:, :height, :width]
    row, column = nearest_pixel(view.keypoints, (height, width)).unbind(-1)
    covered = hidden.flatten(1).gather(1, row * width + column)
    return replace(view, image=view.image * ~hidden[:, None], mask=view.mask & ~covered, hidden=hidden)


def neighbour_offsets(index: int, slices: int, share: float, most: int) -> list[int]:
    """Offsets of the slices that count as neighbours of ``index``: within ``share`` of the volume and ``most``.

    At least one slice either way is allowed; a volume of one slice has only itself (offset 0).
    """
    reach = max(1, min(most, int(share * slices + 1e-9)))
    return [o for o in range(-reach, reach + 1) if o and 0 <= index + o < slices] or [0]


class UnlabelledSlices:
    """Draws batches of views.

    Args:
        names: the views that are wanted beside ``anchor``: ``neighbour``, ``again``.
        aligned: anchor and again are cut without elastic deformation, so that ``matrix`` is exact.
        radius: keypoints of anchor and neighbour match within this Manhattan distance; 0: no matching.
        radius_mm: the same distance in mm, in place of ``radius`` where it is not 0.
        ratio: see :func:`kaf.imaging.keypoints.match`.
        regions: what ``View.regions`` holds: "superpixels", "labels", or "" for nothing.
    """

    def __init__(self, cases: Sequence[CachedCase], size: tuple[int, int], context: int,
                 augmentation: AugmentationSettings, seed: int, names: Collection[str] = ("neighbour",),
                 aligned: bool = False, radius: float = 0.0, regions: str = "", neighbours: float = 0.18,
                 most_neighbours: int = 2, radius_mm: float = 0.0, ratio: float = 1.0):
        self._cases, self._size, self._context, self._seed = list(cases), size, context, seed
        self._names, self._regions = set(names), regions
        self._radius, self._radius_mm, self._ratio = radius, radius_mm, ratio
        self._neighbours, self._most = neighbours, most_neighbours
        self._elastic = augmentation
        self._rigid = augmentation.model_copy(update={"elastic": 0.0}) if aligned else augmentation
        self._all = [(c, s) for c, case in enumerate(self._cases) for s in range(len(case.image))]
        self._matched: dict[tuple[int, int, int], tuple[np.ndarray, int]] = {}

    def __len__(self) -> int:
        return len(self._all)

    def batch(self, step: int, count: int, part: slice | None = None) -> ViewBatch:
        """The views of training step ``step``: of ``count`` slices, or of the ``part`` of them named."""
        drawn = np.random.default_rng([self._seed, step]).choice(
            len(self._all), count, replace=count > len(self._all))
        items = range(count)[part] if part is not None else range(count)
        pieces: dict[str, list[_Piece]] = {}
        matches, positions, found = [], [], []
        for item in items:
            c, s = self._all[drawn[item]]
            rng = np.random.default_rng([self._seed, step, item])
            made, pairs, counts = self._item(rng, c, s)
            found.append(counts)
            for name, piece in made.items():
                pieces.setdefault(name, []).append(piece)
            matches.append(pairs)
            positions.append((s + 1) / len(self._cases[c].image))
        views = {name: _stack(part_) for name, part_ in pieces.items()}
        table = np.full((len(matches), views["anchor"].mask.shape[1]), -1, np.int64)
        for row, pairs in enumerate(matches):
            table[row, :len(pairs)] = pairs
        seeds = [hash_of(self._seed, step, item) for item in items]
        return ViewBatch(views, torch.tensor(positions, dtype=torch.float32), torch.from_numpy(table),
                         torch.tensor(seeds), torch.tensor(found, dtype=torch.float32) if self._radius else None)

    def _item(self, rng: np.random.Generator, c: int, s: int
              ) -> tuple[dict[str, _Piece], np.ndarray, tuple[int, int]]:
        """The views, the matches of their keypoints, and how many the two slices have, and by chance."""
        case = self._cases[c]
        shape = case.image.shape[1:]
        warp = sample_warp(rng, shape, self._size, self._rigid)
        made = {"anchor": self._cut(rng, c, s, warp)}
        pairs, counts = np.full(len(made["anchor"].points), -1, np.int64), (0, 0)
        if "neighbour" in self._names:
            other = s + int(rng.choice(neighbour_offsets(s, len(case.image), self._neighbours, self._most)))
            made["neighbour"] = self._cut(rng, c, other, sample_warp(rng, shape, self._size, self._elastic))
            if self._radius:
                matched, chance = self._pairs(c, s, other)
                pairs = _kept_pairs(matched, made["anchor"], made["neighbour"])
                counts = len(matched), chance
        if "again" in self._names:
            middle = (np.array(self._size) - 1) / 2
            centre = warp.matrix[:, :2] @ middle + warp.matrix[:, 2] + rng.uniform(-0.15, 0.15, 2) * self._size
            near = (float(centre[0]), float(centre[1]))
            made["again"] = self._cut(rng, c, s, sample_warp(rng, shape, self._size, self._rigid, near))
        return made, pairs, counts

    def _cut(self, rng: np.random.Generator, c: int, s: int, warp: Warp) -> _Piece:
        case = self._cases[c]
        image = warp.image(stack_context(case.image, s, self._context))
        image = change_intensity(rng, image, self._elastic.intensity)
        positions = warp.keypoints(case.keypoints[s].positions)
        inside = ((positions >= -0.5) & (positions < np.array(self._size) - 0.5)).all(1)
        kept = np.flatnonzero(inside)
        points = positions[kept] if len(kept) else fallback_grid(*self._size)
        return _Piece(image, points, kept, warp.valid(case.image.shape[1:]), warp.matrix, self._cut_regions(c, s, warp))

    def _cut_regions(self, c: int, s: int, warp: Warp) -> np.ndarray | None:
        """Regions along the warp; -1 outside the slice and where there is no region."""
        if not self._regions:
            return None
        maps = getattr(self._cases[c], self._regions)
        assert maps is not None, f"the cases were prepared without {self._regions}"
        return warp.labels(np.ascontiguousarray(maps[s])).astype(np.int64) - 1

    def _pairs(self, c: int, s: int, other: int) -> tuple[np.ndarray, int]:
        """(M, 2) matching keypoints of two slices and how many there would be by chance, found once; a fallback grid
        looks like nothing and has none."""
        key = (c, s, other)
        if key not in self._matched:
            case = self._cases[c]
            a, b = case.keypoints[s], case.keypoints[other]
            radius = self._radius_mm / max(case.spacing[1:]) if self._radius_mm else self._radius
            found, chance = np.empty((0, 2)), 0
            if a.response.any() and b.response.any():
                found = match(a, b, radius, self._ratio)
                chance = by_chance(a, b, radius, self._ratio, np.random.default_rng([self._seed, *key]))
            self._matched[key] = found.astype(np.int32), chance
        return self._matched[key]


def _kept_pairs(pairs: np.ndarray, a: _Piece, b: _Piece) -> np.ndarray:
    """For each keypoint kept in view a the index in view b of its match, or -1 where it has none there."""
    where = np.full(1 + max(pairs[:, 1].max(initial=0), b.kept.max(initial=0)), -1, np.int64)
    where[b.kept] = np.arange(len(b.kept))
    partner = np.full(1 + max(pairs[:, 0].max(initial=0), a.kept.max(initial=0)), -1, np.int64)
    partner[pairs[:, 0]] = where[pairs[:, 1]]
    return partner[a.kept] if len(a.kept) else np.full(len(a.points), -1, np.int64)


def _stack(pieces: Sequence[_Piece]) -> View:
    keypoints, mask = pad_keypoints([piece.points for piece in pieces])
    regions = None
    if pieces[0].regions is not None:
        regions = torch.from_numpy(np.stack([piece.regions for piece in pieces if piece.regions is not None]))
    return View(torch.from_numpy(np.stack([piece.image for piece in pieces])), torch.from_numpy(keypoints),
                torch.from_numpy(mask), torch.from_numpy(np.stack([piece.valid for piece in pieces])),
                torch.from_numpy(np.stack([piece.matrix for piece in pieces]).astype(np.float32)), regions)


def hash_of(*numbers: int) -> int:
    """A number of 63 bits that depends on all of ``numbers``."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))
