"""Validation cases of a fine-tuning that lie in another folder than those it trains on."""

from __future__ import annotations

from dataclasses import replace

from kaf.data.annotation import check_same_names, scan_labelled
from kaf.data.case import Case
from kaf.data.dataset import Dataset
from kaf.data.splits import Split, check_no_leak
from kaf.runtime.errors import InputError, SettingsError
from kaf.settings.finetune import FinetuneSettings

_WORDS = ("auto", "none", "missing")  # a table is about the training folder

def validation_elsewhere(settings: FinetuneSettings, training: Dataset | None = None) -> list[Case]:
    """All labelled cases of the other folder, whose values mean what those of ``training`` mean; none where none is
    named.

    Raises:
        SettingsError: validation patients of the training folder are asked for, too.
        InputError: the folder holds no labelled case, or gives a value another name.
    """
    if not settings.validation_data:
        return []
    if settings.validation_cases or settings.validation:
        raise SettingsError("validation_data", "cannot be combined with validation or validation_cases",
                            "Validate either on patients of the training folder or on another folder.")
    dataset = scan_labelled(settings.validation_data, settings.partial if settings.partial in _WORDS else "auto")
    if training is not None:
        check_same_names(training, dataset)
    found = [case for case in dataset.every if case.label is not None]  # test scans may be looked at
    if not found:
        raise InputError(settings.validation_data, "contains no labelled case",
                         "Put label maps beside the scans, or in a folder `labels`; `kaf data scan` explains.")
    return found


def with_validation(split: Split, elsewhere: list[Case]) -> Split:
    """The split with the patients of the other folder for validation, in place of any of its own.

    Raises:
        InputError: one of them trains.
    """
    if not elsewhere:
        return split
    train = (*split.train, *split.validation)
    made = replace(split, train=train, validation=tuple(sorted({case.patient for case in elsewhere})))
    check_no_leak(made, "validation_data")
    return made
