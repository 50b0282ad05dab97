"""The short-axis cine of a DICOM folder, however its series are cut: one per slice, one per phase, or all in one.

Images are told apart by where they lie, not by their series: those of one orientation and size are grouped, the group
with the most places is the stack, and the images of a place are put in order by their time in the cycle.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kaf.imaging.cine import Cine
from kaf.imaging.dicom import images_of, stack_of
from kaf.imaging.dicom_frames import Frame
from kaf.imaging.dicom_series import looks_like_dicom
from kaf.imaging.volume import Volume
from kaf.runtime.errors import InputError
from kaf.runtime.files import is_regular

# What orders the images of a place; the first that tells all of them apart is taken.
_TIMES = ("trigger time", "cardiac phase", "phase", "frame time", "acquisition", "acquired at")
_FEWEST_SLICES = 3
_SAME_PLACE = 0.5  # mm: slices of one series per slice may be rounded
_SAME_DIRECTION = 0.02  # of the components of unit vectors
_MISSING = 0.2  # share of the phases that may be missing in a slice


def read_dicom_cine(folder: Path) -> Cine:
    """The frames of the stack with the most slices, in all files below the folder.

    Raises:
        InputError: as :func:`kaf.imaging.cine.read_cine`.
    """
    files = sorted(str(path) for path in folder.rglob("*") if is_regular(path) and looks_like_dicom(path))
    if not files:
        raise InputError(folder, "holds neither volumes nor DICOM files", "Give a 4-D file, or a folder of phases.")
    images, alike = images_of(folder, files)
    groups = sorted(_groups(images), key=lambda group: (len(_places(group)), len(group)), reverse=True)
    chosen, others = groups[0], groups[1:]
    places = _places(chosen)
    if len(places) < _FEWEST_SLICES:
        views = f"{len(groups)} views of {len(places)} or fewer slices"
        raise InputError(folder, f"holds no short-axis stack but {views}, as two- and four-chamber views are",
                         "Give the folder of the short-axis cine.")
    warnings = []
    if others:
        slices = sum(len(_places(group)) for group in others)
        warnings.append(f"{sum(map(len, others))} images of {len(others)} other orientations or sizes were left out "
                        f"({slices} slices): long-axis views or localisers.")
    name = _time(folder, places)
    ordered, more = _even(folder, [_in_order(place, name) for place in places])
    phases = list(zip(*ordered, strict=True))
    frames = []
    for phase in phases:
        voxels, affine = stack_of(folder, phase, as_floats=not alike)
        frames.append(Volume(voxels, affine, str(folder), (), "MR"))
    times = _milliseconds(phases) if name == "trigger time" else ()
    return Cine(tuple(frames), times, str(folder), (*warnings, *more))


def _groups(images: Sequence[Frame]) -> list[list[Frame]]:
    """Images of one direction, size and pixel spacing."""
    groups: list[list[Frame]] = []
    for image in images:
        for group in groups:
            first = group[0]
            if (image.size == first.size and np.allclose(image.spacing, first.spacing, rtol=1e-3)
                    and np.allclose(image.orientation, first.orientation, atol=_SAME_DIRECTION)):
                group.append(image)
                break
        else:
            groups.append([image])
    return groups


def _places(group: Sequence[Frame]) -> list[list[Frame]]:
    """Images by their height along the normal."""
    normal = np.cross(group[0].orientation[:3], group[0].orientation[3:])
    heights = np.array([image.position for image in group]) @ normal
    order = np.argsort(heights, kind="stable")
    cuts = np.flatnonzero(np.diff(heights[order]) >= _SAME_PLACE) + 1
    return [[group[index] for index in part] for part in np.split(order, cuts)]


def _time(folder: Path, places: Sequence[Sequence[Frame]]) -> str:
    """The trait that tells the images of every place apart."""
    if max(map(len, places)) < 2:
        raise InputError(folder, "holds one image per slice, not a scan over time", "Give all phases.")
    for name in _TIMES:
        values = [[image.traits.get(name) for image in place] for place in places]
        if all(None not in row and len(set(row)) == len(row) for row in values):
            return name
    raise InputError(folder, "holds images at one place that no time tells apart: a slice may be there twice, or the "
                     "times were removed", "Keep one acquisition of each slice, with trigger times or phase numbers.")


def _in_order(place: Sequence[Frame], name: str) -> list[Frame]:
    return sorted(place, key=lambda image: image.traits[name])


def _even(folder: Path, places: Sequence[list[Frame]]) -> tuple[list[list[Frame]], list[str]]:
    """The same number of phases in every slice: that of most, where a few are missing in some."""
    count = Counter(map(len, places)).most_common(1)[0][0]
    filled, warnings = [], []
    for index, place in enumerate(places):
        if abs(len(place) - count) > max(1, _MISSING * count):
            raise InputError(folder, f"has {len(place)} phases in slice {index + 1} of {len(places)} and {count} in "
                             "most others", "Add the missing files, or take the slice out.")
        if len(place) != count:
            nearest = np.rint(np.arange(count) * len(place) / count).astype(int).clip(0, len(place) - 1)
            place = [place[number] for number in nearest]
            warnings.append(f"Slice {index + 1} of {len(places)} has another number of phases than the others "
                            f"({count}): the nearest in time were taken.")
        filled.append(place)
    return filled, warnings


def _milliseconds(phases: Sequence[Sequence[Frame]]) -> tuple[float, ...]:
    """The median trigger time of the slices of each phase."""
    times = [[image.traits["trigger time"] for image in phase] for phase in phases]
    return tuple(float(np.median([value for value in row if isinstance(value, float)])) for row in times)
