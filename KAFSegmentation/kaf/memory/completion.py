"""All unfinished slices of a scan from the finished ones: labels, confidence, and which source each slice took."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from kaf.imaging.grid import Grid
from kaf.memory.choice import Choice, choose, trust_in
from kaf.memory.features import COMPONENTS, MOST_BYTES, Region, ScanFeatures, enlarged, pooled, region_around
from kaf.memory.finished import FinishedSlices
from kaf.memory.known import in_drawn_classes, joined, known_structures
from kaf.memory.provenance import Origin, origins
from kaf.memory.recall import Recipe, recall_memory, recall_scan
from kaf.memory.review import confidence, expected_dice
from kaf.memory.tuning import Trial, label_dice, recipes_for, tune
from kaf.runtime.events import OnEvent, Ticker, ignore

_FINE = 48_000  # pixels of a region that is read pixel by pixel
_FLOATS = 24 << 20  # of soft labels at a time
_AGREE, _DISAGREES = 0.5, 0.35  # Dice of the neighbours of a finished slice, and what an odd one lacks
_SPAN = 12  # slices from one neighbour to the other; farther apart a structure may come and go
BETWEEN, BEYOND = "between", "beyond"


@dataclass(frozen=True)
class Drawn:
    """What is finished, in canonical slices.

    numbers: finished slices, ascending; labels: (F, H, W) uint8, class 0..K-1 of each pixel; classes: K; partly:
    slice -> classes (H, W) uint8 and known pixels (H, W) bool of unfinished slices.
    """

    numbers: tuple[int, ...]
    labels: np.ndarray
    classes: int
    partly: Mapping[int, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)

    @property
    def held(self) -> np.ndarray:
        """(H, W) bool: pixels in which anything is labelled."""
        held = np.zeros(self.labels.shape[1:], bool)
        for labels in self.labels:
            held |= labels > 0
        for labels, known in self.partly.values():
            held |= known & (labels > 0)
        return held


@dataclass(frozen=True)
class SliceSource:
    """Where the labels of a slice came from: the source, the finished slices that it read (canonical), whether it lies
    between or beyond them, and the distance to the nearest one in mm."""

    source: str
    finished: tuple[int, ...]
    place: str
    distance_mm: float


class Prior(Protocol):
    """Something that knows structures without the finished slices: a model, or slices of earlier patients."""

    def probabilities(self, slices: Sequence[int]) -> Tensor:
        """(n, its own classes, H, W) in the region."""


class ScanMemory:
    """The finished slices of one scan and what is needed to read them; lives as long as they stay as they are.

    Args:
        priors: who else may know the structures, each with drawn class -> own class of those that are the same by
            definition; the one that is most right on the finished slices is asked.
    """

    def __init__(self, features: ScanFeatures, drawn: Drawn, priors: Sequence[tuple[Prior, Mapping[int, int]]],
                 wanted: str = "auto"):
        self.features, self.drawn = features, drawn
        grid = features.prepared.grid
        self.step_mm = grid.spacing[0]
        self.stride = features.stride
        pixel = float(grid.spacing[1] * grid.spacing[2]) ** 0.5
        rows, columns = features.region.rows, features.region.columns
        cut = drawn.labels[:, rows, columns]
        partly = {number: self._partly(labels[rows, columns], known[rows, columns])
                  for number, (labels, known) in drawn.partly.items()}
        self.finished = FinishedSlices(drawn.numbers, self._soft(cut), self.step_mm / pixel / self.stride, partly)
        found = [(known_structures(prior.probabilities(drawn.numbers), cut, same).padded(drawn.classes), prior)
                 for prior, same in priors]
        self.known, self.prior = max(found, key=lambda pair: sum(pair[0].right))
        self.recipe: Recipe
        self.trials: list[Trial]
        self.recipe, self.trials = tune(features, self.finished, recipes_for(self.stride, self.step_mm / pixel))
        self.trust = trust_in(self.finished, self.known, self.trials)
        self.choice: Choice = Choice("model", "nothing")
        if drawn.numbers or drawn.partly:
            self.choice = choose(self.prior.probabilities, self.stride, self.finished, self.known, self.trials,
                                 self.trust, self.step_mm, wanted)

    def _soft(self, labels: np.ndarray) -> Tensor:
        """(F, H, W) classes -> (F, K, h, w) shares of each place."""
        classes = torch.arange(self.drawn.classes, dtype=torch.uint8)[None, :, None, None]
        parts = [pooled((torch.from_numpy(np.ascontiguousarray(part))[None, None] == classes).float(), self.stride)
                 for part in labels]
        return torch.cat(parts) if parts else torch.zeros(0, self.drawn.classes,
                                                          *(-(-size // self.stride) for size in labels.shape[1:]))

    def _partly(self, labels: np.ndarray, known: np.ndarray) -> tuple[Tensor, Tensor]:
        """Shares (K, h, w) among the known pixels of each place, and whether there is any."""
        classes = torch.arange(self.drawn.classes, dtype=torch.uint8)[:, None, None]
        sure = torch.from_numpy(np.ascontiguousarray(known))
        held = (torch.from_numpy(np.ascontiguousarray(labels)) == classes) & sure
        weight = pooled(sure[None, None].float(), self.stride)[0]
        return pooled(held[None].float(), self.stride)[0] / weight.clamp_min(1e-6), weight[0] > 0

    def read(self, targets: Sequence[int]) -> Tensor:
        """(T, K, H, W) probabilities in the region."""
        size = self.features.region.size
        if self.choice.source == "model" and (self.known.all or self.choice.reason == "nothing"):
            soft = torch.zeros(len(targets), self.drawn.classes, *size)
            soft[:, 0] = 1
        else:
            soft = enlarged(recall_scan(self.features, self.finished, targets, self.recipe),
                            self.stride, size)
        if self.choice.source == "memory" or not self.known.any:
            return soft
        model = in_drawn_classes(self.prior.probabilities(targets), self.known, soft)
        if self.choice.source == "model":
            return model
        share = self.trust.share([self.distance_mm(target) for target in targets],
                                 [self.finished.is_between(target) for target in targets])
        return joined(soft, model, share)

    def outliers(self) -> dict[int, float]:
        """Finished slices that overlap neither neighbour although these overlap each other: number -> the better Dice
        with one of them."""
        numbers, labels = self.finished.numbers, self.finished.labels
        found = {}
        for index in range(1, len(numbers) - 1):
            before, mine, after = labels[index - 1:index + 2]
            held = bool(before[1:].any()) and bool(after[1:].any())
            if not held or numbers[index + 1] - numbers[index - 1] > _SPAN:
                continue
            usual = label_dice(before, after)
            own = max(label_dice(mine, before), label_dice(mine, after))
            if usual > _AGREE and own < usual - _DISAGREES:
                found[numbers[index]] = round(own, 4)
        return found

    def distance_mm(self, target: int) -> float:
        return self.finished.distance(target) / self.finished.step * self.step_mm

    def confidence_of(self, target: int, expected: float) -> float:
        """The Dice to expect of an unfinished slice, from what its soft labels expect of themselves."""
        if self.choice.source == "model" or not self.finished.around(target):
            return confidence(expected, self.trust.model, 0.0)
        if self.finished.is_between(target):
            return confidence(expected, self.trust.between, 0.0)
        return confidence(expected, self.trust.beyond, self.finished.distance(target))

    def source_of(self, target: int) -> SliceSource:
        around = tuple(self.finished.numbers[index] for index in self.finished.around(target))
        place = BETWEEN if len(around) == 2 else BEYOND
        return SliceSource(self.choice.source, around, place, round(self.distance_mm(target), 3))

    def batch(self) -> int:
        """Slices whose probabilities are held at a time."""
        rows, columns = self.features.prepared.grid.size
        return max(1, min(16, _FLOATS // (self.drawn.classes * rows * columns)))

    def provenance(self, target: int, pixel: tuple[int, int], most: int = 24) -> list[Origin]:
        """Where the memory took the label of a canonical pixel (row, column) of an unfinished slice: places of finished
        slices in canonical pixels, the strongest first.  ``slice`` is canonical.  Empty outside the region, or where
        the model alone was asked."""
        region = self.features.region
        row, column = pixel[0] - region.rows.start, pixel[1] - region.columns.start
        if not (0 <= row < region.size[0] and 0 <= column < region.size[1]) or self.choice.source == "model":
            return []
        memory, numbers = recall_memory(self.features, self.finished, [target])
        place = (row // self.stride, column // self.stride)
        found = origins(self.features([target])[0], memory, self.recipe.window, place, most)
        return [replace(origin, slice=numbers[origin.slice], row=self.stride * origin.row + region.rows.start,
                        column=self.stride * origin.column + region.columns.start) for origin in found]


@dataclass(frozen=True)
class Completion:
    """labels: (S, R, C) uint8 classes at the scan's resolution, in canonical order, and confidence (S, R, C) uint8 in
    255ths; finished slices as drawn are put in by the caller.  slices: unfinished slice -> confidence 0..1."""

    labels: np.ndarray
    confidence: np.ndarray
    slices: dict[int, float]
    sources: dict[int, SliceSource]


def complete(memory: ScanMemory, on_event: OnEvent = ignore) -> Completion:
    """Label every unfinished slice."""
    grid: Grid = memory.features.prepared.grid
    region = memory.features.region
    targets = [number for number in range(grid.n_slices) if number not in set(memory.drawn.numbers)]
    labels = np.zeros((grid.n_slices, *grid.native_size), np.uint8)
    sureness = np.full(labels.shape, 255, np.uint8)
    slices: dict[int, float] = {}
    ticker = Ticker(on_event, "propagating", len(targets))
    step = memory.batch()
    for start in range(0, len(targets), step):
        part = targets[start:start + step]
        soft = memory.read(part)
        best = soft.max(1)  # many times faster than argmax on a CPU
        for number, value in zip(part, expected_dice(soft, best.indices), strict=True):
            slices[number] = round(memory.confidence_of(number, value), 4)
        whole = F.pad(soft, (region.columns.start, grid.size[1] - region.columns.stop,
                             region.rows.start, grid.size[0] - region.rows.stop))
        outside = torch.ones(grid.size, dtype=torch.bool)
        outside[region.rows, region.columns] = False
        whole[:, 0, outside] = 1
        sure = torch.ones(len(part), *grid.size)
        sure[:, region.rows, region.columns] = best.values
        labels[part] = grid.logits_to_input_slices(whole)
        sureness[part] = _at_input(sure, grid)
        ticker.update(ticker.done + len(part))
    return Completion(labels, sureness, slices, {number: memory.source_of(number) for number in targets})


def _at_input(values: Tensor, grid: Grid) -> np.ndarray:
    """(B, H, W) 0..1 as 255ths (B, R, C) at the scan's resolution."""
    if grid.pixels_resampled:
        values = F.interpolate(values[:, None], grid.native_size, mode="bilinear", align_corners=False)[:, 0]
    return (values * 255).round().clamp(0, 255).to(torch.uint8).numpy()


def stride_of(slices: int, region: Region) -> int:
    """Pixels along the side of a place: 1, unless the features of so many slices would not be kept then."""
    rows, columns = region.size
    return 1 if rows * columns <= _FINE and slices * rows * columns * 2 * COMPONENTS <= MOST_BYTES else 2


def region_of(drawn: Drawn, before: Region | None) -> Region:
    """Where to look: around all that is drawn; the region of before, where that holds it."""
    wanted = region_around(drawn.held)
    if before is None:
        return wanted
    return before if before.holds(wanted) else before.joined(wanted)
