"""Which patients a model has learned from, as far as the runs that made it still tell."""

from dataclasses import dataclass
from pathlib import Path

from kaf.modelfile.card import read_card
from kaf.runs.job_folder import read_json
from kaf.runtime.errors import ModelError

_SAID = 5


@dataclass(frozen=True)
class _Learned:
    """What one run has learned: on which scans, from whom, and the digest of the weights that it began with."""

    data: Path | None
    patients: frozenset
    base: str


class Lineage:
    """What the runs of a folder have learned, from their files, so that the panel can ask at every key.

    Args:
        found: the jobs of the folder of runs.
    """

    def __init__(self, found=()):
        # By the digest of the weights: a model in the library, or under another name, is the same.
        self._runs = {digest: _learned(job.folder) for job in found if (digest := _digest(job))}

    def seenPatients(self, weights, folder):
        """Patients of this folder whom these weights, or those that they were made from, were trained on; empty where
        nobody knows. A run on other scans has seen nobody of these, whatever they are called.

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


def realFolder(path):
    """The folder itself, by whatever link it was named; None where that cannot be told."""
    try:
        return Path(str(path)).resolve() if path else None
    except (OSError, ValueError):
        return None


def names(patients):
    """The first of them, and that there are others."""
    return ", ".join(patients[:_SAID]) + (" and others" if len(patients) > _SAID else "")


def _digest(job):
    try:
        return read_card(job.model).digest if job.model is not None else ""
    except ModelError:  # damaged: the run says so
        return ""


def _learned(folder):
    train = read_json(folder / "split.json").get("train")
    patients = frozenset(map(str, train)) if isinstance(train, list) else frozenset()
    return _Learned(realFolder(read_json(folder / "settings.json").get("data")), patients,
                    str(read_json(folder / "transfer.json").get("digest", "")))
