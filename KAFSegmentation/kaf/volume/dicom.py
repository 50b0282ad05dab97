"""One scan from a folder of DICOM files, or the reason why its slices are no regular stack."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from kaf.errors import InputError
from kaf.files import check_regular
from kaf.volume.itk import COPY_AGAIN, LPS_RAS, affine_of, array_of, last_line, name_of, times

MODALITY, _DESCRIPTION, _POSITION, _ORIENTATION = "0008|0060", "0008|103e", "0020|0032", "0020|0037"
_UNEVEN = 0.05  # a slice may lie this share of the spacing away from its place on the even grid
_IMAGE_SUFFIXES = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd", ".hdr")


def looks_like_dicom(path: Path) -> bool:
    """Whether a file bears the DICOM mark after its 128-byte preamble."""
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def read_series(folder: Path, series: str | None) -> tuple[np.ndarray, np.ndarray, list[str], str]:
    """Voxels (slice, row, column), affine to RAS, warnings and modality of the only or the named series.

    Raises:
        InputError: no image, several series and none chosen, colour, or slices that differ in orientation or
            pixels, share a position, are unevenly spaced or tilted.
    """
    files = [str(file) for file in _files_of(folder, series)]
    headers = [_header(folder, file) for file in files]
    if headers[0].GetNumberOfComponents() > 1:
        raise InputError(folder, "holds colour images", "KAF needs one grey value per voxel.")
    if len(files) == 1:
        return _single(folder, headers[0])
    positions = np.array([_numbers(folder, header, _POSITION, 3) for header in headers])
    orientations = np.array([_numbers(folder, header, _ORIENTATION, 6) for header in headers])
    row_spacing, column_spacing = headers[0].GetSpacing()[1], headers[0].GetSpacing()[0]
    order, affine = stack_geometry(folder, positions, orientations, (row_spacing, column_spacing))
    sizes = {f"{times(header.GetSize()[:2])} of {times(header.GetSpacing()[:2])} mm" for header in headers}
    if len(sizes) > 1:
        raise InputError(
            folder, f"its slices differ in their pixels ({', '.join(sorted(sizes))})",
            "Keep one kind of slice: move localisers and other images into a folder of their own.",
        )
    return _voxels(folder, [files[index] for index in order]), affine, [], header_text(headers[0], MODALITY)


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
    return [int(index) for index in order], LPS_RAS @ lps


def _angle(vectors: np.ndarray, reference: np.ndarray) -> float:
    """The largest angle in degrees between rows of (N, 3) and one vector."""
    across = np.linalg.norm(np.cross(vectors, reference), axis=1)
    return float(np.degrees(np.arctan2(across, vectors @ reference)).max())


def _files_of(folder: Path, series: str | None) -> list[str]:
    import SimpleITK

    try:
        names = sorted(entry.name for entry in folder.iterdir())
    except OSError as error:
        raise InputError(folder, f"cannot be read ({error.strerror})", "Check its permissions.") from error
    for file in (folder / name for name in names):
        if not file.is_dir():
            name_of(file)
            check_regular(file)  # GDCM opens every file, and a named pipe would never answer
    uids = SimpleITK.ImageSeriesReader.GetGDCMSeriesIDs(name_of(folder))
    found = {uid: list(SimpleITK.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder), uid)) for uid in uids}
    found = {uid: files for uid, files in found.items() if files}
    if not found:
        raise InputError(folder, "holds no DICOM image", _where_else(folder, names))
    _refuse_left_out(folder, names, [Path(file) for files in found.values() for file in files])
    titles = {uid: header_text(_header(folder, files[0]), _DESCRIPTION) for uid, files in found.items()}
    chosen = [uid for uid in found if series in (None, uid)]
    chosen = chosen or [uid for uid in found if titles[uid] == series]
    if len(chosen) == 1:
        return found[chosen[0]]
    listed = "; ".join(f"{uid} ({titles[uid] or 'no description'}, {len(found[uid])} files)" for uid in found)
    reason = f"holds {len(found)} DICOM series" if series is None or chosen else f"has no series '{series}'"
    raise InputError(
        folder, f"{reason}: {listed}",
        "Give a folder with one of them, or name one with `series` (UID or description).",
    )


def _refuse_left_out(folder: Path, names: list[str], used: list[Path]) -> None:
    """GDCM leaves a damaged slice out without a word, and the others may still be evenly spaced."""
    kinds, suffixes = {_kind(file) for file in used}, {file.suffix for file in used}
    taken = {file.name for file in used}
    for file in (folder / name for name in names if name not in taken):
        if not file.is_file():
            continue
        slice_of_these = _kind(file) in kinds if looks_like_dicom(file) else file.suffix in suffixes - {""}
        if slice_of_these:
            raise InputError(
                folder, f"its file {file.name} is no readable DICOM image; it may be cut short",
                "Copy or export it again, or take it out of the folder if it does not belong there.",
            )


def _kind(file: Path) -> bytes:
    """The SOP class (CT image, structure set ...) from the file's meta header, empty without one."""
    with file.open("rb") as content:
        start = content.read(1024)
    place = start.find(b"\x02\x00\x02\x00UI")
    if place < 0:
        return b""
    length = int.from_bytes(start[place + 6 : place + 8], "little")
    return start[place + 8 : place + 8 + length]


def _where_else(folder: Path, names: list[str]) -> str:
    images = [name for name in names if name.lower().endswith(_IMAGE_SUFFIXES)]
    if images:
        return f"Give one file, for instance {images[0]}."
    inside = [name for name in names if (folder / name).is_dir()]
    if inside:
        return f"Name the folder that holds the slices, for instance {folder / inside[0]}."
    return "Give a folder with the slices of one series, or an image file."


def _header(folder: Path, file: str) -> Any:
    import SimpleITK

    reader = SimpleITK.ImageFileReader()
    reader.SetFileName(file)
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise InputError(
            folder, f"its file {Path(file).name} cannot be read as a DICOM image", COPY_AGAIN
        ) from error
    return reader


def header_text(header: Any, key: str) -> str:
    """A DICOM tag of a SimpleITK reader as text, empty where it is absent."""
    return header.GetMetaData(key).strip() if header.HasMetaDataKey(key) else ""


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


def _single(folder: Path, header: Any) -> tuple[np.ndarray, np.ndarray, list[str], str]:
    """A series of one file: one slice, or an enhanced multi-frame object that ITK stacks itself."""
    voxels = _voxels(folder, [header.GetFileName()])
    warnings = ["the series has one slice."] if len(voxels) == 1 else []
    return voxels, affine_of(folder, header), warnings, header_text(header, MODALITY)


def _voxels(folder: Path, files: list[str]) -> np.ndarray:
    import SimpleITK

    try:
        image = SimpleITK.ReadImage(files if len(files) > 1 else files[0])
    except RuntimeError as error:
        reason = f"its images cannot be read ({last_line(str(error))})"
        raise InputError(folder, reason, COPY_AGAIN) from error
    return array_of(image)
