"""Adds finished models that beat a constant prediction to the library automatically, once each, so that KAF
Segmentation can use them at once; others are added only when a person asks for it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable

from kaf.modelfile import library
from kaf.modelfile.card import read_card
from kaf.modelfile.verdict import verdict_on
from kaf.runs import start as jobs
from kaf.runs.job import Job
from kaf.runtime import json_files
from kaf.runtime.errors import KafError
from kaf.runtime.files import atomic_write
from KAFPretrainLib.widgets.Interfaces import Setup
from KAFSegmentationLib.backend.ShortJob import ShortJob

_MARK = "library.json"  # in the run folder: the name of its model in the library


def libraryName(job: Job) -> str:
    """The name that a run's model has in the library, or nothing."""
    try:
        return str(json_files.read(job.folder / _MARK)["name"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def isReady(job: Job) -> bool:
    """Whether the model of a run enters the library without a question: the run is finished, its model was not added
    before and has passed its check on validation cases. Reads the files of the run."""
    if job.verb != "finetune" or job.is_foreign or not job.model or libraryName(job) or job.state() != jobs.FINISHED:
        return False
    try:
        verdict = verdict_on(read_card(job.model))
    except KafError:  # damaged: it is reported when a person asks for it
        return False
    return verdict is not None and verdict.passed


class ModelRegistration:
    """Args:
        setup: knows which interpreter has the packages.
        onAdded: called with the run and the name of its model.
        onError: called where a model could not be added.
    """

    def __init__(self, setup: Setup, onAdded: Callable[[Job, str], None], onError: Callable[[KafError], None]):
        self._setup, self._onAdded, self._onError = setup, onAdded, onError
        self._waiting, self._running, self._refused = [], None, set()

    def offer(self, ready: Iterable[Job]) -> None:
        """Adds the models of these runs, for which ``isReady`` holds, unless that was tried before."""
        known = {job.folder for job, _accept in self._waiting} | {self._running} | self._refused
        self._waiting += [(job, False) for job in ready if job.folder not in known and not libraryName(job)]
        self._next()

    def add(self, job: Job) -> None:
        """Adds this one, because a person asked for it: also one that has not passed its check."""
        self._refused.discard(job.folder)
        self._waiting.append((job, True))
        self._next()

    def close(self) -> None:
        """The panel is closed for good."""
        self._waiting.clear()
        if self._running is not None:
            self._job.close()
            self._running = None

    def _next(self):
        if self._running is not None or not self._waiting:
            return
        job, accept = self._waiting.pop(0)
        self._running = job.folder
        plain = "".join(c if c.isalnum() or c in "-_." else "-" for c in str(job.values.get("name", "my-model")))
        name = library.free_model_name(plain.strip("-.") or "my-model")
        self._job = ShortJob(self._setup.python(), ["models", "add", str(job.model), "--name", name,
                                                    *(["--accept"] if accept else [])],
                             lambda event: None, lambda values, error: self._onDone(job, name, error))

    def _onDone(self, job, name, error):
        self._running = None
        if error is not None:
            self._refused.add(job.folder)
            self._onError(error)
        else:
            atomic_write(job.folder / _MARK, json.dumps({"name": name}) + "\n")
            self._onAdded(job, name)
        self._next()
