"""DICOM structure sets (RTSTRUCT): which structures one holds, and their masks on the voxels of the scan.

DICOM PS3.3, C.8.8.5 (structure set) and C.8.8.6 (ROI contours): closed planar polygons in patient coordinates (LPS mm).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kaf.imaging.itk import COPY_AGAIN, LPS_RAS
from kaf.imaging.volume import Volume
from kaf.runtime.errors import InputError
from kaf.runtime.files import check_regular
from kaf.runtime.plain_text import one_line

_CLASS = b"1.2.840.10008.5.1.4.1.1.481.3"
_START = 1024  # bytes of a file that hold its SOP class
_PLANE = 0.25  # share of the distance of slices that a point of a contour may lie off the middle of its slice
_SAID = 5


@dataclass(frozen=True)
class StructureSet:
    """A structure set: its file, the UID of the series that it names ("" for none), the structures with contours."""

    path: Path
    series: str
    names: tuple[str, ...]


def may_be_structure_set(path: Path) -> bool:
    """Whether the start of a file names a structure set; nothing else of it is read."""
    try:
        with path.open("rb") as file:
            return _CLASS in file.read(_START)
    except OSError:
        return False


def read_structures(path: str | Path) -> StructureSet:
    """What a structure set holds, without its contours.

    Raises:
        InputError: it cannot be read, is no structure set, or has no structure with a contour.
    """
    path = Path(path)
    data = _read(path)
    return _of(path, lambda: StructureSet(path, _series(data), tuple(dict.fromkeys(name for name, _ in _rois(data)))))


def masks_of(path: str | Path, names: Sequence[str], scan: Volume) -> Iterator[tuple[str, np.ndarray]]:
    """Name and boolean mask (slice, row, column) of each of the structures ``names`` on the voxels of the scan.

    A voxel belongs to a structure when its centre lies inside an odd number of its contours, so that contours within
    contours are holes.  Several structures of one name are one.

    Raises:
        InputError: the file is damaged, or a contour lies in no slice of the scan, leaves its slice, or has no extent.
    """
    path = Path(path)
    data = _read(path)
    rois = _of(path, lambda: list(_rois(data)))
    for wanted in names:
        mask = np.zeros(scan.shape, bool)
        for name, contours in rois:
            if name.casefold() == wanted.casefold():
                mask |= _filled(path, name, contours, scan)
        yield wanted, mask


def _read(path: Path) -> Any:
    import pydicom

    check_regular(path)
    return _of(path, lambda: pydicom.dcmread(path))


def _of(path: Path, call: Any) -> Any:
    """The call's result; what pydicom raises over damage is of many kinds."""
    try:
        return call()
    except InputError:
        raise
    except Exception as error:
        raise InputError(path, f"is a structure set that cannot be read ({one_line(str(error))[:200]})",
                         COPY_AGAIN) from error


def _series(data: Any) -> str:
    """The UID of the only series that the structure set names, or ""."""
    found = {str(series.SeriesInstanceUID) for frame in data.get("ReferencedFrameOfReferenceSequence", [])
             for study in frame.get("RTReferencedStudySequence", [])
             for series in study.get("RTReferencedSeriesSequence", [])}
    return found.pop() if len(found) == 1 else ""


def _rois(data: Any) -> Iterator[tuple[str, list[np.ndarray]]]:
    """Name and closed contours, (n, 3) LPS mm each, of every structure that has any."""
    if str(data.get("Modality", "")) != "RTSTRUCT":
        raise InputError(data.filename or "the file", "is no structure set", "Give an RTSTRUCT file.")
    titles = {int(roi.ROINumber): one_line(str(roi.get("ROIName", ""))) or f"ROI {roi.ROINumber}"
              for roi in data.get("StructureSetROISequence", [])}
    empty = True
    for roi in data.get("ROIContourSequence", []):
        contours = [np.asarray(contour.ContourData, np.float64).reshape(-1, 3)
                    for contour in roi.get("ContourSequence", [])
                    if str(contour.get("ContourGeometricType", "")).startswith("CLOSED_PLANAR")]
        if contours:
            number = int(roi.ReferencedROINumber)
            empty = False
            yield titles.get(number, f"ROI {number}"), contours
    if empty:
        raise InputError(data.filename or "the file", "has no closed contour",
                         "Export the structures as closed planar contours.")


def _filled(path: Path, name: str, contours: Sequence[np.ndarray], scan: Volume) -> np.ndarray:
    from skimage.draw import polygon

    mask = np.zeros(scan.shape, bool)
    to_voxel = np.linalg.inv(scan.affine) @ LPS_RAS
    elsewhere, tilted, flat = 0, 0, 0
    for contour in contours:
        if len(contour) < 3 or not np.isfinite(contour).all():
            flat += 1
            continue
        i, j, k = (to_voxel[:3, :3] @ contour.T) + to_voxel[:3, 3:]
        slice_ = int(np.rint(k.mean()))
        if np.ptp(k) > 2 * _PLANE:
            tilted += 1
        elif not 0 <= slice_ < len(mask) or abs(k.mean() - slice_) > _PLANE:
            elsewhere += 1
        else:
            mask[slice_][polygon(j, i, mask.shape[1:])] ^= True
    for number, what, remedy in (
            (tilted, "do not lie in the plane of a slice", "Draw them on the slices of this series."),
            (elsewhere, "lie on no slice of the series", "Give the series that they were drawn on, with all its "
             "slices."),
            (flat, "have fewer than three points, or points that are not finite", COPY_AGAIN)):
        if number:
            raise InputError(path, f"{number} of {len(contours)} contours of '{name}' {what}", remedy)
    return mask
