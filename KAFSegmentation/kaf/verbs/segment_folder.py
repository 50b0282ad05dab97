"""Segmentation of many scans into a folder: processes share them, and a run that was stopped goes on."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from kaf.cohort.case_files import report_of, result_paths, write_results
from kaf.cohort.standing import DONE, Wanted, leftovers, of_others
from kaf.cohort.tables import check_tables
from kaf.cohort.work_queue import CaseOutcome, clear_work, leads, share_work, try_alone, work_folder
from kaf.cohort.worst_first import OVERVIEW, write_overview
from kaf.data.case import Case
from kaf.data.scan import read_scan
from kaf.imaging.source import stamp_of
from kaf.inference.loaded_model import LoadedModel, load_for_inference
from kaf.inference.segmentation import segment_volume
from kaf.runtime.errors import InputError, OutputError
from kaf.runtime.events import Message, OnEvent, ignore
from kaf.runtime.file_set import sweep
from kaf.runtime.files import remove
from kaf.runtime.paths import identity
from kaf.settings.segment import SegmentSettings

_SAID = 3  # so many files are named


def segment_folder(cases: Sequence[Case], settings: SegmentSettings, output: Path, suffix: str = ".seg.nrrd",
                   picture: bool = False, overwrite: bool = False, on_event: OnEvent = ignore) -> CaseOutcome:
    """Segment every case into the folder ``output`` as <name><suffix>, with a report <name>-seg.json each, and a table
    of all, segmentations.csv, in which the cases with the lowest predicted quality come first.

    What the same model and settings have made of the same scan is kept; a scan that cannot be used is reported and left
    out.  With ``overwrite`` other results of KAF are replaced, all files of a case together, but never a file that
    somebody else made or changed.

    Raises:
        OutputError: a result of another model, of other settings or of another scan is there and ``overwrite`` is not
            set; a file is somebody's own; a result would replace a scan.
        ModelError, ResourceError: as :func:`kaf.verbs.segment.segment`.
    """
    model = load_for_inference(settings, settings.model, channels=True)
    job = _Job(settings, output, suffix, picture, overwrite, model, on_event)
    job.check(cases)
    outcome = share_work(cases, lambda case: case.name, output, job.is_done, job.do, on_event, "segmenting scans")
    if leads():
        outcome.order = job.overview([case for case in cases if case.name not in outcome.failed])
    if not outcome.elsewhere:
        clear_work(output, [case.name for case in cases])
    return outcome


@dataclass
class _Job:
    settings: SegmentSettings
    output: Path
    suffix: str
    picture: bool
    overwrite: bool
    ready: LoadedModel
    on_event: OnEvent

    def check(self, cases: Sequence[Case]) -> None:
        """Refuses before any work what would be found out in the middle of it."""
        if self.output.is_dir():
            check_tables([self.output / OVERVIEW], overwrite=True)
        wanted = [self._wanted(case) for case in cases]
        self._refuse_scans(wanted)
        for item in wanted:
            try:
                item.standing().refuse(self.overwrite)
            except OutputError:  # for good, unless another process is just writing it
                with try_alone(self.output, item.case.name) as alone:
                    if alone:
                        item.standing().refuse(self.overwrite)
        self._refuse_mixture(wanted)

    def _refuse_scans(self, wanted: Sequence[Wanted]) -> None:
        """No result may take the place of a scan, of a label map, or of another result."""
        scans = {path for item in wanted for path in (item.case.image, *item.case.label_files)}
        places = {place for scan in scans if (place := identity(scan))}
        inside = next((place for place in self.output.absolute().resolve().parents if identity(place) in places), None)
        if inside or identity(self.output) in places:
            raise OutputError(self.output, "lies inside a scan", "Choose another folder for the results.")
        makers: dict[str, str] = {}
        for item in wanted:
            for path in item.paths.values():
                maker = makers.setdefault(path.name.casefold(), item.case.name)
                if maker != item.case.name:
                    raise OutputError(path, f"would be a result of both {maker} and {item.case.name}",
                                      "Give one of the scans another name.")
                if identity(path) in places:
                    raise OutputError(path, "is a scan or a label map of the folder that is read",
                                      "Choose another folder for the results.")

    def _refuse_mixture(self, wanted: Sequence[Wanted]) -> None:
        """A folder holds results of one model, with one set of settings, unless somebody asks for more."""
        others = of_others(self.output, wanted)
        if not others:
            return
        model = others[0][1]
        names = ", ".join(path.name for path, _ in others[:_SAID])
        names += f" and {len(others) - _SAID} more" * (len(others) > _SAID)
        if not self.overwrite:
            raise OutputError(self.output, f"contains results of another model ({model}) or of other settings: {names}",
                              "Choose another folder, or pass --overwrite to have both in this one.")
        if leads():
            self.on_event(Message(f"{self.output} also holds results of another model or of other settings, which "
                                  f"are kept: {names}.", "warning"))

    def do(self, case: Case) -> None:
        wanted = self._wanted(case)
        wanted.standing().refuse(self.overwrite)
        sweep(wanted.paths.values())
        try:
            stamp, more = stamp_of(case.image), [stamp_of(path) for path in self._seen(case).more]
            series = self.settings.series if case.image.is_dir() else ""
            start = time.monotonic()
            volume = read_scan(self._seen(case), series or None, self.settings.frame)
            read = time.monotonic() - start
            result = segment_volume(volume, self.ready, self.settings)
        except InputError as error:
            self.on_event(Message(f"Left out: {error}", "warning"))
            raise
        for warning in result.warnings:
            self.on_event(Message(f"{case.name}: {warning}", "warning"))
        result = replace(result, seconds={"read": read, "load": 0.0, **result.seconds})
        report = report_of(str(case.image), result, wanted.paths, self.settings, stamp, more)
        write_results(volume, result, wanted.paths, report, True, self.on_event, leftovers(wanted.paths),
                      wanted.begin)
        remove(wanted.mark)

    def _seen(self, case: Case) -> Case:
        """The case with the channels that the model sees, in its order: by name where both name them, else as they
        come; for a model of one channel the first."""
        wanted = self.ready.card.channel_names
        if not wanted:
            return case.one_channel
        numbers = {name.casefold(): index for index, name in enumerate(case.channels)}
        order = [numbers[name.casefold()] for name in wanted if name.casefold() in numbers]
        if case.frames or len(order) != len(wanted) or len(case.channels) != len(wanted):
            return case
        files = [(case.image, *case.more)[index] for index in order]
        return replace(case, channels=wanted, image=files[0], more=tuple(files[1:]))

    def overview(self, cases: Sequence[Case]) -> list[str]:
        """Write the table of all results; the names of the cases, the one to look at first on top."""
        return write_overview(self.output, {case.name: self._wanted(case).paths["report"] for case in cases})

    def is_done(self, case: Case) -> bool:
        """Whether all files are there, from this model with these settings and this scan."""
        return self._wanted(case).standing().kind == DONE

    def _wanted(self, case: Case) -> Wanted:
        paths = result_paths(self.output / f"{case.name}{self.suffix}", self.settings, self.picture)
        return Wanted(case, paths, self.ready.card.digest, self.settings.model_dump(mode="json"),
                      work_folder(self.output) / f"{case.name}.started")
