"""Lines to the worker that are no requests, or hostile ones: each is answered with a message, and work goes on."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import select
import signal
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from campaigns.apart import end
from campaigns.bad import text
from campaigns.bad_headers import AFFINE, VOXELS
from campaigns.material import Material
from campaigns.verdicts import Try, Verdict, fine, must, paragraph, wrong

_LIMIT = 60.0
_PING = b'{"id": 99, "verb": "ping"}\n'
Values = dict[str, Any]


class Conversation:
    """A worker in a forked process, and the two ends of its pipes."""

    def __init__(self) -> None:
        theirs, self._requests = os.pipe()
        self._answers, mine = os.pipe()
        self.process = os.fork()
        if self.process == 0:
            _serve(theirs, mine)
        os.close(theirs)
        os.close(mine)
        self._rest = b""

    def say(self, line: bytes) -> None:
        """Send bytes; a worker that is gone is noticed when it is listened to."""
        view = memoryview(line)
        with contextlib.suppress(BrokenPipeError):
            while view:
                view = view[os.write(self._requests, view[:65536]):]

    def hear(self, number: int) -> list[Values]:
        """All answers up to the last one to the request of this number.

        Raises:
            Found: the worker died, or says nothing for too long.
        """
        reported: list[Values] = []
        until = time.monotonic() + _LIMIT
        while True:
            line, mark, rest = self._rest.partition(b"\n")
            if mark:
                self._rest = rest
                reported.append(json.loads(line))
                if reported[-1]["id"] == number and reported[-1]["event"] in ("result", "error"):
                    return reported
                continue
            ready, _, _ = select.select([self._answers], [], [], max(0.0, until - time.monotonic()))
            must(ready, f"hangs: no answer within {_LIMIT:g} s")
            content = os.read(self._answers, 1 << 20)
            if not content:
                raise wrong("the worker died")
            self._rest += content

    def close(self) -> None:
        for pipe in (self._requests, self._answers):
            os.close(pipe)
        end(self.process)
        os.waitpid(self.process, 0)


def _serve(requests: int, answers: int) -> None:
    """In the child; never returns."""
    code = 70
    try:
        os.setsid()
        os.dup2(requests, 0)
        os.dup2(answers, 1)
        log = os.open("worker.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 2)
        os.closerange(3, 64)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        from kaf.worker import process as worker

        worker.main(())
    finally:
        os._exit(code)


def line_tries(material: Material) -> Iterator[Try]:
    """Each line is followed by a ping, which must be answered."""
    for name, line in _no_requests():
        yield Try("worker: lines that are no requests", name, _refused(line))
    for name, change in _requests():
        yield Try("worker: hostile requests", name, _hostile(material, change, name.startswith("fine: ")))
    for name, make in _arrays():
        yield Try("worker: hostile arrays", name, _hostile(material, lambda values: None, name.startswith("fine: "),
                                                           make))


def _refused(line: bytes) -> Callable[[Path, Random], Verdict]:
    def play(here: Path, random: Random) -> Verdict:
        talk = Conversation()
        try:
            talk.say(line + b"\n" + _PING)
            return _judge(talk.hear(99), False)
        finally:
            talk.close()
    return play


def _hostile(material: Material, change: Callable[[Values], Any], taken: bool,
             make: Callable[[], object] | None = None) -> Callable[[Path, Random], Verdict]:
    def play(here: Path, random: Random) -> Verdict:
        np.save("image.npy", VOXELS)
        Path("folder").mkdir()
        os.mkfifo("pipe")
        if make is not None:
            Path("image.npy").unlink()
            make()
        values: Values = {"id": 5, "verb": "segment", "folder": str(here / "folder"),
                          "settings": {"model": str(material.model), "device": "cpu", "threads": 1},
                          "arrays": {"image": {"path": str(here / "image.npy"), "affine": AFFINE.tolist()}}}
        change(values)
        talk = Conversation()
        try:
            talk.say(json.dumps(values).encode() + b"\n" + _PING)
            return _judge(talk.hear(99), taken)
        finally:
            talk.close()
    return play


def _judge(reported: list[Values], taken: bool) -> Verdict:
    must(reported[-1]["event"] == "result", f"the ping after it failed: {reported[-1]}")
    answers = [answer for answer in reported[:-1] if answer["event"] in ("error", "result")]
    if taken:
        must([answer["event"] for answer in answers] == ["result"],
             f"refused where it should have worked: {answers}"[:600])
        return fine()
    must(answers, "no answer to it")
    must(answers[0]["event"] == "error", f"accepted: {str(answers[0])[:400]}")
    parts = [answers[0].get(name) for name in ("subject", "reason", "remedy")]
    must("did not expect" not in answers[0]["text"], f"an error that nobody expected: {answers[0]['text']}")
    if not all(str(part or "").strip() for part in parts):
        return Verdict("unclear", f"no subject, reason and remedy: {answers[0]}"[:600])
    must(len(answers[0]["text"]) < 4000, f"an answer of {len(answers[0]['text'])} characters")
    return paragraph(answers[0]["text"], (), for_programs=True)


def _no_requests() -> Iterator[tuple[str, bytes]]:
    deep = b"[" * 10_000 + b"]" * 10_000
    lines = {"text": b"xyz", "list": b"[]", "number": b"7", "null": b"null", "string": b'"segment"',
             "empty object": b"{}",
             "not UTF-8": b"\xff\xfe\x00", "NUL": b"\0" * 50, "nested": deep, "NaN": b"NaN", "cut short": b'{"id": 1,',
             "two objects": b'{"id": 1, "verb": "ping"} {"id": 2, "verb": "ping"}', "no verb": b'{"id": 1}',
             "no id": b'{"verb": "ping"}', "id is text": b'{"id": "1", "verb": "ping"}',
             "id is a float": b'{"id": 1.5, "verb": "ping"}', "id is null": b'{"id": null, "verb": "ping"}',
             "id is a list": b'{"id": [1], "verb": "ping"}', "verb is a number": b'{"id": 1, "verb": 7}',
             "verb is null": b'{"id": 1, "verb": null}', "verb is a list": b'{"id": 1, "verb": ["ping"]}',
             "unknown verb": b'{"id": 1, "verb": "nothing"}', "verb of a module": b'{"id": 1, "verb": "os:system"}',
             "verb with escapes": b'{"id": 1, "verb": "\\u001b[31mred"}', "no verb's name": b'{"id": 1, "verb": ""}',
             "two megabytes": b"x" * 2_000_000, "thirty megabytes": b'{"id": 1, "verb": "' + b"y" * 30_000_000 + b'"}',
             "nested in settings": b'{"id": 1, "verb": "segment", "settings": ' + deep + b"}",
             "number of 10,000 digits": b'{"id": ' + b"9" * 10_000 + b', "verb": "ping"}',
             "surrogate": b'{"id": 1, "verb": "\\ud800"}'}
    yield from lines.items()


def _requests() -> Iterator[tuple[str, Callable[[Values], Any]]]:
    yield "fine: as it should be", lambda values: None
    for field in ("settings", "arrays", "options", "folder"):
        for value in (7, [1], "x\0y", None, True):
            if field == "folder" and value is None:
                continue
            name = f"{field} is {value!r}"
            yield name if (field, value) != ("options", None) else f"{field} is null", \
                lambda values, field=field, value=value: values.update({field: value})
    for value in ("nothing", "", "a\0b", "/etc/passwd", "/", "../../x", 7, None, [1]):
        yield f"model {value!r}", lambda values, value=value: values["settings"].update(model=value)
    for change in ({"batch": -1}, {"batch": float("nan")}, {"nothing": 1}, {"device": "cuda:77"}, {"device": "tpu"},
                   {"threads": -1}, {"threads": 10 ** 9}, {"roi": [0, 0, 0]}, {"roi": [float("nan")] * 6},
                   {"overlap": 2}, {"largest_component": "x"}):
        yield f"settings {change}", lambda values, change=change: values["settings"].update(change)
    for value in ("/proc", "/nowhere/at/all"):
        yield f"folder {value}", lambda values, value=value: values.update(folder=value)
    yield "no arrays", lambda values: values.pop("arrays")
    yield "another name", lambda values: values.update(arrays={"scan": values["arrays"]["image"]})
    for value in (7, None, [], {}, {"path": 7, "affine": []}, {"path": "a\0b", "affine": np.eye(4).tolist()}):
        yield f"image is {value!r}"[:60], lambda values, value=value: values["arrays"].update(image=value)
    nan, inf = float("nan"), float("inf")
    sheared = AFFINE.copy()
    sheared[0, 1] = 2.0
    for name, value in {"missing": None, "text": "x", "3 x 3": np.eye(3).tolist(), "empty": [], "ragged": [[1], [1, 2]],
                        "NaN": np.full((4, 4), nan).tolist(), "infinite": np.diag([inf, 1, 1, 1]).tolist(),
                        "zeros": np.zeros((4, 4)).tolist(), "sheared": sheared.tolist(),
                        "tiny": np.diag([1e-30, 1e-30, 1e-30, 1]).tolist(), "words": [["a"] * 4] * 4}.items():
        yield f"affine {name}", lambda values, value=value: values["arrays"]["image"].update(affine=value)
    yield "adapt without labels", lambda values: values.update(verb="adapt")
    yield "adapt to another grid", lambda values: (values.update(verb="adapt"), values["arrays"].update(
        drawn={**values["arrays"]["image"], "affine": np.eye(4).tolist()}))
    for change in ({"smooth": inf}, {"point": [nan, 0, 0]}, {"slice": 10 ** 9}, {"head": 99}, {"scale": 9}):
        yield f"explain {change}", lambda values, change=change: (values.update(verb="explain"),
                                                                 values["settings"].update(change))


def _arrays() -> Iterator[tuple[str, Callable[[], object]]]:
    def header(words: str, data: bytes = b"") -> bytes:
        content = words.encode("latin-1")
        return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(content)) + content + data

    contents = {"text": b"no array", "empty": b"", "header alone": b"\x93NUMPY\x01\x00",
                "header cut short": b"\x93NUMPY\x01\x00" + struct.pack("<H", 5000) + b"{",
                "header is no Python": header("{'descr': !!"), "header calls": header("__import__('os').abort()"),
                "header nested": header("(" * 3000), "header of NULs": header("\0" * 100),
                "claims 10^12 voxels": header("{'descr': '<i2', 'fortran_order': False, 'shape': (9999,9999,9999)}\n"),
                "claims a negative shape": header("{'descr': '<i2', 'fortran_order': False, 'shape': (-1,2,2)}\n"),
                "objects": header("{'descr': '|O', 'fortran_order': False, 'shape': (1,)}\n", pickle.dumps([1]))}
    for name, content in contents.items():
        yield name, lambda content=content: text("image.npy", content)
    arrays: dict[str, np.ndarray] = {
        "complex": VOXELS.astype(np.complex64), "words": np.array(["a", "b"]), "two axes": VOXELS[0],
        "four axes": VOXELS[None], "no axes": np.array(7), "no voxels": VOXELS[:0], "dates": VOXELS.astype("M8[s]"),
        "all NaN": np.full(VOXELS.shape, np.nan, np.float32), "records": np.zeros((2, 2, 2), "i2,f4"),
        "fine: booleans or not": VOXELS.astype(np.uint8), "fine: float64": VOXELS.astype(np.float64),
        "fine: big-endian": VOXELS.astype(">i2"), "fine: by columns": np.asfortranarray(VOXELS),
        "fine: one voxel": VOXELS[:1, :1, :1]}
    for name, values in arrays.items():
        yield name, lambda values=values: np.save("image.npy", values)
    yield "missing", lambda: None
    yield "folder", lambda: Path("image.npy").mkdir()
    yield "named pipe", lambda: os.rename("pipe", "image.npy")
    yield "/dev/zero", lambda: os.symlink("/dev/zero", "image.npy")
