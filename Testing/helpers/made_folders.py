"""Folders for tests of folder discovery: empty files where only names count, real DICOM where it is read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK

from kaf.data.folder import Dataset


def folder(root: Path, *files: str) -> Path:
    """A folder of empty files: only names count."""
    for name in files:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def pairs(dataset: Dataset) -> dict[str, tuple[str, str | None]]:
    """Case name -> (image, label) as paths below the root."""
    below = {case.name: (case.image.relative_to(dataset.root).as_posix(),
                         case.label.relative_to(dataset.root).as_posix() if case.label else None)
             for case in dataset.cases}
    assert len(below) == len(dataset.cases), "case names must be unique"
    return below


def dicom(path: Path, slices: int = 2, **tags: str) -> Path:
    """A folder of readable DICOM slices; ``tags`` such as patient="A", modality="CT"."""
    keys = {"patient": "0010|0020", "modality": "0008|0060"}
    path.mkdir(parents=True)
    for index in range(slices):
        image = SimpleITK.GetImageFromArray(np.full((1, 4, 5), index, np.int16))
        for name, value in tags.items():
            image.SetMetaData(keys[name], value)
        SimpleITK.WriteImage(image, str(path / f"{index}.dcm"))
    return path


def save_volume(path: Path, voxels: np.ndarray, spacing=(1.5, 1.25, 8.0), origin=(0.0, 0.0, 0.0)) -> Path:
    """A volume (slice, row, column) in a file, in folders that are made where they are missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = SimpleITK.GetImageFromArray(voxels)
    image.SetSpacing(spacing)
    image.SetOrigin(origin)
    SimpleITK.WriteImage(image, str(path))
    return path
