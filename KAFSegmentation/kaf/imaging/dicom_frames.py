"""Every image of a DICOM series with its place, its pixels and what tells it from others at that place.

A file holds one image, or many frames that Shared and Per-frame Functional Groups describe (enhanced MR, CT and PET,
and what was converted to them; DICOM PS3.3 C.7.6.16).  GDCM reads the place of the first frame only, so these files'
headers are read by pydicom.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from kaf.imaging.itk import COPY_AGAIN
from kaf.runtime.errors import InputError

Value = float | str | tuple[float, ...]

_SEGMENTATIONS = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")


@dataclass(frozen=True, eq=False)
class Frame:
    """One image of a series.

    Attributes:
        file, number: where it is; frames of a file count from 0.
        position: (3,) Image Position (Patient), LPS mm.
        orientation: (6,) Image Orientation (Patient).
        size: (columns, rows).
        spacing: (between columns, between rows), mm.
        thickness: distance to the next slice as the header states it, mm; 0 where it does not.
        scale: slope and intercept of the stored numbers; None where GDCM applies them.
        traits: name in :data:`TRAITS` -> value, of what the header says.
    """

    file: Path
    number: int
    position: np.ndarray
    orientation: np.ndarray
    size: tuple[int, int]
    spacing: tuple[float, float]
    thickness: float
    scale: tuple[float, float] | None
    traits: dict[str, Value] = field(default_factory=dict)


@dataclass(frozen=True)
class Trait:
    """Something in which two images at one place differ.

    ``path`` are keywords of functional groups, ``tag`` is the one of a file with one image.  ``ranked``: a time that
    may differ a little from slice to slice, so that its order counts, not its value.
    """

    name: str
    unit: str = ""
    path: tuple[str, ...] = ()
    tag: str = ""
    ranked: bool = False


TRAITS = (  # that of a stack first, then those whose values count, then those whose order counts
    Trait("stack", path=("FrameContentSequence", "StackID")),
    Trait("kind", path=("MRImageFrameTypeSequence", "FrameType"), tag="0008|0008"),
    Trait("kind", path=("CTImageFrameTypeSequence", "FrameType")),
    Trait("kind", path=("PETFrameTypeSequence", "FrameType")),
    Trait("component", path=("MRImageFrameTypeSequence", "ComplexImageComponent"), tag="0008|9208"),
    Trait("echo time", "ms", ("MREchoSequence", "EffectiveEchoTime"), "0018|0081"),
    Trait("b-value", "s/mm2", ("MRDiffusionSequence", "DiffusionBValue"), "0018|9087"),
    Trait("gradient", "", ("MRDiffusionSequence", "DiffusionGradientDirectionSequence",
                           "DiffusionGradientOrientation"), "0018|9089"),
    Trait("diffusion", "", ("MRDiffusionSequence", "DiffusionDirectionality"), "0018|9075"),
    Trait("energy", "kV", ("CTXRayDetailsSequence", "KVP"), "0018|0060"),
    Trait("kernel", "", ("CTReconstructionSequence", "ConvolutionKernel"), "0018|1210"),
    Trait("flip angle", "degrees", ("MRTimingAndRelatedParametersSequence", "FlipAngle"), "0018|1314"),
    Trait("phase", "", ("FrameContentSequence", "TemporalPositionIndex"), "0020|0100", ranked=True),
    Trait("cardiac phase", "%", ("CardiacSynchronizationSequence", "NominalPercentageOfCardiacPhase"), ranked=True),
    Trait("trigger time", "ms", ("CardiacSynchronizationSequence", "NominalCardiacTriggerDelayTime"), "0018|1060",
          ranked=True),
    Trait("breathing phase", "%", ("RespiratorySynchronizationSequence", "NominalPercentageOfRespiratoryPhase"),
          ranked=True),
    Trait("inversion time", "ms", ("MRModifierSequence", "InversionTimes"), "0018|0082", ranked=True),
    Trait("frame time", "ms", (), "0054|1300", ranked=True),
    Trait("acquisition", "", ("FrameContentSequence", "FrameAcquisitionNumber"), "0020|0012", ranked=True),
    Trait("acquired at", "", ("FrameContentSequence", "FrameAcquisitionDateTime"), "0008|002a", ranked=True),
    Trait("acquired at", "", (), "0008|0032", ranked=True),
)


def traits_of(text_of: Callable[[Trait], str]) -> dict[str, Value]:
    """The traits whose text (DICOM's, parts apart by a backslash) is not empty."""
    found: dict[str, Value] = {}
    for trait in TRAITS:
        if trait.name not in found and (text := text_of(trait).strip()):
            found[trait.name] = _value(text)
    return found


def _value(text: str) -> Value:
    try:
        numbers = tuple(float(part) for part in text.split("\\"))
    except ValueError:
        return text
    return numbers[0] if len(numbers) == 1 else numbers


def frames_of_file(subject: Path, file: Path) -> list[Frame]:
    """The frames of a file with functional groups, or of a dose, as they lie in it.

    Raises:
        InputError: a segmentation, frames that do not say where they lie, or a header that contradicts itself.
    """
    header = _header(subject, file)
    with _reasons(subject, file):
        if header.get("SOPClassUID", "") in _SEGMENTATIONS:
            raise InputError(subject, f"its file {file.name} is a DICOM segmentation, not a scan",
                             "Give the scan; load the segmentation in Slicer to save it as .seg.nrrd.")
        count = int(header.get("NumberOfFrames", None) or 1)
        size = (int(header.Columns), int(header.Rows))
        groups = list(header.get("PerFrameFunctionalGroupsSequence", None) or [])
        shared = next(iter(header.get("SharedFunctionalGroupsSequence", None) or []), None)
        if not groups and "GridFrameOffsetVector" in header:
            return _dose(subject, file, header, size, count)
        if not groups:
            raise InputError(subject, f"the {count} frames of its file {file.name} do not say where they lie",
                             "Load it in Slicer and save it as one volume, if it is one.")
        if len(groups) != count:
            raise InputError(subject, f"its file {file.name} promises {count} frames and describes {len(groups)}",
                             COPY_AGAIN)
        return [_frame(subject, file, size, number, [group, shared]) for number, group in enumerate(groups)]


def _frame(subject: Path, file: Path, size: tuple[int, int], number: int, groups: list[Any]) -> Frame:
    def numbers(count: int, *path: str) -> np.ndarray:
        values = _numbers(_element(groups, path))
        if len(values) != count or not np.isfinite(values).all():
            raise InputError(
                subject, f"frame {number} of its file {file.name} does not say where it lies ({path[-1]})",
                "Export it with positions, or save it as one volume from Slicer.")
        return np.array(values)

    between_rows, between_columns = numbers(2, "PixelMeasuresSequence", "PixelSpacing")
    measures = (_numbers(_element(groups, ("PixelMeasuresSequence", name)))
                for name in ("SpacingBetweenSlices", "SliceThickness"))
    scale = [_numbers(_element(groups, ("PixelValueTransformationSequence", name))) or [neutral]
             for name, neutral in (("RescaleSlope", 1.0), ("RescaleIntercept", 0.0))]
    return Frame(
        file, number, numbers(3, "PlanePositionSequence", "ImagePositionPatient"),
        numbers(6, "PlaneOrientationSequence", "ImageOrientationPatient"), size,
        (float(between_columns), float(between_rows)), next((abs(found[0]) for found in measures if found), 0.0),
        (scale[0][0], scale[1][0]), traits_of(lambda trait: _text(_element(groups, trait.path)) if trait.path else ""))


def _dose(subject: Path, file: Path, header: Any, size: tuple[int, int], count: int) -> list[Frame]:
    """An RT dose: its planes lie at offsets from the first one, along its normal."""
    offsets, position, orientation = (np.array(_numbers(header.get(name, None))) for name in (
        "GridFrameOffsetVector", "ImagePositionPatient", "ImageOrientationPatient"))
    between_rows, between_columns = _numbers(header.PixelSpacing)
    if len(offsets) != count or len(position) != 3 or len(orientation) != 6:
        raise InputError(subject, f"the {count} planes of its dose do not say where they lie", COPY_AGAIN)
    normal = np.cross(orientation[:3], orientation[3:])
    heights = offsets - (offsets[0] if offsets[0] == 0 else position @ normal)
    scale = (float(header.get("DoseGridScaling", 1.0)), 0.0)
    return [Frame(file, number, position + height * normal, orientation, size, (between_columns, between_rows), 0.0,
                  scale) for number, height in enumerate(heights)]


def _header(subject: Path, file: Path) -> Any:
    """The data set of a file without its pixels."""
    import pydicom

    with _reasons(subject, file):
        return pydicom.dcmread(file, stop_before_pixels=True, force=True)


@contextmanager
def _reasons(subject: Path, file: Path) -> Iterator[None]:
    """What pydicom finds wrong, by whatever exception, as a message; its warnings about odd values are not shown."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (InputError, MemoryError, ImportError):
        raise
    except Exception as error:
        raise InputError(subject, f"its file {file.name} cannot be read as a DICOM image; it may be damaged ({error})",
                         COPY_AGAIN) from error


def _element(groups: list[Any], path: tuple[str, ...]) -> Any:
    """The value at the end of a path of keywords, from the first of these groups that has it; None in neither."""
    for group in groups:
        for keyword in path[:-1]:
            items = group.get(keyword, None) if group is not None else None
            group = items[0] if items else None
        if group is not None and group.get(path[-1], None) is not None:
            return group.get(path[-1])
    return None


def _numbers(value: Any) -> list[float]:
    if value is None or isinstance(value, str):
        return []
    parts = list(value) if isinstance(value, (list, tuple)) or hasattr(value, "__len__") else [value]
    return [float(part) for part in parts]


def _text(value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, str) and hasattr(value, "__len__"):
        return "\\".join(str(part) for part in value)
    return str(value)
