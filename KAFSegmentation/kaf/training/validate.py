"""Dice of a network on prepared cases, during training: per volume, on canonical slices."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import nn

from kaf.data.cache import CachedCase
from kaf.device import Place
from kaf.inference import SlicePredictor, fold_norms, labels_of


def overlap(prediction: np.ndarray, reference: np.ndarray, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """(classes - 1,) intersections and sums of sizes of the foreground labels."""
    joint = np.bincount(reference.reshape(-1).astype(np.int64) * classes + prediction.reshape(-1),
                        minlength=classes * classes).reshape(classes, classes)
    return np.diag(joint)[1:], (joint.sum(0) + joint.sum(1))[1:]


def validate_cases(network: nn.Module, place: Place, cases: Sequence[CachedCase], context: int, batch: int = 8,
                   flips: bool = False) -> dict[str, float]:
    """"Dice": mean over cases and labels of the per-volume Dice; "pooled Dice": over all voxels of all cases
    (KAF's figure); "Dice <label>" for each label.  A label absent from both is left out of means."""
    predictor = SlicePredictor(fold_norms(network), place, context, batch, flips)
    inside, sizes = [], []
    for case in cases:
        assert case.labels is not None
        prediction = np.empty(case.labels.shape, np.uint8)
        classes = 0
        for index, features in predictor(case.image, case.keypoints):
            prediction[index], classes = labels_of(features.logits), features.logits.shape[1]
        a, b = overlap(prediction, np.asarray(case.labels), classes)
        inside.append(a)
        sizes.append(b)
    common, total = np.array(inside, float), np.array(sizes, float)
    dice = np.divide(2 * common, total, out=np.full(common.shape, np.nan), where=total > 0)
    pooled = 2 * common.sum(0) / np.maximum(total.sum(0), 1)
    values = {"Dice": float(np.nanmean(dice)), "pooled Dice": float(pooled.mean())}
    for label in range(dice.shape[1]):
        if np.isfinite(dice[:, label]).any():
            values[f"Dice {label + 1}"] = float(np.nanmean(dice[:, label]))
    return values
