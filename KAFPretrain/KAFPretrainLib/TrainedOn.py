"""Which patients a model has learned from, as far as the run that made it still tells."""

import json

from .LibraryKeeper import libraryName


def seenPatients(weights, found):
    """Patients of the training part of the run that made these weights; empty where nobody knows.

    Args:
        found: the jobs of the folder of runs.
    """
    run = weights.run
    if run is None:
        run = next((job.folder for job in found if libraryName(job) == weights.name), None)
    if run is None:
        return set()
    try:
        return set(json.loads((run / "split.json").read_text(encoding="utf-8"))["train"])
    except (OSError, ValueError, KeyError, TypeError):
        return set()
