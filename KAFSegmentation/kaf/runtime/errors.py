"""The errors that a user sees: what is concerned, what is wrong, what to do about it.

No torch, no heavy import: the panels and ``--help`` use this file.
"""

from __future__ import annotations

from kaf.runtime.out_of_memory import is_about_a_gpu, is_gpu_failure, is_out_of_memory
from kaf.runtime.plain_text import shortened


class KafError(Exception):
    """One paragraph a person can act on; a part of it that repeats something endless is shortened in the middle.

    Args:
        subject: the file, folder, setting or device concerned, as the user named it.
        reason: what is wrong with it, a clause without a full stop.
        remedy: what to do, a full sentence.
    """

    exit_code = 1

    def __init__(self, subject: object, reason: str, remedy: str):
        self.subject, self.reason, self.remedy = shortened(str(subject)), shortened(reason), shortened(remedy)
        super().__init__(f"{self.subject}: {self.reason}. {self.remedy}")

    def __reduce__(self):
        return type(self), (self.subject, self.reason, self.remedy)


class InputError(KafError):
    """A file, folder or array that was given cannot be used."""


class OutputError(KafError):
    """A result cannot be written where it was asked for."""


class ModelError(KafError):
    """A model or a set of weights is missing, damaged, tampered with or does not fit."""


class UnprovenModelError(ModelError):
    """A fine-tuned model did not beat doing nothing, or nobody knows; a person may add it to the library all the
    same."""


class ModelExistsError(ModelError):
    """A model of this name is in the library."""


class ResourceError(KafError):
    """Memory, disk or a device ran out or is not there."""


class DivergedError(ResourceError):
    """The loss of a training became NaN or infinite, and stayed so."""


def lost_device(error: BaseException) -> ResourceError | None:
    """The error as a message where a library says that memory ran out or that a GPU failed, else None."""
    said = " ".join(str(error).split())
    if is_out_of_memory(error):
        reported = f" ({said[:200]})" if said else ""
        if is_about_a_gpu(error):
            return ResourceError("GPU", f"ran out of memory{reported}", "Close other programs that use it, "
                                 "use a smaller --batch or --patch, or choose another device.")
        return ResourceError("memory", f"this computer ran out of memory{reported}",
                             "Close other programs, or use a smaller --batch or --patch.")
    if not is_gpu_failure(error):
        return None
    return ResourceError("GPU", f"failed or is no longer available ({said[:200]})",
                         "Resume on another device, for example with --device cpu. If it happens again, restart the "
                         "computer or update the driver.")


class WorkerError(KafError):
    """The worker process could not be started, fell silent or died."""


class SettingsError(KafError):
    """A setting is unknown or out of range (a usage error on the command line)."""

    exit_code = 2


class Cancelled(KafError):  # noqa: N818 - the name says what happened
    """The user stopped the run; nothing half-made was kept."""

    def __init__(self, subject: object = "run", reason: str = "stopped on request",
                 remedy: str = "Start it again at any time; nothing incomplete was left behind."):
        super().__init__(subject, reason, remedy)
