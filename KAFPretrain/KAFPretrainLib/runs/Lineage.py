"""Which patients a model was trained on, as far as the runs that made it still exist."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from slicer.i18n import tr as _

from kaf.modelfile.card import read_card
from kaf.runs.job_folder import read_json
from kaf.runtime.errors import ModelError

if TYPE_CHECKING:
    from kaf.runs.job import Job
    from KAFPretrainLib.models.Weights import Weights

_SHOWN = 5


@dataclass(frozen=True)
class _Training:
    """One run: the folder of its scans, its training patients, and the digest of the weights that it started from."""

    data: Path | None
    patients: frozenset
    base: str


class Lineage:
    """The training patients of the runs in a folder, read once, so that the panel can ask at every key.

    Args:
        found: the runs in the output folder.
    """

    def __init__(self, found: Iterable[Job] = ()):
        # By the digest of the weights: a model in the library, or under another name, is the same.
        self._runs = {digest: _training(job.folder) for job in found if (digest := _digest(job))}

    def seenPatients(self, weights: Weights, folder: Path | None) -> set[str]:
        """Patients of this folder that these weights, or those that they started from, were trained on; empty where it
        is not known. A run on other scans has seen none of these, whatever they are called.

        Args:
            folder: the folder of scans, as ``realFolder`` gives it.
        """
        runs, digest, seen = dict(self._runs), weights.card.digest, set()
        while digest in runs:
            run = runs.pop(digest)
            if folder is not None and run.data == folder:
                seen |= run.patients
            digest = run.base
        return seen


def realFolder(path: str | Path | None) -> Path | None:
    """The folder itself, by whatever link it was named; None where that is not known."""
    try:
        return Path(str(path)).resolve() if path else None
    except (OSError, ValueError):
        return None


def names(patients: Sequence[str]) -> str:
    """The first of them, and how many others there are."""
    text = "{patients}" if len(patients) <= _SHOWN else _("{patients} and {count} more")
    return text.format(patients=", ".join(patients[:_SHOWN]), count=len(patients) - _SHOWN)


def _digest(job):
    try:
        return read_card(job.model).digest if job.model is not None else ""
    except ModelError:  # damaged: the run reports it
        return ""


def _training(folder):
    train = read_json(folder / "split.json").get("train")
    patients = frozenset(map(str, train)) if isinstance(train, list) else frozenset()
    return _Training(realFolder(read_json(folder / "settings.json").get("data")), patients,
                    str(read_json(folder / "transfer.json").get("digest", "")))
