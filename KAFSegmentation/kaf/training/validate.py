"""Dice of a network on prepared cases, during training: per volume, on canonical slices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import nn

from kaf.data.cache import CachedCase
from kaf.evaluation.dice import dice, pooled_dice
from kaf.inference.slices import SlicePredictor, fold_norms, labels_of
from kaf.runtime.device_choice import DeviceChoice
from kaf.training.partial import drawn_overlap


@dataclass(frozen=True)
class CaseScore:
    """What a network finds in a case, beside the reference.

    Attributes:
        case: the case.
        inside, sizes: of :func:`kaf.training.partial.drawn_overlap`, one value per structure.
        index: of the slice with the most pixels that differ.
        found: (H, W) uint8, the labels that the network gives this slice.
    """

    case: CachedCase
    inside: np.ndarray
    sizes: np.ndarray
    index: int
    found: np.ndarray

    @property
    def dice(self) -> np.ndarray:
        """Dice per structure, 0..1; NaN where neither the network nor the reference has it, or it was not drawn."""
        return dice(self.inside, self.sizes)


def slice_predictor(network: nn.Module, place: DeviceChoice, context: int, batch: int = 8, flips: bool = False
                    ) -> SlicePredictor:
    """A 2-D network that is being trained, folded for inference."""
    return SlicePredictor(fold_norms(network), place, context, batch, flips)


def score_cases(predictor: SlicePredictor, cases: Sequence[CachedCase]) -> list[CaseScore]:
    """What the predictor finds in each case."""
    scores = []
    for case in cases:
        assert case.labels is not None
        predictor.source = case.name
        found = np.empty(case.labels.shape, np.uint8)
        classes = 0
        for index, features in predictor(case.image, case.keypoints):
            found[index], classes = labels_of(features.logits), features.logits.shape[1]
        worst = int((found != case.labels).sum((1, 2)).argmax())
        scores.append(CaseScore(case, *drawn_overlap(case, found, classes), worst, found[worst].copy()))
    return scores


def mean_scores(cases: Sequence[CaseScore]) -> dict[str, float]:
    """"Dice": mean over cases and labels of the per-volume Dice; "pooled Dice": over all voxels of all cases
    (KAF's figure); "Dice <label>" for each label.  A label absent from both is left out of means."""
    inside, sizes = [case.inside for case in cases], [case.sizes for case in cases]
    scores = dice(inside, sizes)
    values = {"Dice": float(np.nanmean(scores)), "pooled Dice": float(np.nanmean(pooled_dice(inside, sizes)))}
    for label in range(scores.shape[1]):
        if np.isfinite(scores[:, label]).any():
            values[f"Dice {label + 1}"] = float(np.nanmean(scores[:, label]))
    return values
