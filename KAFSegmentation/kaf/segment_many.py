"""Segmentation of many scans into a folder: shared by processes, gone on with where it stopped."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kaf import json_files
from kaf.data.folder import Case
from kaf.errors import InputError, OutputError
from kaf.events import Message, OnEvent, ignore
from kaf.ready import Ready, make_ready
from kaf.segment import segment
from kaf.segment_files import report_of, result_paths, write_results
from kaf.settings import SegmentSettings
from kaf.sharing import Outcome, clear_work, share_work, work_folder
from kaf.volume import read_volume

_HOW = ("device", "threads", "precision", "batch", "model")  # settings that do not change what is found


def segment_many(cases: Sequence[Case], settings: SegmentSettings, output: Path, suffix: str = ".seg.nrrd",
                 picture: bool = False, overwrite: bool = False, on_event: OnEvent = ignore) -> Outcome:
    """Segment every case into the folder ``output`` as <name><suffix>, with a report <name>-seg.json each.

    What the same model and settings have done already is kept; a scan that cannot be used is told and left out.

    Raises:
        OutputError: a result of another model, or of other settings, or somebody's own file, is there and
            ``overwrite`` is not set.
        ModelError, ResourceError: as :func:`segment`.
    """
    job = _Job(settings, output, suffix, picture, overwrite, make_ready(settings, settings.model), on_event)
    for case in cases:
        job.check(case)
    outcome = share_work(cases, lambda case: case.name, output, job.is_done, job.do, on_event, "segmenting scans")
    if not outcome.elsewhere:
        clear_work(output)
    return outcome


@dataclass
class _Job:
    settings: SegmentSettings
    output: Path
    suffix: str
    picture: bool
    overwrite: bool
    ready: Ready
    on_event: OnEvent

    def check(self, case: Case) -> None:
        """Refuses before any work what would be found out in the middle of it."""
        if not (self.overwrite or self._started(case).exists() or self.is_done(case)):
            for path in self._paths(case).values():
                if path.exists():
                    raise OutputError(path, "is there already, and not from this model with these settings",
                                      "Choose another folder, or pass --overwrite to replace it.")

    def do(self, case: Case) -> None:
        paths = self._paths(case)
        try:
            series = self.settings.series if case.image.is_dir() else ""
            volume = read_volume(case.image, self.settings.frame, series or None)
            result = segment(volume, self.settings, ready=self.ready)
        except InputError as error:
            self.on_event(Message(f"Left out: {error}", "warning"))
            raise
        for warning in result.warnings:
            self.on_event(Message(f"{case.name}: {warning}", "warning"))
        self._started(case).touch()  # what a killed process leaves from here on is ours to replace
        write_results(volume, result, paths, report_of(str(case.image), result, paths, self.settings), True,
                      self.on_event)
        self._started(case).unlink(missing_ok=True)

    def is_done(self, case: Case) -> bool:
        """Whether all files are there, from this model with these settings; the report is written last."""
        paths = self._paths(case)
        report: dict[str, Any] = {}
        with suppress(OSError, ValueError):
            report = json_files.read(paths["report"])
        return (report.get("model_digest") == self.ready.card.digest
                and report.get("input") == str(case.image)
                and _what(report.get("settings")) == _what(self.settings.model_dump(mode="json"))
                and all(path.exists() for path in paths.values()))

    def _paths(self, case: Case) -> dict[str, Path]:
        return result_paths(self.output / f"{case.name}{self.suffix}", self.settings, self.picture)

    def _started(self, case: Case) -> Path:
        return work_folder(self.output) / f"{case.name}.started"


def _what(settings: Any) -> dict[str, Any]:
    """The settings that decide the result; what says nothing is as good as what an older report leaves out."""
    return {name: value for name, value in (settings or {}).items() if name not in _HOW and value not in (None, "")}
