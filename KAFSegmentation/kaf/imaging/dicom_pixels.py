"""The stored numbers of the images of a DICOM stack, each with its own scale."""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from kaf.imaging.dicom_frames import Frame
from kaf.imaging.itk import COPY_AGAIN, array_of, last_line
from kaf.runtime.errors import InputError
from kaf.runtime.temporary import Scratch

# Frames of numbers and nothing else, so that GDCM hands them out as they are stored.
_PLAIN = {8: "1.2.840.10008.5.1.4.1.1.7.2", 16: "1.2.840.10008.5.1.4.1.1.7.3"}


def read_voxels(subject: Path, frames: Sequence[Frame], as_floats: bool = False) -> np.ndarray:
    """(slice, row, column) of the images in this order, rescaled as their headers say.

    Args:
        subject: named in errors.
        frames: of one size.
        as_floats: the files' scales differ, and the type of the first does not hold the others.

    Raises:
        InputError: damaged, cut short, or packed in a way that GDCM does not know.
    """
    if all(frame.scale is None for frame in frames):
        return _read(subject, [str(frame.file) for frame in frames], as_floats)
    stored: dict[Path, dict[int, np.ndarray]] = {}
    wanted: dict[Path, list[int]] = defaultdict(list)
    for frame in frames:
        wanted[frame.file].append(frame.number)
    for file, numbers in wanted.items():
        stored[file] = _stored(subject, file, numbers)
    scales = np.array([frame.scale or (1.0, 0.0) for frame in frames])
    if not np.isfinite(scales).all():
        raise InputError(subject, "the scale factor of its voxels is not finite", COPY_AGAIN)
    images = [stored[frame.file][frame.number] for frame in frames]
    return _scaled(images, scales)


def _scaled(images: Sequence[np.ndarray], scales: np.ndarray) -> np.ndarray:
    """slope * image + intercept, in the smallest type that holds it: their own, int16, int32 or float32."""
    kinds = {image.dtype for image in images}
    if (scales == (1.0, 0.0)).all() and len(kinds) == 1:
        return np.stack(images)
    dtype: Any = np.float32
    if (scales == np.rint(scales)).all() and all(kind.kind in "iu" for kind in kinds):
        ends = [slope * end + intercept for image, (slope, intercept) in zip(images, scales, strict=True)
                for end in (float(image.min()), float(image.max()))]
        dtype = next((kind for kind in (np.int16, np.int32)
                      if np.iinfo(kind).min <= min(ends) and max(ends) <= np.iinfo(kind).max), np.float32)
    result = np.empty((len(images), *images[0].shape), dtype)
    for target, image, (slope, intercept) in zip(result, images, scales, strict=True):
        np.copyto(target, image.astype(np.float64) * slope + intercept, casting="unsafe")
    return result


def _stored(subject: Path, file: Path, numbers: Sequence[int]) -> dict[int, np.ndarray]:
    """Frame number -> (row, column) as stored.  pydicom reads what is not compressed, GDCM all else."""
    import pydicom
    from pydicom.pixels import iter_pixels

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            header = pydicom.dcmread(file, stop_before_pixels=True, force=True)
            syntax = getattr(header.file_meta, "TransferSyntaxUID", pydicom.uid.ImplicitVRLittleEndian)
            if syntax.is_encapsulated:
                frames = _unpacked(subject, pydicom.dcmread(file, force=True))
                return {number: frames[number] for number in numbers}
            source = pydicom.dcmread(file, force=True) if syntax.is_deflated else file
            read = iter_pixels(source, raw=True, indices=list(numbers))
            return {number: _without_overlays(frame, header) for number, frame in zip(numbers, read, strict=True)}
    except (InputError, MemoryError, ImportError):
        raise
    except Exception as error:  # pydicom has one for every kind of damage
        raise InputError(subject, f"the voxels of its file {file.name} cannot be read; it is damaged or cut short "
                         f"({last_line(str(error))})", COPY_AGAIN) from error


def _without_overlays(frame: np.ndarray, header: Any) -> np.ndarray:
    """Only the bits of the number: older files keep drawings in those that are left over."""
    if frame.dtype.kind not in "iu":
        return frame
    allocated, stored, high = int(header.BitsAllocated), int(header.BitsStored), int(header.HighBit)
    if stored == allocated:
        return frame
    above = frame.dtype.type(allocated - 1 - high)
    return (frame << above) >> frame.dtype.type(allocated - stored)  # a shift down of signed numbers keeps their sign


def _unpacked(subject: Path, whole: Any) -> np.ndarray:
    """The frames of a compressed file, by GDCM, from a copy that holds nothing but them.

    GDCM would take the scale of the first frame for that of all, and which kinds of files it scales depends on its
    version.
    """
    import pydicom

    copy = pydicom.Dataset()
    for keyword in ("SamplesPerPixel", "PhotometricInterpretation", "NumberOfFrames", "Rows", "Columns",
                    "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelData"):
        if keyword in whole:
            copy[keyword] = whole[keyword]
    copy.SOPClassUID = _PLAIN.get(int(whole.BitsAllocated), _PLAIN[16])
    copy.SOPInstanceUID = copy.SeriesInstanceUID = copy.StudyInstanceUID = pydicom.uid.generate_uid()
    copy.file_meta = pydicom.dataset.FileMetaDataset()
    copy.file_meta.TransferSyntaxUID = whole.file_meta.TransferSyntaxUID
    with closing(Scratch()) as scratch:  # swept by the next one if this process is killed
        path = scratch.path / "frames.dcm"
        copy.save_as(path, enforce_file_format=True)
        frames = _read(subject, [str(path)])
    if len(frames) != int(whole.get("NumberOfFrames", None) or 1):
        raise InputError(subject, "holds another number of frames than its header promises", COPY_AGAIN)
    return frames


def _read(subject: Path, files: list[str], as_floats: bool = False) -> np.ndarray:
    import SimpleITK

    kind = SimpleITK.sitkFloat32 if as_floats else SimpleITK.sitkUnknown
    try:
        image = SimpleITK.ReadImage(files if len(files) > 1 else files[0], kind)
    except RuntimeError as error:
        reason = f"its images cannot be read ({last_line(str(error))})"
        raise InputError(subject, reason, COPY_AGAIN) from error
    return array_of(image)
