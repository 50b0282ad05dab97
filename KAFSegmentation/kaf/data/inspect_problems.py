"""What is wrong with the cases of a folder together: sentences for the page of an inspection."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from kaf.data.dataset import Dataset
from kaf.data.pairing import count, some

if TYPE_CHECKING:
    from kaf.data.inspect import CaseReport

_OUTLIER = 2.0  # a spacing beyond this factor of the median is named
_RARE = 0.05  # a label value in a smaller share of the cases is named with its cases
_FEW, _MOSTLY = 5, 0.9  # of so many label maps or more, a value in less than this share is named


def duplicates(reports: Sequence[CaseReport]) -> list[str]:
    groups: dict[str, list[CaseReport]] = defaultdict(list)
    for case in reports:
        if case.digest:
            groups[case.digest].append(case)
    problems = []
    for same in groups.values():
        if len(same) < 2:
            continue
        listed = some(case.name for case in same)
        patients = {case.patient for case in same}
        problems.append(
            f"the same voxels under {len(same)} names: {listed}. Keep one of them" if len(patients) == 1 else
            f"the same voxels count as {len(patients)} patients, a leak from training to test: {listed}. Keep one of "
            "them")
    return problems


def modalities(reports: Sequence[CaseReport]) -> list[str]:
    groups: dict[str, list[str]] = defaultdict(list)
    for case in reports:
        if case.modality != "unknown":
            groups[case.modality].append(case.name)
    if len(groups) < 2:
        return []
    kinds = sorted(groups.items(), key=lambda item: len(item[1]))
    return ["mixed modalities: " + "; ".join(f"{kind} in {count(listed, 'case')} ({some(listed, 3)})"
                                             for kind, listed in kinds)
            + ". Put each kind into a folder of its own"]


def spacings(reports: Sequence[CaseReport]) -> list[str]:
    """Cases with a finest, middle or coarsest spacing far from the median of all."""
    readable = [case for case in reports if case.spacing]
    if len(readable) < 3:
        return []
    spacings = np.sort([case.spacing for case in readable], axis=1)
    median = np.median(spacings, axis=0)
    far = np.abs(np.log(spacings / median)).max(axis=1) > np.log(_OUTLIER)
    outliers = [f"{case.name} ({times(case.spacing)})"
                for case, is_far in zip(readable, far, strict=True) if is_far]
    if not outliers:
        return []
    return [f"{count(outliers, 'scan')} with a spacing far from the median of {times(median)} mm: "
            f"{some(outliers)}. Look at {'it' if len(outliers) == 1 else 'them'}; all are resampled to one spacing"]


def unnamed(reports: Sequence[CaseReport], dataset: Dataset) -> list[str]:
    """Where dataset.json and the label maps speak of different values."""
    names, held = dataset.label_names, {value for case in reports for value in case.values or ()}
    if not dataset.description.names or not held:
        return []
    problems = []
    if strange := sorted(held - names.keys()):
        problems.append(f"label value {some(strange)} is not named in dataset.json. Correct one of the two")
    if without := [f"{value} ({name})" for value, name in names.items() if value not in held]:
        problems.append(f"dataset.json names {some(without)}, which no label map holds")
    return problems


def rare_labels(reports: Sequence[CaseReport]) -> list[str]:
    labelled = [case for case in reports if case.values]
    holders: dict[int, list[str]] = defaultdict(list)
    for case in labelled:
        for value in case.values or ():
            holders[value].append(case.name)
    return [f"label value {value} is in {len(listed)} of {len(labelled)} label maps only: {some(listed)}. See whether "
            "it is meant"
            for value, listed in sorted(holders.items()) if len(listed) < _RARE * len(labelled)]


def sometimes(reports: Sequence[CaseReport], dataset: Dataset) -> list[str]:
    """Structures that many label maps lack: either they are not there, or they were not drawn."""
    labelled = [case for case in reports if case.values]
    if len(labelled) < _FEW or any(case.annotated is not None for case in dataset.cases):
        return []
    held = Counter(value for case in labelled for value in case.values or ())
    listed = [f"{value}{f' ({dataset.label_names[value]})' if value in dataset.label_names else ''} in {number} of "
              f"{len(labelled)} label maps" for value, number in sorted(held.items())
              if _RARE * len(labelled) <= number < _MOSTLY * len(labelled)]
    if not listed:
        return []
    return [f"structures that many cases lack: {some(listed)}. If one of them was not drawn although it is there, "
            "train with --partial missing (or write kaf_partial: true into dataset.json): otherwise the network learns "
            "that it is background"]


def times(numbers: Sequence[float] | np.ndarray) -> str:
    return " x ".join(f"{number:.3g}" for number in numbers)
