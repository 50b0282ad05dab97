"""The names of all files that KAF writes into its folders: whatever else is there is somebody's own and is not touched.

Only the standard library: Slicer's own process uses this file.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from kaf.runs.job_folder import read_json
from kaf.runtime.files import remove

_CHECKPOINT = re.compile(r"checkpoint-\d+\.safetensors")
_SINGLE = (
    r"(?:settings|run|plan|split|forecast|left_out|transfer)\.json", r"events\.jsonl", r"(?:model|best)\.safetensors",
    rf"checkpoints/{_CHECKPOINT.pattern}", r"pictures/[a-z]+-\d+\.png", r"\.lock",
    r"mlflow\.json", r"metrics\.csv", r"validation\.json", r"report\.html", r"tensorboard/events\.out\.tfevents\.[^/]+")
_SINGLE_FOLDERS = (r"checkpoints", r"pictures", r"tensorboard")
_FOLD = r"fold-\d+"
_TRAINING = (*_SINGLE, *(f"{_FOLD}/{name}" for name in _SINGLE))
_TRAINING_FOLDERS = (*_SINGLE_FOLDERS, _FOLD, *(f"{_FOLD}/{name}" for name in _SINGLE_FOLDERS))
_JOB = (r"job/(?:(?:job|settings|child)\.json|events\.jsonl|log\.txt|lock|stop)",)
_PRETRAINING, _CELL = r"[^/]+/pretraining-fold\d+(?:-seed\d+)?", r"[^/]+/m\d+-draw\d+-fold\d+(?:-seed\d+)?"
_COMPARISON = (
    r"(?:folds|data|cells)\.json", r"comparison\.(?:json|csv|html)", rf"{_PRETRAINING}\.lock", rf"{_CELL}\.lock",
    rf"{_CELL}/result\.json", *(rf"{run}/{name}" for name in _TRAINING for run in (_PRETRAINING, rf"{_CELL}/run")))
_COMPARISON_FOLDERS = (r"[^/]+", _PRETRAINING, _CELL, rf"{_CELL}/run", *(
    rf"{run}/{name}" for name in _TRAINING_FOLDERS for run in (_PRETRAINING, rf"{_CELL}/run")))
_WORK, _WORK_FOLDERS = (r"\.kaf-work/[^/]+",), (r"\.kaf-work",)
_TABLES = (r"evaluation\.(?:csv|json)", r"report\.html", r"selection\.(?:csv|json)")
_LITTER = frozenset((".DS_Store", "Thumbs.db", "desktop.ini"))  # which file managers leave behind
_TEMPORARY = re.compile(r"(?:^|(?<=/))\.[0-9a-f]{8}-(?=[^/]+$)")  # of a file that was being written


class Layout:
    """The files that KAF writes into a kind of folder, and the folders there, as patterns of their names in it.

    A file that a process was writing when it was killed belongs to them, and so does what a file manager leaves
    behind.  A link is nothing that KAF writes.
    """

    def __init__(self, files: Iterable[str], folders: Iterable[str]):
        self._files, self._folders = (re.compile("|".join(f"(?:{name})" for name in names))
                                      for names in (files, folders))

    def strangers(self, folder: Path) -> list[str]:
        """Names of what is there and KAF did not write, sorted: files, links, and folders with nothing in them."""
        return sorted(path.relative_to(folder).as_posix() for path in _below(folder) if not self._is_ours(folder, path))

    def remove(self, folder: Path, keep: Collection[str] = ()) -> None:
        """Remove all that KAF wrote but for the names in ``keep``, and the folders that are empty then.

        Raises:
            OSError: a file cannot be removed.
        """
        for path in list(_below(folder)):
            if self._is_ours(folder, path) and not path.is_dir() and path.name not in keep:
                remove(path)
        for place, _, _ in os.walk(folder, topdown=False):
            if Path(place) == folder or self._is_ours(folder, Path(place)):
                with suppress(OSError):  # something is in it
                    os.rmdir(place)

    def _is_ours(self, folder: Path, path: Path) -> bool:
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            return False
        if path.is_dir():
            return self._folders.fullmatch(name) is not None
        return path.name in _LITTER or self._files.fullmatch(_TEMPORARY.sub("", name)) is not None


TRAINING = Layout(_TRAINING, _TRAINING_FOLDERS)
"""A run of pretraining or fine-tuning, without the job that runs it."""
RUN = Layout((*_TRAINING, *_JOB, *_COMPARISON, *_TABLES, *_WORK),
             (*_TRAINING_FOLDERS, "job", *_COMPARISON_FOLDERS, *_WORK_FOLDERS))
"""Any run that the panel lists, with its job."""


def is_training(folder: Path) -> bool:
    """Whether a run of pretraining or fine-tuning is in the folder: by what it says of itself, not by names alone."""
    settings, words = read_json(folder / "settings.json"), read_json(folder / "run.json")
    return {"data", "output"} <= settings.keys() or {"format", "verb"} <= words.keys()


def checkpoints(folder: Path, half_written: bool = False) -> list[Path]:
    """The checkpoints in a folder of them, by step; also those that a killed process was writing, where asked for."""
    found = folder.iterdir() if folder.is_dir() else ()
    return sorted(path for path in found if not path.is_symlink()
                  and _CHECKPOINT.fullmatch(_TEMPORARY.sub("", path.name) if half_written else path.name))


def _below(folder: Path) -> Iterator[Path]:
    """Files and links below a folder, and folders with nothing in them; no link is followed."""
    for place, folders, files in os.walk(folder):
        links = [name for name in folders if Path(place, name).is_symlink()]
        folders[:] = [name for name in folders if name not in links]
        for name in (*files, *links):
            yield Path(place, name)
        if not (files or folders or links) and Path(place) != folder:
            yield Path(place)
