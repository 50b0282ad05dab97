"""The worker survives any line: each is answered with a message, and the next request is served."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from worker_toys import environment

NOT_A_REQUEST = "request: is not a JSON object with a whole number 'id' and a 'verb'"
LINES = {
    "empty": (b"", NOT_A_REQUEST), "words": (b"hello", NOT_A_REQUEST), "number": (b"7", NOT_A_REQUEST),
    "nested": (b"[" * 10_000, NOT_A_REQUEST), "nested object": (b'{"id":' * 10_000, NOT_A_REQUEST),
    "not UTF-8": (b'{"id": 1, "verb": "\xff"}', NOT_A_REQUEST), "NUL": (b'{"id": 1, "verb": "\0"}', NOT_A_REQUEST),
    "id": (b'{"id": "1", "verb": "count"}', NOT_A_REQUEST), "digits": (b"9" * 5000, NOT_A_REQUEST),
    "longer than any request": (b'{"id": 1, "verb": "' + b"a" * (17 << 20) + b'"}', NOT_A_REQUEST),
}
REQUESTS = {
    "verb": ({"verb": "nothing"}, "nothing: is not a verb of the worker"),
    "no verb": ({"verb": ""}, "'': is not a verb of the worker"),
    "control": ({"verb": "a\x1b[31mb"}, "ab: is not a verb"),
    "verb of half a character": ({"verb": "\ud800"}, "is not a verb of the worker"),
    "arrays": ({"arrays": [1]}, "its 'arrays' is not an object"),
    "settings": ({"settings": "a"}, "'settings' is not an object"),
    "folder": ({"folder": 3}, "its 'folder' is not text"), "NUL": ({"folder": "a\0b"}, "holds a NUL character"),
    "array": ({"arrays": {"image": None}}, "image: cannot be received"),
    "no path": ({"arrays": {"image": {"affine": 1}}}, "image: cannot be received"),
    "missing": ({"arrays": {"image": {"path": "/none.npy", "affine": []}}}, "/none.npy: does not exist"),
    "pipe": ({"arrays": {"image": {"path": "pipe", "affine": []}}}, "pipe: is a named pipe"),
    "no array": ({"arrays": {"image": {"path": "words.npy", "affine": []}}}, "image: cannot be received"),
    "no array's header": ({"arrays": {"image": {"path": "header.npy", "affine": []}}}, "image: cannot be received"),
    "no affine": ({"arrays": {"image": {"path": "a.npy", "affine": [[1, 2], [3]]}}}, "image: cannot be received"),
    "short affine": ({"arrays": {"image": {"path": "a.npy", "affine": [1, 2]}}}, "image: has an affine that is not"),
}


@pytest.fixture(scope="module")
def worker(tmp_path_factory):
    """A worker in a folder with files that are no arrays; sends a line and reads the answer."""
    folder = tmp_path_factory.mktemp("worker")
    np.save(folder / "a.npy", np.zeros((1, 2, 2)))
    (folder / "words.npy").write_text("words")
    (folder / "header.npy").write_bytes(b"\x93NUMPY\x01\x00\x0d\x00{'descr': !!(\n")
    if hasattr(os, "mkfifo"):
        os.mkfifo(folder / "pipe")
    command = [sys.executable, "-m", "kaf.worker", "--verbs", "worker_toys:TABLE"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                          env=environment(), cwd=folder) as process:
        process.stdout.readline()  # ready

        def answer(line: bytes):
            process.stdin.write(line + b"\n")
            process.stdin.flush()
            return json.loads(process.stdout.readline())

        yield answer
        process.stdin.close()


def serves(worker):
    return worker(b'{"id": 7, "verb": "count"}')["id"] == 7


@pytest.mark.parametrize("name", LINES)
def test_a_line_that_is_no_request(worker, name):
    line, words = LINES[name]
    answer = worker(line)
    assert (answer["id"], answer["event"]) == (0, "error")
    assert answer["text"].startswith(words)
    assert serves(worker)


@pytest.mark.parametrize("name", REQUESTS)
def test_a_request_that_cannot_be_served(worker, name):
    if name == "pipe" and not hasattr(os, "mkfifo"):
        pytest.skip("this system has no named pipes")
    values, words = REQUESTS[name]
    answer = worker(json.dumps({"id": 5, "verb": "echo", **values}).encode())
    assert (answer["id"], answer["event"]) == (5, "error")
    assert words in answer["text"]
    assert "did not expect" not in answer["text"]
    assert serves(worker)


@pytest.mark.parametrize(("table", "words"), [
    ("os:nope", "the module 'os' has nothing called 'nope'"), (":", "it has no colon between two names"),
    ("nobody_has_this:TABLE", "Python finds no module 'nobody_has_this'"), ("os", "it has no colon between two names"),
    (":TABLE", "it has no colon between two names"), (".os:path", "importing '.os' fails: TypeError: "),
    ("os:sep", "'sep' is not a dictionary"), ("os:environ", "'environ' is not a dictionary"),
    ("worker_toys:HERE", "'HERE' is not a dictionary"), ("worker_toys.nope:x", "finds no module 'worker_toys.nope'"),
], ids=str)
@pytest.mark.parametrize("start", [["-m", "kaf.worker"], ["-m", "kaf", "worker"]], ids=["module", "command"])
def test_verbs_that_are_not_there(table, words, start):
    done = subprocess.run([sys.executable, *start, "--verbs", table], input=b"", capture_output=True, check=False,
                          env=environment())
    assert b"Traceback" not in done.stderr
    assert done.returncode == 2
    assert done.stderr.startswith(b"kaf")
    assert done.stderr.count(b"\n") == 1
    said = done.stderr.decode()
    assert said.startswith(f"kaf: --verbs: '{table}' does not name a table of verbs (")
    assert words in said
    assert said.endswith('). Give MODULE:TABLE, where TABLE is a dictionary {"verb": "module:function"}.\n')


@pytest.mark.parametrize("start", [["-m", "kaf.worker"], ["-m", "kaf", "worker"]], ids=["module", "command"])
def test_wrong_usage_is_reported_as_by_every_command(start):
    done = subprocess.run([sys.executable, *start, "--nothing"], input=b"", capture_output=True, check=False,
                          env=environment())
    assert done.returncode == 2
    assert done.stderr.decode().splitlines() == [
        "kaf: kaf worker: unrecognized arguments: --nothing. See `kaf worker --help`."]
