"""How many patches a training step sees where nothing was said, and what does not go with a 3-D network."""

from __future__ import annotations

from typing import TypeVar

from kaf.runtime.errors import SettingsError
from kaf.settings.finetune import FinetuneSettings
from kaf.settings.pretrain import PretrainSettings

S = TypeVar("S", FinetuneSettings, PretrainSettings)

_WIDE, _FEWER = 64, 8  # pixels of a patch from which on a batch has so many of them
_FEW = 4  # patches in a batch where nothing was said; 16 slices hold as many pixels as 4 patches or fewer


def small_batches(settings: S) -> S:
    """For a 3-D network fewer patches at a time than slices, where nothing was said; and what does not go with it.

    Raises:
        SettingsError: neighbouring slices as channels, which patches hold already, or unlabelled slices.
    """
    if settings.network is None or settings.network.dimensions == 2:
        return settings
    if settings.slice_context:
        raise SettingsError("slice_context", "applies to 2-D networks; a 3-D network sees patches",
                            "Leave it out with network.dimensions 3.")
    if isinstance(settings, FinetuneSettings) and settings.unlabelled:
        raise SettingsError("unlabelled", "mixes slices, but a 3-D network sees patches",
                            "Leave it out with network.dimensions 3; pretrain on these scans with --method pgl.")
    if "batch" in settings.model_fields_set:
        return settings
    return settings.model_copy(update={"batch": _FEW})


def fitted_batch(settings: FinetuneSettings, patch: int) -> FinetuneSettings:
    """For wide patches fewer of them at a time, where nothing was said: more steps are worth more than larger ones."""
    three = settings.network is not None and settings.network.dimensions == 3
    if "batch" in settings.model_fields_set or three or patch <= _WIDE:
        return settings
    return settings.model_copy(update={"batch": _FEWER})
