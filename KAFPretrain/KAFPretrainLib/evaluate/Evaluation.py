"""Segments labelled cases with a model and evaluates the result: two processes, one after the other.

The cases that are wanted are linked in a folder of their own, so that the commands see these and no others. Scans that
a model has segmented before are not segmented again.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from slicer.i18n import tr as _

from kaf.runtime import json_files
from kaf.runtime.errors import InputError, KafError, OutputError
from KAFSegmentationLib.backend.ShortJob import ShortJob

if TYPE_CHECKING:
    from kaf.runtime.events import Event
    from KAFPretrainLib.data.Inspection import FoundCase
    from KAFPretrainLib.models.Weights import Weights


@dataclass
class Scores:
    """The result of an evaluation, by case: mean Dice (0..1) and HD95 (mm) over its labels, None where it is undefined,
    Dice and HD95 of each structure, and the file of the prediction. ``name`` is that of the model, as it is shown."""

    name: str
    dice: dict[str, float | None] = field(default_factory=dict)
    structures: dict[str, dict[str, tuple[float | None, float | None]]] = field(default_factory=dict)
    hd95: dict[str, float | None] = field(default_factory=dict)
    predictions: dict[str, str] = field(default_factory=dict)
    mean: float | None = None
    notes: tuple[str, ...] = ()
    report: str = ""


def readScores(name: str, folder: str | Path) -> Scores:
    """The scores in the folder of an evaluation.

    Raises:
        InputError: it contains none that can be read.
    """
    try:
        values = json_files.read(Path(folder) / "evaluation.json")
        scores = Scores(name, mean=values["mean_over_labels"]["dice"], report=str(Path(folder) / "report.html"),
                        notes=(*values["not_scored"], *values["remarks"]))
        names = [summary["label"]["name"] for summary in values["labels"]]
        for case in values["cases"]:
            distances = [label["hd95"] for label in case["labels"] if label["hd95"] is not None]
            scores.dice[case["case"]] = case["dice"]
            scores.structures[case["case"]] = {
                name: (label["dice"], label["hd95"]) for name, label in zip(names, case["labels"], strict=True)}
            scores.hd95[case["case"]] = sum(distances) / len(distances) if distances else None
            scores.predictions[case["case"]] = case["prediction"]
        return scores
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(folder, _("contains no readable evaluation ({reason})").format(reason=error),
                         _("Press Evaluate again.")) from error


_MARK = ".laid-out-by-kaf"


def linkCases(cases: Sequence[FoundCase], folder: str | Path) -> None:
    """Makes links to scans in ``images`` and to label maps in ``labels``, named after the cases, or copies where links
    are not possible. Earlier links are removed, but only from a folder that was made here.

    Raises:
        OutputError: the folder cannot be written, or contains files of others.
    """
    folder = Path(folder)
    try:
        if not (folder / _MARK).is_file():
            folder.mkdir(parents=True, exist_ok=True)
            if any(folder.iterdir()):
                raise OutputError(folder, _("contains files that KAF did not write"), _("Move them away."))
            (folder / _MARK).touch()
        for part, path in (("images", lambda case: case.image), ("labels", lambda case: case.label)):
            place = folder / part
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir(parents=True)
            for case in cases:
                if part == "labels" and getattr(case, "drawing", None):
                    continue  # no file that could be read by itself
                source = Path(path(case)).resolve()
                _link(source, place / (case.name + _suffix(source)))
    except OSError as error:
        raise OutputError(folder, _("cannot be written ({reason})").format(reason=error.strerror or error),
                          _("Choose another output folder in the Data tab.")) from error


def _suffix(path):
    if path.is_dir():
        return ""
    return next((end for end in (".seg.nrrd", ".nii.gz") if path.name.lower().endswith(end)), path.suffix)


def _link(source, target):
    """Another name for a file or a folder: what Windows keeps for administrators is done with links to files, which
    take no room, and across disks with a copy."""
    try:
        os.symlink(source, target, target_is_directory=source.is_dir())
    except OSError:
        if source.is_dir():
            shutil.copytree(source, target, copy_function=_hardLink)
        else:
            _hardLink(source, target)


def _hardLink(source, target):
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


class Evaluation:
    """One model on some cases.

    Args:
        python: the interpreter that has the packages.
        cases: those with labels to evaluate on.
        folder: where the results of all evaluations on these cases go.
        onEvent: called with progress and messages.
        onDone: called once with the scores or the error.
        data: the folder of the cases, where the references are read whose label maps are no files by themselves.
    """

    def __init__(self, python: str, weights: Weights, cases: Sequence[FoundCase], folder: str | Path, device: str,
                 onEvent: Callable[[Event], None], onDone: Callable[[Scores | None, KafError | None], None],
                 data: str = ""):
        self._python, self._weights, self._onEvent, self._onDone = python, weights, onEvent, onDone
        # Another model, or one of the same name that was trained again, is another folder.
        self.folder = Path(folder) / f"{Path(weights.name.replace(' ', '-')).name}-{weights.card.digest[:8]}"
        place = Path(folder) / "cases"
        linkCases(cases, place)
        self._images, self._references = place / "images", [place / "labels"]
        if data and any(case.drawing for case in cases):
            self._references = [data, "--cases", ",".join(case.name for case in cases)]
        self._job = ShortJob(python, ["segment", self._images, "--model", weights.path, "--output",
                                      self.folder / "predictions", "--overwrite", "--device", device], onEvent,
                             self._onSegmented)

    def cancel(self) -> None:
        """Stops; finished segmentations are kept."""
        self._job.cancel()

    def close(self) -> None:
        """Stops and calls nobody."""
        self._job.close()

    def _onSegmented(self, values, error):
        if error is not None:
            self._onDone(None, error)
            return
        self._job = ShortJob(self._python, ["evaluate", self.folder / "predictions", *self._references, "--images",
                                            self._images, "--output", self.folder, "--overwrite"], self._onEvent,
                             self._onScored)

    def _onScored(self, values, error):
        scores = None
        if error is None:
            try:
                scores = readScores(self._weights.title, self.folder)
            except InputError as problem:
                error = problem
        self._onDone(scores, error)
