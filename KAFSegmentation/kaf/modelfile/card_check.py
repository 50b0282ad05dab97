"""The one door that every model card passes: what anything later relies on has its kind, its range and its length.

A card comes from somebody else, and its digest says only that nobody has changed it since.  So each field is checked
here, before a list shows the model, a network is built from it or a scan is resampled by it.  Only the standard
library: Slicer's own process uses this file.  The ranges of the network and of the keypoints are those of
``kaf.settings``, which needs pydantic; a test compares them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from kaf.modelfile.card_kinds import Check, digest, list_of, maybe, must, number, object_of, one_of, said, text, whole
from kaf.modelfile.quality_check import check_quality

MODALITIES = ("MR", "CT", "any")
AXES = ("largest-spacing", "axial", "coronal", "sagittal")
KINDS = ("kaf", "unet", "basicunet", "dynunet", "swinunetr")
MODULES = ("encoder", "decoder", "head", "clusters", "body")
NAME, LINE, TEXT = 200, 1000, 20_000
"""Most characters of a name, of a line and of a text with several lines."""
_DEPTH, _ENTRIES = 8, 5000
_WHOLE = 2 ** 63
_PATCH_VOXELS = 2 ** 26

def check_card(card: Any) -> None:
    """Whether this is a sound card, as the object that its JSON gives.

    Raises:
        ValueError: where in the card what is wrong, a clause.
    """
    _CARD("", card)
    network, labels = card["network"], card["labels"]
    values = [label["value"] for label in labels]
    twice = sorted(value for value in set(values) if values.count(value) > 1)
    must(not twice, "labels", f"has the value {twice[0] if twice else 0} more than once")
    names = [label["name"] for label in labels]
    same = sorted(name for name in set(names) if names.count(name) > 1)  # volumes are known by name
    must(not same, "labels", f"has the name {said(same[0] if same else '')} more than once")
    must(max(values, default=0) < network["classes"], "labels",
         f"has the value {max(values, default=0)}, but the network has {network['classes']} classes")
    flat = network.get("dimensions", 2) == 2
    channels = card.get("channels", ())
    must(len(channels) != 1, "channels", "has one entry, and is for models that see several")
    must(len({channel["name"].casefold() for channel in channels}) == len(channels), "channels", "has a name twice")
    seen = (2 * card["slice_context"] + 1 if flat else 1) * max(1, len(channels))
    must(network["in_channels"] == seen, "network.in_channels",
         f"is {network['in_channels']}, but with these slice_context and dimensions it must be {seen}")
    must(flat or card["slice_context"] == 0, "slice_context", "is for networks that see slices")


def check_fit(card: Mapping[str, Any], header: Mapping[str, Any]) -> None:
    """Whether the tensors of a model file can be those of the network of its (checked) card.

    Read from the header alone, so that no network of the size that a card claims is built before it is known to be
    that of the file.

    Raises:
        ValueError: what differs, a clause.
    """
    network, shapes = card["network"], _shapes(header)
    members = network.get("members", 1)
    if members > 1:
        _fit_members({**network, "members": 1}, members, shapes)
        return
    _fit_single(network, shapes)


def _fit_members(network: Mapping[str, Any], members: int, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """The tensors of an ensemble are those of its members, each under its number."""
    apart: dict[str, dict[str, tuple[int, ...]]] = {}
    for name, shape in shapes.items():
        match = re.match(r"members\.([0-9]{1,2})\.(.+)", name)
        must(match is not None, "network.members",
             f"is {members}, but the file holds a tensor of no member ({name[:80]})")
        assert match is not None
        apart.setdefault(match[1], {})[match[2]] = shape
    must(sorted(apart) == sorted(map(str, range(members))), "network.members",
         f"is {members}, but the file holds the weights of {len(apart)}")
    for each in apart.values():
        _fit_single(network, each)


def _fit_single(network: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]) -> None:
    if network["kind"] == "kaf":
        _fit_kaf(network, shapes)
        return
    width = network["width"]
    if network["kind"] == "swinunetr":
        width = max(12, width // 12 * 12)
    must(any(shape[:2] == (width, network["in_channels"]) for shape in shapes.values()), "network",
         f"is {width} wide and sees {network['in_channels']} channels, but no weights of the file are")
    must(any(network["classes"] in shape[:2] for shape in shapes.values()), "network.classes",
         f"is {network['classes']}, but no weights of the file give as many")


def _shapes(header: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    try:
        return {name: tuple(map(int, entry["shape"])) for name, entry in header.items() if name != "__metadata__"}
    except (TypeError, KeyError, ValueError, OverflowError) as error:
        raise ValueError(f"the shapes of its weights cannot be read ({error})") from error


def _fit_kaf(network: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]) -> None:
    def same(name: str, words: str, expected: int, position: int) -> None:
        shape = shapes.get(name, ())
        found = shape[position] if position < len(shape) else "none"
        must(found == expected, f"network.{words}", f"is {expected}, but the weights of the file have {found}")

    same("encoder.stages.0.0.weight", "width", network["width"], 0)
    same("encoder.stages.0.0.weight", "in_channels", network["in_channels"], 1)
    same("head.weight", "classes", network["classes"], 0)
    if network.get("decoder_width"):
        same("head.weight", "decoder_width", network["decoder_width"], 1)
    if network.get("clusters"):
        same("clusters.weight", "clusters", network["clusters"], 0)
    blocks: dict[int, int] = {}
    for name in shapes:
        if match := re.match(r"encoder\.fusions\.([0-3])\.(?:blocks\.([0-9]{1,3})\.)?", name):
            scale = int(match[1])
            blocks[scale] = max(blocks.get(scale, 0), int(match[2]) + 1 if match[2] else 0)
    fused = network["scales"] if network["fusion"] == "keypoints" else (False,) * 4
    must([scale in blocks for scale in range(4)] == list(fused), "network.scales",
         "are not those whose weights the file holds")
    wrong = [count for count in blocks.values() if count != network["blocks"]]
    must(not wrong, "network.blocks",
         f"is {network['blocks']}, but the weights of the file have {wrong[0] if wrong else 0}")
    for scale in blocks:
        same(f"encoder.fusions.{scale}.embed.weight", "token_width", network["token_width"], 0)


def _free(special: Mapping[str, Check] | None = None) -> Check:
    """Words that are only shown: any JSON of a bounded size, of which the ``special`` entries are used."""
    def check(where: str, value: Any) -> None:
        must(isinstance(value, dict), where, f"is {said(value)}, not an object")
        left = [_ENTRIES]
        _walk(where, value, _DEPTH, left)
        for key, item in value.items():
            if special and key in special:
                special[key](f"{where}.{key}", item)
    return check


_LINE, _LINES = text(LINE), text(TEXT, lines=True)


def _walk(where: str, value: Any, depth: int, left: list[int]) -> None:
    must(depth > 0, where, f"is more than {_DEPTH} levels deep")
    left[0] -= 1
    must(left[0] >= 0, where, f"has more than {_ENTRIES} entries")
    if isinstance(value, dict):
        for key, item in value.items():
            _LINE(where, key)
            _walk(f"{where}.{key}"[:LINE], item, depth - 1, left)
    elif isinstance(value, (list, tuple)):
        for item in value:
            _walk(where, item, depth - 1, left)
    elif isinstance(value, str):
        _LINES(where, value)
    elif type(value) is int:
        must(abs(value) < _WHOLE, where, "is too large a number")
    else:  # a figure that could not be computed is NaN in cards that KAF wrote
        must(value is None or isinstance(value, (bool, float)), where, f"is {said(value)}")


def _figures(where: str, value: Any) -> None:
    """What a validation found; only the Dice and how many it is over are used, to be shown."""
    must(isinstance(value, dict), where, f"is {said(value)}, not an object")
    for key in ("cases", "patients"):
        if key in value:
            _COUNT(f"{where}.{key}", value[key])
    if "Dice" in value and not (isinstance(value["Dice"], float) and math.isnan(value["Dice"])):
        number(0, 1)(f"{where}.Dice", value["Dice"])


def _verdict(where: str, value: Any) -> None:
    """What a model has shown on its validation cases; its code decides whether it enters a library unasked."""
    must(isinstance(value, dict), where, f"is {said(value)}, not an object")
    text(NAME, least=1)(f"{where}.code", value.get("code"))
    if "patients" in value:
        _COUNT(f"{where}.patients", value["patients"])
    for key in ("dice", "constant", "before"):
        if key in value:
            number(0, 1)(f"{where}.{key}", value[key])


def _keypoints(where: str, value: Any) -> None:
    object_of({"limit": whole(1, 4096), "spacing": number(0, 64), "contrast": number(1e-9, 1),
               "channel": whole(0, 31)})(where, value)


def _normalisation(where: str, value: Any) -> None:
    kinds = one_of("tissue", "window", "volume")
    object_of({"kind": kinds, "low": number(-1e7, 1e7), "high": number(-1e7, 1e7)})(where, value)
    low, high = value.get("low", 0.5), value.get("high", 99.5)
    must(low < high, where, f"has low {low:g}, which is not below high {high:g}")
    if value.get("kind", "tissue") != "window":
        must(low >= 0 and high <= 100, where, f"has percentiles {low:g} and {high:g}, which do not lie in 0..100")


_COUNT, _YES_NO = whole(0, 10 ** 9), one_of(True, False)
_SIDES = list_of(whole(1, 3), 3, 3)
NETWORK: dict[str, Check] = {
    "kind": one_of(*KINDS), "in_channels": whole(1, 32), "classes": whole(2, 256), "width": whole(4, 256),
    "decoder_width": maybe(whole(4, 512)), "fusion": one_of("keypoints", "copy", "none"),
    "scales": list_of(_YES_NO, 4, 4), "blocks": whole(0, 64), "token_width": whole(8, 1024), "heads": whole(1, 32),
    "diffusion_width": whole(4, 512), "norm": one_of("batch", "group"),
    "token_norm": maybe(one_of("batch", "layer")), "clusters": whole(0, 255), "dimensions": whole(2, 3),
    "members": whole(1, 20),
    "patch": maybe(list_of(whole(2, 1024), 3, 3)), "strides": list_of(_SIDES, 0, 8), "kernels": list_of(_SIDES, 0, 8),
}
_NEEDED = ("kind", "in_channels", "classes", "width", "fusion", "scales", "blocks", "token_width", "heads")


def _network(where: str, value: Any) -> None:
    object_of(NETWORK, _NEEDED)(where, value)
    must(value["token_width"] % value["heads"] == 0, f"{where}.token_width",
         f"is {value['token_width']}, no multiple of heads {value['heads']}")
    if value.get("dimensions", 2) == 2:
        must(not (value.get("patch") or value.get("strides") or value.get("kernels")), where,
             "has patch, strides or kernels, which go with dimensions 3")
        return
    must(value["kind"] == "dynunet", f"{where}.kind", f"is {value['kind']}, which has no form in 3-D")
    must(math.prod(value.get("patch") or ()) <= _PATCH_VOXELS, f"{where}.patch", "is too large")
    strides, kernels = value.get("strides", ()), value.get("kernels", ())
    must(len(strides) == len(kernels), where, f"has {len(strides)} strides for {len(kernels)} kernels")
    must(not strides or (len(strides) >= 3 and set(strides[0]) == {1} and max(map(max, strides)) < 3),
         f"{where}.strides", "are not 1 or 2 for three stages or more, of which the first keeps the size")
    must(not any(2 in sides for sides in kernels), f"{where}.kernels", "have a side that is neither 1 nor 3")


_LABEL = object_of({"value": whole(1, 255), "name": text(NAME, least=1), "colour": list_of(whole(0, 255), 3, 3),
                  "terminology": _LINE}, ("value", "name", "colour"))
_NAMED_FIGURES = dict.fromkeys(("cross-validation", "validation"), _figures)
_CARD = object_of({
    "name": text(NAME), "version": text(NAME), "description": _LINES, "labels": list_of(_LABEL, 0, 255),
    "modality": one_of(*MODALITIES), "spacing": number(1e-4, 1000), "slice_spacing": number(1e-4, 1000),
    "slicing_axis": one_of(*AXES), "slice_context": whole(0, 4), "normalisation": _normalisation,
    "network": _network, "weights_licence": _LINES, "training_data": _LINES,
    "metrics": _free({**_NAMED_FIGURES, "verdict": _verdict, "training_patients": _COUNT,
                      "pretraining_patients": _COUNT,
                      "training_field_of_view_mm": list_of(number(1e-3, 1e6), 2, 2)}),
    "channels": list_of(object_of({"name": text(NAME), "modality": one_of(*MODALITIES), "normalisation":
                                   _normalisation}, ("name", "modality", "normalisation")), 0, 32),
    "keypoints": _keypoints, "trained_modules": list_of(one_of(*MODULES), 0, len(MODULES)), "seed": whole(0, _WHOLE),
    "code_version": text(NAME),
    "recipe": _free({"augmentation": _free({"flips": list_of(_YES_NO, 0, 3)})}), "quality": check_quality,
    "digest": digest, "card_digest": digest,
}, ("name", "version", "description", "labels", "modality", "spacing", "slice_spacing", "slicing_axis",
    "slice_context", "normalisation", "network", "weights_licence", "training_data"))
