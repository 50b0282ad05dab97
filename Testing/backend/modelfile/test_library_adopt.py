"""A file that somebody sent enters the library without torch; an unsound one does not."""

from __future__ import annotations

import pytest
from small_models import change_card, model_file

import kaf.modelfile.library
from kaf.modelfile.library import adopt_model, list_models
from kaf.modelfile.model import load_model
from kaf.runtime.errors import ModelError


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(kaf.modelfile.library, "bundled_folder", lambda: tmp_path / "bundled")
    (tmp_path / "bundled").mkdir()
    model_file(tmp_path / "bundled" / "zebra.safetensors", "zebra", 9)
    return tmp_path / "user"


@pytest.fixture
def path(tmp_path):
    return model_file(tmp_path / "some file.safetensors")


def names(folder):
    return sorted(entry.name for entry in list_models(folder))


def test_it_gets_the_name_of_its_card_and_stays_sound(folder, path):
    before = path.read_bytes()
    entry = adopt_model(path, folder=folder)
    assert (entry.name, entry.bundled, entry.card) == ("heart", False, load_model(entry.path)[1])
    assert path.read_bytes() == before
    assert adopt_model(path, "chosen", folder) == next(e for e in list_models(folder) if e.name == "heart")


def test_a_name_that_is_taken_gets_a_number_even_that_of_kafs_own(folder, path, tmp_path):
    adopt_model(path, folder=folder)
    others = [adopt_model(model_file(tmp_path / f"{seed}.safetensors", "heart", seed), folder=folder).name
              for seed in (1, 2, 1)]
    assert others == ["heart-2", "heart-3", "heart-2"]
    assert adopt_model(model_file(tmp_path / "z.safetensors", "zebra", 4), folder=folder).name == "zebra-2"
    assert adopt_model(tmp_path / "bundled" / "zebra.safetensors", folder=folder).bundled
    assert names(folder) == ["heart", "heart-2", "heart-3", "zebra", "zebra-2"]


UNSOUND = {
    "flipped bit": (lambda path: path.write_bytes(path.read_bytes()[:-1] + b"\x7f"), "do not have the SHA-256"),
    "cut off": (lambda path: path.write_bytes(path.read_bytes()[:-100]), "do not have the SHA-256"),
    "text": (lambda path: path.write_bytes(b"<html>404</html>"), "is not a model file"),
    "pickle": (lambda path: path.write_bytes(b"\x80\x02N."), "is a pickle"),
    "changed card": (lambda path: change_card(path, lambda card: card.update(weights_licence="mine")),
                     "card that was changed after the model was written"),
    "name no file can have": (lambda path: model_file(path, "a/b"), "cannot be a file name"),
}


@pytest.mark.parametrize("kind", UNSOUND)
def test_an_unsound_file_does_not_enter(folder, path, kind):
    spoil, words = UNSOUND[kind]
    spoil(path)
    with pytest.raises(ModelError, match=words):
        adopt_model(path, folder=folder)
    assert names(folder) == ["zebra"]
