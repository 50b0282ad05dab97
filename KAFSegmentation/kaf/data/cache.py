"""Preprocessed cases on disk: canonical slices, labels and keypoints, found again by what made them.

The folder's name is a digest of the input files' bytes, the preprocessing settings and the format's number, so
a changed file, a changed setting or a changed code makes a new entry and never a stale one.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kaf.data.folder import Case
from kaf.errors import InputError, OutputError
from kaf.events import OnEvent, Ticker, ignore
from kaf.keypoints import DESCRIPTOR_WIDTH, Keypoints
from kaf.prepare import prepare
from kaf.settings import KeypointSettings, NormalisationSettings
from kaf.volume import Volume, read_labels, read_volume

_FORMAT = 3


@dataclass(frozen=True)
class SliceSettings:
    """What decides the cached slices of a case."""

    spacing: float | None
    slicing_axis: str
    normalisation: NormalisationSettings
    keypoints: KeypointSettings
    describe: bool = False

    def digest(self) -> str:
        values = [_FORMAT, self.spacing, self.slicing_axis, self.normalisation.model_dump(),
                  self.keypoints.model_dump(), self.describe]
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class CachedCase:
    """One preprocessed case, memory-mapped: image (S, H, W) float32, labels (S, H, W) uint8 or None."""

    name: str
    patient: str
    image: np.ndarray
    labels: np.ndarray | None
    keypoints: list[Keypoints]
    spacing: tuple[float, float, float]


def file_digest(path: Path) -> str:
    """SHA-256 of a file, or of a folder's files in order of their names."""
    digest = hashlib.sha256()
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    for file in files:
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def default_cache() -> Path:
    from platformdirs import user_cache_path

    return user_cache_path("kaf") / "slices"


def cache_cases(cases: Sequence[Case], settings: SliceSettings, folder: Path | None = None,
                on_event: OnEvent = ignore) -> list[CachedCase]:
    """All cases preprocessed, from the cache where they are there already."""
    folder = folder or default_cache()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(folder, f"the cache folder cannot be made ({error.strerror})",
                          "Set KAF's cache folder to a place that you can write to.") from error
    ticker = Ticker(on_event, "reading and preparing cases", len(cases))
    found = []
    for index, case in enumerate(cases):
        found.append(load_case(case, settings, folder))
        ticker.update(index + 1)
    return found


def load_case(case: Case, settings: SliceSettings, folder: Path) -> CachedCase:
    """One case from the cache, prepared first if it is not there."""
    try:
        parts = [settings.digest(), file_digest(case.image), file_digest(case.label) if case.label else ""]
    except OSError as error:
        raise InputError(error.filename, f"cannot be read ({error.strerror})", "Check the file.") from error
    entry = folder / hashlib.sha256("".join(parts).encode()).hexdigest()[:32]
    if not entry.is_dir():
        volume = read_volume(case.image)
        labels = read_labels(case.label) if case.label else None
        _store(entry, *prepare_case(volume, labels, settings, case.label or case.image))
    return _open(entry, case.name, case.patient)


def prepare_case(volume: Volume, labels: Volume | None, settings: SliceSettings, source: object = "labels"
                 ) -> tuple[dict[str, np.ndarray], tuple[float, float, float]]:
    """Arrays of a case as they are cached, and the canonical spacing (slice, row, column) in mm."""
    if labels is not None and (labels.voxels.shape != volume.voxels.shape
                               or not np.allclose(labels.affine, volume.affine, atol=1e-2)):
        raise InputError(source, f"its grid {labels.voxels.shape} does not match the image's "
                         f"{volume.voxels.shape} or lies elsewhere in space",
                         "Resample the labels onto the image's grid, or leave this case out.")
    prepared = prepare(volume, settings.spacing, settings.slicing_axis, settings.normalisation,
                       settings.keypoints, settings.describe)
    points = prepared.keypoints
    arrays = {
        "image": prepared.image,
        "counts": np.array([len(p) for p in points], np.int32),
        "positions": np.concatenate([p.positions for p in points]),
        "response": np.concatenate([p.response for p in points]),
    }
    if settings.describe:
        arrays["descriptors"] = np.concatenate([p.descriptors for p in points if p.descriptors is not None])
    if labels is not None:
        arrays["labels"] = prepared.grid.labels_to_canonical(labels.voxels)
    return arrays, prepared.grid.spacing


def as_case(name: str, patient: str, arrays: dict[str, np.ndarray], spacing: Sequence[float]) -> CachedCase:
    """The arrays of :func:`prepare_case` as a case in memory."""
    splits = np.cumsum(arrays["counts"])[:-1]
    positions, response = np.split(arrays["positions"], splits), np.split(arrays["response"], splits)
    descriptors: list[Any] = [None] * len(positions)
    if "descriptors" in arrays:
        descriptors = np.split(arrays["descriptors"].reshape(-1, DESCRIPTOR_WIDTH), splits)
    points = [Keypoints(*values) for values in zip(positions, response, descriptors, strict=True)]
    a, b, c = spacing
    return CachedCase(name, patient, arrays["image"], arrays.get("labels"), points, (a, b, c))


def _store(entry: Path, arrays: dict[str, np.ndarray], spacing: Sequence[float]) -> None:
    """Write to a folder of another name and rename it: a killed run leaves no half entry behind."""
    try:
        temporary = Path(tempfile.mkdtemp(prefix=".tmp-", dir=entry.parent))
        try:
            for name, values in arrays.items():
                np.save(temporary / f"{name}.npy", values)
            (temporary / "case.json").write_text(json.dumps({"spacing": list(spacing)}))
            os.replace(temporary, entry)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            if entry.is_dir():  # another process was first with the same content
                return
            raise
    except OSError as error:
        raise OutputError(entry, f"the cache cannot be written ({error.strerror})",
                          "Free some disk space, or choose another cache folder.") from error


def _open(entry: Path, name: str, patient: str) -> CachedCase:
    arrays = {file.stem: np.load(file, mmap_mode="r" if file.stem in ("image", "labels") else None)
              for file in entry.glob("*.npy")}
    os.utime(entry)  # the oldest entries by use are the first to go when the cache is pruned
    return as_case(name, patient, arrays, json.loads((entry / "case.json").read_text())["spacing"])


def prune_cache(folder: Path, limit_bytes: int) -> int:
    """Remove the entries that were used longest ago until the cache fits; returns the bytes removed."""
    entries = sorted((p for p in folder.iterdir() if p.is_dir()), key=lambda p: p.stat().st_mtime, reverse=True)
    total = removed = 0
    for entry in entries:
        size = sum(file.stat().st_size for file in entry.iterdir())
        total += size
        if total > limit_bytes:
            shutil.rmtree(entry, ignore_errors=True)
            removed += size
    return removed
