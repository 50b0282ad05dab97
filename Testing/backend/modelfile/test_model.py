"""One model, one file: the same answers after a round trip, and no damage that goes unseen."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pytest
import safetensors.torch
import torch
from small_models import (
    CARD,
    PLAIN,
    SMALL,
    change_card,
    logits_of,
    model_file,
    put_together,
    small_network,
    taken_apart,
)

from kaf.modelfile.card import read_card
from kaf.modelfile.model import load_model, load_tensors, save_model
from kaf.modelfile.weights_file import load_weights, save_weights
from kaf.runtime.errors import ModelError, OutputError

SMALL_CARD = replace(CARD, network=SMALL.model_dump(mode="json"))


@pytest.fixture
def path(tmp_path):
    return model_file(tmp_path / "heart.safetensors")


GROUPS = SMALL.model_copy(update={"norm": "group", "in_channels": 3})


@pytest.mark.parametrize("settings", [SMALL, PLAIN, GROUPS], ids=["keypoints", "plain", "group norm"])
def test_full_precision_gives_the_same_logits_bit_for_bit(tmp_path, settings):
    network = small_network(settings)
    expected = logits_of(network, settings.in_channels)
    given = replace(CARD, network=settings.model_dump(mode="json"), slice_context=settings.in_channels // 2)
    save_model(tmp_path / "a.safetensors", network, given, half=False)
    loaded, card = load_model(tmp_path / "a.safetensors")
    assert torch.equal(logits_of(loaded, settings.in_channels), expected)
    assert torch.equal(logits_of(network, settings.in_channels), expected), "saving changed the network"
    assert card.network == settings.model_dump(mode="json")
    assert not loaded.training
    assert {value.dtype for value in loaded.parameters()} == {torch.float32}


@pytest.mark.filterwarnings("error")
def test_loading_says_nothing(path):
    load_model(path)


def test_half_precision_is_the_network_with_weights_rounded_to_float16(tmp_path):
    network = small_network(SMALL)
    exact = logits_of(network)
    save_model(tmp_path / "half.safetensors", network, SMALL_CARD)
    save_model(tmp_path / "full.safetensors", network, SMALL_CARD, half=False)
    half, full = ((tmp_path / f"{name}.safetensors").stat().st_size for name in ("half", "full"))
    assert 0.45 < half / full < 0.6
    with torch.no_grad():
        for value in network.state_dict().values():
            if value.is_floating_point():
                value.copy_(value.half().float())
    loaded, _ = load_model(tmp_path / "half.safetensors")
    assert torch.equal(logits_of(loaded), logits_of(network))
    assert 0 < (logits_of(loaded) - exact).abs().max() < 0.02 * exact.abs().max()


def test_numbers_beyond_float16_are_kept(tmp_path):
    network = small_network()
    with torch.no_grad():
        network.head.weight[0, 0] = 1e6
        network.encoder.stages[0][1].running_var[1] = 7e4
    save_model(tmp_path / "a.safetensors", network, CARD)
    loaded, _ = load_model(tmp_path / "a.safetensors")
    assert loaded.head.weight[0, 0] == 1e6
    assert loaded.encoder.stages[0][1].running_var[1] == 7e4
    assert torch.isfinite(logits_of(loaded)).all()


def test_the_digests_in_the_card_are_those_of_the_file(path, tmp_path):
    card = save_model(path, small_network(), CARD, overwrite=True)
    _, data = taken_apart(path)
    assert read_card(path) == card
    assert card.digest == hashlib.sha256(data).hexdigest()
    assert card.card_digest == CARD.digest_of_words()
    again = save_model(tmp_path / "again.safetensors", small_network(), CARD)
    assert again == card
    assert taken_apart(tmp_path / "again.safetensors") == taken_apart(path)


def test_a_file_that_exists_is_replaced_only_on_request(path):
    before = path.read_bytes()
    with pytest.raises(OutputError, match="exists already"):
        save_model(path, small_network(seed=1), CARD)
    assert path.read_bytes() == before
    save_model(path, small_network(seed=1), CARD, overwrite=True)
    assert path.read_bytes() != before
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_any_flipped_bit_of_the_weights_is_seen(path):
    blob = path.read_bytes()
    start = 8 + int.from_bytes(blob[:8], "little")
    stated = hashlib.sha256(blob[start:]).hexdigest()
    random = np.random.default_rng(0)
    for place in (start, len(blob) - 1, *random.integers(start, len(blob), 20)):
        damaged = bytearray(blob)
        damaged[place] ^= 1 << int(random.integers(8))
        path.write_bytes(damaged)
        found = hashlib.sha256(damaged[start:]).hexdigest()
        with pytest.raises(ModelError) as caught:
            load_model(path)
        assert caught.value.reason == (f"its weights have SHA-256 {found[:16]}... but its header states "
                                       f"{stated[:16]}...")
        assert caught.value.subject == str(path)
    path.write_bytes(blob)
    load_model(path)


def test_any_flipped_bit_of_the_header_is_seen(path):
    """Nothing loads but what was saved."""
    blob = path.read_bytes()
    end = 8 + int.from_bytes(blob[:8], "little")
    card, tensors = load_tensors(path)
    random = np.random.default_rng(1)
    for place in (*range(8), *random.integers(0, end, 300)):
        damaged = bytearray(blob)
        damaged[place] ^= 1 << int(random.integers(8))
        path.write_bytes(damaged)
        try:
            network, found = load_model(path)
        except ModelError:
            continue
        assert found == card
        state = network.state_dict()
        assert all(torch.equal(state[name], value) for name, value in tensors.items())


def test_lost_and_added_bytes_are_seen(path):
    blob = path.read_bytes()
    for content in (blob[:-1], blob[: len(blob) // 2], blob + b"\0"):
        path.write_bytes(content)
        with pytest.raises(ModelError, match="its weights have SHA-256"):
            load_model(path)


def test_a_changed_word_of_the_card_is_seen(path):
    blob = path.read_bytes()
    stated = read_card(path).card_digest
    for old, new in ((b"CC BY 4.0", b"CC0 1.000"), (b"~SCT^1", b"~SCT^2"), (b": 1.5,", b": 2.5,")):
        changed = blob.replace(old, new, 1)
        assert changed != blob
        path.write_bytes(changed)
        with pytest.raises(ModelError) as caught:
            load_model(path)
        found = read_card(path).digest_of_words()
        assert caught.value.reason == f"its card has SHA-256 {found[:16]}... but states {stated[:16]}..."


def test_the_weights_of_one_model_do_not_pass_under_the_card_of_another(path, tmp_path):
    other = model_file(tmp_path / "other.safetensors", seed=1)
    header, _ = taken_apart(path)
    theirs, data = taken_apart(other)
    theirs["__metadata__"]["kaf_card"] = header["__metadata__"]["kaf_card"]
    put_together(path, theirs, data)
    with pytest.raises(ModelError) as caught:
        load_model(path)
    mine, digest = read_card(path).digest, hashlib.sha256(data).hexdigest()
    assert caught.value.reason == (f"its weights have SHA-256 {digest[:16]}... but its card states "
                                   f"{mine[:16]}...")


@pytest.mark.parametrize(("update", "word"), [
    ({"norm": "group"}, "Unexpected key"), ({"decoder_width": 256}, "size mismatch"),
    ({"decoder_width": None, "fusion": "copy"}, "size mismatch")])
def test_weights_that_do_not_fit_the_network_of_their_card(path, update, word, monkeypatch):
    """Nor is a network built to find that out: it may be one of many gigabytes."""
    change_card(path, lambda card: card["network"].update(update), sign=True)
    monkeypatch.setattr("kaf.modelfile.card_check.check_fit", lambda *_: None)  # sees fewer of the shapes
    monkeypatch.setattr(torch.nn.init, "kaiming_normal_", lambda values, **_: taken.append(values.is_meta))
    taken: list[bool] = []
    with pytest.raises(ModelError, match=f"its weights do not fit the network of its card .*{word}"):
        load_model(path)
    assert taken
    assert all(taken)


def test_weights_of_another_kind_of_number_do_not_fit(path):
    header, data = taken_apart(path)
    header["head.weight"]["dtype"] = "I16"
    put_together(path, header, data)
    with pytest.raises(ModelError, match=r"do not fit the network of its card \(numbers of another kind\)"):
        load_model(path)


def test_weights_need_a_digest_that_fits(tmp_path):
    path = tmp_path / "a.safetensors"
    weights = {"a": torch.arange(6.0).view(2, 3).t(), "b": torch.tensor(3, dtype=torch.int64)}
    digest = save_weights(path, weights, {"words": "Größe"})
    found, metadata = load_weights(path)
    assert torch.equal(found["a"], weights["a"])
    assert torch.equal(found["b"], weights["b"])
    assert metadata == {"words": "Größe", "kaf_digest": digest}
    header, data = taken_apart(path)
    assert digest == hashlib.sha256(data).hexdigest()
    for stated in (None, 5, "0" * 64):
        header["__metadata__"]["kaf_digest"] = stated
        put_together(path, header, data)
        with pytest.raises(ModelError, match=f"have SHA-256 {digest[:16]}.* states {str(stated)[:16]}"):
            load_weights(path)
    safetensors.torch.save_file(weights | {"a": torch.zeros(1)}, path, {"format": "pt"})
    with pytest.raises(ModelError, match=r"its header states none\.\.\."):
        load_weights(path)


def test_a_tensor_outside_the_data_is_refused_as_a_message(tmp_path):
    path = tmp_path / "a.safetensors"
    save_weights(path, {"a": torch.zeros(4)}, {})
    header, data = taken_apart(path)
    header["a"]["data_offsets"] = [0, 64]
    put_together(path, header, data)
    with pytest.raises(ModelError, match="its tensors cannot be read"):
        load_weights(path)
