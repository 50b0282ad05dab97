"""What the parts of the panel need of each other, as types. A part gets these and callbacks, never the whole panel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import qt

if TYPE_CHECKING:
    from kaf.data.splits import Split
    from kaf.runs.job import Job
    from KAFPretrainLib.data.Inspection import Inspection
    from KAFPretrainLib.models.Weights import Weights
    from KAFPretrainLib.runs.Lineage import Lineage
    from KAFPretrainLib.widgets.Parameters import Parameters


class Setup(Protocol):
    """Finds and installs the Python packages; KAFSegmentationLib.setup.Setup is one."""

    def isReady(self) -> bool:
        """Whether all packages are there."""

    def python(self) -> str:
        """The interpreter that has the packages."""

    def statusText(self) -> str:
        """What is missing, in a sentence."""

    def run(self, parent: qt.QWidget) -> bool:
        """Asks, installs what is missing, and returns whether all is there."""

    def useOtherPython(self, parent: qt.QWidget) -> bool:
        """Asks for another interpreter and returns whether it can be used."""


class Messages(Protocol):
    """The line that reports what happened; KAFSegmentationLib.widgets.MessageLine is one."""

    def show(self, text: str, level: str = "info") -> None:
        """Shows a text; the level is info, warning, error or done."""

    def showError(self, error: BaseException) -> None:
        """Shows what happened, why, and what to do."""

    def clear(self) -> None:
        """Shows nothing."""


class Log(Protocol):
    """The log of the panel; KAFSegmentationLib.backend.LogView is one."""

    def add(self, text: str) -> None:
        """Appends a text of one or more lines."""


class Dataset(Protocol):
    """The folder of scans that was chosen and what is known of it; DataTab is one."""

    inspection: Inspection | None
    split: Split | None
    realFolder: Path | None

    @property
    def folder(self) -> str:
        """The folder of scans as it was typed, or nothing."""


class Runs(Protocol):
    """The runs in the output folder; JobList is one."""

    weights: list[Weights]
    lineage: Lineage

    def all(self) -> list[Job]:
        """The runs that were found last, the newest first."""

    def start(self, verb: str, values: dict[str, Any], name: str) -> Job:
        """Starts a run in a new folder; raises a KafError where that is not possible."""

    def resume(self, job: Job, changes: dict[str, Any]) -> Job:
        """Resumes a run with some of its settings changed; raises a KafError where that is not possible."""

    def drop(self, folder: Path) -> None:
        """Forgets a run whose folder was deleted."""


class EndedCallback(Protocol):
    """Called with a run that was watched until its end, its state, and the error that it ended with."""

    def __call__(self, job: Job, state: str, error: str) -> None: ...


@dataclass(frozen=True)
class RunCallbacks:
    """What the view of a run reports.

    Attributes:
        ended: a run has come to its end.
        refresh: runs have to be searched for again.
        showLog: a person wants to see the log.
    """

    ended: EndedCallback
    refresh: Callable[[], None]
    showLog: Callable[[], None]


@dataclass(frozen=True)
class Services:
    """What every part may use.

    Attributes:
        makeReady: takes pending input, sets up what is missing, and returns whether all is there.
        parameters: the choices kept in the scene; None while the module is not open.
    """

    setup: Setup
    message: Messages
    log: Log
    makeReady: Callable[[], bool]
    parameters: Callable[[], Parameters | None]
