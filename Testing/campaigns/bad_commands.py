"""Command lines and files of settings that nobody can mean, or that only look so."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

from campaigns.apart import kaf
from campaigns.bad import ACCEPT, EITHER, REFUSE, bad, nothing, text
from campaigns.material import HERE, NETWORK, Material
from campaigns.odd_values import value_tries
from campaigns.verdicts import Try, Verdict, fine, must, sound

_ONE_STEP = ("--steps", "1", "--batch", "2", "--patch", "32", *HERE)
QUICK = (*_ONE_STEP, "--cache", "cache", *NETWORK)


def command_tries(material: Material) -> Iterator[Try]:
    """Of every command."""
    yield from _usage()
    yield from value_tries(material)
    yield from _outputs(material)
    yield from _settings_files(material)


_USAGE = """
sgement | --nothing | submit
segment | segment --model | segment --nothing a | segment a b c --model x | segment a --model x --settings
segment a --model x --settings nowhere.json | explain a | adapt a b | demo --model nothing | demo --input nowhere
models | models nothing | models show | data | data scan | data nothing | data scan nowhere
data example cases --cases 0 | data example cases --cases 1e9 | devices --nothing
finetune | pretrain | compare | submit segment | submit pretrain | jobs | jobs nowhere | evaluate | evaluate a
select | select nowhere --model x
worker --verbs os:nope | worker --verbs nothing:TABLE | worker --verbs x | worker --verbs : | worker --verbs os:path
worker --nothing
"""


def _usage() -> Iterator[Try]:
    yield _help("nothing", [])
    for line in _USAGE.strip().splitlines():
        for words in line.split(" | "):
            arguments = words.split()
            if arguments in (["sgement"], ["--nothing"], ["submit"]):
                yield _help(words, arguments)
            else:
                yield bad("usage", words, nothing, arguments, ["kaf", arguments[0], arguments[-1]])


def _help(shown: str, arguments: list[str]) -> Try:
    """These are answered with the list of commands, or the nearest one."""
    def play(here: Path, random: Random) -> Verdict:
        done = kaf(*arguments)
        sound(done)
        must(done.code == 2 or "--help" in done.out, f"exit code {done.code}")
        must("usage:" in done.out or "did you mean" in done.err or "commands:" in done.err,
             f"does not help: {done.out}{done.err}")
        return fine()

    return Try("usage", shown, play)


def _outputs(material: Material) -> Iterator[Try]:
    """Results that cannot be written, or not there."""
    segment = ["segment", material.scan, "--model", material.model, *HERE]
    for output in (".", "..", "/", "nowhere/out.nrrd", "/proc/out.nrrd", "/dev/full", "/dev/null", "out.exe", "out.seg",
                   "x" * 300 + ".nrrd", "out.nrrd/out.nrrd", ""):
        yield bad("outputs", f"segment {output[:40]!r}", nothing, [*segment, f"--output={output}"],
                  ["out", output[:40] or "output", "a file", "this folder"], REFUSE if output else EITHER,
                  ("scan-seg",))
    compared = ["--methods", "scratch", "--few-shot", "1", "--folds", "3", "--draws", "1", '--finetune={"steps": 1}']
    for verb, given in (("finetune", [material.hearts, *QUICK]), ("pretrain", [material.scans, *QUICK]),
                        ("compare", [material.hearts, *compared, *HERE]),
                        ("evaluate", [material.drawn, material.drawn]),
                        ("select", [material.scans, "--model", material.model, "--cache", "cache", *HERE])):
        for output in (".", "mine.txt", "mine.txt/out", "/proc/out", "out", "x" * 300):
            # A folder that is in use may be added to by those that say so.
            expect = EITHER if verb in ("compare", "evaluate", "select") and output in (".", "out") else REFUSE
            yield bad("outputs", f"{verb} into {output[:40]!r}", _somebodys_folder,
                      [verb, *given, f"--output={output}"], [output[:40], "this folder"], expect, _OF_A_RUN)
        if verb in ("finetune", "pretrain"):
            yield from _again(verb, given)
    for arguments in (["models", "export", "cardiac-mr-sax", "/proc/x"], ["models", "export", "cardiac-mr-sax", "out"],
                      ["data", "example", "/proc/x"], ["data", "example", "out"],
                      ["explain", material.scan, "--model", material.model, "--output", "out.seg.nrrd"],
                      ["explain", material.scan, "--model", material.model, "--markups", "nowhere/a"],
                      ["adapt", material.scan, material.drawn, "--model", material.model, "--save-model",
                       "nowhere/a.safetensors"]):
        expect = EITHER if arguments[-1] == "out" and arguments[0] == "models" else REFUSE
        shown = " ".join(str(word) for word in arguments if not isinstance(word, Path))
        yield bad("outputs", shown, _somebodys_folder, arguments, ["out", "nowhere", "/proc/x"], expect, ("out",))


_OF_A_RUN = ("out", "cache", "scratch", "comparison", "folds", "evaluation", "report", "cases", "selection", "pictures",
             "labels", "results")


def _again(verb: str, given: list[object]) -> Iterator[Try]:
    for flag in ("--resume", "--overwrite"):
        yield bad("outputs", f"{verb} {flag} into somebody's folder", _somebodys_folder,
                  [verb, *given, "--output", "out", flag], ["out"])
        yield bad("outputs", f"{verb} {flag} into a new folder", nothing,
                  [verb, *given, "--output", "new", flag], ["new"], REFUSE if flag == "--resume" else ACCEPT,
                  ("new", "cache"))


def _somebodys_folder() -> None:
    text("mine.txt", "mine")
    text("out/mine.txt", "mine")


def _settings_files(material: Material) -> Iterator[Try]:
    """JSON under ``--settings``."""
    deep = "[" * 10_000 + "]" * 10_000
    contents: dict[str, str | bytes] = {
        "empty": "", "text": "no JSON", "list": "[]", "number": "7", "null": "null", "nested": deep,
        "nested in a setting": '{"batch": ' + deep + "}", "objects": '{"a":' * 10_000 + "1" + "}" * 10_000,
        "not UTF-8": b'{"model": "\xff\xfe"}', "NaN": '{"batch": NaN}',
        "infinite": '{"batch": Infinity}', "digits": '{"batch": ' + "9" * 10_000 + "}", "exponent": '{"batch": 1e999}',
        "cut short": '{"batch": 2', "comment": '{"batch": 2} // two', "trailing comma": '{"batch": 2,}',
        "unknown": '{"bach": 2}', "wrong type": '{"batch": "many"}', "null value": '{"batch": null}',
        "list value": '{"batch": [1]}', "object value": '{"batch": {"a": 1}}', "float": '{"batch": 1.5}',
        "negative": '{"batch": -3}', "NUL in a path": json.dumps({"model": "a\0b"}), "NUL in the output":
        json.dumps({"output": "a\0b.nrrd"}), "surrogate": '{"model": "\\ud800"}', "escape": '{"model": "\\u001b[31m"}',
        "settings in settings": '{"settings": "other.json"}', "binary": bytes(range(256)),
        "huge": '{"model": "' + "x" * 2_000_000 + '"}', "path to a folder": '{"model": "/"}',
        "output is this folder": '{"output": "."}'}
    for name, content in contents.items():
        yield bad("files of settings", f"segment, {name}", lambda content=content: text("s.json", content),
                  ["segment", material.scan, *([] if b"model" in _bytes(content) else ["--model", material.model]),
                   *([] if b"output" in _bytes(content) else ["--output", "out.nrrd"]), *HERE, "--settings", "s.json"],
                  ["s.json", "batch", "model", "a\\x00b", "output", "settings", "x" * 50, "/", "."])
    for name, content in (("byte order mark", b"\xef\xbb\xbf" + b'{"batch": 2}'),
                          ("UTF-16", '{"batch": 2}'.encode("utf-16"))):
        yield bad("files of settings", f"segment, {name}", lambda content=content: text("s.json", content), [
            "segment", material.scan, "--model", material.model, "--output", "out.nrrd", *HERE, "--settings", "s.json"],
            ["s.json"], EITHER, ("out",))
    nested: list[dict[str, Any]] = [
        {"network": 7}, {"network": {"nothing": 1}}, {"network": []}, {"augmentation": {"rotation": 999}},
        {"labels": {"x": "y"}}, {"labels": [1]}, {"labels": {"1": 7}}, {"normalisation": {"low": "x"}},
        {"keypoints": {"limit": -1}}, {"cases": "p1"}, {"cases": [1]}, {"resume": True, "overwrite": True},
        {"network": {"patch": [1, 2]}}, {"network": {"dimensions": 3, "strides": [[9, 9, 9]]}},
        {"data": "elsewhere"}, {"terminology": {"1": 7}}, {"name": ""}, {"name": "a\0b"}, {"cache": "a\0b"},
        {"output": "a\0b"}, {"init_from": "a\0b"}, {"unlabelled": "a\0b"}]
    for values in nested:
        output = [] if "output" in values else ["--output", "out"]
        quick = [*_ONE_STEP, *([] if "network" in values else NETWORK),
                 *([] if "cache" in values else ["--cache", "cache"])]
        key = next(iter(values))
        tolerated = values in ({"data": "elsewhere"}, {"cases": "p1"}, {"name": "a\0b"})
        yield bad("files of settings", f"finetune, {json.dumps(values)}", lambda values=values: text(
            "s.json", json.dumps(values)), ["finetune", material.hearts, *output, *quick, "--settings", "s.json"],
            [key, "a\\x00b", "case"], EITHER if tolerated else REFUSE, ("out", "cache"))
    for what in ("missing", "folder", "pipe", "/dev/zero"):
        def arrange(what: str = what) -> None:
            import os

            if what == "folder":
                Path("s.json").mkdir()
            elif what == "pipe":
                os.mkfifo("s.json")
            elif what != "missing":
                os.symlink(what, "s.json")
        yield bad("files of settings", what, arrange,
                  ["segment", material.scan, "--model", material.model, "--settings", "s.json"], ["s.json"])


def _bytes(content: str | bytes) -> bytes:
    return content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
