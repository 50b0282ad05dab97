"""One flipped bit, anywhere in a file: it is noticed, or the result is what it would have been.

What no checksum covers (the header of an NRRD or a MetaImage, and all of an uncompressed scan) cannot be noticed by
anybody; there the result must be that of the file as it now is, on the grid that ITK, and so Slicer, reads from it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import numpy as np

from campaigns import dicom, writers
from campaigns.apart import call, files_below, kaf
from campaigns.material import HERE, LEVELS, Material, grey_of, random_labels, threshold_model
from campaigns.runs import finetune, leave_in_the_middle, weights_of
from campaigns.verdicts import Once, Try, Verdict, fine, must, refused, sound, succeeded, wrong

AFFINE = np.diag([-1.5, -1.5, 4.0, 1.0])
AFFINE[:3, 3] = 20.5, -31.0, 7.25


def flip_tries(material: Material) -> Iterator[Try]:
    """All of them; what they start from is made when the first is listed."""
    yield from Flips(material).tries()


class Flips:
    """The tries and the files that they damage."""

    def __init__(self, material: Material):
        self._material = material
        self._folder = material.folder / "flips"
        self._labels = Once(lambda: call(_make_scans, self._folder))
        self._digest = Once(lambda: leave_in_the_middle(material, self._folder / "training"))
        self._right = Once(self._segmented)

    def tries(self) -> Iterator[Try]:
        for name in _PACKED:
            for number in range(26):
                yield Try("compressed scans", f"{name} {number}", self._scan(name), self._labels)
        for name in _PLAIN:
            for number in range(18):
                yield Try("scans without compression", f"{name} {number}", self._scan(name), self._labels)
        for number in range(24):
            yield Try("classic DICOM", f"{number}", self._dicom(), self._labels)
        for number in range(90):
            yield Try("model files", f"{number}", self._model(number))
        for group, what, count in (("checkpoints", "checkpoints", 50), ("cache entries", "cache", 60),
                                   ("JSON of a run folder", "words", 70)):
            for number in range(count):
                yield Try(group, f"{number}", self._run(what), self._digest)
        for number in range(40):
            yield Try("folders of segmentations", f"{number}", self._again(), self._right)
        for number in range(30):
            yield Try("segmentations that are evaluated", f"{number}", self._evaluate())

    def _scan(self, name: str) -> Callable[[Path, Random], Verdict]:
        def play(here: Path, random: Random) -> Verdict:
            for path in self._folder.glob(f"{name.partition('.')[0]}.*"):
                shutil.copy(path, here)
            files = sorted(here.iterdir())
            damaged = random.choice(files)
            where = flip(damaged, random)
            done = kaf("segment", name, "--model", self._folder / "threshold.safetensors", "--output", "found.nrrd",
                       *HERE)
            sound(done)
            if done.code:
                return refused(done, [name.partition(".")[0]])
            unharmed = name.startswith("packed") and where >= _content_at(damaged)
            return call(_as_itk_reads, name, self._labels() if unharmed else None)
        return play

    def _dicom(self) -> Callable[[Path, Random], Verdict]:
        def play(here: Path, random: Random) -> Verdict:
            shutil.copytree(self._folder / "series", here / "series")
            flip(random.choice(sorted((here / "series").iterdir())), random)
            done = kaf("segment", "series", "--model", self._folder / "threshold.safetensors", "--output",
                       "found.nrrd", *HERE)
            sound(done)
            return refused(done, ["series"]) if done.code else fine()
        return play

    def _model(self, number: int) -> Callable[[Path, Random], Verdict]:
        material = self._material

        def play(here: Path, random: Random) -> Verdict:
            shutil.copy(material.model, here / "m.safetensors")
            flip(here / "m.safetensors", random, header=number % 3 == 0)
            if number % 4 == 0:
                done = kaf("models", "add", "m.safetensors")
                listed = kaf("models", "list")
                succeeded(listed)
                must(("tiny" in listed.out) == (done.code == 0), f"added and not listed, or the reverse: {listed.out}")
            else:
                done = kaf("segment", material.scan, "--model", "m.safetensors", "--output", "a.nrrd", *HERE)
            sound(done)
            if done.code:
                return refused(done, ["m.safetensors"])
            return call(_same_model, Path("m.safetensors"), material.model)
        return play

    def _run(self, what: str) -> Callable[[Path, Random], Verdict]:
        def play(here: Path, random: Random) -> Verdict:
            shutil.copytree(self._folder / "training", here, dirs_exist_ok=True)
            pattern = {"checkpoints": "run/checkpoints/*", "cache": "cache/**/*", "words": "run/*.json*"}[what]
            damaged = random.choice(sorted(path for path in here.glob(pattern) if path.is_file()))
            flip(damaged, random)
            listed = kaf("jobs", ".")
            succeeded(listed)
            must("run" in listed.out, f"a run that is not listed any more: {listed.out}")
            done = finetune(self._material, "run", "--resume")
            sound(done)
            if done.code:
                return refused(done, [damaged.name, "run"])
            must(weights_of(Path("run")) == self._digest(), f"other weights after a bit of {damaged} was flipped: "
                 f"{done.err[-600:]}")
            return fine()
        return play

    def _segmented(self) -> dict[str, bytes]:
        """A folder of segmented scans; the labels in it."""
        folder = self._folder / "segmented"
        succeeded(kaf("segment", self._material.scans, "--model", self._material.model, "--output", folder, *HERE))
        return {name: content for name, content in files_below(folder).items() if name.endswith(".nrrd")}

    def _again(self) -> Callable[[Path, Random], Verdict]:
        """Reports and labels in a folder of segmented scans, which is segmented again."""
        def play(here: Path, random: Random) -> Verdict:
            shutil.copytree(self._folder / "segmented", here / "out")
            damaged = random.choice(sorted((here / "out").iterdir()))
            flip(damaged, random)
            done = kaf("segment", self._material.scans, "--model", self._material.model, "--output", "out", *HERE)
            sound(done)
            if done.code:
                return refused(done, [damaged.name.partition(".")[0].removesuffix("-seg")])
            return call(_same_labels, here / "out", self._right())
        return play

    def _evaluate(self) -> Callable[[Path, Random], Verdict]:
        drawn = self._material.drawn

        def play(here: Path, random: Random) -> Verdict:
            shutil.copy(drawn, here / "p.seg.nrrd")
            where = flip(here / "p.seg.nrrd", random)
            done = kaf("evaluate", "p.seg.nrrd", drawn, "--output", "out")
            sound(done)
            if done.code:
                return refused(done, ["p.seg.nrrd"])
            if where >= _content_at(drawn):
                must("mean Dice 1.000" in done.out, f"other scores: {done.out}")
            return fine()
        return play


def flip(path: Path, random: Random, header: bool = False) -> int:
    """Flip one bit of a file; where it was.  ``header``: within the first 4 kB."""
    content = bytearray(path.read_bytes())
    where = random.randrange(min(len(content), 4096) if header else len(content))
    content[where] ^= 1 << random.randrange(8)
    stamp = path.stat()
    path.write_bytes(content)
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))  # as a disk does it: nobody has written
    return where


def _content_at(path: Path) -> int:
    """Where the packed voxels of a file begin."""
    content = path.read_bytes()
    if path.name.endswith((".nrrd", ".nhdr")):
        place = content.find(b"\n\n")
        return place + 2 if place >= 0 else len(content)
    if path.suffix == ".mha":
        mark = b"ElementDataFile = LOCAL\n"
        place = content.find(mark)
        return place + len(mark) if place >= 0 else len(content)
    return len(content) if path.suffix == ".mhd" else 0


_PACKED = ("packed1.nii.gz", "packed2.nrrd", "packed3.mha", "packed4.nhdr", "packed5.mhd")
_PLAIN = ("plain1.nii", "plain2.nrrd", "plain3.mha", "plain4.hdr")


def _make_scans(folder: Path) -> np.ndarray:
    """Files of the same voxels, packed and plain; the labels that belong to them."""
    folder.mkdir(exist_ok=True)
    labels = random_labels((6, 18, 23), 5)
    voxels = grey_of(labels)
    writers.write_nifti(folder / "packed1.nii.gz", voxels, AFFINE)
    writers.write_nrrd(folder / "packed2.nrrd", voxels, AFFINE)
    writers.write_meta(folder / "packed3.mha", voxels, AFFINE)
    writers.write_nrrd(folder / "packed4.nhdr", voxels, AFFINE, writers.Nrrd(detached=True))
    writers.write_meta(folder / "packed5.mhd", voxels, AFFINE, writers.Meta(detached=True))
    writers.write_nifti(folder / "plain1.nii", voxels, AFFINE)
    writers.write_nrrd(folder / "plain2.nrrd", voxels, AFFINE, writers.Nrrd(encoding="raw"))
    writers.write_meta(folder / "plain3.mha", voxels, AFFINE, writers.Meta(compressed=False))
    writers.write_nifti(folder / "plain4.hdr", voxels, AFFINE, writers.Nifti(pair=True))
    dicom.write_classic(folder / "series", voxels, AFFINE, [f"{n}.dcm" for n in range(6)])
    threshold_model(folder / "threshold.safetensors", 1.5)
    return labels


def _as_itk_reads(name: str, labels: np.ndarray | None) -> Verdict:
    """The result lies on the grid that ITK reads from the damaged file, and where no pixel was resampled it has the
    labels of its voxels; ``labels``: what it must have in any case."""
    import SimpleITK

    SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)
    found = SimpleITK.ReadImage("found.nrrd")
    try:
        given = SimpleITK.ReadImage(name)
    except RuntimeError as error:
        must(False, f"accepted a file that ITK cannot read: {error}")
    values = SimpleITK.GetArrayFromImage(given)
    if given.GetDimension() == 2:
        given = SimpleITK.JoinSeries(given)
    made = SimpleITK.GetArrayFromImage(found)
    if labels is not None:
        must(np.array_equal(made, labels), "a flipped bit in the packed voxels was not noticed")
        return fine()
    must(made.size == values.size, f"{made.shape} voxels for {values.shape}")
    for theirs, mine in ((given.GetSpacing(), found.GetSpacing()), (given.GetOrigin(), found.GetOrigin())):
        must(np.allclose(theirs, mine, rtol=1e-3, atol=1e-3), f"the result lies elsewhere: {mine} for {theirs}")
    if np.allclose(sorted(given.GetSpacing()), sorted(np.abs(np.diag(AFFINE)[:3])), rtol=1e-3):
        _of_these_voxels(made.ravel(), values.astype(np.float64).ravel())
    return fine()


def _of_these_voxels(labels: np.ndarray, values: np.ndarray) -> None:
    """Nothing is said of values near a threshold, or that are no numbers."""
    greys = np.array(list(LEVELS.values()))
    nearest = np.abs(values[:, None] - greys).argmin(1)
    sure = np.isfinite(values) & (np.abs(values - greys[nearest]) < 120)
    wrong = np.count_nonzero(labels[sure] != np.array(list(LEVELS))[nearest][sure])
    must(not wrong, f"{wrong} voxels have a label that is not that of their own value")


def _same_model(path: Path, sound_one: Path) -> Verdict:
    """A bit that changes nothing (a blank between header and weights) may pass."""
    from kaf.modelfile.model import load_tensors

    (card, tensors), (right, others) = load_tensors(path), load_tensors(sound_one)
    must(card == right, "another card was accepted")
    must(tensors.keys() == others.keys() and all(bool((tensors[name] == others[name]).all()) for name in tensors),
         "other weights were accepted")
    return fine()


def _same_labels(folder: Path, right: dict[str, bytes]) -> Verdict:
    """Every file of labels holds what it held, and every report says what it said."""
    import json

    import SimpleITK

    for name, content in right.items():
        expected = folder.parent / "expected.seg.nrrd"
        expected.write_bytes(content)
        try:
            a, b = (SimpleITK.ReadImage(str(path)) for path in (folder / name, expected))
        except RuntimeError:
            raise wrong(f"{name} counts as done and cannot be read") from None
        must(np.array_equal(SimpleITK.GetArrayFromImage(a), SimpleITK.GetArrayFromImage(b)), f"{name} has other labels")
        must(np.allclose(a.GetOrigin(), b.GetOrigin()) and np.allclose(a.GetSpacing(), b.GetSpacing()),
             f"{name} lies elsewhere")
        json.loads((folder / name.replace(".seg.nrrd", "-seg.json")).read_text())
    return fine()

