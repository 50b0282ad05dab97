"""Puts finished models into the library by themselves, once each, so that KAF Segmentation has them at once."""

import json

from kaf import jobs, json_files
from kaf.files import atomic_write

from .ShortJob import ShortJob

_MARK = "library.json"  # in the run folder: under which name its model was put into the library
_TRIES = 20


def libraryName(job):
    """The name that a run's model has in the library, or nothing."""
    try:
        return str(json_files.read(job.folder / _MARK)["name"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


class LibraryKeeper:
    """Args:
        setup: says with ``python()`` which interpreter has the packages.
        onKept: called with the run and the name of its model.
        onError: called with a KafError.
    """

    def __init__(self, setup, onKept, onError):
        self._setup, self._onKept, self._onError = setup, onKept, onError
        self._line, self._running, self._refused = [], None, set()

    def offer(self, found):
        """Keeps every finished model of fine-tuning that was not kept before."""
        waiting = {job.folder for job, _ in self._line} | {self._running} | self._refused
        for job in found:
            if job.verb == "finetune" and not job.is_foreign and job.model and job.folder not in waiting \
                    and not libraryName(job) and job.state() == jobs.FINISHED:
                self._line.append((job, 1))
        self._next()

    def keep(self, job):
        """Keeps this one, because a person asked for it."""
        self._refused.discard(job.folder)
        self._line.append((job, 1))
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
        job, number = self._line.pop(0)
        self._running = job.folder
        plain = "".join(c if c.isalnum() or c in "-_." else "-" for c in str(job.values.get("name", "my-model")))
        name = plain.strip("-.") or "my-model"
        name += f"-{number}" if number > 1 else ""
        self._job = ShortJob(self._setup.python(), ["models", "add", str(job.model), "--name", name],
                             lambda event: None, lambda values, error: self._onDone(job, number, name, error))

    def _onDone(self, job, number, name, error):
        self._running = None
        if error is not None and "in the library already" in str(error) and number < _TRIES:
            self._line.insert(0, (job, number + 1))
        elif error is not None:
            self._refused.add(job.folder)
            self._onError(error)
        else:
            atomic_write(job.folder / _MARK, json.dumps({"name": name}) + "\n")
            self._onKept(job, name)
        self._next()
