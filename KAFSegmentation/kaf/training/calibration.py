"""The calibration of a fresh model: on its validation cases, with the statistics of the scans it was trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kaf.data.cache import CachedCase
from kaf.evaluation.dice import dice
from kaf.imaging.channels import first_channel
from kaf.inference.slices import SlicePredictor, labels_of
from kaf.quality.calibration import Outcome, calibrate
from kaf.quality.expected import ExpectedSums
from kaf.quality.familiarity import Features, MeanEmbedding, distance, scan_features, training_statistics
from kaf.runtime.events import OnEvent, Ticker, ignore
from kaf.training.partial import drawn_overlap

_TRAINING_SCANS = 40  # whose statistics are kept: more change nothing


def calibrate_model(predictor: SlicePredictor, classes: int, labels: Mapping[int, str], training: Sequence[CachedCase],
                    validation: Sequence[CachedCase], on_event: OnEvent = ignore) -> dict[str, Any]:
    """What the card says of predicted quality (``Card.quality``).

    Args:
        classes: of the network's output.
        labels: value -> name of the structures that it segments.
        training: cases whose statistics tell how far a scan lies from them; at most 40, evenly chosen, are looked at.
        validation: labelled cases of patients that the weights have not been trained on; without any there are no
            lines, and predicted Dice stays uncalibrated.
    """
    chosen = [training[index] for index in sorted({int(place) for place in np.linspace(
        0, len(training) - 1, min(_TRAINING_SCANS, len(training)))})]
    ticker = Ticker(on_event, "calibrating", len(chosen) + len(validation))
    scans = []
    for case in chosen:
        scans.append(_look(predictor, case, classes)[0])
        ticker.update(ticker.done + 1)
    statistics = training_statistics(scans)
    outcomes = []
    for case in validation:
        scan, raw, found = _look(predictor, case, classes)
        far = distance(statistics, scan)
        outcomes += [Outcome(label, case.patient, float(raw[label]), float(found[label]), far and far[0])
                     for label in labels]
        ticker.update(ticker.done + 1)
    patients = len({case.patient for case in validation})
    source = f"{_count(len(validation), 'validation case')} of {_count(patients, 'patient')} not trained on"
    return {**calibrate(outcomes, source if validation else ""), "training": statistics}


def _look(predictor: SlicePredictor, case: CachedCase, classes: int) -> tuple[Features, np.ndarray, np.ndarray]:
    """Features of the scan; (classes,) raw expected Dice and Dice, NaN where undefined."""
    predictor.source = case.name
    sums, embedding = ExpectedSums(len(case.image), classes), MeanEmbedding(first_channel(case.image))
    prediction = np.empty(first_channel(case.image).shape, np.uint8)
    for part, features in predictor(case.image, case.keypoints):
        sums.add(part, features.logits)
        embedding.add(part, features.bottleneck)
        prediction[part] = labels_of(features.logits)
    scan = scan_features(first_channel(case.image), case.spacing, embedding.result())
    inside, sizes = drawn_overlap(case, prediction, classes)
    return scan, sums.result().by_class(), np.concatenate([[np.nan], dice(inside, sizes)])


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"
