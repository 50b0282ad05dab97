"""Scans in every form of storage, made from labels, with the geometry that their files state.

Each function takes the random numbers of a try and its number within its group.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

import numpy as np

from campaigns import dicom, writers
from campaigns.material import blocks, grey_of, random_labels, threshold_model


@dataclass(frozen=True)
class Scan:
    """What is on disk and what must come out.

    Attributes:
        path: the file or folder that is segmented.
        labels: (k, j, i), what must be found.
        affine: voxel index (i, j, k, 1) to RAS mm.
        spacing: the pixel size of the model; where it is that of the scan, every voxel is judged.
        warned: words that a warning must hold.
    """

    path: str
    labels: np.ndarray
    affine: np.ndarray
    spacing: float
    warned: str = ""


def _sizes(random: Random, least: int = 4, most: int = 26) -> tuple[int, int, int]:
    """Three different sizes."""
    a, b, c = random.sample(range(least, most), 3)
    return a, b, c


def _signed_permutations() -> list[np.ndarray]:
    """The 48 ways in which voxel axes may run along R, A, S."""
    found = []
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1.0, -1.0), repeat=3):
            turn = np.zeros((3, 3))
            turn[order, range(3)] = signs
            found.append(turn)
    return found


def _any_turn(random: Random) -> np.ndarray:
    """A rotation by any angles, mirrored half of the time."""
    turn = np.linalg.qr(np.random.default_rng(random.randrange(2 ** 32)).normal(size=(3, 3)))[0]
    return turn


def _affine(turn: np.ndarray, spacing: tuple[float, float, float], random: Random) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = turn * spacing
    affine[:3, 3] = [round(random.uniform(-300, 300), 2) for _ in range(3)]
    return affine


def _even(random: Random) -> tuple[tuple[float, float, float], float]:
    """Spacing with square pixels, slices stacked along any voxel axis; and the size of the pixels."""
    pixel = round(random.uniform(0.4, 3.0), 2)
    spacing = [pixel] * 3
    spacing[random.randrange(3)] = round(pixel * random.uniform(1.2, 5), 2)
    a, b, c = spacing
    return (a, b, c), pixel


def _exact(random: Random, turn: np.ndarray, sizes: tuple[int, int, int] | None = None) -> Scan:
    """Random labels on square pixels of the model's own size: every voxel counts."""
    spacing, pixel = _even(random)
    labels = random_labels(sizes or _sizes(random), random.randrange(2 ** 32))
    return Scan("", labels, _affine(turn, spacing, random), pixel)


def _any_file(scan: Scan, random: Random, kind: str = "int16") -> Scan:
    """The scan as NIfTI, NRRD or MetaImage."""
    voxels = grey_of(scan.labels).astype(kind)
    write, name = random.choice([(writers.write_nifti, "scan.nii.gz"), (writers.write_nifti, "scan.nii"),
                                 (writers.write_nrrd, "scan.nrrd"), (writers.write_meta, "scan.mha")])
    write(Path(name), voxels, scan.affine)
    return replace(scan, path=name)


def permuted(random: Random, number: int) -> Scan:
    return _any_file(_exact(random, _signed_permutations()[number % 48]), random)


def oblique(random: Random, number: int) -> Scan:
    kinds = ("int16", "uint16", "int32", "float32", "float64", "uint32")
    return _any_file(_exact(random, _any_turn(random)), random, kinds[number % len(kinds)])


def anisotropic(random: Random, number: int) -> Scan:
    """Three different spacings, resampled to square pixels between the two smaller ones or beyond them."""
    a, b, c = (round(random.uniform(*ends), 2) for ends in ((0.6, 1.0), (1.1, 2.0), (2.8, 12.0)))
    order = random.sample(range(3), 3)
    x, y, z = (dict(zip(order, (a, b, c), strict=True))[axis] for axis in range(3))
    turn = _any_turn(random) if number % 2 else _signed_permutations()[random.randrange(48)]
    labels = blocks([random.randrange(44, 64) for _ in range(3)], random.randrange(2 ** 32))
    return _any_file(Scan("", labels, _affine(turn, (x, y, z), random), random.choice([a, b, round((a + b) / 2, 2)])),
                     random)


def nifti(random: Random, number: int) -> Scan:
    """sform alone, qform alone, both, one beside the other, big-endian, pairs, scaled values."""
    forms = [writers.Nifti(sform=s, qform=q) for s, q in ((0, 1), (1, 0), (0, 2), (4, 0), (1, 1), (2, 1), (3, 3))]
    how = replace(forms[number % len(forms)], big=random.random() < 0.3, scaled=random.random() < 0.3)
    scan = _exact(random, _any_turn(random))
    voxels, written = grey_of(scan.labels), scan.affine
    if number % 8 == 7:  # the two contradict each other: Slicer takes the qform, which is said
        how = replace(how, sform=2, qform=1, shift=(60.0, 0.0, 0.0))
        scan = replace(scan, warned="contradicts")
    elif number % 8 == 3:  # but an sform of the scanner comes first in Slicer
        how = replace(how, sform=1, qform=1, shift=(60.0, 0.0, 0.0))
        written = scan.affine.copy()
        written[0, 3] -= 60.0
    if how.scaled:
        voxels = ((voxels + 100) // 2).astype(np.int16)
    name = random.choice(["scan.nii", "scan.nii.gz"])
    if number % 5 == 4:
        how, name = replace(how, pair=True), "scan.hdr"
    writers.write_nifti(Path(name), voxels, written, how)
    return replace(scan, path=name)


def nrrd(random: Random, number: int) -> Scan:
    scan = _exact(random, _any_turn(random))
    how = writers.Nrrd(("RAS", "LPS", "LAS")[number % 3], ("gzip", "raw", "ascii", "hex")[number // 3 % 4],
                       big=random.random() < 0.4, detached=random.random() < 0.3)
    name = "scan.nhdr" if how.detached else "scan.nrrd"
    writers.write_nrrd(Path(name), grey_of(scan.labels), scan.affine, how)
    return replace(scan, path=name)


def meta(random: Random, number: int) -> Scan:
    scan = _exact(random, _any_turn(random))
    how = writers.Meta(compressed=number % 2 == 0, big=number // 2 % 2 == 0 and number % 2 == 1,
                       detached=number // 4 % 2 == 0)
    name = "scan.mhd" if how.detached else "scan.mha"
    writers.write_meta(Path(name), grey_of(scan.labels), scan.affine, how)
    return replace(scan, path=name)


def _stack(random: Random, count: int | None = None) -> Scan:
    """A scan whose slices are stacked along its third voxel axis, as DICOM stores them."""
    pixel = round(random.uniform(0.4, 3.0), 2)
    step = round(pixel * random.uniform(1.2, 5), 2)
    sizes = (count or random.randrange(2, 9), random.randrange(5, 24), random.randrange(5, 24))
    labels = random_labels(sizes, random.randrange(2 ** 32))
    return Scan("scan", labels, _affine(_any_turn(random), (pixel, pixel, step), random), pixel)


def classic(random: Random, number: int) -> Scan:
    scan = _stack(random)
    count = len(scan.labels)
    names = [f"{'IM' if number % 2 else ''}{n:03}{'.dcm' if number % 3 else ''}"
             for n in random.sample(range(100), count)]
    series = dicom.Series(modality=("MR", "CT")[number % 2])
    dicom.write_classic(Path("scan"), grey_of(scan.labels), scan.affine, names, series,
                        random.sample(range(1, 50), count))
    return scan


def enhanced(random: Random, number: int) -> Scan:
    scan = _stack(random, random.randrange(3, 9))
    order = list(range(len(scan.labels)))
    if number % 3:
        random.shuffle(order)
    if number % 3 == 2:
        order.sort(reverse=True)
    how = dicom.Enhanced(tuple(order), shared=bool(number % 2))
    Path("scan").mkdir()
    dicom.write_enhanced(Path("scan/object.dcm"), grey_of(scan.labels), scan.affine, how,
                         dicom.Series(modality=("MR", "CT")[number // 2 % 2]))
    return replace(scan, path="scan/object.dcm") if number % 4 < 2 else scan


def odd(random: Random, number: int) -> Scan:
    shapes = [(1, 16, 21), (1, 1, 9), (2, 3, 5), (1, 7, 300), (13, 17, 19), (3, 1, 31), (1, 1, 1), (64, 2, 2),
              (2, 2, 2)]
    sizes = shapes[number % len(shapes)]
    pixel = random.choice([0.02, 0.7, 3.0])
    turn = _any_turn(random) if number % 2 else _signed_permutations()[random.randrange(48)]
    labels = random_labels(sizes, random.randrange(2 ** 32))
    labels.flat[0] = 7  # never the same everywhere but for a single voxel
    return _any_file(Scan("", labels, _affine(turn, (pixel, pixel, 5 * pixel), random), pixel), random)


def sheared(random: Random, number: int) -> str:
    """Axes that meet at 50 to 89.8 degrees."""
    threshold_model(Path("model.safetensors"), 1.0)
    spacing = (1.0, 1.0, round(random.uniform(1.5, 6), 2))
    affine = _affine(_any_turn(random), spacing, random)
    angle = np.radians(random.choice([0.2, 1.0, 5.0, random.uniform(0.2, 40)]))
    a, b = random.sample(range(3), 2)
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    leaning = affine[:3, a] / lengths[a] * np.cos(angle) + affine[:3, b] / lengths[b] * np.sin(angle)
    affine[:3, a] = leaning * lengths[a]
    voxels = grey_of(random_labels(_sizes(random), number))
    kind = number // 2 % 3
    if kind == 0:
        return str(writers.write_nifti(Path("scan.nii.gz"), voxels, affine, writers.Nifti(sform=1, qform=0)))
    return str((writers.write_nrrd, writers.write_meta)[kind - 1](Path(("scan.nrrd", "scan.mha")[kind - 1]), voxels,
                                                                  affine))


def irregular(random: Random, number: int) -> str:
    """DICOM that is no one even stack: a slice or a frame is missing, two phases, a tilted gantry."""
    threshold_model(Path("model.safetensors"), 1.0)
    scan = _stack(random, 7)
    voxels, kind = grey_of(scan.labels), number // 2 % 5
    names = [f"{n}.dcm" for n in range(7)]
    if kind == 0:
        dicom.write_classic(Path("scan"), voxels, scan.affine, names)
        Path("scan", f"{random.randrange(1, 6)}.dcm").unlink()
    elif kind == 1:
        tilted = scan.affine.copy()
        tilted[:3, 2] += tilted[:3, 1] / np.linalg.norm(tilted[:3, 1]) * random.uniform(2, 4)
        dicom.write_classic(Path("scan"), voxels, tilted, names)
    else:
        Path("scan").mkdir()
        # One frame, no more: every second one missing would leave an even stack, which is rightly taken.
        missing = random.randrange(1, 6) if kind != 4 else None
        order = [n for n in range(7) if n != missing]
        random.shuffle(order)
        dicom.write_enhanced(Path("scan/object.dcm"), voxels, scan.affine,
                             dicom.Enhanced(tuple(order), 2 if kind == 4 else 1, shared=kind % 2 == 0))
    return "scan"
