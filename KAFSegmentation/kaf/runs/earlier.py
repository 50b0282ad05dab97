"""One run that replaces another: the earlier one is kept in the folder until the new one has its first checkpoint.

All steps are renames, so that a process that is killed at any moment leaves a state that the next one can tell:

kaf-earlier-run.moving   files are being moved there, or back: those beside the folder are the earlier run's too
kaf-earlier-run          all files of the earlier run: those beside the folder are the new run's
kaf-earlier-run.gone     the new run has a checkpoint; what is left of the earlier one is being removed
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from kaf.runs.cli_runs import LOCK
from kaf.runs.job_folder import NAME as JOB
from kaf.runs.layout import TRAINING, checkpoints, is_training
from kaf.runtime.errors import OutputError
from kaf.runtime.files import move
from kaf.runtime.paths import relation

_NAME = "kaf-earlier-run"
_SAID = 3  # so many strange files are named
_READ = ("data", "labelled", "unlabelled", "init_from")  # settings that name what a training reads
BACK, WAITING = "back", "waiting"


def check_replaceable(folder: Path, settings: object) -> None:
    """Whether the run in a folder may be replaced: every file there is one that KAF writes, and nothing that the new
    run reads, by its settings, lies in the folder or around it.

    Raises:
        OutputError: it may not.
    """
    if not is_training(folder):
        raise OutputError(folder, "contains other files", "Choose an empty or a new folder.")
    for path in (getattr(settings, name, "") for name in _READ):
        if where := relation(folder, path):
            raise OutputError(folder, f"{where} {path}, which is read for this run, and cannot be replaced",
                              "Choose another folder for the run.")
    strangers = [name for name in TRAINING.strangers(folder) if name.split("/")[0] not in _beside()]
    if strangers:
        more = f" and {len(strangers) - _SAID} more" if len(strangers) > _SAID else ""
        raise OutputError(folder, f"contains files that KAF did not write and cannot be replaced: "
                          f"{', '.join(strangers[:_SAID])}{more}", "Move them away, or choose another folder.")


def own_content(folder: Path) -> list[Path]:
    """What a run has in its folder, but for the files of its job, an earlier run, and hidden ones: those that a
    killed process was just writing."""
    return [path for path in folder.iterdir() if not path.name.startswith(".") and path.name not in _beside()]


def has_checkpoint(folder: Path) -> bool:
    """Whether the run in a folder has written a checkpoint."""
    return bool(checkpoints(folder / "checkpoints"))


def _beside() -> set[str]:
    return {JOB, _NAME, f"{_NAME}.moving", f"{_NAME}.gone"}


class EarlierRun:
    """The run in a folder that another one is replacing; for the process that has the lock of the folder."""

    def __init__(self, run: Path):
        self._run = run
        self.path = run / _NAME
        self._moving, self._gone = (run / f"{_NAME}{state}" for state in (".moving", ".gone"))

    @property
    def waits(self) -> bool:
        """Whether there is one that would come back."""
        return self.path.is_dir()

    def settle(self) -> str:
        """Finish what a killed process has begun: BACK where the earlier run is in its place again, WAITING where it
        waits beside a new one without a checkpoint, nothing where there is none.

        Raises:
            OSError: files cannot be moved.
        """
        self._sweep()
        if self._moving.is_dir():
            self._move_back()
            return BACK
        if self.waits and has_checkpoint(self._run):
            move(self.path, self._gone)
            self._sweep()
        return WAITING if self.waits else ""

    def put_aside(self) -> None:
        """Make room for a new run.

        Raises:
            OSError: files cannot be moved; they are back then, or will be when somebody looks again.
        """
        self._moving.mkdir()
        try:
            for path in own_content(self._run):
                move(path, self._moving / path.name)
            move(self._moving, self.path)
        except BaseException:
            if self._moving.is_dir():
                self._move_back()
            raise

    def put_back(self) -> None:
        """Remove the new run, which has no checkpoint, and have the earlier one again.

        Raises:
            OSError: files cannot be removed or moved; nothing of the earlier run is lost then.
        """
        self.remove_new()
        move(self.path, self._moving)
        self._move_back()

    def remove_new(self) -> None:
        """Remove the new run and leave the earlier one aside.

        Raises:
            OSError: a file cannot be removed.
        """
        TRAINING.remove(self._run, keep=(LOCK,))

    def drop(self) -> None:
        """The new run has a checkpoint: remove the earlier one, or leave it to the next one who opens the folder."""
        with suppress(OSError):
            if self.waits:
                move(self.path, self._gone)
            self._sweep()

    def _move_back(self) -> None:
        for file in [path for path in self._moving.rglob("*") if not path.is_dir()]:
            target = self._run / file.relative_to(self._moving)
            target.parent.mkdir(parents=True, exist_ok=True)
            move(file, target)
        for place, _, _ in os.walk(self._moving, topdown=False):
            Path(place).rmdir()

    def _sweep(self) -> None:
        with suppress(OSError):  # Windows: somebody has a file open
            TRAINING.remove(self._gone)
