"""Between SimpleITK and our arrays: voxels, geometry, and ITK's complaints as errors."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from kaf.runtime.errors import InputError
from kaf.runtime.plain_text import plain_lines

COPY_AGAIN = "Copy or export it again."
FIX_GEOMETRY = "Open it in Slicer, fix spacing and axes in the Volumes module, and save it again."
LPS_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_ORTHOGONAL = 1e-3  # largest |cosine| between two voxel axes
_SMALLEST, _LARGEST, _FARTHEST = 1e-6, 1e4, 1e9  # mm: a nanometre and ten metres a voxel; from the origin


def name_of(path: str | Path) -> str:
    """The path as ITK takes it, which ends the whole process over a name that is no text.

    Raises:
        InputError: the name is not valid UTF-8.
    """
    name = str(path)
    try:
        name.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InputError(plain_lines(name), "its name, or that of a folder above it, is not valid UTF-8",
                         "Rename it.") from error
    return name


def array_of(image: Any) -> np.ndarray:
    """The voxels as an array of at least three axes; float64 becomes float32, all else keeps its dtype."""
    import SimpleITK

    view = SimpleITK.GetArrayViewFromImage(image)
    with np.errstate(over="ignore"):  # beyond float32 is infinite, which is dealt with as such
        voxels = view.astype(np.float32) if view.dtype == np.float64 else view.copy()
    return voxels.reshape((1,) * (3 - voxels.ndim) + voxels.shape)


def affine_of(path: Path, image: Any) -> np.ndarray:
    """Voxel index (i, j, k, 1) to RAS mm of an image or reader of up to three axes.

    Raises:
        InputError: not finite, of a size that nobody can mean, or sheared by more than about 0.06 degrees.
    """
    n = min(3, image.GetDimension())
    direction, spacing, origin = np.eye(3), np.ones(3), np.zeros(3)
    direction[:n, :n] = np.reshape(image.GetDirection(), (image.GetDimension(),) * 2)[:n, :n]
    spacing[:n], origin[:n] = image.GetSpacing()[:n], image.GetOrigin()[:n]
    check_lengths(path, spacing)
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = direction * spacing, origin
    check_geometry(path, affine)
    return LPS_RAS @ affine


def check_lengths(path: str | Path, lengths: Sequence[float] | np.ndarray, what: str = "its voxels measure") -> None:
    """:class:`InputError` ("... measure 0 x 1e+30 mm") for edges of a voxel, in mm, that nobody can mean."""
    if not all(_SMALLEST <= length <= _LARGEST for length in lengths):
        raise InputError(path, f"{what} {times(lengths)} mm", FIX_GEOMETRY)


def check_geometry(path: str | Path, affine: np.ndarray) -> None:
    """What is asked of the place of every scan, whatever it came in.

    Raises:
        InputError: not finite, of a size or at a place that nobody can mean, or sheared by more than about 0.06
            degrees.
    """
    if not np.isfinite(affine).all():
        raise InputError(path, "its axes or its origin are not finite numbers", FIX_GEOMETRY)
    axes = affine[:3, :3]
    if not (np.linalg.norm(axes, axis=0) > 0).all():
        raise InputError(path, "one of its axes has no length", FIX_GEOMETRY)
    check_lengths(path, np.linalg.norm(axes, axis=0))
    if np.abs(affine[:3, 3]).max() > _FARTHEST:
        raise InputError(path, f"its origin lies at {times(affine[:3, 3])} mm", FIX_GEOMETRY)
    if largest_cosine(axes) > _ORTHOGONAL:
        raise sheared(path, axes)


def real_numbers(path: Path, field: str, text: str, count: int) -> tuple[float, ...]:
    """The finite numbers of a field of a header, ``count`` of them, which ITK would guess where they are none.

    Raises:
        InputError: other words, not finite, or another number of them.
    """
    try:
        numbers = tuple(map(float, text.split()))
    except ValueError:
        numbers = ()
    if len(numbers) != count or not np.isfinite(numbers).all():
        raise InputError(path, f"is damaged: its header gives '{text[:60]}' as its {field}, not "
                         f"{count} finite number{'s' * (count > 1)}", FIX_GEOMETRY)
    return numbers


def check_handed(source: str | Path, voxels: np.ndarray, affine: np.ndarray) -> None:
    """What is asked of a file holds for an array and an affine that were handed over, too.

    Raises:
        InputError: no three axes, no voxel, no real numbers; or as for :func:`check_geometry`.
    """
    if voxels.ndim != 3 or not voxels.size or voxels.dtype.kind not in "biuf":
        shape = times(voxels.shape) or "no axes"
        raise InputError(source, f"is no volume of real numbers but an array of {voxels.dtype} with {shape}",
                         "Hand over an array (slice, row, column) of one number per voxel.")
    check_geometry(source, affine)


def voxel_bytes(reader: Any) -> int:
    """What a voxel of the file that a SimpleITK reader has looked into takes, all its components together."""
    import SimpleITK

    kind = SimpleITK.GetPixelIDValueAsString(reader.GetPixelID())
    bits = next((int(word) for word in kind.replace("-", " ").split() if word.isdigit()), 64)
    return math.ceil(bits / 8) * reader.GetNumberOfComponents()


def image_of(voxels: np.ndarray, affine: np.ndarray) -> Any:
    """The SimpleITK image of an array (slice, row, column) and its affine to RAS."""
    import SimpleITK

    lps = LPS_RAS @ affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    image = SimpleITK.GetImageFromArray(np.ascontiguousarray(voxels))
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    return image


def largest_cosine(axes: np.ndarray) -> float:
    """The largest |cosine| between two of the columns, 0 for axes at right angles."""
    units = axes / np.linalg.norm(axes, axis=0)
    return float(np.abs(units.T @ units)[np.triu_indices(3, 1)].max())


def sheared(path: str | Path, axes: np.ndarray) -> InputError:
    """The error for axes (columns) that are not at right angles."""
    angle = np.degrees(np.arccos(min(1.0, largest_cosine(axes))))
    return InputError(
        path, f"its axes are sheared: two of them meet at {angle:.2f} degrees instead of 90",
        "Resample it to a rectangular grid (in Slicer: Resample Scalar/Vector/DWI Volume), and use that.",
    )


def run(path: Path, call: Callable[[], Any]) -> Any:
    """The call's result, or ITK's complaint as an :class:`InputError`."""
    try:
        return call()
    except RuntimeError as error:
        text = str(error)
        reason, remedy = f"cannot be read; it is damaged or cut short ({last_line(text)})", COPY_AGAIN
        if "orthonormal" in text or "determinant" in text:
            reason, remedy = "its axes do not form a rectangular grid", FIX_GEOMETRY
        elif "spacing" in text.lower():
            reason, remedy = "one of its voxel sizes is zero or negative", FIX_GEOMETRY
        elif "Unable to determine ImageIO" in text:
            reason = "is no image in a format KAF can read, or is damaged"
            remedy = "Give NIfTI, NRRD, MetaImage or a DICOM folder."
        raise InputError(path, reason, remedy) from error


def last_line(text: str) -> str:
    """ITK puts what went wrong last; after a MetaImage cut short it says that the file is not there."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return next((line for line in reversed(lines) if "No such file" not in line), "no reason given")


@contextmanager
def quiet() -> Iterator[None]:
    """ITK prints warnings to stderr about what is checked here and said as text."""
    import SimpleITK

    before = SimpleITK.ProcessObject.GetGlobalWarningDisplay()
    SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        yield
    finally:
        SimpleITK.ProcessObject.SetGlobalWarningDisplay(before)


def times(numbers: Any) -> str:
    return " x ".join(f"{number:g}" for number in numbers)
