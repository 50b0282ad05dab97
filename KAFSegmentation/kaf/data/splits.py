"""Who trains, who validates, who is tested: by patient, so that no patient is on two sides.

The order of patients is drawn with ``random.Random(seed).random()``, one number per patient in sorted order:
the one part of Python's random module whose sequence is promised never to change (``shuffle``, ``sample`` and
numpy's ``permutation`` carry no such promise).  The same patients and seed therefore give the same split on
every machine and Python, whatever the order in which the patients were found.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np

from kaf.runtime import json_files
from kaf.runtime.errors import InputError
from kaf.runtime.files import atomic_write

_PUBLISHED_SEED = 1234
_PARTS = ("train", "validation", "test")


@dataclass(frozen=True)
class Split:
    """Patients of each part, the seed they were drawn with, and where the split comes from, as text."""

    train: tuple[str, ...]
    validation: tuple[str, ...] = ()
    test: tuple[str, ...] = ()
    seed: int = 0
    note: str = ""

    def __post_init__(self) -> None:
        for part in _PARTS:
            object.__setattr__(self, part, tuple(getattr(self, part)))

    def save(self, path: str | Path) -> None:
        """Write as JSON, whole or not at all; an older file is replaced.

        Raises:
            InputError: a patient is in two parts.
            OutputError: the file cannot be written.
        """
        check_no_leak(self)
        atomic_write(path, json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def load(cls, path: str | Path) -> Split:
        """The inverse of :meth:`save`.

        Raises:
            InputError: the file is missing, is not a split, or has a patient in two parts.
        """
        values = json_files.read_given(path, InputError)
        try:
            known = [item.name for item in fields(cls)]
            if not isinstance(values, dict) or "train" not in values:
                raise TypeError("it is no object with the patients to train on")
            if unknown := [key for key in values if key not in known]:
                raise TypeError(f"'{unknown[0]}' is none of {', '.join(known)}")
            for part in _PARTS:
                if not isinstance(values.get(part, []), list) or not all(
                        isinstance(patient, str) for patient in values.get(part, [])):
                    raise TypeError(f"{part} is not a list of names")
            split = cls(**values)
        except TypeError as error:
            raise InputError(
                path, f"is not a split ({error})",
                'Write {"train": [names], "validation": [names], "test": [names], "seed": 0, "note": ""}.',
            ) from error
        check_no_leak(split, path)
        return split


def check_no_leak(split: Split, subject: object = "split") -> None:
    """:class:`InputError` that names the patients who are in two parts, or twice in one."""
    seen: dict[str, str] = {}
    twice = []
    for part in _PARTS:
        for patient in getattr(split, part):
            if patient in seen:
                where = f"twice in {part}" if seen[patient] == part else f"in {seen[patient]} and in {part}"
                twice.append(f"{patient} is {where}")
            seen.setdefault(patient, part)
    if twice:
        more = f", and {len(twice) - 5} more" if len(twice) > 5 else ""
        raise InputError(subject, f"patient {', patient '.join(twice[:5])}{more}",
                         "Keep each patient in one part only: scores would be too good otherwise.")


def fold_of(path: str | Path, fold: int, cases: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """The patients to train and to validate on, each sorted, of one fold of a file of splits.

    Read are a split of :meth:`Split.save` (a single fold), a list of them, and nnU-Net's ``splits_final.json``, a list
    of ``{"train": [cases], "val": [cases]}``.

    Args:
        cases: name -> patient of every labelled case; the file may name either.

    Raises:
        InputError: the file cannot be read, has no such fold, names somebody who is not there, or has a patient on both
            sides.
    """
    content = json_files.read_given(path, InputError)
    folds = content if isinstance(content, list) else [content]
    if not folds or not all(isinstance(entry, dict) and isinstance(entry.get("train"), list) for entry in folds):
        raise InputError(path, "contains no splits", 'Write [{"train": [names], "val": [names]}, ...], a fold each.')
    if fold >= len(folds):
        raise InputError(path, f"has {len(folds)} fold{'s' * (len(folds) > 1)} and no fold {fold}",
                         f"Choose a fold from 0 to {len(folds) - 1}." if len(folds) > 1 else "Leave `fold` out.")
    entry = folds[fold]
    patients = {**cases, **{patient: patient for patient in cases.values()}}
    named = [entry["train"], entry.get("val", entry.get("validation")) or []]
    missing = [str(name) for names in named for name in names if str(name) not in patients]
    if missing:
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        raise InputError(path, f"names {', '.join(missing[:5])}{more}, of whom there is no labelled scan to learn from",
                         "Give the folder that the splits were made for; `kaf data scan` lists the names.")
    train, validation = (sorted({patients[str(name)] for name in names}) for names in named)
    check_no_leak(Split(tuple(train), tuple(validation)), path)
    return train, validation


def few_shot(patients: Iterable[str], m: int, seed: int) -> list[str]:
    """``m`` patients drawn by ``seed``, in the order they were drawn.

    Draws are nested: for one seed the first two of six are the two that ``m=2`` gives, so that results over
    ``m`` differ by the patients added and nothing else.

    Raises:
        InputError: fewer than ``m`` patients, or ``m`` below 1.
    """
    order = _drawn(patients, seed)
    if not 1 <= m <= len(order):
        raise InputError(f"few-shot draw of {m}", f"there are {len(order)} patients to draw from",
                         f"Ask for 1 to {len(order)} patients." if order else "Give labelled cases.")
    return order[:m]


def k_folds(patients: Iterable[str], k: int, seed: int) -> list[tuple[list[str], list[str]]]:
    """``k`` pairs (train, test), each sorted: every patient is tested once, fold sizes differ by one at most.

    Raises:
        InputError: fewer than 2 folds, or more folds than patients.
    """
    order = _drawn(patients, seed)
    if not 2 <= k <= len(order):
        raise InputError(f"{k} folds", f"cannot be made of {len(order)} patients",
                         f"Ask for 2 to {len(order)} folds." if len(order) > 1 else "Give two patients.")
    return [(sorted(set(order) - set(order[fold::k])), sorted(order[fold::k])) for fold in range(k)]


def shuffled_folds(patients: Iterable[str], k: int, seed: int) -> list[tuple[list[str], list[str]]]:
    """``k`` pairs (train, test) as scikit-learn's ``KFold(k, shuffle=True, random_state=seed)`` makes them of the
    patients in the order of their numbers; with 5 and 12345 those of PCL and KAF.

    Raises:
        InputError: fewer than 2 folds, or more folds than patients.
    """
    names = _numbered(patients)
    if not 2 <= k <= len(names):
        raise InputError(f"{k} folds", f"cannot be made of {len(names)} patients",
                         f"Ask for 2 to {len(names)} folds." if len(names) > 1 else "Give two patients.")
    order = np.arange(len(names))
    np.random.RandomState(seed).shuffle(order)  # its sequence is frozen
    tests = [{names[place] for place in part} for part in np.array_split(order, k)]
    return [([name for name in names if name not in test], _numbered(test)) for test in tests]


def _numbered(patients: Iterable[str]) -> list[str]:
    """Every patient once, patient2 before patient10."""
    parts = {name: re.split(r"([0-9]+)", name) for name in set(patients)}
    return sorted(parts, key=lambda name: [int(part) if part.isdecimal() else part for part in parts[name]])


def sampled(patients: Iterable[str], m: int, draw: int) -> list[str]:
    """``m`` patients as PCL and KAF draw them: ``random.sample`` of the patients in the order of their numbers, with
    seed 1234; further draws have the seeds after it.

    Raises:
        InputError: fewer than ``m`` patients, or ``m`` below 1.
    """
    names = _numbered(patients)
    if not 1 <= m <= len(names):
        raise InputError(f"few-shot draw of {m}", f"there are {len(names)} patients to draw from",
                         f"Ask for 1 to {len(names)} patients." if names else "Give labelled cases.")
    return random.Random(_PUBLISHED_SEED + draw).sample(names, m)


def holdout(patients: Iterable[str], share: float, seed: int) -> tuple[list[str], list[str]]:
    """(kept, held out), each sorted; ``share`` of the patients is held out, rounded, but at least one.

    A share of 0 holds nobody out.

    Raises:
        InputError: the share is not in 0..1, or nobody would be left to train on.
    """
    order = _drawn(patients, seed)
    if not 0 <= share < 1:
        raise InputError(f"share {share}", "is not a share of the patients", "Give a number in 0..1.")
    count = max(1, round(share * len(order))) if share else 0
    if count and count >= len(order):
        raise InputError(f"share {share}",
                         f"would hold out {count} of {len(order)} patients and leave nobody to train on",
                         "Hold out a smaller share, or add patients.")
    return sorted(order[count:]), sorted(order[:count])


def _drawn(patients: Iterable[str], seed: int) -> list[str]:
    """Every patient once, in the order of a random number each."""
    source = random.Random(seed)
    return [patient for _, patient in sorted((source.random(), patient) for patient in sorted(set(patients)))]
