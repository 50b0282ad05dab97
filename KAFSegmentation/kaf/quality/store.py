"""Where the calibration of a model is: on its card, in a small file beside it, or among the user's own.

The file holds ``kaf_quality`` (the number of the format), the SHA-256 of the weights that it is for, and what the card
would hold under ``quality``.  One of the user's own, made by ``kaf models calibrate``, wins over the one that came with
the model, which wins over the card's: each is newer than the next.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kaf.modelfile.card import Card
from kaf.modelfile.library import SUFFIX, bundled_folder
from kaf.modelfile.quality_check import check_quality
from kaf.runtime import json_files, user_folders
from kaf.runtime.errors import ModelError
from kaf.runtime.files import atomic_write
from kaf.runtime.plain_text import one_line

ENDING = ".quality.json"
_FORMAT = 1


def users_file(card: Card) -> Path:
    """Where the user's own calibration of these weights is kept."""
    return user_folders.data_folder() / "quality" / f"{card.digest}.json"


def beside(model: Path) -> Path:
    """The file beside a model file."""
    return model.with_name(model.name.removesuffix(SUFFIX) + ENDING)


def quality_of(model: Path, card: Card) -> dict[str, Any]:
    """The calibration of a model, as a card keeps it; empty where there is none.

    Raises:
        ModelError: the file that holds it is damaged.
    """
    if card.digest:
        # A copy of a model that came with KAF, as `kaf models export` makes it, has the same weights.
        for path in (users_file(card), beside(model), *sorted(bundled_folder().glob(f"*{ENDING}"))):
            found = _read(path, card)
            if found is not None:
                return found
    return card.quality


def write_quality(path: Path, card: Card, quality: Mapping[str, Any], overwrite: bool = False) -> None:
    """Write the file of a calibration.

    Raises:
        OutputError: it is there and ``overwrite`` is not set, or the disk refuses.
    """
    check_quality("quality", dict(quality))
    values = {"kaf_quality": _FORMAT, "model": card.name, "digest": card.digest, "quality": quality}
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(path, json.dumps(values, allow_nan=False) + "\n", overwrite=overwrite)


def _read(path: Path, card: Card) -> dict[str, Any] | None:
    """None where there is no file, or one for other weights: a model of that name was replaced since."""
    if not path.is_file():
        return None
    try:
        values = json_files.read(path)
        if not isinstance(values, dict) or values.get("kaf_quality") != _FORMAT:
            raise ValueError("it is no calibration that this version of KAF reads")
        quality: dict[str, Any] = values.get("quality", {})
        check_quality("quality", quality)
    except (OSError, ValueError) as error:
        raise ModelError(path, f"cannot be used ({one_line(error)[:300]})",
                         "Delete it, or make it again with `kaf models calibrate`.") from error
    return quality if values.get("digest") == card.digest else None
