"""Which patients a model has learned from, as far as the runs that made it still tell."""

import json
from pathlib import Path

from .LibraryKeeper import libraryName

_SAID = 5


def seenPatients(weights, found, folder):
    """Patients of this folder whom these weights, or those that they were made from, were trained on; empty where
    nobody knows. A run on other scans has seen nobody of these, whatever they are called.

    Args:
        found: the jobs of the folder of runs.
        folder: the folder of scans.
    """
    runs = {str(job.model): job.folder for job in found if job.model is not None}
    kept = {libraryName(job): job.folder for job in found if libraryName(job)}
    run = weights.run or kept.get(weights.name)
    seen, done = set(), set()
    while run is not None and run not in done:
        done.add(run)
        settings, split = _read(run / "settings.json"), _read(run / "split.json")
        if _same(settings.get("data"), folder):
            seen |= set(map(str, split.get("train", ())))
        base = str(settings.get("init_from") or "")
        run = runs.get(base) or kept.get(Path(base).stem)
    return seen


def names(patients):
    """The first of them, and that there are others."""
    return ", ".join(patients[:_SAID]) + (" and others" if len(patients) > _SAID else "")


def _same(one, other):
    try:
        return bool(one) and Path(str(one)).resolve() == Path(other).resolve()
    except OSError:
        return False


def _read(path):
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}
