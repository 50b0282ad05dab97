"""The model card: read anywhere, whole or refused with a message; nothing is ever unpickled."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import subprocess
import sys
from dataclasses import asdict, fields, replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from small_models import CARD, change_card, model_file, put_together, taken_apart

import kaf
from kaf.imaging.labels import Label
from kaf.modelfile.card import Card, card_from_json, read_card, read_header
from kaf.modelfile.library import add_model
from kaf.modelfile.model import load_model
from kaf.runtime.errors import ModelError

READERS = [read_header, read_card, load_model]


@pytest.fixture
def path(tmp_path):
    return model_file(tmp_path / "heart.safetensors")


def test_a_card_survives_json_and_a_file_word_for_word(path):
    assert card_from_json(CARD.to_json()) == CARD
    found = read_card(path)
    assert replace(found, digest="", card_digest="") == CARD
    assert found.label_names == {1: "right ventricle", 3: "Höhle"}


def test_the_digest_covers_every_word_but_the_two_digests():
    words = {key: value for key, value in asdict(CARD).items()
             if "digest" not in key and key not in ("quality", "channels")}
    assert CARD.digest_of_words() == hashlib.sha256(json.dumps(words, sort_keys=True).encode()).hexdigest()
    others = {str: "other", int: 99, float: 9.5, dict: {"a": 1}, tuple: (Label(2, "a", (0, 0, 0)),)}
    for item in fields(Card):
        changed = replace(CARD, **{item.name: others[type(getattr(CARD, item.name))]})
        assert (changed.digest_of_words() == CARD.digest_of_words()) == ("digest" in item.name), item.name


def test_a_card_is_read_before_anything_is_installed(path):
    code = ("import sys; from kaf.modelfile.card import read_card; card = read_card(sys.argv[1]); print(card.name); "
            "print([n for n in ('torch', 'pydantic', 'numpy', 'safetensors') if n in sys.modules])")
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True,
                          env={**os.environ, "PYTHONPATH": str(Path(kaf.__file__).parents[1])})
    assert done.stdout.split("\n")[:2] == ["heart", "[]"]


class Trap:
    """Unpickling this leaves a mark."""

    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


def pickles(folder: Path, mark: Path) -> dict[str, Path]:
    files = {"zip": folder / "zip.pth", "legacy": folder / "legacy.safetensors"}
    torch.save({"a": Trap(mark)}, files["zip"])
    torch.save({"a": Trap(mark)}, files["legacy"], _use_new_zipfile_serialization=False)
    for protocol in range(2, 6):
        files[f"protocol {protocol}"] = folder / f"{protocol}.pt"
        files[f"protocol {protocol}"].write_bytes(pickle.dumps(Trap(mark), protocol))
    files["the shortest"] = folder / "short.pt"
    files["the shortest"].write_bytes(pickle.dumps(None, 2))
    return files


def adder(path: Path) -> None:
    add_model(str(path), folder=path.parent / "library")


@pytest.mark.parametrize("reader", [*READERS, adder])
def test_a_pickle_is_named_and_never_opened(tmp_path, reader):
    mark = tmp_path / "was-run"
    files = pickles(tmp_path, mark)
    for name, file in files.items():
        with pytest.raises(ModelError, match=r"this is a pickle .* never opens pickles") as caught:
            reader(file)
        assert caught.value.subject == str(file), name
    for protocol in (0, 1):  # these have no mark of their own
        file = tmp_path / "old.pth"
        file.write_bytes(pickle.dumps(Trap(mark), protocol))
        with pytest.raises(ModelError, match="is not a model file"):
            reader(file)
    assert not mark.exists()
    pickle.loads(files["protocol 2"].read_bytes())
    assert mark.exists(), "the trap works"


@pytest.mark.parametrize("length", [0x280, 0x380, 0x480, 0x580, 0x4B50, 0x10280])
def test_a_header_whose_length_looks_like_a_pickle_is_read(tmp_path, length):
    blob = json.dumps({"__metadata__": {"kaf_card": CARD.to_json()}}).encode()
    if len(blob) > length:
        blob = b'{"__metadata__": {"a": "b"}}'
    path = tmp_path / "a.safetensors"
    path.write_bytes(length.to_bytes(8, "little") + blob.ljust(length))
    assert path.read_bytes()[:2] in (b"PK", *(bytes([0x80, n]) for n in range(2, 6)))
    safetensors.torch.load(path.read_bytes())
    assert read_header(path) == json.loads(blob)


@pytest.mark.parametrize("reader", READERS)
def test_a_damaged_file_is_refused_as_a_message(path, tmp_path, reader):
    blob = path.read_bytes()
    length = int.from_bytes(blob[:8], "little")
    broken = {
        "empty": b"", "one byte": b"{", "length only": blob[:8], "half a header": blob[:8 + length // 2],
        "text": b"this is not a model, it is a letter", "zeros": bytes(64),
        "a huge header": b"\xff" * 8 + blob[8:], "a header that is a list": b"\x02" + bytes(7) + b"[]",
        "deep": (200_000).to_bytes(8, "little") + b"{\"a\":" + b"[" * 199_995,
        "metadata is no object": (20).to_bytes(8, "little") + b'{"__metadata__": 17}',
    }
    random = np.random.default_rng(0)
    broken |= {f"random {size}": random.bytes(size) for size in (1, 7, 8, 9, 100, 5000)}
    broken |= {f"random header {n}": (64).to_bytes(8, "little") + random.bytes(64) for n in range(20)}
    for name, content in broken.items():
        file = tmp_path / "broken.safetensors"
        file.write_bytes(content)
        with pytest.raises(ModelError, match="is not a model file, or is damaged") as caught:
            reader(file)
        assert caught.value.subject == str(file), name


@pytest.mark.parametrize("reader", READERS)
def test_what_is_no_file_is_said(tmp_path, reader):
    with pytest.raises(ModelError, match=r"absent\.safetensors: cannot be opened \(it does not exist"):
        reader(tmp_path / "absent.safetensors")
    with pytest.raises(ModelError, match="cannot be opened"):
        reader(tmp_path)


@pytest.mark.parametrize("reader", READERS[1:])
@pytest.mark.parametrize("metadata", [None, {"format": "pt"}])
def test_weights_without_a_card_are_told_apart(tmp_path, reader, metadata):
    file = tmp_path / "weights.safetensors"
    safetensors.torch.save_file({"a": torch.zeros(3)}, file, metadata)
    assert read_header(file)["a"]["shape"] == [3]
    with pytest.raises(ModelError, match="holds weights but no KAF model card"):
        reader(file)


REQUIRED = ("name", "version", "description", "labels", "modality", "spacing", "slice_spacing",
            "slicing_axis", "slice_context", "normalisation", "network", "weights_licence", "training_data")


@pytest.mark.parametrize("key", REQUIRED)
def test_a_missing_word_is_named(path, key):
    change_card(path, lambda card: card.pop(key), sign=True)
    with pytest.raises(ModelError, match=f"its model card cannot be used .*'{key}'"):
        read_card(path)


WRONG = {
    "of a newer KAF": (lambda card: card.update(mood="good"), "mood"),
    "a name that is a list": (lambda card: card.update(name=["a"]), "name is .'a'., not text"),
    "a spacing as text": (lambda card: card.update(spacing="small"), "spacing is 'small', not a number"),
    "a network that is no object": (lambda card: card.update(network="kaf"), "network is 'kaf', not an object"),
    "a digest that is a number": (lambda card: card.update(digest=5), "digest is 5, not a SHA-256"),
    "labels that are a number": (lambda card: card.update(labels=5), "labels is 5, not a list"),
    "labels that are words": (lambda card: card.update(labels=["heart"]), "labels.0. is 'heart', not an object"),
    "a label without a colour": (lambda card: card["labels"][0].pop("colour"), "colour"),
    "a colour of two numbers": (lambda card: card["labels"][0].update(colour=[1, 2]), "colour has 2 entries, not 3"),
    "a value as text": (lambda card: card["labels"][0].update(value="one"), "'one'"),
}


@pytest.mark.parametrize("change", WRONG)
def test_a_card_of_the_wrong_form_is_refused_as_a_message(path, change):
    how, word = WRONG[change]
    change_card(path, how, sign=True)
    for reader in READERS[1:]:
        with pytest.raises(ModelError, match=f"its model card cannot be used .*{word}"):
            reader(path)


@pytest.mark.parametrize("card", ["", "{", "[]", "7", "null", "[" * 100_000, 7, None])
def test_a_card_that_is_no_card_is_refused(path, card):
    header, data = taken_apart(path)
    header["__metadata__"]["kaf_card"] = card
    put_together(path, header, data)
    with pytest.raises(ModelError, match="its model card cannot be used"):
        read_card(path)
