"""Folders of scans with something in them that does not belong there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import numpy as np

from campaigns import writers
from campaigns.apart import call, files_below, kaf
from campaigns.bad import bad, text
from campaigns.bad_headers import AFFINE
from campaigns.material import HERE, Material, blocks
from campaigns.runs import COMMON
from campaigns.verdicts import Try, Verdict, fine, must, refused, sound, unclear

Make = Callable[[], object]


def folder_tries(material: Material) -> Iterator[Try]:
    """For ``data scan``, ``segment FOLDER``, ``finetune``, ``pretrain`` and ``select``."""
    for name, make, culprit in _cases():
        yield Try("folders of scans", f"data scan, {name}", _looked_at(make, culprit))
        yield Try("folders of scans", f"segment, {name}", _segmented(material, make, culprit))
        yield Try("folders of scans", f"finetune, {name}", _trained(make, culprit, "finetune"))
    for name, make, culprit in list(_cases())[::3]:
        yield Try("folders of scans", f"pretrain, {name}", _trained(make, culprit, "pretrain"))
    for name, make, about in _no_folders():
        for verb in (["data", "scan"], ["segment"], ["finetune"], ["select"]):
            more = {"data": [], "segment": ["--model", material.model, "--output", "out", *HERE],
                    "finetune": ["--output", "out", *COMMON],
                    "select": ["--model", material.model, "--output", "out", *HERE]}[verb[0]]
            yield bad("no folders of scans", f"{' '.join(verb)}, {name}", make, [*verb, "cases", *more], [about])


def good_case(name: str, seed: int = 0) -> None:
    """A labelled scan among ``cases``."""
    Path("cases").mkdir(exist_ok=True)
    labels = blocks((4, 32, 32), seed)
    noise = np.random.default_rng(seed).integers(0, 60, labels.shape)
    writers.write_nifti(Path(f"cases/{name}.nii.gz"), (labels * 100 + noise).astype(np.int16), AFFINE)
    writers.write_nifti(Path(f"cases/{name}_gt.nii.gz"), labels, AFFINE)


def _cases() -> Iterator[tuple[str, Make, str]]:
    """(what is wrong, what makes the folder ``cases`` with two sound cases beside it, a name that must be told)."""
    def beside(make: Make) -> Make:
        def both() -> None:
            good_case("a", 1)
            good_case("b", 2)
            make()
        return both

    def labels(change: Callable[[np.ndarray], np.ndarray]) -> Make:
        def make() -> None:
            good_case("odd", 3)
            writers.write_nifti(Path("cases/odd_gt.nii.gz"), change(blocks((4, 32, 32), 3)), AFFINE)
        return beside(make)

    def cut(name: str, keep: int) -> Make:
        def make() -> None:
            good_case("odd", 3)
            os.truncate(f"cases/{name}", keep)
        return beside(make)

    elsewhere = AFFINE.copy()
    elsewhere[:3, 3] += 40
    yield "a scan cut short", cut("odd.nii.gz", 500), "odd"
    yield "an empty scan", cut("odd.nii.gz", 0), "odd"
    yield "labels cut short", cut("odd_gt.nii.gz", 60), "odd"
    yield "labels of fractions", labels(lambda values: values.astype(np.float32) + 0.5), "odd"
    yield "labels up to 700", labels(lambda values: values.astype(np.int16) * 100), "odd"
    yield "negative labels", labels(lambda values: -values.astype(np.int16)), "odd"
    yield "labels of NaN", labels(lambda values: np.full(values.shape, np.nan, np.float32)), "odd"
    yield "labels on another grid", labels(lambda values: values[:, :-3]), "odd"
    yield "labels elsewhere", beside(lambda: (good_case("odd", 3), writers.write_nifti(
        Path("cases/odd_gt.nii.gz"), blocks((4, 32, 32), 3), elsewhere))), "odd"
    yield "a text named as a scan", beside(lambda: text("cases/odd.nii.gz")), "odd"
    yield "a folder named as a scan", beside(lambda: Path("cases/odd.nii.gz").mkdir()), ""
    yield "a named pipe", beside(lambda: os.mkfifo("cases/odd.nii.gz")), "odd"
    yield "a named pipe without a suffix", beside(lambda: os.mkfifo("cases/odd")), ""
    yield "a device", beside(lambda: os.symlink("/dev/zero", "cases/odd.nii.gz")), "odd"
    yield "a link to nothing", beside(lambda: os.symlink("nowhere.nii.gz", "cases/odd.nii.gz")), "odd"
    yield "a link to itself", beside(lambda: os.symlink("odd.nii.gz", "cases/odd.nii.gz")), "odd"
    yield "a folder in a circle", beside(lambda: os.symlink("..", "cases/odd")), ""
    yield "a name that is not UTF-8", beside(lambda: shutil.copy("cases/a.nii.gz", b"cases/odd\xff.nii.gz")), "odd"
    yield "a name with escapes", beside(lambda: shutil.copy("cases/a.nii.gz", "cases/odd\x1b[31m.nii.gz")), "odd"
    yield "a name with a line break", beside(lambda: shutil.copy("cases/a.nii.gz", "cases/odd\nb.nii.gz")), "odd"
    yield "a name that is a formula", beside(lambda: shutil.copy("cases/a.nii.gz", "cases/=odd(1).nii.gz")), ""
    yield "a very long name", beside(lambda: shutil.copy("cases/a.nii.gz", f"cases/{'odd' * 70}.nii.gz")), ""
    yield "folders nested 100 deep", beside(lambda: Path("cases", *["d"] * 100).mkdir(parents=True)), ""
    yield "a sheared scan", beside(_sheared_case), "odd"
    yield "frames", beside(lambda: writers.write_nifti(
        Path("cases/odd.nii.gz"), np.zeros((2, 4, 8, 8), np.int16), AFFINE)), "odd"
    yield "a scan of NaN", beside(lambda: writers.write_nifti(
        Path("cases/odd.nii.gz"), np.full((4, 8, 8), np.nan, np.float32), AFFINE)), "odd"
    yield "a scan that claims 1000 cubed", beside(_boaster), "odd"


def _sheared_case() -> None:
    sheared = AFFINE.copy()
    sheared[0, 1] = 1.5
    writers.write_nifti(Path("cases/odd.nii.gz"), blocks((4, 32, 32), 1), sheared, writers.Nifti(qform=0))


def _boaster() -> None:
    import struct

    path = writers.write_nifti(Path("cases/odd.nii"), blocks((4, 32, 32), 1), AFFINE)
    content = bytearray(path.read_bytes())
    struct.pack_into("<3h", content, 42, 1000, 1000, 1000)
    path.write_bytes(content)


def _looked_at(make: Make, culprit: str) -> Callable[[Path, Random], Verdict]:
    """``data scan`` tells what it finds, the thing that is wrong too where it looks at it."""
    def play(here: Path, random: Random) -> Verdict:
        call(run, make)
        done = kaf("data", "scan", "cases")
        sound(done)
        if done.code:
            return refused(done, [culprit or "cases"])
        no_escapes(done.out + done.err)
        return fine()
    return play


def _segmented(material: Material, make: Make, culprit: str) -> Callable[[Path, Random], Verdict]:
    """``segment FOLDER`` does the sound scans whatever lies beside them, and names what it leaves out."""
    def play(here: Path, random: Random) -> Verdict:
        call(run, make)
        before = files_below(here / "cases")
        done = kaf("segment", "cases", "--model", material.model, "--output", "out", *HERE)
        sound(done)
        must(files_below(here / "cases") == before, "the scans were changed")
        no_escapes(done.out + done.err)
        made = set(files_below(here / "out")) if (here / "out").is_dir() else set()
        must({"a.seg.nrrd", "b.seg.nrrd"} <= made or done.code, f"the sound scans were not segmented: {sorted(made)}")
        if done.code and not made:
            return refused(done, [culprit or "cases"])
        must({"a.seg.nrrd", "b.seg.nrrd"} <= made, f"the sound scans were not segmented: {sorted(made)}")
        must(not [name for name in made if name.startswith(".") and "kaf-work" not in name], f"left behind: {made}")
        if done.code and culprit not in done.err:
            raise unclear(f"{culprit} is not named: {done.err[-500:]}")
        return fine()
    return play


def _trained(make: Make, culprit: str, verb: str) -> Callable[[Path, Random], Verdict]:
    """Training refuses the folder and names the culprit, or trains without it and says so."""
    def play(here: Path, random: Random) -> Verdict:
        call(run, make)
        before = files_below(here / "cases")
        more = ["--method", "mae"] if verb == "pretrain" else []
        done = kaf(verb, "cases", "--output", "out", *more, *COMMON)
        sound(done)
        must(files_below(here / "cases") == before, "the scans were changed")
        if done.code:
            must(not (here / "out").exists(), f"left behind: {sorted(files_below(here / 'out'))[:5]} {done.err[-300:]}")
            return refused(done, [culprit or "cases"])
        no_escapes(done.out + done.err)
        return fine()
    return play


def no_escapes(said: str) -> None:
    if any(ord(letter) < 32 and letter not in "\n\t" for letter in said):
        raise unclear(f"control characters on the terminal: {said[-300:]!r}")


def run(make: Make) -> None:
    make()


def _no_folders() -> Iterator[tuple[str, Make, str]]:
    def only_labels() -> None:
        good_case("a")
        Path("cases/a.nii.gz").unlink()

    yield "missing", lambda: None, "cases"
    yield "a file", lambda: text("cases"), "cases"
    yield "empty", lambda: Path("cases").mkdir(), "cases"
    yield "only text", lambda: text("cases/readme.txt"), "cases"
    yield "a link to itself", lambda: os.symlink("cases", "cases"), "cases"
    yield "a named pipe", lambda: os.mkfifo("cases"), "cases"
    yield "/dev/null", lambda: os.symlink("/dev/null", "cases"), "cases"
