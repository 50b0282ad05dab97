"""Exceptions in slots and observers, which neither Qt nor VTK hands to the caller."""

import sys
import traceback

_caught: list[BaseException] = []
_previous = sys.excepthook


def install() -> None:
    """Keep every exception that Qt or VTK would only print."""
    global _previous
    _previous = sys.excepthook
    sys.excepthook = _keep


def take_errors() -> list[BaseException]:
    """The exceptions raised in slots and observers since the last call."""
    errors, _caught[:] = list(_caught), []
    return errors


def kept() -> list[BaseException]:
    """The same, left where they are."""
    return list(_caught)


def check_errors() -> None:
    """AssertionError if anything was raised in a slot or observer since the last look."""
    errors = take_errors()
    if errors:
        texts = ["".join(traceback.format_exception(error)) for error in errors]
        raise AssertionError("raised in a slot or observer:\n" + "\n".join(texts))


def _keep(kind, error, trace) -> None:
    _caught.append(error)
    _previous(kind, error, trace)
