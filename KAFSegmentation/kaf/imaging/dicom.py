"""One scan from a folder of DICOM files, or the reason why its slices are no regular stack."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kaf.imaging.dicom_check import refuse_damage
from kaf.imaging.dicom_frames import Frame, frames_of_file, traits_of
from kaf.imaging.dicom_phases import choose_phase
from kaf.imaging.dicom_pixels import read_voxels
from kaf.imaging.dicom_series import MODALITY, POSITION, files_of, header_text, looks_like_dicom, open_header
from kaf.imaging.itk import COPY_AGAIN, LPS_RAS, affine_of, check_geometry, check_lengths, name_of, times
from kaf.runtime.errors import InputError

_ORIENTATION, _PIXELS = "0020|0037", "0028|0030"
_CLASS, _INTERCEPT, _SLOPE = "0008|0016", "0028|1052", "0028|1053"
_ENHANCED = tuple(f"1.2.840.10008.5.1.4.1.1.{tail}" for tail in (
    "2.1", "2.2", "4.1", "4.3", "4.4", "128.1", "130"))  # CT, MR, PET and what was converted to them
_UNEVEN = 0.05  # a slice may lie this share of the spacing away from its place on the even grid


def is_dicom(path: Path) -> bool:
    """Whether a file is DICOM, with the mark or, as old ones are, without it."""
    import SimpleITK

    refuse_damage(path, path)
    if looks_like_dicom(path):
        return True
    reader = SimpleITK.ImageFileReader()
    reader.SetFileName(name_of(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError:
        return False
    return reader.HasMetaDataKey("0028|0010")


def read_series(folder: Path, series: str | None = None, frame: int | None = None
                ) -> tuple[np.ndarray, np.ndarray, list[str], str]:
    """Voxels (slice, row, column), affine to RAS, warnings and modality of the only or the named series.

    Args:
        folder: holds the files.
        series: UID, number or description of one series of several.
        frame: which volume of a series that holds several (phases, echoes, b-values, stacks), from 0.

    Raises:
        InputError: no image, several series or volumes and none chosen, colour, or slices that differ in orientation
            or pixels, share a position, are unevenly spaced or tilted.
    """
    return _stack(folder, files_of(folder, series), frame)


def read_file(path: Path, frame: int | None = None) -> tuple[np.ndarray, np.ndarray, list[str], str]:
    """As :func:`read_series`, of one DICOM file: a slice, or all frames of an enhanced object."""
    voxels, affine, warnings, modality = _stack(path, [str(path)], frame)
    if len(voxels) == 1:
        warnings = ["one DICOM slice was read; give the folder for the whole series.", *warnings[1:]]
    return voxels, affine, warnings, modality


def _stack(subject: Path, files: list[str], frame: int | None) -> tuple[np.ndarray, np.ndarray, list[str], str]:
    headers = [open_header(subject, file) for file in files]
    for header in headers:
        _check_pixels(subject, header)
    if any(header.GetNumberOfComponents() > 1 for header in headers):
        raise InputError(subject, "holds colour images", "KAF needs one grey value per voxel.")
    modality = header_text(headers[0], MODALITY)
    if len(files) == 1 and not _has_frames(headers[0]):
        if frame not in (None, 0):
            raise InputError(subject, f"has 1 frames and no frame {frame}", "Leave `frame` (`--frame`) out.")
        return _single(subject, headers[0], modality)
    frames = choose_phase(subject, [found for header in headers for found in _frames(subject, header)], frame)
    order, affine = _geometry(subject, frames)
    pixels = {f"{times(one.size)} of {times(one.spacing)} mm" for one in frames}
    if len(pixels) > 1:
        raise InputError(
            subject, f"its slices differ in their pixels ({', '.join(sorted(pixels))})",
            "Keep one kind of slice: move localisers and other images into a folder of their own.",
        )
    scales = {(header_text(header, _SLOPE), header_text(header, _INTERCEPT)) for header in headers}
    voxels = read_voxels(subject, [frames[index] for index in order], as_floats=len(scales) > 1)
    warnings = ["the series has one slice."] if len(voxels) == 1 else []
    return voxels, affine, warnings, modality


def images_of(subject: Path, files: Sequence[str]) -> tuple[list[Frame], bool]:
    """All images of these files, and whether they are scaled alike.

    Raises:
        InputError: a file is damaged or does not say where its images lie, or is in colour.
    """
    headers = [open_header(subject, file) for file in files]
    for header in headers:
        _check_pixels(subject, header)
    if any(header.GetNumberOfComponents() > 1 for header in headers):
        raise InputError(subject, "holds colour images", "KAF needs one grey value per voxel.")
    scales = {(header_text(header, _SLOPE), header_text(header, _INTERCEPT)) for header in headers}
    return [found for header in headers for found in _frames(subject, header)], len(scales) < 2


def stack_of(subject: Path, frames: Sequence[Frame], as_floats: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Voxels (slice, row, column) and affine to RAS of images that form one stack.

    Raises:
        InputError: they do not: unevenly spaced, tilted, two at one place.
    """
    order, affine = _geometry(subject, frames)
    return read_voxels(subject, [frames[index] for index in order], as_floats), affine


def _check_pixels(subject: Path, header: Any) -> None:
    """GDCM takes 1 mm, or what lay in memory, for a size of pixels that makes no sense."""
    if not header.HasMetaDataKey(_PIXELS):
        return
    words, what = header_text(header, _PIXELS), f"its file {Path(header.GetFileName()).name} gives pixels of"
    try:
        between_rows, between_columns = map(float, words.split("\\"))
    except ValueError:
        raise InputError(subject, f"{what} '{words[:60]}' mm", COPY_AGAIN) from None
    check_lengths(subject, (between_columns, between_rows), what)


def _has_frames(header: Any) -> bool:
    """Whether the places of a file's images are those of its frames."""
    if len(header.GetSize()) > 2 and header.GetSize()[2] > 1:
        return True
    return not header.HasMetaDataKey(POSITION) and header_text(header, _CLASS) in _ENHANCED


def _frames(subject: Path, header: Any) -> list[Frame]:
    """The images of a file."""
    file = Path(header.GetFileName())
    if _has_frames(header):
        return frames_of_file(subject, file)
    position, orientation = (np.array(_numbers(subject, header, key, count))
                             for key, count in ((POSITION, 3), (_ORIENTATION, 6)))
    columns, rows = header.GetSize()[:2]
    if not header.HasMetaDataKey(_PIXELS):
        raise InputError(subject, f"its file {file.name} does not say how large its pixels are ({_PIXELS})",
                         "Export the series with its pixel spacing.")
    thickness = header.GetSpacing()[2] if len(header.GetSpacing()) > 2 else 0.0
    return [Frame(file, 0, position, orientation, (columns, rows), header.GetSpacing()[:2], thickness, None,
                  traits_of(lambda trait: header_text(header, trait.tag) if trait.tag else ""))]


def _geometry(subject: Path, frames: Sequence[Frame]) -> tuple[list[int], np.ndarray]:
    """The order of the slices, and the affine to RAS of the stack."""
    positions, orientations = (np.array([getattr(frame, name) for frame in frames])
                               for name in ("position", "orientation"))
    between_columns, between_rows = frames[0].spacing
    check_lengths(subject, frames[0].spacing, "its pixels measure")
    if len(frames) > 1:
        return stack_geometry(subject, positions, orientations, (between_rows, between_columns))
    ahead = np.cross(orientations[0, :3], orientations[0, 3:]) * (frames[0].thickness or 1.0)
    _, affine = stack_geometry(subject, np.array([positions[0], positions[0] + ahead]), np.repeat(orientations, 2, 0),
                               (between_rows, between_columns))
    return [0], affine


def stack_geometry(
    folder: Path, positions: np.ndarray, orientations: np.ndarray, pixel_spacing: tuple[float, float]
) -> tuple[list[int], np.ndarray]:
    """The order of the slices along their normal, and the affine to RAS of the stack.

    Args:
        folder: named in errors.
        positions: (N, 3) Image Position (Patient), LPS mm, N > 1.
        orientations: (N, 6) Image Orientation (Patient).
        pixel_spacing: (between rows, between columns), mm.
    """
    along_row, along_column = orientations[0, :3], orientations[0, 3:]
    normal = np.cross(along_row, along_column)
    axes = np.array([along_row, along_column, normal])
    if not np.allclose(axes @ axes.T, np.eye(3), atol=1e-3):
        raise InputError(
            folder, f"its rows and columns are not at right angles ({_ORIENTATION})", COPY_AGAIN
        )
    normals = np.cross(orientations[:, :3], orientations[:, 3:])
    turned = max(_angle(orientations[:, :3], along_row), _angle(normals, normal))
    if not np.isfinite(turned) or turned > 0.1:
        raise InputError(
            folder, f"its slices are not parallel: they differ by up to {turned:.1f} degrees",
            "Keep the slices of one stack: move localisers and other stacks into folders of their own.",
        )
    heights = positions @ normal
    order = np.argsort(heights, kind="stable")
    heights, positions = heights[order], positions[order]
    gaps = np.diff(heights)
    if gaps.min() < 0.01:
        shared = int(np.count_nonzero(gaps < 0.01))
        raise InputError(
            folder, f"{shared} pairs of slices share a position: it seems to hold several phases or echoes",
            "Put one phase into a folder of its own, or load it in Slicer and save one volume.",
        )
    step = (heights[-1] - heights[0]) / (len(heights) - 1)
    misplaced = np.abs(heights - heights[0] - step * np.arange(len(heights))).max()
    if misplaced > max(_UNEVEN * step, 0.01):
        raise InputError(
            folder,
            f"its slices are unevenly spaced ({gaps.min():.2f} to {gaps.max():.2f} mm); some may be missing",
            "Add the missing files, or load it in Slicer with acquisition transform and resample it.",
        )
    across = positions[-1] - positions[0]
    sideways = np.linalg.norm(across - (across @ normal) * normal)
    if sideways > 0.5 * min(pixel_spacing):
        tilt = np.degrees(np.arctan2(sideways, across @ normal))
        raise InputError(
            folder,
            f"its slices are tilted by {tilt:.1f} degrees (gantry tilt) and so shifted by {sideways:.1f} mm",
            "Load it in Slicer with acquisition transform, harden or resample it, and save it.",
        )
    lps = np.eye(4)
    lps[:3, 0], lps[:3, 1] = along_row * pixel_spacing[1], along_column * pixel_spacing[0]
    lps[:3, 2], lps[:3, 3] = normal * step, positions[0]
    check_geometry(folder, lps)
    return [int(index) for index in order], LPS_RAS @ lps


def _angle(vectors: np.ndarray, reference: np.ndarray) -> float:
    """The largest angle in degrees between rows of (N, 3) and one vector."""
    across = np.linalg.norm(np.cross(vectors, reference), axis=1)
    return float(np.degrees(np.arctan2(across, vectors @ reference)).max())


def _numbers(folder: Path, header: Any, key: str, count: int) -> list[float]:
    try:
        values = [float(part) for part in header_text(header, key).split("\\")]
    except ValueError:
        values = []
    if len(values) != count or not np.isfinite(values).all():
        raise InputError(
            folder, f"its file {Path(header.GetFileName()).name} does not say where its slice lies ({key})",
            "Export the series with positions, or save it as one volume from Slicer.",
        )
    return values


def _single(subject: Path, header: Any, modality: str) -> tuple[np.ndarray, np.ndarray, list[str], str]:
    """One slice, which need not say where it lies."""
    file = Path(header.GetFileName())
    nowhere = np.zeros(3)
    image = Frame(file, 0, nowhere, np.zeros(6), header.GetSize()[:2], header.GetSpacing()[:2], 0.0, None)
    warnings = ["the series has one slice."]
    if not header.HasMetaDataKey(_PIXELS):
        warnings.append(f"it does not say how large its pixels are; {times(header.GetSpacing()[:2])} mm was taken.")
    return read_voxels(subject, [image]), affine_of(subject, header), warnings, modality
