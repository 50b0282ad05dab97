"""Scans stored in every way: labels must land on exactly the voxels they belong to, and shear must be refused.

The model of a try gives every pixel the label of its own grey value, and the scan was made from labels.  So it is
known for every voxel what must come out where, without a second program that computes it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from campaigns import stored_scans, writers
from campaigns.apart import call, kaf
from campaigns.material import HERE, threshold_model
from campaigns.stored_scans import Scan
from campaigns.verdicts import Try, Verdict, fine, must, refused, succeeded

OUTPUTS = (".seg.nrrd", ".nii.gz", ".nrrd", ".mha", ".nii")
_NEAR = 0.02  # share of a voxel by which a position may be off
_ENOUGH = 12  # voxels that a try which resamples must be able to judge


def geometry_tries() -> Iterator[Try]:
    """All of them; the numbers of a try come with its name."""
    for group, make, count in (
            ("axes permuted and flipped", stored_scans.permuted, 48), ("oblique", stored_scans.oblique, 45),
            ("anisotropic", stored_scans.anisotropic, 40), ("NIfTI forms", stored_scans.nifti, 40),
            ("NRRD spaces and encodings", stored_scans.nrrd, 36), ("MetaImage", stored_scans.meta, 20),
            ("classic DICOM, files in any order", stored_scans.classic, 36),
            ("enhanced DICOM, frames in any order", stored_scans.enhanced, 30),
            ("single slices and odd sizes", stored_scans.odd, 36)):
        for number in range(count):
            yield Try(group, f"{number}", _placed(make, number))
    for number in range(30):
        yield Try("sheared or no regular stack (refused)", f"{number}", _refused(number))


def _placed(make: Callable[[Random, int], Scan], number: int) -> Callable[[Path, Random], Verdict]:
    def play(here: Path, random: Random) -> Verdict:
        scan = call(_prepare, make, random, number)
        suffix = OUTPUTS[random.randrange(len(OUTPUTS))]
        done = kaf("segment", scan.path, "--model", "model.safetensors", "--output", f"found{suffix}", *HERE)
        succeeded(done)
        must(scan.warned in done.err, f"no warning with '{scan.warned}': {done.err}")
        report = json.loads(Path("found-seg.json").read_text())
        return call(judge, scan, Path(f"found{suffix}"), report["volumes_ml"])
    return play


def _prepare(make: Callable[[Random, int], Scan], random: Random, number: int) -> Scan:
    scan = make(random, number)
    threshold_model(Path("model.safetensors"), scan.spacing, fused=random.random() < 0.3)
    return scan


def judge(scan: Scan, path: Path, volumes: dict[str, float]) -> Verdict:
    """Every voxel of the result is looked up in the labels by its position in the patient."""
    import SimpleITK

    image = SimpleITK.ReadImage(str(path))
    if image.GetDimension() == 2:
        image = SimpleITK.JoinSeries(image)
    found = SimpleITK.GetArrayFromImage(image)
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    affine = writers.LPS @ affine
    must(sorted(found.shape) == sorted(scan.labels.shape), f"{found.shape} voxels for {scan.labels.shape}")
    k, j, i = np.indices(found.shape).reshape(3, -1)
    places = (np.linalg.inv(scan.affine) @ affine @ np.stack([i, j, k, np.ones_like(i)]))[:3]
    nearest = np.rint(places).astype(int)
    must(np.abs(places - nearest).max() < _NEAR, f"voxels lie {np.abs(places - nearest).max():.2f} of a voxel off")
    sizes = np.array(scan.labels.shape)[::-1, None]
    must(((nearest >= 0) & (nearest < sizes)).all(), "voxels lie outside the scan")
    expected = scan.labels[nearest[2], nearest[1], nearest[0]].reshape(found.shape)
    sure = _sure(scan)[nearest[2], nearest[1], nearest[0]].reshape(found.shape)
    must(np.count_nonzero(sure & (expected > 0)) >= min(_ENOUGH, np.count_nonzero(expected)),
         "the campaign failed: nothing to judge")
    astray = np.count_nonzero((found != expected) & sure)
    must(not astray, f"{astray} of {np.count_nonzero(sure)} voxels have another label")
    if sure.all():
        voxel = abs(np.linalg.det(scan.affine[:3, :3])) / 1000
        for name, label in (("low", 1), ("middle", 3), ("high", 7)):
            right = np.count_nonzero(scan.labels == label) * voxel
            must(abs(volumes[name] - right) <= 0.002 + 1e-4 * right, f"{name}: {volumes[name]} mL in place of {right}")
    if path.name.endswith(".seg.nrrd"):
        _judge_segments(image)
    return fine()


def _judge_segments(image: Any) -> None:
    """A Slicer segmentation names the value of every segment."""
    named = {image.GetMetaData(f"Segment{n}_Name"): image.GetMetaData(f"Segment{n}_LabelValue") for n in range(3)}
    must(named == {"low": "1", "middle": "3", "high": "7"}, f"segments with other values: {named}")


def _sure(scan: Scan) -> np.ndarray:
    """Voxels whose label cannot depend on resampling: those far enough from every border of a label in the plane."""
    from scipy import ndimage

    spacing = np.linalg.norm(scan.affine[:3, :3], axis=0)[::-1]
    plane = np.argsort(spacing, kind="stable")[:2]
    if np.allclose(spacing[plane], scan.spacing, rtol=1e-4):
        return np.ones(scan.labels.shape, bool)
    reach = [1 if axis not in plane else 2 * int(np.ceil(1.5 * max(1.0, scan.spacing / spacing[axis]))) + 1
             for axis in range(3)]
    low, high = (filter_(scan.labels, reach, mode="nearest")
                 for filter_ in (ndimage.minimum_filter, ndimage.maximum_filter))
    return low == high


def _refused(number: int) -> Callable[[Path, Random], Verdict]:
    def play(here: Path, random: Random) -> Verdict:
        name = call(stored_scans.sheared if number % 2 else stored_scans.irregular, random, number)
        done = kaf("segment", name, "--model", "model.safetensors", "--output", "found.seg.nrrd", *HERE)
        must(not list(here.glob("found*")), "a result of a refused scan")
        return refused(done, [Path(name).name])
    return play
