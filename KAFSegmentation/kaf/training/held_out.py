"""What a finished training leaves about its validation patients: Dice of every case, and pictures of the worst."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kaf.evaluation.pictures import compared_slice
from kaf.imaging.channels import first_channel
from kaf.imaging.labels import Label
from kaf.runtime.files import atomic_write
from kaf.training.validate import CaseScore

VALIDATION = "validation.json"
_WORST = 4  # cases with a picture


def write_held_out(folder: Path, scores: Sequence[CaseScore], labels: Sequence[Label]) -> None:
    """``validation.json`` and ``pictures/validation-N.png`` in a run folder; nothing where nothing was validated.

    The file holds ``structures`` (value -> name) and ``cases``, the worst first: ``case``, ``patient``, ``mean`` (of
    the Dice, 0..1), ``dice`` (value -> Dice; without a structure that neither map has), and of the worst ``picture``
    (path in the folder), ``slice`` (1 is the first) and ``slices``.
    """
    if not scores:
        return
    rows = []
    ranked = sorted((_mean(score), score.case.name, score) for score in scores)
    for rank, (mean, name, score) in enumerate(ranked):
        each = {str(value + 1): round(float(found), 4) for value, found in enumerate(score.dice) if found == found}
        row = {"case": name, "patient": score.case.patient, "mean": round(mean, 4) if each else None, "dice": each}
        if rank < _WORST and each:
            row |= {"picture": _draw(folder, rank + 1, score, labels), "slice": score.index + 1,
                    "slices": len(score.case.image)}
        rows.append(row)
    values = {"structures": {str(label.value): label.name for label in labels}, "cases": rows}
    atomic_write(folder / VALIDATION, json.dumps(values, indent=1) + "\n", overwrite=True)


def _mean(score: CaseScore) -> float:
    found = score.dice[np.isfinite(score.dice)]
    return float(found.mean()) if len(found) else math.inf


def _draw(folder: Path, number: int, score: CaseScore, labels: Sequence[Label]) -> str:
    assert score.case.labels is not None
    name = f"pictures/validation-{number}.png"
    (folder / "pictures").mkdir(exist_ok=True)
    image, reference = first_channel(score.case.image)[score.index], np.asarray(score.case.labels[score.index])
    atomic_write(folder / name, compared_slice(np.asarray(image), score.found, reference, labels), overwrite=True)
    return name
