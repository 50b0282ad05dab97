"""The licence of weights stays with the models that are made from them, and is said when they are first used."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from finetune_toys import small_run
from made_models import HERE, command_line, tiny_model
from small_models import CARD, model_file, write_phantoms

from kaf.imaging.write import write_labels, write_map
from kaf.modelfile.card import read_card
from kaf.modelfile.licences import inherited, notice
from kaf.phantom.heart import cardiac_phantom
from kaf.runtime import user_folders
from kaf.verbs.finetune import finetune

NC = "CC BY-NC 4.0"
BASE = replace(CARD, weights_licence=NC, training_data="hearts of a hospital")


@pytest.fixture
def kaf(capsys, monkeypatch, tmp_path):
    return command_line(capsys, monkeypatch, tmp_path / "here")


@pytest.mark.parametrize(("own", "base", "expected"), [
    ("unspecified", NC, NC), ("", NC, NC), (NC, NC, NC), ("unspecified", "unspecified", "unspecified"),
    ("CC0-1.0", NC, f"CC0-1.0, and {NC} as the weights it started from (heart)"),
    ("CC0-1.0", "unspecified", "CC0-1.0, and no stated licence for the weights it started from (heart)"),
    ("CC0-1.0", f"CC0-1.0, and {NC} as before", f"CC0-1.0, and {NC} as before"),
])
def test_weights_keep_the_licence_of_those_they_started_from(own, base, expected):
    assert inherited(own, "", replace(BASE, weights_licence=base))[0] == expected


def test_what_the_first_weights_have_seen_is_told_too():
    assert inherited("x", "ours", BASE)[1] == "ours. The weights it started from (heart): hearts of a hospital"
    assert inherited("x", "", replace(BASE, training_data=""))[1] == (
        "unspecified. The weights it started from (heart): unspecified")


def test_a_model_from_nothing_has_its_own_words_only():
    assert inherited("CC0-1.0", "ours", None) == ("CC0-1.0", "ours")


def test_fine_tuned_weights_carry_licence_and_data_of_their_base(tmp_path):
    base = model_file(tmp_path / "base.safetensors", weights_licence=NC, training_data="hearts of a hospital")
    data = write_phantoms(tmp_path / "scans", ("p1",))
    card = read_card(finetune(small_run(tmp_path, data, init_from=str(base), epochs=0.1, training_data="one phantom")))
    assert card.weights_licence == NC
    assert card.training_data == "one phantom. The weights it started from (heart): hearts of a hospital"


@pytest.mark.parametrize("unstated", ["", "unspecified"])
def test_a_licence_that_nobody_stated_is_said_in_a_sentence(monkeypatch, tmp_path, unstated):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    card, reported = replace(CARD, weights_licence=unstated, training_data=unstated), []
    notice(card, reported.append)
    notice(card, reported.append)
    assert [message.text for message in reported] == [
        f"No licence is stated for the weights of {card.name}: ask who made them before you pass them on, or anything "
        "made from them. It is not stated what they were trained on. (This is said once.)"]


@pytest.mark.parametrize("digest", ["../../../evil", "/tmp/evil", "..\\..\\evil", "a" * 63 + "/", "evil", "", "\x00"])
def test_the_mark_lies_in_its_folder_whatever_a_card_says(monkeypatch, tmp_path, digest):
    """Cards are checked when they are read; this one was not read."""
    folder = tmp_path / "a" / "b" / "state"
    monkeypatch.setattr(user_folders, "state_folder", lambda: folder)
    reported = []
    for _ in range(2):
        notice(replace(CARD, digest=digest), reported.append)
    assert len(reported) == 1
    assert [file.parent for file in tmp_path.rglob("*") if file.is_file()] == [folder / "licences"]


def test_finetune_says_the_licence_before_it_trains(kaf, tmp_path):
    base = model_file(tmp_path / "base.safetensors", weights_licence=NC)
    for reported in (True, False):
        done = kaf("finetune", "no-such-folder", "--output", "run", "--init-from", base)
        assert done.code == 1
        assert (f"licensed under {NC}. Trained on: phantoms" in done.err) == reported
    assert "licensed" not in kaf("finetune", "no-such-folder", "--output", "run").err


def test_adapt_says_the_licence_once_and_keeps_it_in_the_card(kaf, tmp_path):
    base = tiny_model(tmp_path / "base.safetensors", spacing=5.0, weights_licence=NC, training_data="somebody's hearts")
    scan, truth = cardiac_phantom(2, slices=2, size=48, spacing=5)
    write_map("scan.nrrd", scan)
    write_labels("drawn.nrrd", truth, ())
    for reported in (True, False):
        done = kaf("adapt", "scan.nrrd", "drawn.nrrd", "--model", base, "--seconds", "1", "--batch", "1", "--patch",
                   "48", "--save-model", "mine.safetensors", "--overwrite", *HERE)
        assert done.code == 0, done.err
        assert (f"licensed under {NC}. Trained on: somebody's hearts" in done.err) == reported
    card = read_card(Path("mine.safetensors"))
    assert (card.weights_licence, card.training_data) == (NC, "somebody's hearts")
