"""Segments labelled cases with a model and compares: two commands beside Slicer, one after the other.

The cases that are wanted are laid out as links in a folder of their own, so that commands see them and nobody else.
What a model has segmented before is kept and not done again.
"""

import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from kaf.runtime import json_files
from kaf.runtime.errors import InputError, OutputError
from KAFPretrainLib.runs.ShortJob import ShortJob


@dataclass
class Scores:
    """What an evaluation found: per case its mean Dice, HD95 (mm), and files. Numbers may be None."""

    name: str
    dice: dict = field(default_factory=dict)
    hd95: dict = field(default_factory=dict)
    predictions: dict = field(default_factory=dict)
    mean: float | None = None
    notes: tuple = ()
    report: str = ""


def readScores(name, folder):
    """The scores in an evaluation's folder.

    Raises:
        InputError: it holds none that can be read.
    """
    try:
        values = json_files.read(Path(folder) / "evaluation.json")
        scores = Scores(name, mean=values["mean_over_labels"]["dice"], report=str(Path(folder) / "report.html"),
                        notes=(*values["not_scored"], *values["remarks"]))
        for case in values["cases"]:
            distances = [label["hd95"] for label in case["labels"] if label["hd95"] is not None]
            scores.dice[case["case"]] = case["dice"]
            scores.hd95[case["case"]] = sum(distances) / len(distances) if distances else None
            scores.predictions[case["case"]] = case["prediction"]
        return scores
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(folder, f"holds no evaluation that can be read ({error})", "Press Evaluate again.") from error


_MARK = ".laid-out-by-kaf"


def linkCases(cases, folder):
    """Links to scans in ``images`` and to label maps in ``labels``, named after the cases; copies where nothing else
    is possible.  What is there from before is removed, but only from a folder that was made here.

    Raises:
        OutputError: the folder cannot be written, or is somebody's own.
    """
    folder = Path(folder)
    try:
        if not (folder / _MARK).is_file():
            folder.mkdir(parents=True, exist_ok=True)
            if any(folder.iterdir()):
                raise OutputError(folder, "is a folder with other files in it", "Move them away.")
            (folder / _MARK).touch()
        for part, path in (("images", lambda case: case.image), ("labels", lambda case: case.label)):
            place = folder / part
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir(parents=True)
            for case in cases:
                source = Path(path(case)).resolve()
                _link(source, place / (case.name + _suffix(source)))
    except OSError as error:
        raise OutputError(folder, f"cannot be written ({error.strerror or error})",
                          "Choose another folder for runs in the tab Data.") from error


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
        weights: a Weights.
        cases: FoundCases with labels.
        folder: where it all goes.
        onEvent: gets progress and messages. onDone(scores, error): called once.
    """

    def __init__(self, python, weights, cases, folder, device, onEvent, onDone):
        self._python, self._weights, self._onEvent, self._onDone = python, weights, onEvent, onDone
        # Another model, or one of the same name that was trained again, is another folder.
        self.folder = Path(folder) / f"{Path(weights.name.replace(' ', '-')).name}-{weights.card.digest[:8]}"
        place = Path(folder) / "cases"
        linkCases(cases, place)
        self._images, self._labels = place / "images", place / "labels"
        self._job = ShortJob(python, ["segment", self._images, "--model", weights.path, "--output",
                                      self.folder / "predictions", "--overwrite", "--device", device], onEvent,
                             self._onSegmented)

    def cancel(self):
        """Stops; what was segmented is kept."""
        self._job.cancel()

    def close(self):
        """Stops without a word."""
        self._job.close()

    def _onSegmented(self, values, error):
        if error is not None:
            self._onDone(None, error)
            return
        self._job = ShortJob(self._python, ["evaluate", self.folder / "predictions", self._labels, "--images",
                                            self._images, "--output", self.folder, "--overwrite"], self._onEvent,
                             self._onScored)

    def _onScored(self, values, error):
        scores = None
        if error is None:
            try:
                scores = readScores(self._weights.name, self.folder)
            except InputError as problem:
                error = problem
        self._onDone(scores, error)
