"""From what a network makes of scans to an order in which to label their patients, with reasons as text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial.distance import cdist

from kaf.data.folder import Case
from kaf.selection.coverage import farthest_first
from kaf.selection.embedding import Doubt


@dataclass(frozen=True)
class Choice:
    """A patient to label: which scan of theirs, why as text, the number behind it, and their other scans.

    score: coverage: the distance to the nearest one chosen before, in mean distances between patients; uncertainty:
    the mean entropy over the foreground, 0 to 1.
    """

    rank: int
    patient: str
    case: str
    image: str
    score: float | None
    reason: str
    others: tuple[str, ...] = ()


def by_coverage(found: Sequence[tuple[Case, np.ndarray]], labelled: set[str], count: int = 0) -> list[Choice]:
    """Patients unlike each other and unlike the ``labelled`` ones: the farthest first, beginning with the most typical.

    A patient is the mean of their scans' embeddings; the scan to label is the one nearest to it.
    """
    patients = sorted({case.patient for case, _ in found})
    scans = {patient: [(case, vector) for case, vector in found if case.patient == patient] for patient in patients}
    points = np.stack([np.mean([vector for _, vector in scans[patient]], axis=0) for patient in patients])
    given = [index for index, patient in enumerate(patients) if patient in labelled]
    picks = farthest_first(points, count or len(patients), given)
    typical = float(cdist(points, points).sum() / max(1, len(points) * (len(points) - 1))) or 1.0
    choices: list[Choice] = []
    for pick in picks:
        patient = patients[pick.index]
        own = scans[patient]
        away = cdist(np.stack([vector for _, vector in own]), points[[pick.index]])[:, 0]
        order = [own[at][0] for at in np.argsort(away, kind="stable")]
        if pick.nearest is None:
            reason = "the most typical patient: nearest to all others"
        else:
            kind = "labelled" if patients[pick.nearest] in labelled else "chosen"
            reason = (f"unlike those before: {pick.distance / typical:.2f} times the mean distance away from the "
                      f"nearest, {patients[pick.nearest]} ({kind})")
        if pick.stands_for:
            reason += f"; stands for {pick.stands_for} other{'s' * (pick.stands_for > 1)}"
        score = pick.distance / typical if math.isfinite(pick.distance) else None
        choices.append(_choice(len(choices) + 1, order, score, reason))
    return choices


def by_uncertainty(found: Sequence[tuple[Case, Doubt]], names: dict[int, str], count: int = 0) -> list[Choice]:
    """Patients by the scan that the model is least sure of, most doubt first."""
    ordered = sorted(found, key=lambda scan: (-scan[1].mean, scan[0].name))
    middle = float(np.median([scan.mean for _, scan in found])) or 1.0
    scans: dict[str, list[tuple[Case, Doubt]]] = {}
    for case, unsure in ordered:
        scans.setdefault(case.patient, []).append((case, unsure))
    choices: list[Choice] = []
    for own in list(scans.values())[:count or None]:
        choices.append(_choice(len(choices) + 1, [case for case, _ in own], own[0][1].mean,
                               _why_uncertain(own[0][1], names, middle)))
    return choices


def _why_uncertain(unsure: Doubt, names: dict[int, str], middle: float) -> str:
    if not unsure.share:
        return "the model finds none of its structures here"
    reason = f"uncertainty {unsure.mean:.3f}, {unsure.mean / middle:.2f} times that of the middle scan"
    known = {value: mean for value, mean in unsure.by_label.items() if math.isfinite(mean)}
    if len(known) > 1:
        reason += f"; most about {names[max(known, key=lambda value: known[value])]}"
    missing = [names[value] for value in unsure.by_label if value not in known]
    if missing:
        reason += f"; nothing found of {', '.join(missing)}"
    return f"{reason}; most in slice {unsure.worst_slice}"


def _choice(rank: int, cases: Sequence[Case], score: float | None, reason: str) -> Choice:
    first, *others = cases
    return Choice(rank, first.patient, first.name, str(first.image), score, reason, tuple(c.name for c in others))
