"""Scans and label maps from files, with their place in the patient; every doubt is settled before any work.

Voxel arrays are (slice, row, column); affines map the voxel index (column, row, slice, 1) to RAS millimetres,
which is Slicer's IJKToRAS.  SimpleITK reads the files, so that KAF and Slicer see the same grid.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from kaf.imaging import itk as volume_itk
from kaf.imaging import metaimage as volume_metaimage
from kaf.imaging import nifti as volume_nifti
from kaf.imaging import nrrd as volume_nrrd
from kaf.imaging.dicom import is_dicom, read_file, read_series
from kaf.imaging.stored import Stored, refuse_claim
from kaf.runtime.errors import InputError
from kaf.runtime.files import check_regular


@dataclass(frozen=True, eq=False)
class Volume:
    """Voxels and where they lie.

    Attributes:
        voxels: (slice, row, column), any real dtype.
        affine: 4 x 4 float64, voxel index (column, row, slice, 1) to RAS mm.
        source: the file or folder it was read from.
        warnings: what was fixed or looks odd, one sentence each.
        modality: DICOM's word for the kind of scan ("CT", "MR", "PT" ...), empty where the file does not say.
        more: voxels of further channels, each of the shape of ``voxels`` and on the same grid.
    """

    voxels: np.ndarray
    affine: np.ndarray
    source: str = ""
    warnings: tuple[str, ...] = ()
    modality: str = ""
    more: tuple[np.ndarray, ...] = ()

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


class _Loaded(NamedTuple):
    voxels: np.ndarray
    affine: np.ndarray
    warnings: list[str]
    modality: str = ""


def read_volume(path: str | Path, frame: int | None = None, series: str | None = None) -> Volume:
    """One scalar 3-D scan from a NIfTI, NRRD or MetaImage file, a DICOM file or a DICOM folder.

    Args:
        path: the file, or a folder that holds one DICOM series.
        frame: which frame of a 4-D file, or which phase, echo or stack of a DICOM series, 0..n-1; needed where
            there is more than one.
        series: UID, number or description of one series of a folder that holds several.

    The voxels keep their dtype (float64 becomes float32).  Non-finite voxels become the smallest finite one
    (in NIfTI 0, which is what ITK makes of them), with a warning.  A 2-D image is a volume of one slice.

    Raises:
        InputError: the file is missing, damaged, cut short, empty, in colour, complex, or 4-D without
            ``frame``; its geometry is not finite, sheared or has no extent; or the slices of a DICOM series
            do not form a regular stack.
    """
    voxels, affine, warnings, modality = _load(Path(path), frame, series)
    if voxels.dtype.kind == "f":
        voxels, fixed = _fix(voxels, path)
        warnings = warnings + fixed
    if voxels.min() == voxels.max():
        warnings = [*warnings, f"every voxel has the same value ({voxels.flat[0]})."]
    return Volume(voxels, affine, str(path), tuple(warnings), modality)


def scan_of(given: Volume | str | Path, frame: int | None = None, series: str = "") -> Volume:
    """What a verb was given: a scan in memory, without its holes, or one that is read as by :func:`read_volume`."""
    return cleaned(given) if isinstance(given, Volume) else read_volume(given, frame, series or None)


def cleaned(volume: Volume) -> Volume:
    """A scan that was handed over in memory, with its non-finite voxels set to the smallest finite one and a warning,
    as :func:`read_volume` does; the volume itself where all is well.

    Raises:
        InputError: no voxel is finite, it is no volume of real numbers, or its axes are sheared.
    """
    volume_itk.check_handed(volume.source or "the scan", volume.voxels, volume.affine)
    if volume.voxels.dtype.kind != "f":
        return volume
    voxels = volume.voxels
    if voxels.dtype.itemsize > 4:
        with np.errstate(over="ignore"):
            voxels = voxels.astype(np.float32)
    voxels, fixed = _fix(voxels, volume.source or "the scan")
    return replace(volume, voxels=voxels, warnings=(*volume.warnings, *fixed)) if fixed else volume


def read_labels(path: str | Path) -> Volume:
    """A label map as uint8 from any file that :func:`read_volume` takes, or a segmentation saved by Slicer.

    Raises:
        InputError: as for :func:`read_volume`, or values that are not whole numbers in 0..255, or a Slicer
            segmentation whose segments overlap.
    """
    volume = read_whole_numbers(path)
    lowest, highest = volume.voxels.min(), volume.voxels.max()
    if lowest < 0 or highest > 255:
        raise InputError(
            path, f"is not a label map KAF can use: its values run from {lowest:g} to {highest:g}",
            "Give a segmentation with values in 0..255, 0 for background.",
        )
    return replace(volume, voxels=volume.voxels.astype(np.uint8, copy=False))


def read_whole_numbers(path: str | Path) -> Volume:
    """As :func:`read_labels`, with whole numbers of any size, in the type in which they are stored."""
    voxels, affine, warnings, _ = _load(Path(path), None, None)
    if voxels.dtype.kind == "f" and not (np.isfinite(voxels).all() and (voxels == np.rint(voxels)).all()):
        raise InputError(
            path, "is not a label map: it has values that are not whole numbers",
            "Give the segmentation, not the scan or a probability map.",
        )
    return Volume(voxels, affine, str(path), tuple(warnings))


def guess_modality(volume: Volume) -> str:
    """"CT", "MR" or "unknown", for a warning about a scan of the wrong kind; DICOM's word where there is one.

    From intensities it is careful.  CT: Hounsfield numbers that reach below -200 where they are whole and below -500
    where they were resampled, nearly all of them (but for padding) between air and soft tissue.  MR: no negative
    value, unless it may be a CT without its offset (much of it near 1000, where water would lie) or an 8-bit export.
    All else is "unknown".
    """
    if volume.modality:
        return volume.modality if volume.modality in ("CT", "MR") else "unknown"
    step = max(1, round((volume.voxels.size / 200_000) ** (1 / 3)))
    sample = np.asarray(volume.voxels[::step, ::step, ::step], np.float64)
    sample = sample[np.isfinite(sample)]
    if sample.size == 0:
        return "unknown"
    lowest, highest = sample.min(), sample.max()
    if lowest >= 0:
        water = np.mean((sample > 900) & (sample < 1200))
        odd = lowest == highest or volume.voxels.dtype.itemsize == 1 or water > 0.25
        return "unknown" if odd else "MR"
    inside = sample[sample > -1100]
    if inside.size == 0:
        return "unknown"
    whole = np.mean(np.abs(inside - np.rint(inside)) < 1e-3) >= 0.9
    if lowest > -200 or not (whole or inside.min() < -500):
        return "unknown"
    tissue, patient = np.mean((inside > -200) & (inside < 300)), np.mean(inside < 300)
    return "CT" if tissue > 0.05 and patient > 0.85 else "unknown"


def _load(path: Path, frame: int | None, series: str | None) -> _Loaded:
    """What is in the file or folder: a sound geometry, real numbers, and nothing missing."""
    if path.is_dir():
        with volume_itk.quiet():
            return _Loaded(*read_series(path, series, frame))
    if series is not None:
        raise InputError(path, "is a file, and `series` picks among those of a folder", "Leave `series` out.")
    _refuse_unreadable(path)
    if volume_nifti.is_nifti(path):
        return _load_nifti(path, frame)
    for format_of in (volume_nrrd, volume_metaimage):
        if format_of.is_mine(path):
            stored, missing = format_of.read_header(path)
            loaded, _ = _read_whole(stored, frame)
            return loaded._replace(warnings=missing)
    with volume_itk.quiet():
        return _Loaded(*read_file(path, frame)) if is_dicom(path) else _read_image(path, frame)


def _refuse_unreadable(path: Path) -> None:
    empty = check_regular(path).st_size == 0
    try:
        path.open("rb").close()
    except OSError as error:
        raise InputError(path, f"cannot be read ({error.strerror})", "Check its permissions.") from error
    if empty:
        raise InputError(path, "is an empty file", volume_itk.COPY_AGAIN)
    if path.suffix.lower() == ".zip":
        raise InputError(path, "is a zip archive", "Unpack it and give the folder or file inside.")


def _load_nifti(path: Path, frame: int | None) -> _Loaded:
    """ITK fills what is missing from a damaged NIfTI with rubbish and says nothing."""
    header = volume_nifti.read_header(path)
    loaded, not_finite = _read_whole(header.stored, frame, header.refuse_for_itk)
    warnings = header.doubts(loaded.affine, loaded.voxels.shape)
    if not_finite:
        warnings.append(f"{not_finite} voxels are NaN or infinite; they were read as 0, as in Slicer.")
    return loaded._replace(warnings=warnings)


def _read_whole(stored: Stored, frame: int | None, explain: Callable[[Path], None] = lambda path: None
                ) -> tuple[_Loaded, int]:
    """What ITK reads of a file that holds what its header promises, and how many voxels are not finite.

    ``explain`` raises the reason, if it knows one, where ITK does not read a file that is sound.

    The file is unpacked once more to its checksum, in a thread while ITK reads: no time is lost.  What is suspect
    is looked through before.
    """
    stored.refuse_impossible()
    with volume_itk.quiet(), ThreadPoolExecutor(1) as pool:
        complete = pool.submit(stored.check_complete)
        if stored.is_suspect:
            complete.result()
        try:
            loaded = _read_image(stored.path, frame)
        except InputError:
            complete.result()
            explain(stored.path)
            raise
        return loaded, complete.result()


def _read_image(path: Path, frame: int | None) -> _Loaded:
    import SimpleITK

    reader = SimpleITK.ImageFileReader()
    reader.SetFileName(volume_itk.name_of(path))
    volume_itk.run(path, reader.ReadImageInformation)
    size = list(reader.GetSize())
    if 0 in size:
        raise InputError(path, f"is empty: its size is {volume_itk.times(size)}", "Export the volume again.")
    _refuse_unreal(path, reader)
    if not (volume_nifti.is_nifti(path) or volume_nrrd.is_mine(path) or volume_metaimage.is_mine(path)):
        refuse_claim(path, size, volume_itk.voxel_bytes(reader), path.stat().st_size)
    if len(size) > 4:
        raise InputError(path, f"has {len(size)} dimensions", "Save one 3-D volume of it.")
    frames = size[3] if len(size) == 4 else 1
    choose = f"Choose one with `frame` (`--frame`), 0 to {frames - 1}."
    if frames > 1 and frame is None:
        raise InputError(path, f"is 4-D with {frames} frames", choose)
    if frame is not None and not 0 <= frame < frames:
        raise InputError(path, f"has {frames} frames and no frame {frame}", choose)
    if len(size) == 4:
        reader.SetExtractIndex([0, 0, 0, frame or 0])
        reader.SetExtractSize([*size[:3], 0])
    affine = volume_itk.affine_of(path, reader)
    image = volume_itk.run(path, reader.Execute)
    return _Loaded(volume_itk.array_of(image), affine, [])


def _refuse_unreal(path: Path, reader: Any) -> None:
    """Colour, vectors and complex numbers are not one grey value per voxel."""
    import SimpleITK

    kind = SimpleITK.GetPixelIDValueAsString(reader.GetPixelID())
    components = reader.GetNumberOfComponents()
    if reader.HasMetaDataKey("Segment0_ID") and components > 1:
        raise InputError(
            path, f"is a segmentation whose segments overlap: it has {components} layers",
            "In Slicer, export it to a labelmap volume and save that; one segment wins where two overlap.",
        )
    if "complex" in kind:
        raise InputError(path, f"holds complex numbers ({kind})", "Save the magnitude image.")
    if components > 1:
        raise InputError(
            path, f"holds {components} numbers per voxel (colour, vectors or a list of frames), not one",
            "Save one scalar volume: one channel or one frame.",
        )


def _fix(voxels: np.ndarray, path: str | Path) -> tuple[np.ndarray, list[str]]:
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
        f"{lost} voxels ({share:.3g} %) are NaN or infinite; they were set to the smallest value, {lowest:g}."
    ]
