"""A finished slice that training does not see: what is shown now and what was learned are compared on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from kaf.runtime.errors import KafError
from KAFSegmentationLib.adapt.DrawnSlices import sliceOf
from KAFSegmentationLib.adapt.PropagationRun import PropagationRun
from KAFSegmentationLib.backend.Backend import Backend, Ticket


@dataclass
class HeldOut:
    """The slice ``index`` along ``axis``, and the Dice (0..1) there of what is shown, without that slice among the
    finished ones; None until it is known."""

    axis: int
    index: int
    dice: float | None = None

    def score(self, voxels: np.ndarray, masks: Mapping[int, np.ndarray]) -> float:
        """The mean Dice of labels (slice, row, column) in the slice, over the structures drawn or found there.

        Args:
            masks: value -> mask (slice, row, column) as drawn.
        """
        place, scores = sliceOf(self.axis, self.index), []
        for value, mask in masks.items():
            drawn, found = mask[place], np.asarray(voxels)[place] == value
            size = int(drawn.sum()) + int(found.sum())
            if size:
                scores.append(2 * int((drawn & found).sum()) / size)
        return float(np.mean(scores)) if scores else 1.0


def middleHeld(slices: Sequence[int], axis: int, masks: Mapping[int, np.ndarray]) -> int | None:
    """The middle one of the slices along ``axis`` in which a structure is drawn; None unless there are two."""
    held = [index for index in slices if any(mask[sliceOf(axis, index)].any() for mask in masks.values())]
    return held[len(held) // 2] if len(held) > 1 else None


def measure(run: PropagationRun, heldOut: HeldOut, backend: Backend,
            onFailed: Callable[[KafError], None]) -> Ticket:
    """Finds the Dice of what the finished slices of an update, which is not written, give for a slice that is not among
    them. Returns what the backend can take the question back by."""

    def take(answer, error):
        if error is not None:
            onFailed(error)
        else:
            heldOut.dice = heldOut.score(answer["arrays"]["labels"][0], run.structures.masks())

    return backend.submit(run.verb, run.settings, run.volumes, lambda event: None, take, run.options())
