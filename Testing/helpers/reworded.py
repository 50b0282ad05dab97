"""Other words for all that the backend says, as a translation or an editor would bring: capitals.

``environment()`` is for a process in which, and in whose children, every sentence of an error, a message, a stage or a
picture is in capitals.  Whatever decides by a sentence decides otherwise there.
"""

from __future__ import annotations

import os
from functools import wraps
from pathlib import Path

_MARK = "KAF_TESTS_REWORDED"
_TESTING = Path(__file__).resolve().parents[1]


def environment() -> dict[str, str]:
    """This process's environment, with the sentences reworded."""
    folders = (_TESTING / "rewording", _TESTING / "helpers", _TESTING.parent / "KAFSegmentation")
    return {**os.environ, _MARK: "1", "PYTHONPATH": os.pathsep.join(
        filter(None, (*map(str, folders), os.environ.get("PYTHONPATH"))))}


def is_reworded() -> bool:
    """Whether this process was started with :func:`environment`."""
    return bool(os.environ.get(_MARK))


def said(sentence: str) -> str:
    """A sentence of the backend as it reads in this process."""
    return sentence.upper() if is_reworded() else sentence


def reword() -> None:
    """Put the sentences of this process into capitals; without a mark in the environment nothing happens."""
    if not is_reworded():
        return
    from kaf.runtime import errors, events

    _capitals(errors.KafError, "reason", "remedy")
    _capitals(events.Error, "reason", "remedy")
    _capitals(events.Message, "text")
    _capitals(events.Progress, "stage")
    _capitals(events.Picture, "title")


def _capitals(kind: type, *names: str) -> None:
    """Objects of this kind have these fields, and the text that ``str`` gives, in capitals."""
    made = kind.__init__

    @wraps(made)
    def init(self, *args, **more):
        made(self, *args, **more)
        for name in names:
            object.__setattr__(self, name, str(getattr(self, name)).upper())
        if isinstance(self, Exception):
            self.args = tuple(str(text).upper() for text in self.args)

    kind.__init__ = init
