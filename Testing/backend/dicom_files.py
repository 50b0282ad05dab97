"""DICOM files for tests, written byte by byte by pydicom so that they can be odd: enhanced multi-frame objects."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import Dataset, uid
from pydicom.dataset import FileMetaDataset
from scan_files import scan

AXIAL = (1.0, 0, 0, 0, 1, 0)
SPACING = (0.8, 0.5)  # between rows, between columns


def item(**elements: Any) -> Dataset:
    """A data set of these elements; a dict makes a sequence of one item."""
    made = Dataset()
    for keyword, value in elements.items():
        setattr(made, keyword, [item(**value)] if isinstance(value, dict) else value)
    return made


def place(position: Sequence[float], orientation: Sequence[float] | None = None) -> dict[str, Any]:
    groups: dict[str, Any] = {"PlanePositionSequence": {"ImagePositionPatient": list(map(float, position))}}
    if orientation is not None:
        groups["PlaneOrientationSequence"] = {"ImageOrientationPatient": list(map(float, orientation))}
    return groups


def along(orientation: Sequence[float], distances: Sequence[float], start=(-10.0, -20.0, 30.0)) -> list[np.ndarray]:
    """Positions at these distances along the normal of the slices."""
    normal = np.cross(orientation[:3], orientation[3:])
    return [np.array(start) + distance * normal for distance in distances]


def enhanced(path: Path, groups: Sequence[dict[str, Any]], voxels: np.ndarray | None = None,
             kind: str = uid.EnhancedMRImageStorage, shared: dict[str, Any] | None = None, series: str = "1.2.3.4",
             change: Callable[[Dataset], None] = lambda header: None, compressed: bool = False) -> np.ndarray:
    """An object of one frame per item of ``groups``; returns its stored numbers (frame, row, column).

    ``shared`` takes the place of pixel spacing and an axial orientation.
    """
    voxels = scan((len(groups), 7, 9)) if voxels is None else voxels
    made = item(
        SOPClassUID=kind, SOPInstanceUID=uid.generate_uid(), StudyInstanceUID="1.2.3", SeriesInstanceUID=series,
        Modality="CT" if kind in (uid.EnhancedCTImageStorage, uid.LegacyConvertedEnhancedCTImageStorage) else "MR",
        SeriesDescription="cine", SeriesNumber=7, Rows=voxels.shape[1], Columns=voxels.shape[2],
        NumberOfFrames=len(groups), SamplesPerPixel=1, PhotometricInterpretation="MONOCHROME2",
        BitsAllocated=8 * voxels.itemsize, BitsStored=8 * voxels.itemsize, HighBit=8 * voxels.itemsize - 1,
        PixelRepresentation=int(voxels.dtype.kind == "i"))
    whole = {"PlaneOrientationSequence": {"ImageOrientationPatient": list(AXIAL)},
             "PixelMeasuresSequence": {"PixelSpacing": list(SPACING), "SliceThickness": 3}}
    made.SharedFunctionalGroupsSequence = [item(**(whole if shared is None else shared))]
    made.PerFrameFunctionalGroupsSequence = [item(**group) for group in groups]
    made.PixelData = voxels.tobytes() + bytes(voxels.nbytes % 2)
    made["PixelData"].VR = "OW"
    change(made)
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    if compressed:
        made.compress(uid.RLELossless)
    path.parent.mkdir(exist_ok=True)
    made.save_as(path, enforce_file_format=True)
    return voxels
