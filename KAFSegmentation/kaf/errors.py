"""The errors that a user sees: what is concerned, what is wrong, what to do about it.

No torch, no heavy import: the panels and ``--help`` use this file.
"""

from __future__ import annotations


class KafError(Exception):
    """One paragraph a person can act on.

    Args:
        subject: the file, folder, setting or device concerned, as the user named it.
        reason: what is wrong with it, a clause without a full stop.
        remedy: what to do, a full sentence.
    """

    exit_code = 1

    def __init__(self, subject: object, reason: str, remedy: str):
        self.subject, self.reason, self.remedy = str(subject), reason, remedy
        super().__init__(f"{self.subject}: {self.reason}. {self.remedy}")

    def __reduce__(self):
        return type(self), (self.subject, self.reason, self.remedy)


class InputError(KafError):
    """A file, folder or array that was given cannot be used."""


class OutputError(KafError):
    """A result cannot be written where it was asked for."""


class ModelError(KafError):
    """A model or a set of weights is missing, damaged, tampered with or does not fit."""


class ResourceError(KafError):
    """Memory, disk or a device ran out or is not there."""


def lost_device(error: BaseException) -> ResourceError | None:
    """The error in words where torch says that a graphics card failed, is gone or is full, else None."""
    said = " ".join(str(error).split())
    if not any(mark in said.lower() for mark in _LOST):
        return None
    if "out of memory" in said.lower():
        return ResourceError("the graphics card", f"ran out of memory ({said[:200]})",
                             "Close other programs that use it, take a smaller --batch or --patch, or another device.")
    return ResourceError("the graphics card", f"stopped working, or is not there any more ({said[:200]})",
                         "Resume on another device, --device cpu for one; if it comes back, restart the computer or "
                         "update the driver.")


_LOST = ("cuda error", "hip error", "device-side assert", "mps backend")


class WorkerError(KafError):
    """The worker process could not be started, fell silent or died."""


class SettingsError(KafError):
    """A setting is unknown or out of range (a usage error on the command line)."""

    exit_code = 2


class Cancelled(KafError):  # noqa: N818 - the name says what happened
    """The user stopped the run; nothing half-made was kept."""

    def __init__(self, subject: object = "run", reason: str = "stopped on request",
                 remedy: str = "Start it again when you want it; nothing was half-written."):
        super().__init__(subject, reason, remedy)
