"""The library: what comes in is sound and is found again, what KAF brought stays."""

from __future__ import annotations

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from small_models import change_card, model_file

import kaf.modelfile.library
from kaf.modelfile.library import add_model, export_model, find_model, keep_model, list_models, remove_model
from kaf.modelfile.model import load_model
from kaf.runtime import user_folders
from kaf.runtime.errors import ModelError, OutputError


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The user's library, with a model of KAF's own elsewhere and nothing in the user's real folders."""
    monkeypatch.setattr(kaf.modelfile.library, "bundled_folder", lambda: tmp_path / "bundled")
    monkeypatch.setattr(kaf.modelfile.library, "user_folder", lambda: tmp_path / "user")
    monkeypatch.setattr(user_folders, "cache_folder", lambda: tmp_path / "cache")
    (tmp_path / "bundled").mkdir()
    model_file(tmp_path / "bundled" / "zebra.safetensors", "zebra")
    return tmp_path / "user"


@pytest.fixture
def path(folder, tmp_path):
    return model_file(tmp_path / "some file.safetensors")


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir()) if folder.exists() else []


def test_models_of_kaf_come_first_then_those_of_the_user_by_name(folder, path):
    assert [(e.name, e.bundled) for e in list_models()] == [("zebra", True)]
    for name in ("b", "a.v2"):
        entry = add_model(str(path), name)
        assert (entry.name, entry.path, entry.bundled) == (name, folder / f"{name}.safetensors", False)
        assert entry.path.read_bytes() == path.read_bytes()
    assert [(e.name, e.bundled) for e in list_models()] == [("zebra", True), ("a.v2", False), ("b", False)]
    assert list_models()[1].card.name == "heart"
    assert names(folder) == ["a.v2.safetensors", "b.safetensors"]


def test_the_name_of_the_card_is_the_default(folder, path):
    assert add_model(str(path)).name == "heart"
    assert find_model("heart") == folder / "heart.safetensors"
    assert find_model(str(path)) == path
    load_model(find_model("heart"))


def test_another_folder_than_the_users_can_be_given(folder, path, tmp_path):
    add_model(str(path), folder=tmp_path / "lab")
    assert [e.name for e in list_models(tmp_path / "lab")] == ["zebra", "heart"]
    assert find_model("heart", tmp_path / "lab") == tmp_path / "lab" / "heart.safetensors"
    assert [e.name for e in list_models()] == ["zebra"]
    remove_model("heart", tmp_path / "lab")
    assert not folder.exists()


def test_a_name_that_is_taken_is_replaced_only_on_request(folder, path, tmp_path):
    add_model(str(path), "mine")
    other = model_file(tmp_path / "other.safetensors", seed=1)
    with pytest.raises(ModelError, match=r"model 'mine': is in the library already\..*--overwrite"):
        add_model(str(other), "mine")
    assert find_model("mine").read_bytes() == path.read_bytes()
    add_model(str(other), "mine", overwrite=True)
    assert find_model("mine").read_bytes() == other.read_bytes()
    assert names(folder) == ["mine.safetensors"]


@pytest.mark.parametrize("name", ["a/b", "..", ".hidden", "a\\b", "what?", "c:x", "*", "a|b", ".safetensors"])
def test_a_name_that_is_no_file_name_is_refused(folder, path, name):
    with pytest.raises(ModelError, match=r"cannot be a file name\. Give another one with --name"):
        add_model(str(path), name)
    assert names(folder) == []


def test_a_name_with_the_suffix_of_the_file_is_found_again(folder, path):
    assert add_model(str(path), "mine.safetensors").name == "mine"
    assert find_model("mine") == folder / "mine.safetensors"


def test_an_unknown_name_brings_the_nearest_or_all(folder, path):
    add_model(str(path), "cardiac-mr")
    with pytest.raises(ModelError, match=r"is not in the library\. Did you mean 'cardiac-mr'\?"):
        find_model("cardiac_mri")
    with pytest.raises(ModelError, match=r"Known models: zebra, cardiac-mr\."):
        find_model("xyz")
    with pytest.raises(ModelError, match=r"heart\.safetensors: there is no such file"):
        find_model("heart.safetensors")


@pytest.mark.parametrize("size", [300, 5000, 2_000_000])
def test_a_name_that_no_file_can_have_is_no_model(folder, size):
    with pytest.raises(ModelError, match=r"x': is not in the library\. Known models: "):
        find_model("x" * size)


def test_removing_takes_the_users_model_and_never_kafs(folder, path, tmp_path):
    add_model(str(path), "mine")
    with pytest.raises(ModelError, match="'zebra': comes with KAF and is not removed"):
        remove_model("zebra")
    with pytest.raises(ModelError, match="'other': is not in your library"):
        remove_model("other")
    remove_model("mine")
    assert names(folder) == []
    assert [e.name for e in list_models()] == ["zebra"]


def test_removing_never_reaches_out_of_the_library(folder, path, tmp_path):
    add_model(str(path), "mine")
    for name in (str(path.with_suffix("")), f"../{path.stem}", "../bundled/zebra", "./mine"):
        with pytest.raises(ModelError, match="is not in your library"):
            remove_model(name)
    assert path.is_file()
    assert names(folder) == ["mine.safetensors"]
    assert names(tmp_path / "bundled") == ["zebra.safetensors"]


def test_export_to_a_file_and_to_a_folder(folder, path, tmp_path):
    add_model(str(path), "mine")
    out = tmp_path / "out"
    out.mkdir()
    assert export_model("mine", out) == out / "mine.safetensors"
    assert export_model("zebra", out / "renamed.safetensors") == out / "renamed.safetensors"
    assert (out / "mine.safetensors").read_bytes() == path.read_bytes()
    with pytest.raises(OutputError, match=r"mine\.safetensors: exists already"):
        export_model("mine", out)
    with pytest.raises(OutputError, match="does not exist"):
        export_model("mine", tmp_path / "nowhere" / "a.safetensors")
    (out / "mine.safetensors").write_bytes(b"old")
    export_model("mine", out, overwrite=True)
    assert (out / "mine.safetensors").read_bytes() == path.read_bytes()
    assert names(out) == ["mine.safetensors", "renamed.safetensors"]


def damaged(path: Path) -> None:
    blob = bytearray(path.read_bytes())
    blob[-1] ^= 1
    path.write_bytes(blob)


def resized(path: Path) -> None:
    change_card(path, lambda card: card["network"].update(width=8), sign=True)


UNSOUND = {
    "flipped bit": (damaged, "its weights have SHA-256"),
    "cut off": (lambda path: path.write_bytes(path.read_bytes()[:-100]), "its weights have SHA-256"),
    "text": (lambda path: path.write_bytes(b"<html>404</html>"), "is not a model file"),
    "pickle": (lambda path: path.write_bytes(b"\x80\x02N."), "is a pickle"),
    "changed card": (lambda path: change_card(path, lambda card: card.update(weights_licence="mine")),
                     "its card has SHA-256"),
    "another network": (resized, "network.width is 8, but the weights of the file have 4"),
}


@pytest.mark.parametrize("kind", UNSOUND)
def test_an_unsound_file_never_enters(folder, path, kind):
    spoil, words = UNSOUND[kind]
    spoil(path)
    with pytest.raises(ModelError, match=words):
        add_model(str(path), "bad")
    assert names(folder) == []
    folder.mkdir(exist_ok=True)
    (folder / "bad.safetensors").write_bytes(path.read_bytes())  # by hand, then
    if kind in ("text", "pickle"):
        assert [e.name for e in list_models()] == ["zebra"]
    with pytest.raises(ModelError, match=words):
        load_model(find_model("bad"))


def test_a_stated_digest_is_checked_for_a_file_too(folder, path):
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(ModelError, match=f"has SHA-256 {digest} instead of {'0' * 64}"):
        add_model(str(path), "mine", digest="0" * 64)
    assert names(folder) == []
    add_model(str(path), "mine", digest=f"SHA256:{digest.upper()}")
    add_model(str(path), "again", digest=digest)
    assert names(folder) == ["again.safetensors", "mine.safetensors"]


class Server(BaseHTTPRequestHandler):
    """Gives the bytes of ``server.content``; under /dies the connection ends in the middle."""

    def do_GET(self):
        content = self.server.content
        self.send_response(404 if self.path == "/none" else 200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if self.path == "/dies" else content)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(path, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as running:
        running.content = path.read_bytes()
        running.address = f"http://127.0.0.1:{running.server_port}"
        running.digest = hashlib.sha256(running.content).hexdigest()
        threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield running
        running.shutdown()


def test_a_download_enters_with_the_right_digest_only(folder, path, server, tmp_path):
    address = f"{server.address}/heart.safetensors"
    with pytest.raises(ModelError, match=r"has no stated SHA-256\. Give it with --digest"):
        add_model(address)
    with pytest.raises(ModelError, match="does not have the stated SHA-256") as caught:
        add_model(address, digest="0" * 64)
    assert server.digest in caught.value.reason
    assert "0" * 64 in caught.value.reason
    assert names(folder) == []
    assert not any(file.is_file() for file in (tmp_path / "cache").rglob("*"))
    entry = add_model(address, digest=f"sha256:{server.digest.upper()}")
    assert entry.name == "heart"
    assert entry.path.read_bytes() == path.read_bytes()


@pytest.mark.parametrize("address", ["ftp://localhost/x.safetensors", "FILE:///x.safetensors", "s3://heart"])
def test_an_address_of_another_kind_is_reported_from_a_path(folder, address):
    with pytest.raises(ModelError, match=r"not one that KAF downloads from\. .* https:// or http://") as caught:
        add_model(address, digest="0" * 64)
    assert caught.value.subject == address


@pytest.mark.parametrize("place", ["dies", "none"])
def test_a_download_that_fails_leaves_nothing(folder, server, tmp_path, place):
    with pytest.raises(ModelError, match=r"cannot be downloaded .*copy the file by hand") as caught:
        add_model(f"{server.address}/{place}", digest=server.digest)
    assert caught.value.subject == f"{server.address}/{place}"
    assert names(folder) == []
    assert not any(file.is_file() for file in (tmp_path / "cache").rglob("*"))


def test_a_server_that_is_not_there(folder, server):
    server.shutdown()
    server.server_close()
    with pytest.raises(ModelError, match="cannot be downloaded"):
        add_model(f"{server.address}/a.safetensors", digest=server.digest)


def test_a_download_with_the_right_digest_is_still_checked(folder, path, server):
    damaged(path)
    server.content = path.read_bytes()
    with pytest.raises(ModelError, match="its weights have SHA-256"):
        add_model(f"{server.address}/a", digest=hashlib.sha256(server.content).hexdigest())
    assert names(folder) == []


def test_a_model_that_was_just_made_is_kept_under_a_new_name(folder, path):
    before = path.read_bytes()
    entry = keep_model(path, "mine")
    assert (entry.name, entry.path, entry.bundled) == ("mine", folder / "mine.safetensors", False)
    network, card = load_model(find_model("mine"))  # checks both digests
    assert card.name == "mine" == list_models()[-1].card.name
    expected, _ = load_model(path)
    for name, value in expected.state_dict().items():
        assert value.equal(network.state_dict()[name]), name
    assert path.read_bytes() == before
    assert names(folder) == ["mine.safetensors"]


@pytest.mark.parametrize(("name", "words"), [
    ("", "cannot be a file name"), ("../evil", "cannot be a file name"), (".hidden", "cannot be a file name"),
    ("zebra", "is in the library already"), ("taken", "is in the library already")])
def test_a_model_is_not_kept_under_a_bad_name(folder, path, name, words):
    add_model(str(path), "taken")
    before = (folder / "taken.safetensors").read_bytes()
    with pytest.raises(ModelError, match=words):
        keep_model(path, name)
    assert names(folder) == ["taken.safetensors"]
    assert (folder / "taken.safetensors").read_bytes() == before


def test_a_damaged_model_is_not_kept(folder, path):
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(ModelError, match="do not have the SHA-256"):
        keep_model(path, "mine")
    assert names(folder) == []


def test_a_model_is_not_kept_where_no_folder_can_be_made(folder, path, tmp_path):
    (tmp_path / "user").write_text("a file where the folder should be")
    with pytest.raises(OutputError, match="cannot be created"):
        keep_model(path, "mine")
