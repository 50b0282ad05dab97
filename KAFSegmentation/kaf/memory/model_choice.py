"""Which model's features to compare, and at which pixel size."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from kaf.imaging.grid import canonical_grid
from kaf.imaging.volume import Volume, guess_modality
from kaf.modelfile.card import Card
from kaf.modelfile.library import Entry, list_models
from kaf.modelfile.suitability import doubts
from kaf.runtime.errors import ModelError

_LARGEST = 320  # pixels of the longer side of a slice


def has_slice_features(card: Card) -> bool:
    """Whether the network gives maps of slices at several scales."""
    return bool(card.network.get("kind") == "kaf" and card.network.get("dimensions", 2) == 2)


def fitting_model(volume: Volume, names: Mapping[int, str]) -> str:
    """The name of the model of the library that fits best: one that has structures of these names, then one of the
    scan's modality, then the one with the fewest doubts, then the first.

    Raises:
        ModelError: the library holds no model that sees slices.
    """
    usable = [entry for entry in list_models() if has_slice_features(entry.card) and not entry.card.channels]
    if not usable:
        raise ModelError("the library", "contains no 2-D model of KAF's own network, whose features could be compared",
                         "Reinstall KAF, whose own models are missing, or add a model: `kaf models add`.")
    modality = guess_modality(volume)
    wanted = {name.casefold() for name in names.values()}

    def fit(entry: Entry) -> tuple[int, bool, int]:
        has = {name.casefold() for name in entry.card.label_names.values()}
        return len(wanted & has), entry.card.modality in (modality, "any"), -len(doubts(volume, entry.card))

    return max(usable, key=fit).name


def working_spacing(volume: Volume, card: Card, plane: str, values: Iterable[int], names: Mapping[int, str]) -> float:
    """In-plane pixel size in mm: that of the model where it may know the structures, else one at which the pixels of
    the scan are not lost; no slice gets more pixels than can be held."""
    grid = canonical_grid(volume.shape, volume.affine, None, plane)
    native = float(np.sqrt(grid.spacing[1] * grid.spacing[2]))
    own = canonical_grid(volume.shape, volume.affine, None, card.slicing_axis).plane == plane
    known = all(value in card.label_names and names.get(value, card.label_names[value]) == card.label_names[value]
                for value in values)
    wanted = card.spacing
    if not (own and known):
        wanted = native if native <= 2 * card.spacing else max(card.spacing, native / 2)
    longest = max(size * step for size, step in zip(grid.native_size, grid.spacing[1:], strict=True))
    return max(wanted, longest / _LARGEST)
