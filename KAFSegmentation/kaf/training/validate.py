"""Dice of a network on prepared cases, during training: per volume, on canonical slices."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import nn

from kaf.data.cache import CachedCase
from kaf.evaluation.dice import dice, pooled_dice
from kaf.inference.slices import SlicePredictor, fold_norms, labels_of
from kaf.runtime.device_choice import DeviceChoice
from kaf.training.partial import drawn_overlap


def validate_cases(network: nn.Module, place: DeviceChoice, cases: Sequence[CachedCase], context: int, batch: int = 8,
                   flips: bool = False) -> dict[str, float]:
    """"Dice": mean over cases and labels of the per-volume Dice; "pooled Dice": over all voxels of all cases
    (KAF's figure); "Dice <label>" for each label.  A label absent from both is left out of means."""
    return score_cases(SlicePredictor(fold_norms(network), place, context, batch, flips), cases)


def score_cases(predictor: SlicePredictor, cases: Sequence[CachedCase]) -> dict[str, float]:
    """The figures of :func:`validate_cases` for what the predictor finds."""
    inside, sizes = [], []
    for case in cases:
        assert case.labels is not None
        predictor.source = case.name
        prediction = np.empty(case.labels.shape, np.uint8)
        classes = 0
        for index, features in predictor(case.image, case.keypoints):
            prediction[index], classes = labels_of(features.logits), features.logits.shape[1]
        a, b = drawn_overlap(case, prediction, classes)
        inside.append(a)
        sizes.append(b)
    scores = dice(inside, sizes)
    values = {"Dice": float(np.nanmean(scores)), "pooled Dice": float(np.nanmean(pooled_dice(inside, sizes)))}
    for label in range(scores.shape[1]):
        if np.isfinite(scores[:, label]).any():
            values[f"Dice {label + 1}"] = float(np.nanmean(scores[:, label]))
    return values
