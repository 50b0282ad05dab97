"""Downloads end: whatever a server sends, however slowly, however much of it, and wherever it leads."""

from __future__ import annotations

import hashlib
import socket
import threading
from contextlib import contextmanager

import pytest
import requests
from made_models import command_line

from kaf.runtime.download import Limits, download
from kaf.runtime.errors import KafError, ModelError, OutputError

SMALL = Limits(megabytes=0.1, minutes=10, silence=30)
SHORT = Limits(megabytes=100, minutes=0.005, silence=30)
CONTENT = b"a model" * 1000
DIGEST = hashlib.sha256(CONTENT).hexdigest()
HEAD = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"


class Peer:
    """A connection as a hostile server sees it."""

    def __init__(self, connection: socket.socket, over: threading.Event):
        self._connection, self.over = connection, over

    def send(self, data: bytes) -> bool:
        """Whether the other side still listens."""
        try:
            self._connection.sendall(data)
        except OSError:
            return False
        return not self.over.is_set()


@contextmanager
def server(answer):
    """``answer(peer, path)`` for every connection; gives the address."""
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.05)

        def serve():
            while not over.is_set():
                try:
                    connection, _ = listener.accept()
                except OSError:
                    continue
                threading.Thread(target=speak, args=(connection,), daemon=True).start()

        def speak(connection):
            with connection:
                path = connection.recv(65536).split(b" ")[1:2]
                answer(Peer(connection, over), path[0].decode() if path else "")

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            over.set()
            thread.join()


def forever(peer, path):
    peer.send(b"HTTP/1.1 200 OK\r\n\r\n")
    while peer.send(b"x" * 4096):
        pass


def forever_in_chunks(peer, path):
    peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while peer.send(b"1000\r\n" + b"x" * 4096 + b"\r\n"):
        pass


def drips(peer, path):
    peer.send(HEAD % len(CONTENT))
    while peer.send(b"a") and not peer.over.wait(0.02):
        pass


def drips_headers(peer, path):
    peer.send(b"HTTP/1.1 200 OK\r\nX: ")
    while peer.send(b"a") and not peer.over.wait(0.02):
        pass


def says_nothing(peer, path):
    peer.over.wait()


def claims_much(peer, path):
    peer.send(HEAD % 10 ** 15)
    peer.over.wait()


def unpacks_to_much(peer, path):
    import gzip

    body = gzip.compress(bytes(50_000_000))
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body) + body)


def leads_in_a_circle(peer, path):
    peer.send(b"HTTP/1.1 302 Found\r\nLocation: /next\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")


def leads_to_a_file(peer, path):
    peer.send(b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")


def breaks_off(peer, path):
    peer.send(HEAD % len(CONTENT) + CONTENT[:1000])


def is_not_there(peer, path):
    peer.send(b"HTTP/1.1 404 Not Found\x1b[2J\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")


def babbles(peer, path):
    peer.send(b"SSH-2.0-OpenSSH\r\n\r\n" * 100)


def many_headers(peer, path):
    peer.send(b"HTTP/1.1 200 OK\r\n" + b"".join(b"X%d: 1\r\n" % n for n in range(100_000)) + b"\r\n")


HOSTILE = {
    "forever": (forever, SMALL, "is larger than 0.1 MB"),
    "forever in chunks": (forever_in_chunks, SMALL, "is larger than 0.1 MB"),
    "claims much": (claims_much, SMALL, "is larger than 0.1 MB"),
    "unpacks to much": (unpacks_to_much, SMALL, "is larger than 0.1 MB"),
    "drips": (drips, SHORT, "was not there after 0.005 minutes"),
    "drips headers": (drips_headers, SHORT, "was not there after 0.005 minutes"),
    "says nothing for all the time": (says_nothing, SHORT, "was not there after 0.005 minutes"),
    "says nothing": (says_nothing, Limits(silence=0.2), "the server said nothing for 0.2 seconds"),
    "in a circle": (leads_in_a_circle, SMALL, "it leads on more than 5 times"),
    "to a file": (leads_to_a_file, SMALL, "cannot be downloaded"),
    "breaks off": (breaks_off, SMALL, "cannot be downloaded"),
    "not there": (is_not_there, SMALL, "404"),
    "babbles": (babbles, SMALL, "cannot be downloaded"),
    "many headers": (many_headers, SMALL, "cannot be downloaded"),
    "another file": (lambda peer, path: peer.send(HEAD % 3 + b"abc"), SMALL, "does not have the stated SHA-256"),
}


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "*")


@pytest.mark.parametrize("kind", HOSTILE)
def test_it_ends_as_a_message_and_leaves_nothing(tmp_path, kind):
    answer, limits, words = HOSTILE[kind]
    with server(answer) as address:
        with pytest.raises(ModelError, match=words) as caught:
            download(f"{address}/model", tmp_path / "model", DIGEST, limits)
        assert caught.value.subject == f"{address}/model"
        assert str(caught.value).isprintable()
    assert list(tmp_path.iterdir()) == []


def test_what_was_asked_for_comes_whole(tmp_path):
    def answer(peer, path):
        if path == "/model":
            peer.send(b"HTTP/1.1 302 Found\r\nLocation: /other\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
        else:
            peer.send(HEAD % len(CONTENT) + CONTENT)

    with server(answer) as address:
        download(f"{address}/model", tmp_path / "model", DIGEST)
    assert (tmp_path / "model").read_bytes() == CONTENT


def redirected(monkeypatch, location):
    """Every address answers with a way elsewhere; the addresses that were asked."""
    asked = []

    def send(adapter, request, **_):
        asked.append(request.url)
        answer = requests.Response()
        answer.status_code, answer.url, answer.request = 302, request.url, request
        answer.headers["Location"] = location
        answer.raw = type("Raw", (), {"read": lambda *a, **k: b"", "release_conn": lambda self: None,
                                      "close": lambda self: None, "_original_response": None, "headers": {}})()
        return answer

    monkeypatch.setattr(requests.adapters.HTTPAdapter, "send", send)
    return asked


def test_https_never_leads_on_to_http(tmp_path, monkeypatch):
    asked = redirected(monkeypatch, "http://elsewhere.example/model")
    with pytest.raises(ModelError, match="it leads on to an address without https"):
        download("https://models.example/model", tmp_path / "model", DIGEST, SMALL)
    assert asked == ["https://models.example/model"]


def test_http_may_lead_on_to_https(tmp_path, monkeypatch):
    asked = redirected(monkeypatch, "https://elsewhere.example/model")
    with pytest.raises(ModelError, match="more than 5 times"):
        download("http://models.example/model", tmp_path / "model", DIGEST, SMALL)
    assert asked[1] == "https://elsewhere.example/model"


def test_a_disk_that_refuses(tmp_path):
    with server(lambda peer, path: peer.send(HEAD % len(CONTENT) + CONTENT)) as address, pytest.raises(OutputError):
        download(address, tmp_path / "no" / "folder", DIGEST, SMALL)


def test_whoever_stops_waiting_leaves_nothing(tmp_path, monkeypatch):
    """A Ctrl-C comes while the server drips."""
    from kaf.runtime import download as module

    original = module._Source.chunks

    def interrupted(self, end):
        for chunk in original(self, end):
            yield chunk
            raise KeyboardInterrupt

    monkeypatch.setattr(module._Source, "chunks", interrupted)
    with server(forever) as address, pytest.raises(KeyboardInterrupt):
        download(address, tmp_path / "model", DIGEST, SMALL)
    assert list(tmp_path.iterdir()) == []


def test_the_command_line_says_how_to_allow_more(tmp_path, monkeypatch, capsys):
    kaf = command_line(capsys, monkeypatch, tmp_path / "here")
    with server(lambda peer, path: peer.send(HEAD % len(CONTENT) + CONTENT)) as address:
        refused = kaf("models", "add", f"{address}/a", "--digest", DIGEST, "--megabytes", "0.005")
        assert (refused.code, "is larger than 0.005 MB" in refused.err, "--megabytes" in refused.err) == (1, True, True)
        done = kaf("models", "add", f"{address}/a", "--digest", DIGEST, "--megabytes", "0.01", "--minutes", "5")
    assert "is not a model file" in done.err  # it came whole, and is none
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_without_the_package_it_says_so(tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "requests", None)
    with pytest.raises((KafError, ImportError), match="requests"):
        download("http://127.0.0.1:9/model", tmp_path / "model", DIGEST, SMALL)
    assert list(tmp_path.iterdir()) == []
