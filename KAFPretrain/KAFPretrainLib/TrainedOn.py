"""Which patients a model has learned from, as far as the runs that made it still tell."""

from pathlib import Path

from kaf.card import read_card
from kaf.errors import ModelError
from kaf.jobs.folder import read_json

_SAID = 5


def seenPatients(weights, found, folder):
    """Patients of this folder whom these weights, or those that they were made from, were trained on; empty where
    nobody knows. A run on other scans has seen nobody of these, whatever they are called.

    Args:
        found: the jobs of the folder of runs.
        folder: the folder of scans.
    """
    runs, digest, seen = _byDigest(found), weights.card.digest, set()
    while digest in runs:
        run = runs.pop(digest)
        if _same(read_json(run / "settings.json").get("data"), folder):
            seen |= set(map(str, read_json(run / "split.json").get("train", ())))
        digest = str(read_json(run / "transfer.json").get("digest", ""))
    return seen


def names(patients):
    """The first of them, and that there are others."""
    return ", ".join(patients[:_SAID]) + (" and others" if len(patients) > _SAID else "")


def _byDigest(found):
    """Digest of the weights -> the run that made them: a model in the library, or under another name, is the same."""
    runs = {}
    for job in found:
        try:
            if job.model is not None:
                runs[read_card(job.model).digest] = job.folder
        except ModelError:  # damaged: the run says so
            continue
    return runs


def _same(one, other):
    try:
        return bool(one) and Path(str(one)).resolve() == Path(other).resolve()
    except OSError:
        return False
