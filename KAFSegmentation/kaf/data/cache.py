"""Preprocessed cases on disk: canonical slices, labels and keypoints, found again by what made them.

The folder's name is a digest of the input files' bytes, the preprocessing settings and the format's number, so
a changed file, a changed setting or a changed code makes a new entry and never a stale one.
"""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from kaf.data.cache_folder import PARTS, new_entry, remove_entry
from kaf.data.case import Case
from kaf.data.labels import Drawn, read_drawn
from kaf.data.scan import read_scan
from kaf.data.superpixels import find_superpixels
from kaf.imaging.keypoints import DESCRIPTOR_WIDTH, Keypoints
from kaf.imaging.prepare import prepare
from kaf.imaging.source import is_same, stamp_of
from kaf.imaging.volume import Volume
from kaf.runtime.errors import InputError, OutputError
from kaf.runtime.events import OnEvent, Ticker, ignore
from kaf.runtime.files import replace_folder
from kaf.settings.preparation import KeypointSettings, NormalisationSettings

_FORMAT = 6
_CHUNK = 1 << 20
_MAPPED = ("image", "labels", "superpixels", "ignored")


@dataclass(frozen=True)
class SliceSettings:
    """What decides the cached slices of a case; ``superpixels`` is Felzenszwalb's scale, sigma and smallest
    size, ``more`` the normalisation of each further channel."""

    spacing: float | None
    slicing_axis: str
    normalisation: NormalisationSettings
    keypoints: KeypointSettings
    describe: bool = False
    superpixels: tuple[float, float, int] | None = None
    more: tuple[NormalisationSettings, ...] = ()

    def digest(self) -> str:
        # What is said of channels counts where there are several: the entries of others stay what they were.
        keypoints = self.keypoints.model_dump(exclude=None if self.more else {"channel"})
        values = [_FORMAT, self.spacing, self.slicing_axis, self.normalisation.model_dump(), keypoints, self.describe,
                  self.superpixels, *(each.model_dump() for each in self.more)]
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class CachedCase:
    """One preprocessed case, memory-mapped: image (S, H, W) float32, or (S, C, H, W) of several channels, labels
    (S, H, W) uint8 or None, superpixels (S, H, W) uint16, 0 for air, or None; ``entry``: its folder in the cache, None
    for a case that is in memory.

    annotated: values of the structures that were drawn wherever they are; of others nobody knows.  None: all were.
    ignored: (S, H, W) uint8, 1 where nobody has labelled anything (``labels`` is 0 there), or None.
    """

    name: str
    patient: str
    image: np.ndarray
    labels: np.ndarray | None
    keypoints: list[Keypoints]
    spacing: tuple[float, float, float]
    superpixels: np.ndarray | None = None
    entry: Path | None = None
    annotated: frozenset[int] | None = None
    ignored: np.ndarray | None = None


def cache_cases(cases: Sequence[Case], settings: SliceSettings, folder: Path, on_event: OnEvent = ignore
                ) -> list[CachedCase]:
    """All cases preprocessed, from the cache ``folder`` (of :func:`open_cache`) where they are there already."""
    ticker = Ticker(on_event, "reading and preparing cases", len(cases))
    found = []
    for index, case in enumerate(cases):
        found.append(load_case(case, settings, folder))
        ticker.update(index + 1)
    return found


def load_case(case: Case, settings: SliceSettings, folder: Path) -> CachedCase:
    """One case from the cache, prepared first if it is not there, or is damaged.

    Raises:
        InputError: a file of the case cannot be read or used.
        OutputError: the cache cannot be written.
    """
    scans = [case.image, *case.more, *case.label_files]
    stamps = [stamp_of(scan) for scan in scans]
    parts = [settings.digest(), *(stamp["sha256"] for stamp in stamps), case.meaning]
    entry = folder / hashlib.sha256("".join(parts).encode()).hexdigest()[:32]
    found = _open(entry, case.name, case.patient)
    if found is None:
        volume = read_scan(case)
        drawn = read_drawn(case, volume) if case.label else Drawn(None, None)
        content = prepare_case(volume, drawn.labels, settings, case.label or case.image, drawn.ignored)
        for scan, stamp in zip(scans, stamps, strict=True):
            if not is_same(scan, stamp):  # it would be kept under the name of the one before
                raise InputError(scan, "was changed while it was read", "Start again when it is complete.")
        remove_entry(entry)  # damaged
        _store(entry, *content)
        found = _open(entry, case.name, case.patient)
        if found is None:  # the damaged one cannot be removed: somebody else's, or in use on Windows
            found = as_case(case.name, case.patient, *content)
    return replace(found, annotated=case.annotated)


def prepare_case(volume: Volume, labels: Volume | None, settings: SliceSettings, source: object = "labels",
                 ignored: np.ndarray | None = None) -> tuple[dict[str, np.ndarray], tuple[float, float, float]]:
    """Arrays of a case as they are cached, and the canonical spacing (slice, row, column) in mm."""
    if labels is not None and (labels.voxels.shape != volume.voxels.shape
                               or not np.allclose(labels.affine, volume.affine, atol=1e-2)):
        raise InputError(source, f"its grid {labels.voxels.shape} does not match the image's "
                         f"{volume.voxels.shape} or lies elsewhere in space",
                         "Resample the labels onto the image's grid, or leave this case out.")
    prepared = prepare(volume, settings.spacing, settings.slicing_axis, settings.normalisation,
                       settings.keypoints, settings.describe, more=settings.more)
    points = prepared.keypoints
    arrays = {
        "image": prepared.image,
        "counts": np.array([len(p) for p in points], np.int32),
        "positions": np.concatenate([p.positions for p in points]),
        "response": np.concatenate([p.response for p in points]),
    }
    if settings.describe:
        arrays["descriptors"] = np.concatenate([p.descriptors for p in points if p.descriptors is not None])
    if settings.superpixels:
        arrays["superpixels"] = find_superpixels(prepared.image, *settings.superpixels)
    if labels is not None:
        arrays["labels"] = prepared.grid.labels_to_canonical(labels.voxels)
    if ignored is not None:
        arrays["ignored"] = prepared.grid.labels_to_canonical(ignored.astype(np.uint8))
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
    return CachedCase(name, patient, arrays["image"], arrays.get("labels"), points, (a, b, c),
                      arrays.get("superpixels"), ignored=arrays.get("ignored"))


def _store(entry: Path, arrays: dict[str, np.ndarray], spacing: Sequence[float]) -> None:
    """Write to a folder of another name and rename it: a killed run leaves no half entry behind."""
    try:
        temporary = new_entry(entry.parent)
        try:
            for name, values in arrays.items():
                np.save(temporary / f"{name}.npy", values)
            sums = {f"{name}.npy": _sum(temporary / f"{name}.npy") for name in arrays}
            words = {"spacing": list(spacing), "files": sums}
            (temporary / "case.json").write_text(json.dumps({**words, "sum": _sum_of_words(words)}))
            replace_folder(temporary, entry)
        except BaseException:
            remove_entry(temporary)
            raise
    except OSError as error:
        if entry.is_dir():  # another process was first with the same content
            return
        raise OutputError(entry, f"the cache cannot be written ({error.strerror})",
                          "Free some disk space, or choose another cache folder.") from error


def _sum(path: Path) -> int:
    """The CRC-32 of a file: damage is what it looks for, and it reads at the speed of the disk."""
    found = 0
    with path.open("rb") as file:
        while block := file.read(_CHUNK):
            found = zlib.crc32(block, found)
    return found


def _sum_of_words(words: dict[str, Any]) -> int:
    return zlib.crc32(json.dumps(words, sort_keys=True).encode())


def _open(entry: Path, name: str, patient: str) -> CachedCase | None:
    """The case of an entry; None where there is none or it is damaged, as a disk may leave it."""
    try:
        words = json.loads((entry / "case.json").read_text())
        if words.pop("sum") != _sum_of_words(words) or not PARTS.issuperset(words["files"]) or any(
                _sum(entry / file) != found for file, found in words["files"].items()):
            return None
        arrays = {Path(file).stem: np.load(entry / file, mmap_mode="r" if Path(file).stem in _MAPPED else None)
                  for file in words["files"]}
        case = replace(as_case(name, patient, arrays, words["spacing"]), entry=entry)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    with suppress(OSError):  # it may belong to somebody else
        os.utime(entry)  # the oldest entries by use are the first to go when the cache is pruned
    return case
