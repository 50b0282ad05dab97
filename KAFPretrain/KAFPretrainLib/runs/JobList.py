"""The runs in the output folder: found, started, resumed. They are processes of their own and outlive Slicer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from kaf.modelfile.library import Entry
from kaf.runs import start as jobs
from kaf.runs.job import Job
from kaf.runtime.errors import InputError
from KAFPretrainLib.models.ModelRegistration import isReady
from KAFPretrainLib.models.Weights import Weights, findWeights
from KAFPretrainLib.runs.Lineage import Lineage
from KAFPretrainLib.widgets.Folders import newFolder, runsFolder
from KAFPretrainLib.widgets.Interfaces import Setup
from KAFSegmentationLib.backend.Backend import environmentFor
from KAFSegmentationLib.backend.DeviceSelector import likelyDevice
from KAFSegmentationLib.backend.Models import listModels
from KAFSegmentationLib.widgets.BackgroundTask import BackgroundTask


class JobList:
    """Args:
        setup: knows which interpreter has the packages.
    """

    def __init__(self, setup: Setup):
        self._setup, self._search = setup, BackgroundTask()
        self._found: list[Job] = []
        self.weights: list[Weights] = []
        """Those of the runs and those of the library, as of the last search."""
        self.lineage = Lineage()
        self.entries: list[Entry] = []
        """The models of the library, as of the last search."""
        self.ready: list[Job] = []
        """The runs whose models may enter the library without a question."""

    @property
    def isSearching(self) -> bool:
        """Whether a search is under way."""
        return self._search.isRunning

    def search(self, onFound: Callable[[], None]) -> None:
        """Searches the output folder again, in a thread of its own; then calls ``onFound()``."""
        folder = runsFolder()

        def take(found):
            self._found, self.weights, self.lineage, self.ready, self.entries = found
            onFound()

        self._search.start(lambda: findRuns(folder), take)

    def close(self) -> None:
        """The panel is closed for good."""
        self._search.close()

    def all(self) -> list[Job]:
        """The runs that were found last, the newest first."""
        return list(self._found)

    def drop(self, folder: Path) -> None:
        """Forgets a run whose folder was deleted."""
        self._found = [job for job in self._found if job.folder != folder]

    def start(self, verb: str, values: dict[str, Any], name: str) -> Job:
        """Starts a run in a new folder; those of one device run one after the other.

        Raises:
            KafError: the folder cannot be written, or the interpreter cannot be started.
        """
        folder = newFolder(runsFolder(), name)
        python = self._setup.python()
        job = jobs.start(python, verb, values, folder, queueOf(values.get("device", "auto")),
                         environmentFor(python))
        self._found.insert(0, job)
        return job

    def resume(self, job: Job, changes: dict[str, Any]) -> Job:
        """Resumes a run with some of its settings changed: the device, the learning rate.

        Raises:
            KafError: it cannot be resumed, or the interpreter cannot be started.
        """
        python = self._setup.python()
        job.values.update(changes)
        again = job.resume(python, queueOf(str(job.values.get("device", "auto"))), environmentFor(python))
        self._found = [again if known.folder == again.folder else known for known in self._found]
        return again


def queueOf(device: str) -> str:
    """The queue of a device: two runs on one device would only slow each other down."""
    return likelyDevice("auto") if device == "auto" else {"cuda": "cuda:0"}.get(device, device)


def findRuns(folder: str | Path) -> tuple[list[Job], list[Weights], Lineage, list[Job], list[Entry]]:
    """The runs right in a folder, all weights that there are, what these were trained on, the runs whose models may
    enter the library without a question, and the models that are in it."""
    try:
        found = jobs.find(folder, depth=1)
    except InputError:  # no run was ever started there
        found = []
    entries = listModels()
    return found, findWeights(found, entries), Lineage(found), [job for job in found if isReady(job)], entries
