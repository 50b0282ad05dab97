"""Scans and label maps from files, with their place in the patient; every doubt is settled before any work.

Voxel arrays are (slice, row, column); affines map the voxel index (column, row, slice, 1) to RAS millimetres,
which is Slicer's IJKToRAS.  SimpleITK reads the files, so that KAF and Slicer see the same grid.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kaf import volume_nifti
from kaf.errors import InputError
from kaf.volume_dicom import MODALITY, header_text, looks_like_dicom, read_series
from kaf.volume_write import write_labels, write_map

__all__ = ["Volume", "guess_modality", "read_labels", "read_volume", "write_labels", "write_map"]

_ORTHOGONAL = 1e-3  # largest |cosine| between two voxel axes


@dataclass(frozen=True, eq=False)
class Volume:
    """Voxels and where they lie.

    Attributes:
        voxels: (slice, row, column), any real dtype.
        affine: 4 x 4 float64, voxel index (column, row, slice, 1) to RAS mm.
        source: the file or folder it was read from.
        warnings: what was mended or looks odd, one sentence each.
        modality: DICOM's word for the kind of scan ("CT", "MR", "PT" ...), empty where the file does not say.
    """

    voxels: np.ndarray
    affine: np.ndarray
    source: str = ""
    warnings: tuple[str, ...] = ()
    modality: str = ""

    @property
    def shape(self) -> tuple[int, int, int]:
        """(slices, rows, columns)."""
        slices, rows, columns = self.voxels.shape
        return (slices, rows, columns)

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Millimetres along (i, j, k), that is between columns, rows and slices."""
        i, j, k = np.linalg.norm(self.affine[:3, :3], axis=0)
        return (float(i), float(j), float(k))


def read_volume(path: str | Path, frame: int | None = None, series: str | None = None) -> Volume:
    """One scalar 3-D scan from a NIfTI, NRRD or MetaImage file, a DICOM file or a DICOM folder.

    Args:
        path: the file, or a folder that holds one DICOM series.
        frame: which frame of a 4-D file, 0..n-1; needed where there is more than one.
        series: UID or description of one series of a folder that holds several.

    The voxels keep their dtype (float64 becomes float32).  Non-finite voxels become the smallest finite value,
    with a warning.  A 2-D image is a volume of one slice.

    Raises:
        InputError: the file is missing, damaged, cut short, empty, in colour, complex or 4-D without ``frame``;
            its geometry is not finite, sheared or has no extent; or the slices of a DICOM series do not form a
            regular stack.
    """
    voxels, affine, warnings, modality = _load(Path(path), frame, series)
    if voxels.dtype.kind == "f":
        voxels, lost = _mend(voxels, path)
        warnings += lost
    if voxels.min() == voxels.max():
        warnings.append(f"every voxel has the same value ({voxels.flat[0]}).")
    return Volume(voxels, affine, str(path), tuple(warnings), modality)


def read_labels(path: str | Path) -> Volume:
    """A label map as uint8 from any file that :func:`read_volume` takes, or a segmentation saved by Slicer.

    Raises:
        InputError: as for :func:`read_volume`, or values that are not whole numbers in 0..255, or a Slicer
            segmentation whose segments overlap.
    """
    voxels, affine, warnings, _ = _load(Path(path), None, None)
    lowest, highest = voxels.min(), voxels.max()
    if voxels.dtype.kind == "f" and not (np.isfinite(voxels).all() and (voxels == np.rint(voxels)).all()):
        raise InputError(
            path, "is not a label map: it has values that are not whole numbers",
            "Give the segmentation, not the scan or a probability map.",
        )
    if lowest < 0 or highest > 255:
        raise InputError(
            path, f"is not a label map KAF can use: its values run from {lowest:g} to {highest:g}",
            "Give a segmentation with values in 0..255, 0 for background.",
        )
    return Volume(voxels.astype(np.uint8, copy=False), affine, str(path), tuple(warnings))


def guess_modality(volume: Volume) -> str:
    """"CT", "MR" or "unknown", for a warning about a scan of the wrong kind; DICOM's word where there is one.

    From intensities it is careful.  CT: whole Hounsfield numbers that reach below -200, nearly all of them (but
    for padding) between air and soft tissue.  MR: no negative value, unless it may be a CT without its offset
    (much of it near 1000, where water would lie) or an 8-bit export.  All else is "unknown".
    """
    if volume.modality:
        return volume.modality if volume.modality in ("CT", "MR") else "unknown"
    step = max(1, round((volume.voxels.size / 200_000) ** (1 / 3)))
    sample = np.asarray(volume.voxels[::step, ::step, ::step], np.float64)
    lowest, highest = sample.min(), sample.max()
    if lowest >= 0:
        water = np.mean((sample > 900) & (sample < 1200))
        return "unknown" if lowest == highest or volume.voxels.dtype.itemsize == 1 or water > 0.25 else "MR"
    inside = sample[sample > -1100]
    if lowest > -200 or inside.size == 0 or np.mean(np.abs(inside - np.rint(inside)) < 1e-3) < 0.9:
        return "unknown"
    tissue, patient = np.mean((inside > -200) & (inside < 300)), np.mean(inside < 300)
    return "CT" if tissue > 0.05 and patient > 0.85 else "unknown"


def _load(path: Path, frame: int | None, series: str | None) -> tuple[np.ndarray, np.ndarray, list[str], str]:
    """Voxels, affine, warnings and modality; the geometry is sound, the voxels are real numbers, nothing is missing."""
    if path.is_dir():
        with _quiet_itk():
            return read_series(path, series)
    if series is not None:
        raise InputError(path, "is a file, and `series` picks among those of a folder", "Leave `series` out.")
    try:
        with path.open("rb") as file:
            empty = not file.read(1)
    except OSError as error:
        reason = "does not exist" if isinstance(error, FileNotFoundError) else f"cannot be read ({error.strerror})"
        raise InputError(path, reason, "Check the path and its permissions.") from error
    if empty:
        raise InputError(path, "is an empty file", "Copy or export it again.")
    if path.suffix.lower() == ".zip":
        raise InputError(path, "is a zip archive", "Unpack it and give the folder or file inside.")
    if not volume_nifti.is_nifti(path):
        voxels, affine, modality = _read_image(path, frame)
        single = looks_like_dicom(path) and len(voxels) == 1
        warnings = ["one DICOM slice was read; give the folder for the whole series."] if single else []
        return voxels, affine, warnings, modality
    header = volume_nifti.read_header(path)
    # ITK fills what is missing from a damaged .nii.gz with rubbish and says nothing: unpack it once more beside.
    with ThreadPoolExecutor(1) as pool:
        complete = pool.submit(volume_nifti.check_complete, path, header)
        try:
            voxels, affine, _ = _read_image(path, frame)
        except InputError:
            complete.result()
            header.refuse_shear(path)
            raise
        complete.result()
    return voxels, affine, header.doubts(affine, voxels.shape), ""


def _read_image(path: Path, frame: int | None) -> tuple[np.ndarray, np.ndarray, str]:
    import SimpleITK

    reader = SimpleITK.ImageFileReader()
    reader.SetFileName(str(path))
    with _quiet_itk():
        _itk(path, reader.ReadImageInformation)
        size = list(reader.GetSize())
        if 0 in size:
            raise InputError(path, f"is empty: its size is {_times(size)}", "Export the volume again.")
        _refuse_unreal(path, reader)
        if len(size) > 4:
            raise InputError(path, f"has {len(size)} dimensions", "Save one 3-D volume of it.")
        frames = size[3] if len(size) == 4 else 1
        if frames > 1 and frame is None:
            raise InputError(
                path, f"is 4-D with {frames} frames",
                f"Choose one with `frame` (`--frame`), 0 to {frames - 1}.",
            )
        if frame is not None and not 0 <= frame < frames:
            raise InputError(
                path, f"has no frame {frame}", f"It has {frames}: `frame` (`--frame`) runs from 0 to {frames - 1}."
            )
        if len(size) == 4:
            reader.SetExtractIndex([0, 0, 0, frame or 0])
            reader.SetExtractSize([*size[:3], 0])
        image = _itk(path, reader.Execute)
    view = SimpleITK.GetArrayViewFromImage(image)
    with np.errstate(over="ignore"):
        voxels = view.astype(np.float32) if view.dtype == np.float64 else view.copy()
    voxels = voxels.reshape((1,) * (3 - voxels.ndim) + voxels.shape)
    return voxels, _affine(path, image), header_text(reader, MODALITY)


def _refuse_unreal(path: Path, reader: Any) -> None:
    """Colour, vectors and complex numbers are not one grey value per voxel."""
    import SimpleITK

    kind, components = SimpleITK.GetPixelIDValueAsString(reader.GetPixelID()), reader.GetNumberOfComponents()
    if reader.HasMetaDataKey("Segment0_ID") and components > 1:
        raise InputError(
            path, f"is a segmentation whose segments overlap: it has {components} layers",
            "In Slicer, export it to a labelmap volume and save that; where segments overlap, one has to win.",
        )
    if "complex" in kind:
        raise InputError(path, f"holds complex numbers ({kind})", "Save the magnitude image.")
    if components > 1:
        raise InputError(
            path, f"holds {components} numbers per voxel (colour, vectors or a list of frames), not one",
            "Save one scalar volume: one channel or one frame.",
        )


def _affine(path: Path, image: Any) -> np.ndarray:
    """Voxel index to RAS from ITK's LPS origin, spacing and direction; refuses what is not a regular grid."""
    n = image.GetDimension()
    direction, spacing, origin = np.eye(3), np.ones(3), np.zeros(3)
    direction[:n, :n] = np.reshape(image.GetDirection(), (n, n))
    spacing[:n], origin[:n] = image.GetSpacing(), image.GetOrigin()
    if not (np.isfinite(direction).all() and np.isfinite(spacing).all() and np.isfinite(origin).all()):
        raise InputError(path, "its geometry holds numbers that are not finite", volume_nifti.MEND_GEOMETRY)
    lengths = spacing * np.linalg.norm(direction, axis=0)
    if not (lengths > 0).all() or not (spacing > 0).all():
        raise InputError(path, f"its voxels measure {_times(lengths)} mm", volume_nifti.MEND_GEOMETRY)
    cosines = direction.T @ direction
    worst = np.abs(cosines - np.diag(np.diag(cosines))).max()
    if worst > _ORTHOGONAL:
        raise volume_nifti.sheared(path, direction)
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = direction * spacing, origin
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine


def _mend(voxels: np.ndarray, path: str | Path) -> tuple[np.ndarray, list[str]]:
    """Non-finite voxels replaced by the smallest finite one, and the sentence that says so."""
    finite = np.isfinite(voxels)
    lost = voxels.size - int(np.count_nonzero(finite))
    if lost == 0:
        return voxels, []
    if lost == voxels.size:
        raise InputError(path, "has no finite voxel (all are NaN or infinite)", "Export the volume again.")
    lowest = voxels[finite].min()
    share = 100 * lost / voxels.size
    return np.where(finite, voxels, lowest), [
        f"{lost} voxels ({share:.2g} %) are NaN or infinite; they were set to the smallest value, {lowest:g}."
    ]


def _itk(path: Path, call: Callable[[], Any]) -> Any:
    """The call's result, or ITK's complaint in words."""
    try:
        return call()
    except RuntimeError as error:
        text = str(error)
        if "orthonormal" in text or "determinant" in text:
            raise InputError(path, "its axes do not form a rectangular grid", volume_nifti.MEND_GEOMETRY) from error
        if "spacing" in text.lower():
            raise InputError(path, "one of its voxel sizes is zero or negative", volume_nifti.MEND_GEOMETRY) from error
        if "Unable to determine ImageIO" in text:
            raise InputError(
                path, "is not an image in a format KAF can read",
                "Give NIfTI, NRRD, MetaImage or a DICOM folder.",
            ) from error
        line = next((part.strip() for part in reversed(text.splitlines()) if part.strip()), "no reason given")
        raise InputError(
            path, f"cannot be read; it is damaged or cut short ({line})", "Copy or export it again."
        ) from error


@contextmanager
def _quiet_itk() -> Iterator[None]:
    """ITK prints warnings to stderr about what is checked here and said in words."""
    import SimpleITK

    before = SimpleITK.ProcessObject.GetGlobalWarningDisplay()
    SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        yield
    finally:
        SimpleITK.ProcessObject.SetGlobalWarningDisplay(before)


def _times(numbers: Any) -> str:
    return " x ".join(f"{number:g}" for number in numbers)
