"""Puts finished models that beat doing nothing into the library by themselves, once each, so that KAF Segmentation has
them at once; others go there only when a person says so."""

import json

from kaf.modelfile import library
from kaf.modelfile.card import read_card
from kaf.modelfile.verdict import verdict_on
from kaf.runs import start as jobs
from kaf.runtime import json_files
from kaf.runtime.errors import KafError
from kaf.runtime.files import atomic_write
from KAFPretrainLib.widgets.ShortJob import ShortJob

_MARK = "library.json"  # in the run folder: under which name its model was put into the library


def libraryName(job):
    """The name that a run's model has in the library, or nothing."""
    try:
        return str(json_files.read(job.folder / _MARK)["name"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def isReady(job):
    """Whether a run has made a model that enters the library unasked: it is finished, was not kept before, and its
    validation cases showed that it is worth something. Looks at the run's files."""
    if job.verb != "finetune" or job.is_foreign or not job.model or libraryName(job) or job.state() != jobs.FINISHED:
        return False
    try:
        verdict = verdict_on(read_card(job.model))
    except KafError:  # damaged: whoever asks for it is told
        return False
    return verdict is not None and verdict.passed


class LibraryKeeper:
    """Args:
        setup: says with ``python()`` which interpreter has the packages.
        onKept: called with the run and the name of its model.
        onError: called with a KafError.
    """

    def __init__(self, setup, onKept, onError):
        self._setup, self._onKept, self._onError = setup, onKept, onError
        self._line, self._running, self._refused = [], None, set()

    def offer(self, ready):
        """Keeps the models of these runs, for which ``isReady`` holds, if that was not tried before."""
        waiting = {job.folder for job, _ in self._line} | {self._running} | self._refused
        self._line += [(job, False) for job in ready if job.folder not in waiting and not libraryName(job)]
        self._next()

    def keep(self, job):
        """Keeps this one, because a person asked for it: also one that was not shown to be worth anything."""
        self._refused.discard(job.folder)
        self._line.append((job, True))
        self._next()

    def close(self):
        """The panel is taken apart."""
        self._line.clear()
        if self._running is not None:
            self._job.close()
            self._running = None

    def _next(self):
        if self._running is not None or not self._line:
            return
        job, accept = self._line.pop(0)
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
            self._onKept(job, name)
        self._next()
