"""The model card: what a model segments, on which scans, how well, under which licence.

The card is the JSON under ``kaf_card`` in the header of a ``.safetensors`` file.  Reading it needs json and
struct only, so that Slicer can list models before anything is installed.
"""

from __future__ import annotations

import hashlib
import json
import math
import struct
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from kaf.imaging.labels import Label
from kaf.modelfile import card_check
from kaf.runtime.errors import InputError, ModelError
from kaf.runtime.files import check_regular
from kaf.runtime.plain_text import one_line, plain_lines

CARD_KEY = "kaf_card"
_MAX_HEADER = 64 * 1024 * 1024
_MAX_CARD = 1024 * 1024
_PICKLES = (b"PK", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")


@dataclass(frozen=True)
class Card:
    """Everything that must travel with weights.

    ``spacing`` is the in-plane pixel size in mm that slices are resampled to; ``slice_spacing`` the median
    distance between slices of the training scans (mm; no resampling, a warning when a scan is far from it).
    ``slicing_axis`` is "largest-spacing" or the anatomical plane "axial", "coronal" or "sagittal".
    ``slice_context`` is the number of neighbouring slices on each side that the network also sees.
    ``channels``, of a model that sees several scans of a patient at once: name, modality and normalisation of each.
    ``network`` and ``normalisation`` are the settings objects as dicts.  ``quality`` is the calibration of predicted
    Dice (``kaf.modelfile.quality_check`` has its fields), empty where there is none.  ``digest`` is the SHA-256 of the
    tensor data, ``card_digest`` that of the card without the two digests.
    """

    name: str
    version: str
    description: str
    labels: tuple[Label, ...]
    modality: str  # "MR", "CT" or "any"
    spacing: float
    slice_spacing: float
    slicing_axis: str
    slice_context: int
    normalisation: dict[str, Any]
    network: dict[str, Any]
    weights_licence: str
    training_data: str
    metrics: dict[str, Any] = field(default_factory=dict)
    keypoints: dict[str, Any] = field(default_factory=dict)
    channels: tuple[dict[str, Any], ...] = ()
    trained_modules: tuple[str, ...] = ("encoder", "decoder", "head")
    seed: int = 0
    code_version: str = ""
    recipe: dict[str, Any] = field(default_factory=dict)
    quality: dict[str, Any] = field(default_factory=dict)
    digest: str = ""
    card_digest: str = ""

    def to_dict(self) -> dict[str, Any]:
        """All fields, JSON-ready; the optional ones of later versions only where they say something."""
        values = asdict(self)
        if not self.quality:
            del values["quality"]
        if not self.channels:
            del values["channels"]
        return values

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), sort_keys=True)

    def digest_of_words(self) -> str:
        """SHA-256 of the card's content without its digests."""
        values = self.to_dict()
        del values["digest"], values["card_digest"]
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()

    @property
    def key(self) -> str:
        """What tells models apart on two computers: the digests of weights and card."""
        return f"{self.digest}/{self.card_digest}"

    @property
    def knows_mirrors(self) -> bool:
        """Whether mirrored scans were among those it has learned from; averaging over them is no use otherwise."""
        flips = self.recipe.get("augmentation", {}).get("flips", ())
        return len(flips) > 0 and all(flips)

    @property
    def channel_names(self) -> tuple[str, ...]:
        """Of a model that sees several channels; empty for one."""
        return tuple(channel["name"] for channel in self.channels)

    @property
    def label_names(self) -> dict[int, str]:
        return {label.value: label.name for label in self.labels}


def card_from_json(text: str, source: object = "model card", header: dict[str, Any] | None = None) -> Card:
    """The card from its JSON, checked through and through; with ``header`` against the tensors of its file, too.

    Raises:
        ModelError: it names the field that is missing, unknown or out of its range (``kaf.modelfile.card_check``).
    """
    try:
        if not isinstance(text, str) or len(text) > _MAX_CARD:
            raise ValueError("it is not text" if not isinstance(text, str) else f"it has {len(text)} characters")
        values = json.loads(text)
        card_check.check_card(values)
        if header is not None:
            card_check.check_fit(values, header)
    except (ValueError, RecursionError) as error:
        raise ModelError(
            source, f"its model card cannot be used ({one_line(error)[:300]})",
            "Get the file again from who made it, or update KAF.") from error
    labels = tuple(Label(**{**label, "colour": tuple(label["colour"])}) for label in values["labels"])
    modules = tuple(values.get("trained_modules", ()))
    channels = tuple(values.get("channels", ()))
    return Card(**{**values, "labels": labels, "trained_modules": modules, "channels": channels})


def check_card(card: Card) -> None:
    """Whether others will accept this card.

    Raises:
        ModelError: it names the field that is out of its range.
    """
    try:
        card_check.check_card(card.to_dict())
    except ValueError as error:
        raise ModelError(f"the card of '{one_line(card.name)}'", one_line(error)[:300],
                         "Correct it, then save the model again.") from error


def tidy_card(card: Card) -> Card:
    """The card as it is written: texts without control characters and no longer than others accept, no NaN."""
    def line(text: str) -> str:
        return _cut(one_line(text), card_check.NAME)

    names = [line(label.name) or f"label {label.value}" for label in card.labels]
    labels = tuple(replace(label, name=name if names.count(name) == 1 else f"{name[:180]} ({label.value})",
                           terminology=_cut(one_line(label.terminology), card_check.LINE))
                   for label, name in zip(card.labels, names, strict=True))
    return replace(card, name=line(card.name), version=line(card.version), labels=labels,
                   description=_tidy(card.description), weights_licence=_tidy(card.weights_licence),
                   training_data=_tidy(card.training_data), metrics=_tidy(card.metrics), recipe=_tidy(card.recipe))


def _tidy(value: Any) -> Any:
    if isinstance(value, dict):
        return {_cut(one_line(key), card_check.LINE): _tidy(item) for key, item in value.items()
                if not (isinstance(item, float) and not math.isfinite(item))}
    if isinstance(value, (list, tuple)):
        return [None if isinstance(item, float) and not math.isfinite(item) else _tidy(item) for item in value]
    return _cut(plain_lines(value), card_check.TEXT) if isinstance(value, str) else value


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[:most - 1] + "…"


def read_header(path: str | Path) -> dict[str, Any]:
    """The JSON header of a safetensors file (tensor name -> dtype, shape, data_offsets; ``__metadata__``).

    Raises:
        ModelError: the file is missing, too short, a pickle, or not safetensors.
    """
    path = Path(path)
    try:
        size = check_regular(path).st_size
        with path.open("rb") as file:
            start = file.read(9)
            # A sound header of 640 or 19280 bytes starts with the same two bytes, but its JSON follows.
            if start[:2] in _PICKLES and start[8:] != b"{":
                raise ModelError(
                    path, "this is a pickle (PyTorch .pth style), which can run code when it is opened",
                    "KAF never opens pickles; ask for the model as a .safetensors file.",
                )
            (length,) = struct.unpack("<Q", start[:8])
            if not 2 <= length <= min(_MAX_HEADER, size - 8):
                raise ValueError(f"header of {length} bytes in a file of {size}")
            header = json.loads(start[8:] + file.read(length - 1))
            if not isinstance(header, dict) or not isinstance(header.get("__metadata__", {}), dict):
                raise ValueError("header is not an object")
    except InputError as error:
        raise ModelError(path, f"cannot be opened (it {error.reason})",
                         "Check the path, or list models with `kaf models list`.") from error
    except OSError as error:
        raise ModelError(
            path, f"cannot be opened ({error.strerror})", "Check the path, or list models with `kaf models list`."
        ) from error
    except (struct.error, ValueError, RecursionError) as error:
        raise ModelError(
            path, f"is not a model file, or is damaged ({error})",
            "A KAF model is one .safetensors file; copy or download it again.",
        ) from error
    return header


def copy_with_card(source: Path, target: Path, card: Card) -> None:
    """Copy a model file with another card; the weights stay byte for byte.

    Raises:
        ModelError: the weights do not have the SHA-256 that the card states.
        OSError: the disk refuses.
    """
    header = read_header(source)
    header["__metadata__"] = {**header.get("__metadata__", {}), CARD_KEY: card.to_json()}
    words = json.dumps(header, separators=(",", ":")).encode()
    words += b" " * (-len(words) % 8)
    content = source.read_bytes()
    weights = memoryview(content)[8 + struct.unpack("<Q", content[:8])[0]:]
    if hashlib.sha256(weights).hexdigest() != card.digest:
        raise ModelError(source, "its weights do not have the SHA-256 that its card states", "Make the model again.")
    with target.open("wb") as file:
        file.write(struct.pack("<Q", len(words)) + words)
        file.write(weights)


def read_card(path: str | Path) -> Card:
    """The model card of a model file, read without loading any weight."""
    header = read_header(path)
    metadata = header.get("__metadata__", {})
    if CARD_KEY not in metadata:
        raise ModelError(
            path, "holds weights but no KAF model card",
            "Use a file written by `kaf finetune` or `kaf models export`.",
        )
    return card_from_json(metadata[CARD_KEY], path, header)
