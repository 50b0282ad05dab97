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
             change: Callable[[Dataset], None] = lambda header: None, compressed: bool = False,
             syntax: str = uid.ExplicitVRLittleEndian) -> np.ndarray:
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
    stored = voxels.astype(voxels.dtype.newbyteorder(">")) if syntax == uid.ExplicitVRBigEndian else voxels
    made.PixelData = stored.tobytes() + bytes(voxels.nbytes % 2)
    made["PixelData"].VR = "OW"
    change(made)
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = syntax
    if compressed:
        made.compress(uid.RLELossless)
    path.parent.mkdir(exist_ok=True)
    made.save_as(path, enforce_file_format=True)
    return voxels


def classic(folder: Path, voxels: np.ndarray, affine: np.ndarray, series: str = "1.2.3.4", number: int = 1,
            title: str = "cine", **more: Any) -> Path:
    """A series of one file per slice, of int16 voxels (slice, row, column) on a grid (index to RAS mm) that the slices
    fill in order; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    lps = np.diag([-1.0, -1, 1, 1]) @ affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    for n, image in enumerate(voxels):
        made = item(
            SOPClassUID=uid.MRImageStorage, SOPInstanceUID=f"{series}.{n + 1}", StudyInstanceUID="1.2.3",
            SeriesInstanceUID=series, Modality="MR", SeriesDescription=title, SeriesNumber=number, InstanceNumber=n + 1,
            PatientID="P1", Rows=image.shape[0], Columns=image.shape[1], SamplesPerPixel=1,
            PhotometricInterpretation="MONOCHROME2", BitsAllocated=16, BitsStored=16, HighBit=15, PixelRepresentation=1,
            PixelSpacing=[f"{spacing[1]:.10g}", f"{spacing[0]:.10g}"], SliceThickness=f"{spacing[2]:.10g}",
            ImageOrientationPatient=[f"{x:.10g}" for x in (*(lps[:3, 0] / spacing[0]), *(lps[:3, 1] / spacing[1]))],
            ImagePositionPatient=[f"{x:.10g}" for x in (lps @ (0, 0, n, 1))[:3]], PixelData=image.tobytes(), **more)
        made["PixelData"].VR = "OW"
        made.file_meta = FileMetaDataset()
        made.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
        made.save_as(folder / f"{series}-{n}.dcm", enforce_file_format=True)
    return folder
