"""Folders of segmentations, libraries and caches with something in them that does not belong there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random

import numpy as np

from campaigns import writers
from campaigns.apart import call, files_below, kaf
from campaigns.bad import ACCEPT, EITHER, REFUSE, bad, contains, text
from campaigns.bad_folders import no_escapes, run
from campaigns.bad_headers import AFFINE
from campaigns.material import HERE, Material, blocks
from campaigns.runs import COMMON
from campaigns.verdicts import Try, Verdict, fine, must, refused, sound

Make = Callable[[], object]


def place_tries(material: Material) -> Iterator[Try]:
    """All of them."""
    for name, make, about, expect in _evaluations():
        yield bad("folders that are evaluated", name, make, ["evaluate", "found", "right", "--output", "out"], about,
                  expect, ("out",), contains(*about))
    yield from _libraries(material)
    yield from _caches(material)


def _evaluations() -> Iterator[tuple[str, Make, Sequence[str], str]]:
    """Predictions in ``found``, references in ``right``."""
    def pair(change: Make) -> Make:
        def make() -> None:
            for folder, suffix in (("found", ""), ("right", "_gt")):
                Path(folder).mkdir()
                for name, seed in (("a", 1), ("odd", 2)):
                    writers.write_nifti(Path(folder, f"{name}{suffix}.nii.gz"), blocks((4, 24, 24), seed), AFFINE)
            change()
        return make

    def other(values: np.ndarray, affine: np.ndarray = AFFINE) -> Make:
        return pair(lambda: writers.write_nifti(Path("found/odd.nii.gz"), values, affine))

    labels = blocks((4, 24, 24), 2)
    moved = AFFINE.copy()
    moved[:3, 3] += 100
    yield "as it should be", pair(lambda: None), (), ACCEPT
    yield "a prediction cut short", pair(lambda: os.truncate("found/odd.nii.gz", 60)), ["odd"], EITHER
    yield "a reference cut short", pair(lambda: os.truncate("right/odd_gt.nii.gz", 60)), ["odd"], EITHER
    yield "a prediction missing", pair(lambda: os.remove("found/odd.nii.gz")), ["odd"], EITHER
    yield "a reference missing", pair(lambda: os.remove("right/odd_gt.nii.gz")), ["odd"], EITHER
    yield "no pair at all", pair(lambda: (os.remove("found/odd.nii.gz"), os.remove("right/a_gt.nii.gz"))), [
        "found", "right"], REFUSE
    yield "another grid", other(labels[:, :-2]), ["odd"], EITHER
    yield "elsewhere", other(labels, moved), ["odd"], EITHER
    yield "fractions", other(labels + np.float32(0.5)), ["odd"], EITHER
    yield "values up to 700", other(labels.astype(np.int16) * 100), ["odd"], EITHER
    yield "nothing found", other(labels * 0), (), ACCEPT
    yield "other labels", other((labels > 0).astype(np.uint8) * 200), (), ACCEPT
    yield "a named pipe", pair(lambda: (os.remove("found/odd.nii.gz"), os.mkfifo("found/odd.nii.gz"))), ["odd"], EITHER
    yield "a device", pair(lambda: (os.remove("found/odd.nii.gz"), os.symlink("/dev/zero", "found/odd.nii.gz"))), [
        "odd"], EITHER
    yield "a text", pair(lambda: text("found/odd.nii.gz")), ["odd"], EITHER
    yield "the same case twice", pair(lambda: shutil.copy("found/a.nii.gz", "found/odd_seg.nii.gz")), (), EITHER
    yield "a name that is not UTF-8", pair(lambda: [shutil.copy("found/a.nii.gz", os.path.join(folder, b"x\xff.nii.gz"))
                                                    for folder in (b"found", b"right")]), ["x"], EITHER
    yield "a name with escapes", pair(lambda: [shutil.copy("found/a.nii.gz", f"{folder}/x\x1b[31m.nii.gz")
                                               for folder in ("found", "right")]), (), EITHER
    yield "a name that is a formula", pair(lambda: [shutil.copy("found/a.nii.gz", f"{folder}/=1+1.nii.gz")
                                                    for folder in ("found", "right")]), (), ACCEPT
    yield "empty folders", lambda: (Path("found").mkdir(), Path("right").mkdir()), ["found"], REFUSE
    yield "missing folders", lambda: None, ["found"], REFUSE
    yield "files for folders", lambda: (text("found"), text("right")), ["found"], REFUSE


def _libraries(material: Material) -> Iterator[Try]:
    """What lies in the user's library must not keep the other models from being listed."""
    from kaf.modelfile.library import user_folder

    def library() -> Path:
        folder = user_folder()
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    makes: dict[str, Make] = {
        "a text": lambda: text(str(library() / "odd.safetensors")),
        "empty": lambda: text(str(library() / "odd.safetensors"), b""),
        "cut short": lambda: text(str(library() / "odd.safetensors"), material.model.read_bytes()[:900]),
        "a folder": lambda: (library() / "odd.safetensors").mkdir(),
        "a named pipe": lambda: os.mkfifo(library() / "odd.safetensors"),
        "a device": lambda: os.symlink("/dev/zero", library() / "odd.safetensors"),
        "a link to itself": lambda: os.symlink("odd.safetensors", library() / "odd.safetensors"),
        "nested header": lambda: text(str(library() / "odd.safetensors"), (20_000).to_bytes(8, "little")
                                      + b"[" * 10_000 + b"]" * 10_000),
        "not UTF-8": lambda: shutil.copy(material.model, os.fsencode(library()) + b"/odd\xff.safetensors"),
        "escapes": lambda: shutil.copy(material.model, library() / "odd\x1b[31m.safetensors"),
        "a half file of a killed copy": lambda: text(str(library() / ".12ab34cd-odd.safetensors"),
                                                     material.model.read_bytes()[:5000]),
        "the library is a file": lambda: (library().rmdir(), text(str(user_folder())))}
    for name, make in makes.items():
        def listed(here: Path, random: Random, make: Make = make) -> Verdict:
            call(run, make)
            done = kaf("models", "list")
            sound(done)
            no_escapes(done.out + done.err)
            if done.code:
                return refused(done, ["models"])
            must("cardiac-mr-sax" in done.out, f"the other models are not listed: {done.out}")
            must(".12ab34cd" not in done.out, f"a half file is listed: {done.out}")
            return fine()
        yield Try("libraries", f"list, {name}", listed)
        yield bad("libraries", f"segment, {name}", make, ["segment", material.scan, "--model", "odd", "--output",
                                                          "out.nrrd", *HERE], ["odd", "models"])


def _caches(material: Material) -> Iterator[Try]:
    """A cache folder with strange things in it is cleaned up around them, never through them."""
    finetune = ["finetune", material.hearts, "--output", "out", *COMMON]
    place = "cache/mine.txt"
    makes: dict[str, tuple[Make, str]] = {
        "a file": (lambda: text("cache"), REFUSE),
        "somebody's files": (lambda: text(place, "mine"), EITHER),
        "somebody's folders": (lambda: text("cache/mine/scan.txt", "mine"), EITHER),
        "a named pipe": (lambda: (Path("cache").mkdir(), os.mkfifo("cache/pipe")), EITHER),
        "a link to my folder": (lambda: (text("mine/scan.txt", "mine"), Path("cache").mkdir(),
                                         os.symlink("../mine", "cache/entry")), EITHER),
        "this folder": (lambda: None, EITHER)}
    for name, (make, expect) in makes.items():
        def play(here: Path, random: Random, make: Make = make, expect: str = expect, name: str = name) -> Verdict:
            call(run, make)
            before = files_below(here)
            arguments = [word if word != "cache" or name != "this folder" else "." for word in finetune]
            done = kaf(*arguments, "--cache-limit", "1e-9")
            sound(done)
            after = files_below(here)
            lost = [key for key, content in before.items() if after.get(key) != content]
            must(not lost, f"changed or removed: {lost}")
            if done.code:
                return refused(done, ["cache"])
            must(expect != REFUSE, f"accepted: {done.out}")
            return fine()
        yield Try("caches", name, play)
