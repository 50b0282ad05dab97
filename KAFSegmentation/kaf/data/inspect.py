"""A look into every file of a dataset before hours are spent on it: what is there, and what is wrong."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from kaf.data.case import Case
from kaf.data.dataset import Dataset
from kaf.data.description import read_description
from kaf.data.inspect_problems import duplicates, modalities, rare_labels, sometimes, spacings, times, unnamed
from kaf.data.labels import read_case_labels
from kaf.data.pairing import count, some
from kaf.data.scan import read_scan
from kaf.imaging.volume import Volume, guess_modality
from kaf.runtime.errors import InputError
from kaf.runtime.events import OnEvent, Ticker, ignore
from kaf.runtime.plain_text import one_line

_SAME_GRID = 1e-2  # mm by which the affines of a scan and its label map may differ, as in training
_RESAMPLE = "Resample it onto the voxels of the scan, or draw it there anew"
_FLAT = 0.7  # a scan where so many voxels equal their neighbour looks like a label map


@dataclass(frozen=True)
class CaseReport:
    """What one case holds.

    ``shape`` is (slices, rows, columns), ``spacing`` mm between (columns, rows, slices); both are empty where
    the scan cannot be read.  ``values`` counts the voxels of each label value above 0; it is None without a
    label map or with one that cannot be read.  ``digest`` is the same for scans with the same voxels.
    ``usable``: the scan can be read, and its label map, if it has one, lies on it.  ``drawing``: see
    :meth:`kaf.data.case.Case.drawing`.  ``annotated``: values of the structures that were drawn, None for all.
    """

    name: str
    patient: str
    image: str
    label: str | None
    shape: tuple[int, ...] = ()
    spacing: tuple[float, ...] = ()
    dtype: str = ""
    modality: str = "unknown"
    values: dict[int, int] | None = None
    digest: str = ""
    problems: tuple[str, ...] = ()
    usable: bool = True
    drawing: dict[str, Any] = field(default_factory=dict)
    annotated: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Inspection:
    """What a dataset holds; ``problems`` concern more than one case, those of one case are with it.

    ``test`` are the cases in folders for testing, ``test_folders`` names these; ``cases`` are all others.
    ``label_names`` come from a ``dataset.json`` of the Medical Segmentation Decathlon or nnU-Net, if any.
    """

    root: str
    layout: str
    cases: tuple[CaseReport, ...]
    problems: tuple[str, ...] = ()
    label_names: dict[int, str] = field(default_factory=dict)
    test: tuple[CaseReport, ...] = ()
    test_folders: str = ""
    channels: tuple[str, ...] = ()

    @property
    def all_problems(self) -> tuple[str, ...]:
        """Every problem as a message, that of a case after its name."""
        own = (f"{case.name}: {problem}" for case in (*self.cases, *self.test) for problem in case.problems)
        return (*self.problems, *own)

    @property
    def label_cases(self) -> dict[int, int]:
        """The number of cases that hold each label value, by value."""
        held = Counter(value for case in self.cases for value in case.values or ())
        return dict(sorted(held.items()))

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; label values are strings there, as JSON has no other keys."""
        values = asdict(self)
        values["label_names"] = {str(value): name for value, name in self.label_names.items()}
        values["label_cases"] = {str(value): number for value, number in self.label_cases.items()}
        for case in (*values["cases"], *values["test"]):
            if case["values"] is not None:
                case["values"] = {str(value): number for value, number in case["values"].items()}
        return json.loads(json.dumps(values))

    def text(self) -> str:
        """A plain-text page: what was understood, then what is wrong."""
        labelled = [case for case in self.cases if case.label]
        patients, with_labels = ({case.patient for case in cases} for cases in (self.cases, labelled))
        lines = [self.root, f"Layout: {self.layout}",
                 f"Cases: {count(self.cases, 'scan')} of {count(patients, 'patient')}; "
                 f"{len(labelled)} with a label map ({count(with_labels, 'patient')})"]
        if self.test:
            drawn = [case for case in self.test if case.label]
            lines.append(f"Test: {count(self.test, 'scan')} in {self.test_folders}, never used for training; "
                         f"{len(drawn)} with a label map")
        if self.channels:
            lines.append(f"Channels: {', '.join(self.channels)}")
        readable = [case for case in self.cases if case.shape]
        if readable:
            kinds = Counter(case.modality for case in readable)
            lines += [f"Modality: {', '.join(f'{kind} ({number})' for kind, number in kinds.most_common())}",
                      f"Numbers: {', '.join(sorted({case.dtype for case in readable}))}",
                      "Size (columns x rows x slices): " + _spread([case.shape[::-1] for case in readable]),
                      "Spacing (mm, likewise): " + _spread([case.spacing for case in readable])]
        if self.label_cases:
            lines.append("Label values:")
        voxels: Counter[int] = Counter()
        for case in labelled:
            voxels.update(case.values or {})
        for value, number in self.label_cases.items():
            name = f" {self.label_names[value]}" if value in self.label_names else ""
            share = f"in {number} of {count(labelled, 'case')}"
            lines.append(f"  {value}{name}: {share}, voxels: {voxels[value]}")
        found = self.all_problems
        partly = [case for case in labelled if case.annotated is not None]
        if partly:
            lines.append(f"Partial labels: {len(partly)} of {count(labelled, 'case')} say what was drawn in them; "
                         "other structures are neither learned nor scored there")
        lines.append(f"Problems ({len(found)}):" if found else "Problems: none")
        return "\n".join([*lines, *(f"  - {one_line(problem)}" for problem in found)]) + "\n"


def inspect_dataset(dataset: Dataset, on_event: OnEvent = ignore) -> Inspection:
    """Read every scan and label map once, one at a time, and say what they hold.

    A file that cannot be read is named among the problems of its case and does not stop the others.
    """
    ticker = Ticker(on_event, "looking into the scans", len(dataset.every))
    every = []
    for case in dataset.every:
        every.append(_report(case))
        ticker.update(len(every))
    reports, test = every[:len(dataset.cases)], every[len(dataset.cases):]
    said = (message.text for message in dataset.warnings() if message.level != "info")
    problems = (*said, *duplicates(every), *modalities(every), *spacings(reports),
                *rare_labels(reports), *unnamed(reports, dataset), *sometimes(reports, dataset))
    return Inspection(str(dataset.root), dataset.layout, tuple(reports), problems, dataset.label_names,
                      tuple(test), dataset.test_folders, dataset.every[0].channels if dataset.every else ())


def label_names(root: str | Path) -> dict[int, str]:
    """Names by label value from ``dataset.json`` in the folder, written either way round; empty without."""
    return read_description(root).names


def _report(case: Case) -> CaseReport:
    drawn = tuple(sorted(case.annotated)) if case.annotated is not None else None
    start = CaseReport(case.name, case.patient, str(case.image), str(case.label) if case.label else None,
                       drawing=case.drawing(), annotated=drawn)
    values = asdict(start)
    problems: list[str] = []
    scan = labels = None
    try:
        scan = read_scan(case)
    except InputError as error:
        problems.append(f"the scan cannot be used: {error.reason}. {error.remedy.rstrip('.')}")
    if scan is not None:
        problems += scan.warnings
        values.update(shape=scan.shape, spacing=tuple(round(mm, 4) for mm in scan.spacing),
                      dtype=str(scan.voxels.dtype), modality=guess_modality(scan),
                      digest=_digest(scan.voxels))
        if _looks_like_labels(scan.voxels):
            problems.append("the scan may be a label map: few voxels differ from their neighbour. If it is one, end "
                            "its name in _seg, or take it out of the folder")
    try:
        labels = read_case_labels(case, scan) if case.label else None
    except InputError as error:
        problems.append(f"the label map cannot be used: {error.reason}. {error.remedy.rstrip('.')}")
    if labels is not None:
        problems += labels.warnings if case.masks else ()
        numbers = np.bincount(labels.voxels.reshape(-1), minlength=256)
        values["values"] = {int(value): int(numbers[value]) for value in np.flatnonzero(numbers) if value}
        if not values["values"]:
            problems.append("the label map is empty: every voxel is 0. Draw in it, or take it out of the folder")
        if drawn is not None and (more := sorted(set(values["values"]) - set(drawn))):
            problems.append(f"the label map holds {some(more)}, which is said not to be drawn in this case, and is not "
                            "used. Correct what is said of the case")
    apart = _grid(scan, labels) if scan is not None and labels is not None else []
    usable = scan is not None and (labels is not None or not case.label) and not apart
    values.update(problems=(*problems, *apart), usable=usable)
    return CaseReport(**values)


def _grid(scan: Volume, labels: Volume) -> list[str]:
    """What keeps a label map from lying on the voxels of its scan."""
    if scan.shape != labels.shape:
        sizes = [" x ".join(map(str, volume.shape[::-1])) for volume in (labels, scan)]
        return [f"the label map has {sizes[0]} voxels, the scan {sizes[1]}. {_RESAMPLE}"]
    ends = [(-0.5, n - 0.5) for n in scan.shape[::-1]]
    corners = np.array([[i, j, k, 1] for i in ends[0] for j in ends[1] for k in ends[2]])
    apart = float(np.linalg.norm((corners @ (scan.affine - labels.affine).T)[:, :3], axis=1).max())
    if np.allclose(scan.affine, labels.affine, atol=_SAME_GRID):
        return []
    return [f"the label map lies up to {apart:.2f} mm away from the scan. {_RESAMPLE}"]


def _digest(voxels: np.ndarray) -> str:
    """A fingerprint of the values, whatever their type; "" where all are the same."""
    if voxels.min() == voxels.max():
        return ""
    sha = hashlib.sha256(str(voxels.shape).encode())
    for plane in voxels:
        sha.update(np.ascontiguousarray(plane, np.float32).data)
    return sha.hexdigest()


def _looks_like_labels(voxels: np.ndarray) -> bool:
    if voxels.min() < 0 or voxels.max() > 255 or voxels.shape[2] < 2:
        return False
    some_planes = voxels[:: max(1, len(voxels) // 16)]
    here, before = some_planes[..., 1:], some_planes[..., :-1]
    inside = here > 0
    if not inside.any() or (here != np.rint(here)).any():
        return False
    return float(np.mean(here[inside] == before[inside])) > _FLAT


def _spread(rows: Sequence[Sequence[float]]) -> str:
    table = np.asarray(rows, np.float64)
    ranges = " x ".join(f"{low:g}-{high:g}" if low != high else f"{low:g}"
                        for low, high in zip(table.min(axis=0), table.max(axis=0), strict=True))
    return f"median {times(np.median(table, axis=0))}, range {ranges}"
