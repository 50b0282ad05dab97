"""The cases that a fine-tuning uses, and which of their patients train and which validate."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from kaf.data.folder import Case
from kaf.data.pairing import some
from kaf.data.splits import Split, few_shot, fold_of, holdout
from kaf.runtime.errors import InputError
from kaf.settings.finetune import FinetuneSettings

_ENOUGH = 4  # patients from which on one of them validates


def choose_cases(cases: Sequence[Case], settings: FinetuneSettings) -> list[Case]:
    """The cases that the settings name, by case or by patient; all where they name none; never those left out."""
    wanted, unwanted = set(settings.cases), set(settings.leave_out)
    unknown = wanted - {c.name for c in cases} - {c.patient for c in cases}
    if unknown:
        raise InputError(settings.data, f"has no labelled case {', '.join(sorted(unknown))}",
                         "See `kaf data scan` for the names of cases and patients.")
    asked = [case for case in cases if not wanted or wanted & {case.name, case.patient}]
    left = [case for case in asked if not unwanted & {case.name, case.patient}]
    if asked and not left:
        raise InputError(settings.data, f"every labelled case is left out (leave_out is {some(sorted(unwanted))})",
                         "Leave out fewer patients, or add labelled cases of others.")
    return left


def split_cases(cases: Sequence[Case], settings: FinetuneSettings) -> Split:
    """Training and validation patients of the settings; no patient is in both."""
    patients = sorted({case.patient for case in cases})
    if not patients:
        raise InputError(settings.data, "contains no labelled case",
                         "Put label maps beside the scans, or in a folder `labels`; `kaf data scan` explains.")
    share = _share(len(patients)) if settings.validation is None else settings.validation
    if settings.splits:
        train, validation = fold_of(settings.splits, settings.fold, {case.name: case.patient for case in cases})
    elif settings.validation_cases:
        unknown = set(settings.validation_cases) - set(patients)
        if unknown:
            raise InputError(settings.data, f"has no labelled patient {', '.join(sorted(unknown))}",
                             "See `kaf data scan` for the names of patients.")
        validation = sorted(settings.validation_cases)
        train = [p for p in patients if p not in set(validation)]
    elif share and len(patients) > 1:
        train, validation = holdout(patients, share, settings.seed)
    else:
        train, validation = patients, []
    if settings.few_shot:
        train = few_shot(train, settings.few_shot, settings.seed)
    if not train:
        raise InputError(settings.data, "leaves no patient for training", "Keep fewer patients for validation.")
    return Split(tuple(train), tuple(validation), (), settings.seed, "fine-tuning, by patient")


def check_same_patients(path: Path, split: Split) -> None:
    """A resumed run keeps its patients: one who has trained must not validate."""
    if path.is_file() and Split.load(path) != split:
        raise InputError(path, "the run was started with other patients",
                         "Resume with its data and settings, or start again with --overwrite.")


def _share(patients: int) -> float:
    """The share that validates where nothing was said: one patient of ten, at least one where there are four or more.

    With fewer every patient is needed for training, and the model is judged by nobody.
    """
    return max(1, patients // 10) / patients if patients >= _ENOUGH else 0.0
