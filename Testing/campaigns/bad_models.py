"""Model files that are none, are damaged or lie, and cards that are signed but absurd."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from small_models import change_card, put_together, taken_apart

from campaigns.bad import ACCEPT, EITHER, REFUSE, bad, text
from campaigns.material import HERE, Material
from campaigns.verdicts import Try

FILE = "m.safetensors"
Header = dict[str, Any]


def model_tries(material: Material) -> Iterator[Try]:
    """Each is met by ``kaf segment``, and by ``kaf models add`` or ``models show``."""
    def both(group: str, name: str, make: Callable[[], object], expect: str = REFUSE, about: tuple[str, ...] = ()
             ) -> Iterator[Try]:
        yield bad(group, f"{name}, segment", make, ["segment", material.scan, "--model", FILE, "--output", "out.nrrd",
                                                    *HERE], [FILE, *about], expect, ("out",))
        yield bad(group, f"{name}, add", make, ["models", "add", FILE], [FILE, *about], expect)

    for name, make in _impostors(material):
        yield from both("files that are no models", name, make)
    for name, change in _headers():
        yield from both("headers of model files", name,
                        lambda change=change: _with_header(material.model, change))
    for name, change, expect in _cards():
        yield from both("cards, signed but absurd", name, lambda change=change: _with_card(material.model, change),
                        expect, ("tiny", "card", "name"))
    for name, change in _weights():
        yield from both("weights with their digests in order", name,
                        lambda change=change: _with_weights(material.model, change), REFUSE, ("tiny",))
    for name in ("../x", "a/b", "", ".hidden", "con", "a\x1b[31mb", "a\nb", "x" * 300, "a:b", "cardiac-mr-sax",
                 "tiny.safetensors"):
        yield bad("names in the library", repr(name), lambda: None, ["models", "add", material.model, f"--name={name}"],
                  ["name", name[:10], "tiny"], EITHER if name in ("", "con", "tiny.safetensors") else REFUSE)
    for arguments in (("models", "show", "nothing"), ("models", "remove", "nothing"), ("models", "remove", "../x"),
                      ("models", "remove", "cardiac-mr-sax"), ("models", "export", "nothing", "out"),
                      ("models", "export", "cardiac-mr-sax", "nowhere/out"), ("models", "add", "nothing"),
                      ("models", "add", "."), ("models", "add", "https://localhost:1/x.safetensors"),
                      ("models", "add", "https://localhost:1/x.safetensors", "--digest", "00" * 32),
                      ("models", "add", "ftp://localhost/x.safetensors", "--digest", "00" * 32),
                      ("models", "add", "file:///etc/passwd"), ("models", "add", str(material.model), "--digest", "00"),
                      ("models", "add", str(material.model), "--digest", "../../../x")):
        yield bad("what is asked of the library", " ".join(arguments).replace(str(material.folder), ""), lambda: None,
                  arguments, [arguments[2], *arguments[3:4]])


def _impostors(material: Material) -> Iterator[tuple[str, Callable[[], object]]]:
    whole = material.model.read_bytes()
    yield "empty", lambda: text(FILE, b"")
    yield "text", lambda: text(FILE, b"weights" * 99)
    yield "zeros", lambda: text(FILE, bytes(5000))
    yield "pickle", lambda: text(FILE, pickle.dumps({"a": [1.5] * 99}))
    yield "zip", lambda: text(FILE, b"PK\3\4" + bytes(500))
    yield "folder", lambda: Path(FILE).mkdir()
    for keep in (4, 8, 9, 500, len(whole) // 2, len(whole) - 1):
        yield f"cut to {keep}", lambda keep=keep: text(FILE, whole[:keep])
    yield "longer by one", lambda: text(FILE, whole + b"\0")
    yield "header of 2^63", lambda: text(FILE, (2 ** 63).to_bytes(8, "little") + whole[8:])
    yield "header of 0", lambda: text(FILE, bytes(8) + whole[8:])
    yield "header is a list", lambda: put_together(Path(FILE), [1, 2])
    yield "header is a number", lambda: put_together(Path(FILE), 7)
    yield "header nested 10,000 deep", lambda: _raw_header(b"[" * 10_000 + b"]" * 10_000)
    yield "header nested in objects", lambda: _raw_header(b'{"a":' * 10_000 + b"1" + b"}" * 10_000)
    yield "header is not UTF-8", lambda: _raw_header(b'{"\xff\xfe": 1}')
    yield "header with NaN", lambda: _raw_header(b'{"a": NaN}')
    yield "number of 10,000 digits", lambda: _raw_header(b'{"a": ' + b"9" * 10_000 + b"}")


def _raw_header(words: bytes) -> None:
    text(FILE, len(words).to_bytes(8, "little") + words)


def _with_header(model: Path, change: Callable[[Header], Any]) -> None:
    header, data = taken_apart(model)
    change(header)
    put_together(Path(FILE), header, data)


def _headers() -> Iterator[tuple[str, Callable[[Header], Any]]]:
    def of_first(**values: Any) -> Callable[[Header], Any]:
        return lambda header: next(item for name, item in header.items() if name != "__metadata__").update(values)

    yield "no metadata", lambda header: header.pop("__metadata__")
    yield "metadata is a list", lambda header: header.update({"__metadata__": []})
    yield "card is a number", lambda header: header["__metadata__"].update(kaf_card=7)
    yield "card is no JSON", lambda header: header["__metadata__"].update(kaf_card="{")
    yield "card is a list", lambda header: header["__metadata__"].update(kaf_card="[]")
    yield "card nested 10,000 deep", lambda header: header["__metadata__"].update(kaf_card="[" * 10_000 + "]" * 10_000)
    yield "no digest", lambda header: header["__metadata__"].pop("kaf_digest")
    yield "another digest", lambda header: header["__metadata__"].update(kaf_digest="0" * 64)
    for values in ({"dtype": "F99"}, {"dtype": "I8"}, {"shape": [-1]}, {"shape": [10 ** 12]}, {"shape": "x"},
                   {"data_offsets": [0, 10 ** 12]}, {"data_offsets": [5, 1]}, {"data_offsets": []}):
        yield str(values), of_first(**values)
    yield "a tensor less", lambda header: header.pop(next(name for name in header if name != "__metadata__"))


def _with_card(model: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    Path(FILE).write_bytes(model.read_bytes())
    change_card(Path(FILE), change, sign=True)


_TOLERANT = ("metrics", "recipe", "trained_modules", "normalisation", "keypoints", "seed", "version")


def _cards() -> Iterator[tuple[str, Callable[[dict[str, Any]], Any], str]]:
    nan, inf = float("nan"), float("inf")
    values: dict[str, tuple[Any, ...]] = {
        "name": ("", "../x", "x" * 5000, 7, None, "a\x1b[31mb", "a\0b", "a\nb"),
        "spacing": (0, -1, nan, inf, 1e-12, 1e12, "1", None, True),
        "slice_spacing": (0, -1, nan, inf, None),
        "slicing_axis": ("sideways", 7, None), "slice_context": (-1, 10 ** 6, 1.5, "x", None, 3),
        "modality": ("PET", 7, None, ""), "version": (7, None), "seed": ("x", None),
        "normalisation": ({}, {"kind": "magic"}, {"kind": "window", "low": 5, "high": 1}, {"low": nan}, [], None),
        "keypoints": ({"limit": -1}, {"limit": 10 ** 9}, {"spacing": nan}, {"nothing": 1}, [], None),
        "weights_licence": (None, 7), "training_data": (None,), "description": (None, 7),
        "metrics": ([], None), "trained_modules": (7, None, [7]), "recipe": ([], {"augmentation": 7}),
        "digest": ("../../../x", "", "x", None),
    }
    for field, options in values.items():
        for value in options:
            # What the card says of itself is signed; of these a reader may be tolerant.
            tolerated = (field in _TOLERANT and value in ({}, [], {"augmentation": 7}, [7])) or (
                field == "name" and value in ("", "../x"))
            shown = repr(value) if len(repr(value)) < 40 else f"{repr(value)[:20]}..."
            yield f"{field} {shown}", lambda card, field=field, value=value: card.update({field: value}), \
                EITHER if tolerated else REFUSE
    yield "a key too many", lambda card: card.update(nothing=1), REFUSE
    yield "a key missing", lambda card: card.pop("labels"), REFUSE
    yield from ((name, change, REFUSE) for name, change in _labels())
    yield from ((name, change, REFUSE) for name, change in _networks())
    yield "another description", lambda card: card.update(description="fine"), ACCEPT


def _labels() -> Iterator[tuple[str, Callable[[dict[str, Any]], Any]]]:
    for field, options in {"value": (-1, 0, 256, 10 ** 9, 1.5, "x", None, 2), "name": (7, None, ""),
                           "colour": ([1, 2], [300, 0, 0], [-1, 0, 0], "red", None, [1, 2, "x"])}.items():
        for value in options:
            yield f"label {field} {value!r}", lambda card, field=field, value=value: card["labels"][0].update(
                {field: value})
    yield "labels is an object", lambda card: card.update(labels={})
    yield "labels of numbers", lambda card: card.update(labels=[1, 2])
    yield "100,000 labels", lambda card: card.update(labels=[
        {"value": n, "name": f"n{n}", "colour": [0, 0, 0], "terminology": ""} for n in range(1, 100_001)])


def _networks() -> Iterator[tuple[str, Callable[[dict[str, Any]], Any]]]:
    for change in ({"blocks": 64}, {"width": 0}, {"width": -4}, {"width": 256}, {"width": 10 ** 9}, {"classes": 1},
                   {"classes": 10 ** 6}, {"kind": "magic"}, {"kind": "swinunetr"}, {"heads": 3},
                   {"token_width": float("nan")}, {"dimensions": 3}, {"nothing": 1}, {"in_channels": 5},
                   {"scales": [True]}, {"norm": "x"}, {"clusters": 7}):
        yield f"network {change}", lambda card, change=change: card["network"].update(change)
    yield "no network", lambda card: card.update(network={})
    yield "network is a list", lambda card: card.update(network=[])


def _with_weights(model: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Other tensors, with every digest as it belongs."""
    from dataclasses import replace

    from kaf.modelfile.card import CARD_KEY
    from kaf.modelfile.model import load_tensors
    from kaf.modelfile.weights_file import digest_of, save_weights

    card, tensors = load_tensors(model)
    change(tensors)
    card = replace(card, digest=digest_of(tensors))
    card = replace(card, card_digest=card.digest_of_words())
    save_weights(Path(FILE), tensors, {CARD_KEY: card.to_json(), "format": "pt"})


def _weights() -> Iterator[tuple[str, Callable[[dict[str, Any]], None]]]:
    import torch

    def all_of(value: float) -> Callable[[dict[str, Any]], None]:
        def change(tensors: dict[str, Any]) -> None:
            for name, tensor in tensors.items():
                if tensor.is_floating_point():
                    tensors[name] = torch.full_like(tensor, value)
        return change

    def one_of(value: float) -> Callable[[dict[str, Any]], None]:
        def change(tensors: dict[str, Any]) -> None:
            tensors["head.weight"] = tensors["head.weight"].clone()
            tensors["head.weight"].view(-1)[0] = value
        return change

    yield "all NaN", all_of(float("nan"))
    yield "all infinite", all_of(float("inf"))
    yield "one NaN", one_of(float("nan"))
    yield "one infinite", one_of(float("inf"))
    yield "none", lambda tensors: tensors.clear()
    yield "one less", lambda tensors: tensors.__delitem__("head.weight")
    yield "one more", lambda tensors: tensors.update(more=torch.zeros(3))
    yield "another shape", lambda tensors: tensors.update({"head.weight": torch.zeros(2, 2)})
    yield "whole numbers", lambda tensors: tensors.update({"head.weight": tensors["head.weight"].to(torch.int32)})


