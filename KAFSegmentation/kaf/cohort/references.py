"""The references of an evaluation, whatever the layout of their folder: every one that can be trained on is read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from kaf.data.annotation import settle
from kaf.data.case import Case
from kaf.data.dataset import Dataset
from kaf.data.description import FILE, read_description
from kaf.data.dicom_folders import are_dicom
from kaf.data.folder import scan_folder
from kaf.data.labels import read_drawn
from kaf.data.names import folder_role
from kaf.data.pairing import some
from kaf.evaluation.pairing import Pair, find_pairs
from kaf.imaging.file_names import is_segmentation, split_extension
from kaf.imaging.volume import Volume
from kaf.runtime.errors import InputError
from kaf.runtime.events import Message, OnEvent, ignore
from kaf.settings.evaluate import EvaluateSettings


def evaluation_pairs(settings: EvaluateSettings, on_event: OnEvent = ignore) -> tuple[list[Pair], list[str]]:
    """The cases to score, and a sentence for each file without a counterpart.

    Raises:
        InputError: as :func:`kaf.evaluation.pairing.find_pairs`, or a table of what was drawn that cannot be used.
    """
    reference = Path(settings.reference)
    if _is_dataset(reference):
        dataset = settle(scan_folder(reference), settings.partial, on_event)
        for problem in dataset.problems:
            on_event(Message(problem, "warning"))
        known = {case.name: _pair(case, dataset.label_names) for case in _wanted(dataset, settings)
                 if not settings.cases or {case.name, case.patient} & set(settings.cases)}
        if not known:
            raise InputError(reference, "holds no reference: none of the scans has a label map or masks",
                             "Check it with `kaf data scan`, or give the folder of the reference segmentations.")
        return find_pairs(settings.prediction, reference, settings.images, known)
    pairs, alone = find_pairs(settings.prediction, reference, settings.images)
    if settings.cases:
        pairs, alone = [pair for pair in pairs if pair.name in settings.cases], []
        if not pairs:
            raise InputError(reference, f"holds none of the cases {some(settings.cases)}", "Check the names.")
    root = next((place for place in (reference, reference.parent) if (place / FILE).is_file()), reference)
    description = read_description(root)
    cases = tuple(Case(pair.name, pair.name, pair.reference, pair.reference, ignore=description.ignore)
                  for pair in pairs)
    dataset = settle(Dataset(root, "", cases, label_names=description.names, description=description),
                     settings.partial, on_event)
    for problem in (*description.problems, *dataset.problems):
        on_event(Message(problem, "warning"))
    return [_pair(case, dataset.label_names, pair.prediction, pair.image)
            for case, pair in zip(dataset.cases, pairs, strict=True)], alone


def _is_dataset(folder: Path) -> bool:
    """Whether a folder is one of scans and labels, not one of label maps alone."""
    if not folder.is_dir():
        return False
    inside = [path for path in folder.iterdir() if not path.name.startswith(".")]
    folders = [path for path in inside if path.is_dir()]
    if any(folder_role(path.name)[0] == "label" for path in folders):
        return True
    return bool(inside) and not any(split_extension(path.name)[1] for path in inside if path not in folders) and (
        bool(folders) or are_dicom(folder, [path.name for path in inside]))


def _wanted(dataset: Dataset, settings: EvaluateSettings) -> list[Case]:
    """The labelled cases; of those for testing only, where nothing else was predicted."""
    labelled = [case for case in dataset.every if case.label is not None]
    if settings.cases:
        return labelled
    test = [case for case in dataset.test if case.label is not None]
    names = {case.name.casefold() for case in test}
    place = Path(settings.prediction)
    files = [path for path in place.iterdir() if split_extension(path.name)[1]] if place.is_dir() else []
    found = {split_extension(path.name)[0].casefold() for path in files if not is_segmentation(path)}
    return test if test and found and found <= names else labelled


def _pair(case: Case, names: dict[int, str], prediction: Path = Path(), image: Path | None = None) -> Pair:
    assert case.label is not None
    return Pair(case.name, prediction, case.label, image or (case.image if case.image != case.label else None),
                _reader(case) if case.meaning else None, case.meaning, case.annotated, tuple(names.items()))


def _reader(case: Case) -> Callable[[], tuple[Volume, np.ndarray | None]]:
    def read() -> tuple[Volume, np.ndarray | None]:
        labels, ignored = read_drawn(case)
        assert labels is not None
        return labels, ignored

    return read
