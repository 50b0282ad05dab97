"""The scans of a folder, segmented by another process into a second folder.

All that is known of the results is read from that folder, where the process keeps them whole or not at all: a run that
was interrupted, with Slicer or by a power cut, continues where it was.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

from kaf.data.folder import Case, scan_folder
from kaf.modelfile.card import Card
from kaf.runtime import json_files
from kaf.runtime.errors import InputError, KafError
from kaf.runtime.events import Event, Message
from KAFSegmentationLib.backend.LogView import LogView
from KAFSegmentationLib.backend.ShortJob import ShortJob
from KAFSegmentationLib.batch.Items import CHECK, DONE, FAILED, RUNNING, WAITING, Item
from KAFSegmentationLib.scene.SegmentationWriter import SegmentationWriter
from KAFSegmentationLib.segment.PredictedQuality import Quality, keepPredicted

_CHECK = "check"  # a word of the predicted quality; of doubtful structures the report warns itself
_ENDING = ".seg.nrrd"
_SCAN_ATTRIBUTE = "KAFSegmentation.File"  # of a scan that was opened from a folder


@dataclass(frozen=True)
class Job:
    """What is to be done: by this model, with these settings, into this folder."""

    folder: Path
    output: Path
    model: str
    card: Card
    settings: dict[str, Any]


def readCases(folder: str | Path) -> list[Case]:
    """The scans of a folder, from the names of its files.

    Raises:
        InputError: it contains none.
    """
    return list(scan_folder(folder).cases)


class FolderScans:
    """Args:
        python: returns the interpreter that has the packages.
        log: gets messages.
    """

    def __init__(self, python: Callable[[], str], log: LogView):
        self._python, self._log = python, log
        self._process: ShortJob | None = None
        self._failed: dict[str, str] = {}
        self._reports: dict[Path, tuple[int, dict[str, Any]]] = {}  # when it was written, and what it says

    @property
    def isRunning(self) -> bool:
        """Whether the process is at work."""
        return self._process is not None

    def start(self, job: Job, onEvent: Callable[[Event], None], onDone: Callable[[KafError | None], None]) -> None:
        """Segments what has no result yet; returns at once.

        Args:
            onEvent: gets progress.
            onDone: called once, with what went wrong with all of them, or None.
        """
        self._failed = {}

        def take(event):
            if isinstance(event, Message):
                self._log.add(event.text)
            onEvent(event)

        def done(values, error):
            self._process = None
            self._failed = dict((values or {}).get("failed") or {})
            onDone(error)

        arguments = ["segment", job.folder, "--model", job.model, "--output", job.output, *_flags(job.settings)]
        self._process = ShortJob(self._python(), arguments, take, done)

    def cancel(self) -> None:
        """Stops; finished results stay, and the next start continues after them."""
        if self._process is not None:
            self._process.cancel()

    def close(self) -> None:
        """Stops and calls nobody."""
        if self._process is not None:
            self._process.close()
            self._process = None

    def items(self, cases: list[Case], job: Job) -> list[Item]:
        """What the results' folder says of every scan."""
        return [self._item(case, job) for case in cases]

    def open(self, case: Case, job: Job) -> tuple[slicer.vtkMRMLScalarVolumeNode, slicer.vtkMRMLSegmentationNode]:
        """The scan and its result in the scene; those that are there already are not read again.

        Raises:
            InputError: a file cannot be read.
        """
        from kaf.imaging.volume import read_labels

        volume = _opened(case.image) or _readScan(case)
        for node in slicer.util.getNodesByClass("vtkMRMLSegmentationNode"):
            if node.GetAttribute(_SCAN_ATTRIBUTE) == str(_labels(case, job)):
                return volume, node
        labels = read_labels(_labels(case, job))
        known = [vars(label) for label in job.card.labels]
        writer = SegmentationWriter(volume, job.model, known)
        node = writer.write(labels.voxels)
        node.SetAttribute(_SCAN_ATTRIBUTE, str(_labels(case, job)))
        keepPredicted(node, dict(zip((label["name"] for label in known), writer.segmentIds, strict=True)),
                      self._report(case, job).get("predicted_quality"))
        return volume, node

    def _report(self, case, job):
        """The report of a result, which is written last; empty where there is none. Read once, looked for each time."""
        path = job.output / f"{case.name}-seg.json"
        try:
            when = path.stat().st_mtime_ns
            if self._reports.get(path, (0, {}))[0] != when:
                found = json_files.read(path)
                self._reports[path] = when, found if isinstance(found, dict) else {}
        except (OSError, ValueError):
            return {}
        return self._reports[path][1] if _labels(case, job).is_file() else {}

    def _item(self, case, job):
        if case.name in self._failed:
            return Item(case.name, case.name, FAILED, notes=(self._failed[case.name],))
        report = self._report(case, job)
        if not report:
            lock = job.output / ".kaf-work" / f"{case.name}.lock"
            return Item(case.name, case.name, RUNNING if self.isRunning and lock.exists() else WAITING)
        if report.get("model_digest") != job.card.digest:
            return Item(case.name, case.name, FAILED, notes=(
                _("The folder contains a result of another model ({model}).").format(model=report.get("model")),))
        warnings = report.get("warnings")
        notes = tuple(map(str, warnings)) if isinstance(warnings, list) else ()
        unsure = [name for name, item in _entries(report, "predicted_quality")
                  if (quality := Quality.of(item, 0)) is not None and quality.word == _CHECK]
        if unsure:
            notes += (_("Check the predicted quality of: {structures}.").format(structures=", ".join(unsure)),)
        volumes = {name: float(volume) for name, volume in _entries(report, "volumes_ml")
                   if isinstance(volume, (int, float))}
        return Item(case.name, case.name, CHECK if notes else DONE, volumes, notes)


def _entries(report, name):
    found = report.get(name)
    return list(found.items()) if isinstance(found, dict) else []


def _flags(settings):
    """The settings of the panel as flags of the command."""
    flags = ["--device", settings["device"], "--threads", settings["threads"]]
    if settings.get("flips"):
        flags.append("--flips")
    if settings.get("largest_component"):
        flags += ["--largest-component", ",".join(map(str, settings["largest_component"]))]
    return flags


def _labels(case, job):
    return job.output / f"{case.name}{_ENDING}"


def _opened(image):
    for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode"):
        if node.GetAttribute(_SCAN_ATTRIBUTE) == str(image):
            return node
    return None


def _readScan(case):
    import numpy as np

    from kaf.imaging.volume import read_volume

    scan = read_volume(case.image)
    if scan.voxels.ndim != 3:
        raise InputError(case.image, _("is not a 3-D scan"), _("Open it in Slicer and segment it there."))
    node = slicer.util.addVolumeFromArray(np.ascontiguousarray(scan.voxels), name=case.name)
    node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(scan.affine))
    node.CreateDefaultDisplayNodes()
    node.SetAttribute(_SCAN_ATTRIBUTE, str(case.image))
    return node
