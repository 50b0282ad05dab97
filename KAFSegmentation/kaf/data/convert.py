"""The cases of a folder in another layout: that of nnU-Net's raw data, or KAF's own, and back.

Voxels and values stay: ``.nii.gz`` files are copied, others written anew without loss.  nnU-Net wants values without
gaps; where they have gaps, dataset.json keeps the earlier ones (``kaf_values``), and the way back restores them.
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from kaf.data.annotation import scan_labelled
from kaf.data.case import Case
from kaf.data.dataset import Dataset
from kaf.data.description import FILE
from kaf.data.labels import read_case_labels
from kaf.data.scan import read_scan
from kaf.imaging.file_names import split_extension
from kaf.imaging.volume import Volume, guess_modality, read_volume, read_whole_numbers
from kaf.imaging.write import write_scan
from kaf.runtime import json_files
from kaf.runtime.errors import InputError, OutputError
from kaf.runtime.events import OnEvent, Ticker, ignore
from kaf.runtime.files import move, write_problem

Layout = Literal["nnunet", "kaf"]
SPLITS = {"nnunet": "splits_final.json", "kaf": "splits.json"}
_PLACES = {"nnunet": {"train": ("imagesTr", "labelsTr"), "test": ("imagesTs", "labelsTs"), "more": ("imagesUn", "")},
           "kaf": {"train": ("images", "labels"), "test": ("test/images", "test/labels"), "more": ("images", "")}}
_SPLIT_FILES = ("splits_final.json", "splits.json", "split.json")
_SAME_GRID = 1e-2  # mm, as in training


@dataclass(frozen=True)
class Converted:
    """What was written: the folder, how many training cases with labels, scans without, and test cases, and the names
    of the structures by their new values."""

    folder: Path
    labelled: int
    unlabelled: int
    test: int
    label_names: dict[int, str]
    splits: str = ""

    def text(self) -> str:
        counts = (f"labelled cases: {self.labelled}, scans without labels: {self.unlabelled}, "
                  f"test cases: {self.test}")
        labels = ", ".join(f"{value} {name}" for value, name in self.label_names.items())
        lines = [f"written: {self.folder}", counts, f"labels: {labels}"]
        return "\n".join([*lines, *([f"splits: {self.splits}"] if self.splits else [])])


def convert(folder: str | Path, to: Layout, output: str | Path, on_event: OnEvent = ignore) -> Converted:
    """Write the cases of ``folder`` to the new folder ``output``: all of it, or nothing.

    Raises:
        InputError: a case cannot be read, its label map lies on another grid than its scan, or the folder is none.
        OutputError: the output is there already and not empty, lies inside the folder, or cannot be written.
    """
    dataset, output = scan_labelled(folder, on_event=on_event), Path(output)
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise OutputError(output, "is not an empty folder", "Choose a new or an empty folder.")
    if dataset.root.resolve() in output.resolve().parents:
        raise OutputError(output, "lies inside the folder that is converted, which would then hold every case twice",
                          "Choose a folder elsewhere.")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        temporary = output.parent / f".{output.name}-{os.getpid()}"
        temporary.mkdir()
        try:
            converted = _Conversion(dataset, to, temporary, on_event).run(output)
            move(temporary, output)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise OutputError(output, *write_problem(error)) from error
    return converted


class _Conversion:
    def __init__(self, dataset: Dataset, to: Layout, folder: Path, on_event: OnEvent):
        self._dataset, self._to, self._folder, self._on_event = dataset, to, folder, on_event
        self._modality = ""
        self._held: set[int] = set()

    def run(self, output: Path) -> Converted:
        dataset = self._dataset
        values = self._values()
        ticker = Ticker(self._on_event, "converting cases", len(dataset.every))
        parts = {"train": dataset.labelled, "more": dataset.unlabelled, "test": dataset.test}
        done = 0
        for part, cases in parts.items():
            images, labels = (self._folder / place for place in _PLACES[self._to][part])
            for case in cases:
                scan = self._write_scan(case, images)
                if case.label is not None:
                    self._write_labels(case, labels, values, scan)
                done += 1
                ticker.update(done)
        names = {values.get(value, value): name for value, name in self._names().items()}
        splits = self._write_splits()
        words = self._description(names, values)
        (self._folder / FILE).write_text(json.dumps(words, indent=1) + "\n", encoding="utf-8")
        return Converted(output, len(dataset.labelled), len(dataset.unlabelled), len(dataset.test), names, splits)

    def _names(self) -> dict[int, str]:
        """Every value that the folder names or its label maps hold, as KAF uses them, and what it is called."""
        known = self._dataset.label_names
        return {value: known.get(value, f"label {value}") for value in sorted(known.keys() | self._held)}

    def _values(self) -> dict[int, int]:
        """Value that KAF uses -> value to write, for every value of the folder but the one to ignore."""
        for case in self._dataset.every:
            if case.label is not None and not case.masks:
                self._held |= {dict(case.values).get(int(value), int(value)) for value in
                               np.unique(read_whole_numbers(case.label).voxels) if value not in (0, case.ignore)}
        used = sorted(self._held | self._dataset.label_names.keys())
        if self._to == "nnunet":
            return {value: number for number, value in enumerate(used, 1)}
        original = self._dataset.description.original
        raw = {number: value for case in self._dataset.every for value, number in case.values}
        return {value: original.get(value, raw.get(value, value)) for value in used}

    def _write_scan(self, case: Case, folder: Path) -> Volume | None:
        """Copy a scan, or write it anew; the volume where it had to be read."""
        numbered = self._to == "nnunet" or bool(case.channels)
        target = folder / f"{case.name}{'_0000' if numbered else ''}.nii.gz"
        folder.mkdir(parents=True, exist_ok=True)
        volume = read_scan(case) if case.channels or not self._modality else None
        if volume is not None and not self._modality:
            self._modality = guess_modality(volume)
        for number, path in enumerate(case.more, 1):
            other = folder / f"{case.name}_{number:04d}.nii.gz"
            if not _copied(path, other):
                write_scan(other, read_volume(path))
        if case.frames:
            assert volume is not None
            for number, voxels in enumerate((volume.voxels, *volume.more)):
                write_scan(folder / f"{case.name}_{number:04d}.nii.gz", replace(volume, voxels=voxels, more=()))
            return volume
        if _copied(case.image, target):
            return volume
        volume = volume or read_scan(case)
        write_scan(target, volume)
        return volume

    def _write_labels(self, case: Case, folder: Path, values: Mapping[int, int], scan: Volume | None) -> None:
        assert case.label is not None
        folder.mkdir(parents=True, exist_ok=True)
        target = folder / f"{case.name}.nii.gz"
        ignored = self._ignored(values)
        if case.masks:
            labels = read_case_labels(case, scan)
            to = dict(values)
        else:
            labels = read_whole_numbers(case.label)
            used = dict(case.values)
            to = {int(raw): values.get(used.get(int(raw), int(raw)), 0) for raw in np.unique(labels.voxels) if raw}
            if case.ignore is not None:
                to[case.ignore] = ignored
        self._refuse_other_grid(case, labels, scan)
        if not case.masks and all(old == new for old, new in to.items()) and _copied(case.label, target):
            return
        most = max(to.values(), default=0)
        written = np.zeros(labels.voxels.shape, np.uint8 if most <= 255 else np.int32)
        for old, new in to.items():
            written[labels.voxels == old] = new
        write_scan(target, Volume(written, labels.affine, labels.source))

    def _ignored(self, values: Mapping[int, int]) -> int:
        """The value to write for what nobody has labelled: nnU-Net wants the highest of all."""
        given = self._dataset.description.ignore
        if self._to == "nnunet" or given is None or given in values.values():
            return max(values.values(), default=0) + 1
        return given

    @staticmethod
    def _refuse_other_grid(case: Case, labels: Volume, scan: Volume | None) -> None:
        scan = scan or read_scan(case)
        if labels.shape != scan.shape or not np.allclose(labels.affine, scan.affine, atol=_SAME_GRID):
            raise InputError(case.label, "does not lie on the voxels of its scan",
                             "Resample it onto the voxels of the scan, or take the case out.")

    def _description(self, names: Mapping[int, str], values: Mapping[int, int]) -> dict[str, Any]:
        dataset, given = self._dataset, self._dataset.description
        labels: dict[str, int] = {"background": 0, **{name: value for value, name in names.items()}}
        if given.ignore is not None:
            labels["ignore"] = self._ignored(values)
        words: dict[str, Any] = {"labels": labels}
        if self._to == "nnunet":
            channel = given.channels.get(0) or (self._modality if self._modality in ("CT", "MR") else "scan")
            several = next((case.channels for case in dataset.every if case.channels), (channel,))
            words = {"channel_names": {str(n): name for n, name in enumerate(several)}, **words,
                     "numTraining": len(dataset.labelled),
                     "file_ending": ".nii.gz"}
            raw = {number: value for case in dataset.every for value, number in case.values}
            before = {str(new): raw.get(old, given.original.get(old, old)) for old, new in values.items()}
            if any(int(new) != old for new, old in before.items()):
                words["kaf_values"] = before
        elif given.channels:
            words["channel_names"] = {str(number): name for number, name in given.channels.items()}
        drawn = {case.name: [names[values.get(value, value)] for value in sorted(case.annotated)
                             if values.get(value, value) in names]
                 for case in dataset.every if case.annotated is not None}
        return {**words, **({"kaf_partial": drawn} if drawn else {})}

    def _write_splits(self) -> str:
        """The folds of a file of splits in the folder, by cases; the name of the new file, or ""."""
        source = next((path for name in _SPLIT_FILES if (path := self._dataset.root / name).is_file()), None)
        if source is None:
            return ""
        try:
            content = json_files.read(source)
        except ValueError as error:
            raise InputError(source, f"is not valid JSON ({error})", "Fix the file, or remove it.") from error
        folds = content if isinstance(content, list) else [content]
        if not all(isinstance(fold, dict) and isinstance(fold.get("train"), list) for fold in folds):
            raise InputError(source, "contains no splits", "Fix the file, or remove it.")
        parts = [{"train": self._cases_of(fold["train"]),
                  "val": self._cases_of(fold.get("val", fold.get("validation")) or [])} for fold in folds]
        name = SPLITS[self._to]
        (self._folder / name).write_text(json.dumps(parts, indent=1) + "\n", encoding="utf-8")
        return name

    def _cases_of(self, named: Sequence[object]) -> list[str]:
        """The labelled cases that the entries of a split mean: a case, or all of a patient."""
        wanted = {str(name) for name in named}
        return [case.name for case in self._dataset.labelled if wanted & {case.name, case.patient}]


def _copied(source: Path, target: Path) -> bool:
    """Whether a NIfTI file was taken as it is, packed where it was not."""
    if source.is_dir():
        return False
    extension = split_extension(source.name)[1]
    if extension == ".nii.gz":
        shutil.copyfile(source, target)
        return True
    if extension != ".nii":
        return False
    with source.open("rb") as plain, gzip.GzipFile(target, "wb", compresslevel=1, mtime=0) as packed:
        shutil.copyfileobj(plain, packed)
    return True
