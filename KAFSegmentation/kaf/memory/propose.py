"""Which slices of a scan to draw first, where nothing is drawn."""

from __future__ import annotations

import numpy as np

from kaf.imaging.volume import Volume
from kaf.inference.finished_slices import as_stored
from kaf.inference.loaded_model import LoadedModel
from kaf.inference.slices import labels_of
from kaf.memory.review import first_slices
from kaf.settings.run import RunSettings

_LEAST = 20  # pixels of a slice that a model has to find in it


def proposed_slices(volume: Volume, model: LoadedModel, settings: RunSettings, count: int) -> tuple[int, ...]:
    """Slices of the model's plane as the scan is stored, ascending: the ends of what the model finds and evenly
    between; of the whole scan where it finds nothing.

    Raises:
        InputError: the scan cannot be seen by the model.
    """
    scan = model.prepare(volume)
    held = np.zeros(scan.grid.n_slices, bool)
    if model.card.labels:
        for part, features in model.predictor(settings, source=volume.source)(scan.image, scan.keypoints):
            found = labels_of(features.logits)
            held[part] = np.count_nonzero(found.reshape(len(part), -1), axis=1) >= _LEAST
    return tuple(sorted(as_stored(scan.grid, first_slices(held.tolist(), count))))
