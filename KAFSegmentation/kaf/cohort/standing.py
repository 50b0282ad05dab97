"""What a folder holds of the segmentation of a scan: nothing, all of it, what KAF may replace, or somebody's own files.

A result is whole where its report is there, which is removed first and written last (:mod:`kaf.runtime.file_set`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kaf.data.folder import Case
from kaf.imaging.source import is_same
from kaf.runtime import json_files
from kaf.runtime.errors import OutputError
from kaf.runtime.file_set import left_behind
from kaf.runtime.files import atomic_write, file_digest

REPORT_ENDING = "-seg.json"
_HOW = ("device", "threads", "precision", "batch", "model")  # settings that do not change what is found
NEW, DONE, UNFINISHED, OTHER, FOREIGN = "new", "done", "unfinished", "other", "foreign"


@dataclass(frozen=True)
class Standing:
    """kind: NEW; DONE; UNFINISHED, what a process left that was killed; OTHER, a result of KAF that is not this one;
    FOREIGN, a file that KAF did not write.  path and reason: of what is in the way."""

    kind: str
    path: Path | None = None
    reason: str = ""

    def refuse(self, overwrite: bool) -> None:
        """Raises OutputError where the result may not be written."""
        if self.kind == FOREIGN:
            raise OutputError(self.path, self.reason, "Move it to another folder, or choose another folder.")
        if self.kind == OTHER and not overwrite:
            raise OutputError(self.path, self.reason, "Choose another folder, or pass --overwrite to replace it.")


def read_report(path: Path) -> dict[str, Any]:
    """The report of a segmentation; empty where there is none that can be read."""
    with suppress(OSError, ValueError):
        found = json_files.read(path)
        if isinstance(found, dict) and isinstance(found.get("outputs"), dict):
            return found
    return {}


def what_decides(settings: Any) -> dict[str, Any]:
    """The settings that decide the result; what says nothing is as good as what an older report leaves out."""
    given = settings if isinstance(settings, Mapping) else {}
    return {name: value for name, value in given.items() if name not in _HOW and value not in (None, "")}


@dataclass(frozen=True)
class Wanted:
    """A result as it is asked for: of a case, in which files, by which model with which settings; ``mark``: a file
    that is there while the result is being put in its place."""

    case: Case
    paths: dict[str, Path]
    digest: str
    settings: Mapping[str, Any]
    mark: Path

    def standing(self) -> Standing:
        """What is there of it."""
        there = [path for path in self.paths.values() if path.exists()]
        report = read_report(self.paths["report"])
        if not report:
            return self._without_report(there)
        kind, reason = DONE, ""
        if report.get("model_digest") != self.digest:
            kind, reason = OTHER, f"is a result of another model ({report.get('model')})"
        elif changed := sorted(_difference(what_decides(report.get("settings")), what_decides(self.settings))):
            kind, reason = OTHER, f"was made with other settings ({', '.join(changed)})"
        elif not self._is_scan_of(report):
            kind, reason = OTHER, ("was made from another scan of that name: the scan was replaced or changed since"
                                   if report.get("input_file") else
                                   "was made by a version of KAF that did not record the scan")
        elif {path.name for path in self.paths.values()} != _names(report):
            kind, reason = OTHER, f"lists other files: {', '.join(sorted(_names(report)))}"
        elif len(there) < len(self.paths):
            kind = UNFINISHED
        strange = self._damaged(report) if kind == DONE else self._strange(report)
        return strange or Standing(kind, self.paths["report"], reason)

    def _is_scan_of(self, report: Mapping[str, Any]) -> bool:
        """Whether a report is of the files of this case."""
        files, stamps = (self.case.image, *self.case.more), report.get("more_files", [])
        if not stamps:  # a model of one channel
            return is_same(self.case.image, report.get("input_file"))
        known = [report.get("input_file"), *stamps]
        return len(known) == len(files) and all(any(is_same(path, stamp) for stamp in known) for path in files)

    def _without_report(self, there: list[Path]) -> Standing:
        known: Any = ()
        with suppress(OSError, ValueError):
            known = json_files.read(self.mark)
        for path in there:
            if not isinstance(known, list) or file_digest(path) not in known:
                return Standing(FOREIGN, path, "may not be a result of KAF: there is no report beside it")
        return Standing(UNFINISHED if there else NEW)

    def _damaged(self, report: Mapping[str, Any]) -> Standing | None:
        """A file of a finished result with other bytes, though nobody has saved it since: a newer one was corrected by
        a person, and is kept as it is."""
        written, when = _written(report), self.paths["report"].stat().st_mtime_ns
        for path in self.paths.values():
            if path.name in written and path.stat().st_mtime_ns <= when and file_digest(path) != written[path.name]:
                return Standing(FOREIGN, path, "is damaged: it has other bytes than KAF wrote, though it was not saved "
                                "since")
        return None

    def _strange(self, report: Mapping[str, Any]) -> Standing | None:
        """A file that is to be replaced, or belongs to the report, and is not as KAF wrote it."""
        written, names = _written(report), _names(report)
        for path in sorted({*self.paths.values(), *map(self._beside, names)} - {self.paths["report"]}):
            if not path.exists():
                continue
            if path.name not in names:
                return Standing(FOREIGN, path, "may not be a result of KAF: the report beside it does not list it")
            if written and file_digest(path) != written.get(path.name):  # which earlier versions did not keep
                return Standing(FOREIGN, path, "was changed since KAF wrote it")
        return None

    def _beside(self, name: str) -> Path:
        return self.paths["report"].with_name(name)

    def begin(self, digests: Mapping[str, str]) -> None:
        """Keep what is about to be written (its SHA-256 by file name), and what was there."""
        old = [file_digest(path) for path in self.paths.values() if path.exists()]
        atomic_write(self.mark, json.dumps([*digests.values(), *old]))


def check_beside(paths: Mapping[str, Path]) -> None:
    """Whether the files that lie beside the labels, whose names nobody has chosen, may be replaced.

    A process that was killed while its files took their places has left its report under a temporary name.

    Raises:
        OutputError: one of them is not as KAF wrote it.
    """
    reports = [read_report(path) for path in (paths["report"], *left_behind([paths["report"]]))]
    for name, path in paths.items():
        if name == "labels" or not path.exists():
            continue
        if not (reports[0] if name == "report" else any(_is_of(path, report) for report in reports)):
            raise OutputError(path, "was not written by KAF, or was changed since, and is not replaced",
                              "Move it, or choose another name for the segmentation.")


def _is_of(path: Path, report: Mapping[str, Any]) -> bool:
    """Whether the file is as this report tells of it; earlier versions kept its name only."""
    written = _written(report)
    return path.name in _names(report) and (not written or file_digest(path) == written.get(path.name))


def leftovers(paths: Mapping[str, Path]) -> list[Path]:
    """Files of the result that is there, as KAF wrote them, that a new one with these files does not have."""
    report = read_report(paths["report"])
    return [path for name, digest in _written(report).items() if name in _names(report)
            and (path := paths["report"].with_name(name)) not in paths.values()
            and path.is_file() and file_digest(path) == digest]


def _names(report: Mapping[str, Any]) -> set[str]:
    """The names of the files that a report tells of: they lie beside it, wherever it was when it was written."""
    return {Path(path).name for path in report["outputs"].values() if isinstance(path, str)} if report else set()


def _written(report: Mapping[str, Any]) -> dict[str, str]:
    """SHA-256 of the files of a report, by name; empty for a report of an earlier version."""
    files = report.get("files")
    return {Path(name).name: str(digest) for name, digest in files.items()} if isinstance(files, dict) else {}


def _difference(first: Mapping[str, Any], second: Mapping[str, Any]) -> set[str]:
    return {name for name in {*first, *second} if first.get(name) != second.get(name)}


def of_others(folder: Path, wanted: Sequence[Wanted]) -> list[tuple[Path, str]]:
    """Reports in the folder, and their models' names, of other scans that another model has segmented, or the same
    with other settings."""
    own = {item.paths["report"].name for item in wanted}
    found = []
    for path in sorted(folder.glob(f"*{REPORT_ENDING}")):
        report = read_report(path) if path.name not in own and not path.name.startswith(".") else {}
        if "model_digest" in report and any(
                report["model_digest"] != item.digest or
                _difference(what_decides(report.get("settings")), what_decides(item.settings)) for item in wanted[:1]):
            found.append((path, str(report.get("model"))))
    return found
