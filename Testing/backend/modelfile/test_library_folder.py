"""What a killed process leaves in the library is no model and goes; every name stands for one model."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from small_models import change_card, model_file

import kaf.modelfile.library
from kaf.modelfile import library_folder
from kaf.modelfile.card import read_card
from kaf.modelfile.library import (
    add_model,
    adopt_model,
    export_model,
    find_model,
    keep_model,
    list_models,
    refused_models,
    remove_model,
)
from kaf.modelfile.library import change_card as write_words
from kaf.modelfile.model import load_model
from kaf.runtime import locks
from kaf.runtime.errors import ModelError, OutputError

HOME = Path(kaf.modelfile.library.__file__).parents[1]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The user's library, beside a folder with a model of KAF's own."""
    monkeypatch.setattr(kaf.modelfile.library, "bundled_folder", lambda: tmp_path / "bundled")
    (tmp_path / "bundled").mkdir()
    model_file(tmp_path / "bundled" / "zebra.safetensors", "zebra", seed=9)
    return tmp_path / "user"


@pytest.fixture
def path(tmp_path):
    return model_file(tmp_path / "some file.safetensors")


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir()) if folder.exists() else []


def listed(folder: Path) -> list[str]:
    return [entry.name for entry in list_models(folder)]


def left_by_a_kill(folder: Path, path: Path, share: float = 0.5) -> Path:
    """As ``models add`` leaves it when it is killed while it copies."""
    folder.mkdir(exist_ok=True)
    half = folder / ".0a1b2c3d-heart.safetensors"
    content = path.read_bytes()
    half.write_bytes(content[:int(share * len(content))])
    return half


@pytest.mark.parametrize("share", [0.5, 1.0])  # killed while it copied, and before it renamed
def test_what_a_killed_process_left_is_never_listed_and_goes(folder, path, share):
    left_by_a_kill(folder, path, share)
    assert listed(folder) == ["zebra"]
    assert refused_models(folder) == {}
    assert names(folder) == []
    with pytest.raises(ModelError, match="is not in the library"):
        find_model(".0a1b2c3d-heart", folder)


@pytest.mark.parametrize("add", [lambda path, folder: add_model(str(path), folder=folder),
                                 lambda path, folder: adopt_model(path, folder=folder),
                                 lambda path, folder: keep_model(path, "heart", folder)])
def test_and_goes_with_the_next_model(folder, path, add):
    left_by_a_kill(folder, path)
    assert add(path, folder).name == "heart"
    assert names(folder) == ["heart.safetensors"]


def test_what_another_process_is_writing_stays(folder, path):
    half = left_by_a_kill(folder, path)
    held = locks.take(folder / ".lock")
    try:
        assert listed(folder) == ["zebra"]
        assert half.is_file()
    finally:
        locks.give_back(held, folder / ".lock")


def test_on_a_disk_without_locks_it_is_left_to_its_age(folder, path, monkeypatch):
    half = left_by_a_kill(folder, path)
    monkeypatch.setattr(locks, "lock_file", lambda *_, **__: None)
    assert listed(folder) == ["zebra"]
    assert half.is_file()
    os.utime(half, (time.time() - 2 * 24 * 3600,) * 2)
    assert listed(folder) == ["zebra"]
    assert names(folder) == []


def test_files_of_the_users_own_are_never_swept(folder, path):
    folder.mkdir()
    own = [".hidden.safetensors", ".0a1b2c3-short.safetensors", ".0A1B2C3D-Big.safetensors", ".0a1b2c3d-a.txt"]
    for name in own:
        (folder / name).write_bytes(b"mine")
    add_model(str(path), folder=folder)
    assert names(folder) == sorted([*own, "heart.safetensors"])
    assert listed(folder) == ["zebra", "heart"]


KILL = """
import os, shutil, signal, sys
from pathlib import Path
from kaf.modelfile import library
library.copy_with_card = lambda source, target, card: (shutil.copyfile(source, target), os.kill(os.getpid(), 9))
library.keep_model(Path(sys.argv[1]), "heart", Path(sys.argv[2]))
"""


@pytest.mark.skipif(os.name == "nt", reason="ends itself with a signal")
def test_a_process_that_is_really_killed(folder, path):
    done = subprocess.run([sys.executable, "-c", KILL, str(path), str(folder)], check=False,
                          env={**os.environ, "PYTHONPATH": str(HOME)})
    assert done.returncode == -9
    assert any(name.endswith("-heart.safetensors") for name in names(folder)), "it was killed in time"
    assert listed(folder) == ["zebra"]
    assert keep_model(path, "heart", folder).name == "heart"
    assert names(folder) == ["heart.safetensors"]


def test_two_at_once_never_write_one_name(folder, path, tmp_path):
    files = [model_file(tmp_path / f"{seed}.safetensors", "heart", seed) for seed in range(4)]
    added, start = [], threading.Barrier(len(files))

    def adopt(file):
        start.wait()
        added.append(adopt_model(file, folder=folder).name)

    threads = [threading.Thread(target=adopt, args=(file,)) for file in files]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(added) == ["heart", "heart-2", "heart-3", "heart-4"]
    assert names(folder) == [f"{name}.safetensors" for name in ("heart-2", "heart-3", "heart-4", "heart")]


def test_a_library_that_another_process_does_not_let_go_of(folder, path, monkeypatch):
    monkeypatch.setattr(library_folder.alone_in.__wrapped__, "__defaults__", (0.0,))
    folder.mkdir()
    held = locks.take(folder / ".lock")
    try:
        with pytest.raises(OutputError, match="is being written to by another process"):
            keep_model(path, "heart", folder)
    finally:
        locks.give_back(held, folder / ".lock")


@pytest.mark.parametrize("name", ["zebra", "Zebra", "ZEBRA.safetensors"])
@pytest.mark.parametrize("overwrite", [False, True])
def test_no_model_hides_one_that_came_with_kaf(folder, path, tmp_path, name, overwrite):
    brought = (tmp_path / "bundled" / "zebra.safetensors").read_bytes()
    with pytest.raises(ModelError, match="is in the library already: it comes with KAF"):
        add_model(str(path), name, folder=folder, overwrite=overwrite)
    model_file(path, "zebra")
    with pytest.raises(ModelError, match="is in the library already: it comes with KAF"):
        add_model(str(path), folder=folder, overwrite=overwrite)
    assert names(folder) == []
    assert find_model("zebra", folder).read_bytes() == brought


def test_one_that_hides_it_since_an_earlier_version_goes_by_a_number(folder, path, tmp_path):
    folder.mkdir()
    (folder / "zebra.safetensors").write_bytes(path.read_bytes())
    (folder / "zebra-2.safetensors").write_bytes(path.read_bytes())
    assert listed(folder) == ["zebra", "zebra-2", "zebra-3"]
    assert [entry.bundled for entry in list_models(folder)] == [True, False, False]
    assert find_model("zebra", folder) == tmp_path / "bundled" / "zebra.safetensors"
    assert find_model("zebra-3", folder) == folder / "zebra.safetensors"
    assert export_model("zebra", tmp_path / "out.safetensors", folder).read_bytes() != path.read_bytes()
    remove_model("zebra-3", folder)
    assert names(folder) == ["zebra-2.safetensors"]
    with pytest.raises(ModelError, match="comes with KAF and is not removed"):
        remove_model("zebra", folder)


def test_names_that_a_file_system_takes_for_one_are_one(folder, path, tmp_path):
    add_model(str(path), "Höhle", folder=folder)  # composed
    for name in ("höhle", "HÖHLE", "Ho\u0308hle"):
        with pytest.raises(ModelError, match="is in the library already, as 'Höhle'"):
            add_model(str(path), name, folder=folder, overwrite=True)
        with pytest.raises(ModelError, match="is in the library already"):
            keep_model(path, name, folder)
        assert find_model(name, folder) == folder / "Höhle.safetensors"
    other = model_file(tmp_path / "other.safetensors", "HÖHLE", 1)
    assert adopt_model(other, folder=folder).name == "HÖHLE-2"


BAD = ["", ".", "..", ".hidden", "-flag", "a/b", "a\\b", "../evil", "C:evil", "what?", "*", "a|b", "a<b", 'a"b', "a\nb",
       "a\x1b[2Jb", "a\x00b", "gnp\u202excod", "ends with a dot.", "ends with a space ", " begins with one", "con",
       "NUL", "com1", "Lpt9", "aux.v2", "x" * 201, "ö" * 101, "\udcff"]


@pytest.mark.parametrize("name", BAD, ids=ascii)
def test_a_name_that_is_no_file_name_everywhere_is_refused_everywhere(folder, path, name):
    with pytest.raises(ModelError, match="cannot be a file name") as caught:
        keep_model(path, name, folder)
    assert str(caught.value).isprintable()
    if name:  # else the card's
        for add in (lambda: add_model(str(path), name, folder=folder), lambda: adopt_model(path, name, folder)):
            with pytest.raises(ModelError, match="cannot be a file name"):
                add()
    assert names(folder) == []


def test_a_refused_model_is_not_listed_and_says_why_when_it_is_asked_for(folder, path):
    folder.mkdir()
    change_card(model_file(folder / "wrong.safetensors"), lambda card: card.update(spacing=0), sign=True)
    (folder / "text.safetensors").write_text("hello")
    assert listed(folder) == ["zebra"]
    refused = refused_models(folder)
    assert list(refused) == ["text", "wrong"]
    assert "spacing is 0, not a number" in str(refused["wrong"])
    for read in (read_card, load_model):
        with pytest.raises(ModelError, match="spacing is 0, not a number"):
            read(find_model("wrong", folder))
    remove_model("wrong", folder)
    remove_model("text", folder)
    assert names(folder) == []


@pytest.mark.skipif(os.name == "nt", reason="there are no pipes in folders")
def test_a_pipe_or_a_folder_is_no_model(folder):
    folder.mkdir()
    os.mkfifo(folder / "pipe.safetensors")
    (folder / "folder.safetensors").mkdir()
    assert listed(folder) == ["zebra"]
    assert refused_models(folder) == {}
    with pytest.raises(ModelError, match="is a named pipe"):
        read_card(folder / "pipe.safetensors")


def test_words_are_written_onto_a_card_of_the_users(folder, path):
    keep_model(path, "mine", folder)
    write_words("mine", folder, description="For hearts.", weights_licence="CC0-1.0")
    network, card = load_model(find_model("mine", folder))
    assert (card.description, card.weights_licence, card.training_data) == ("For hearts.", "CC0-1.0", "phantoms")
    expected, _ = load_model(path)
    assert all(value.equal(network.state_dict()[name]) for name, value in expected.state_dict().items())
    before = (folder / "mine.safetensors").read_bytes()
    with pytest.raises(ModelError, match="description has 20001 characters"):
        write_words("mine", folder, description="x" * 20_001)
    with pytest.raises(ModelError, match="holds control characters"):
        write_words("mine", folder, training_data="\x1b[2J")
    with pytest.raises(ModelError, match="comes with KAF and is not changed"):
        write_words("zebra", folder, description="other")
    assert (folder / "mine.safetensors").read_bytes() == before
    assert names(folder) == ["mine.safetensors"]


def test_a_library_that_may_not_be_written_says_so(folder, path, monkeypatch):
    folder.mkdir()

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(locks, "take", refuse)
    with pytest.raises(OutputError, match="user: you may not write there"):
        keep_model(path, "mine", folder)
    left_by_a_kill(folder, path)
    assert listed(folder) == ["zebra"]
