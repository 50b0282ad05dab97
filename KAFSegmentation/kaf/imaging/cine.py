"""A scan over time: a 4-D file, a folder of volumes, or a DICOM folder of slices and phases in any arrangement."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from kaf.imaging.file_names import EXTENSIONS, is_segmentation
from kaf.imaging.itk import name_of, quiet
from kaf.imaging.volume import Volume, read_volume
from kaf.runtime.errors import InputError

_SAME = 0.01  # mm that two frames of one scan may lie apart


@dataclass(frozen=True, eq=False)
class Cine:
    """frames: volumes on one grid, in the order of time; times_ms: of each, empty where the files do not say;
    warnings: what was left out or fixed, one sentence each."""

    frames: tuple[Volume, ...]
    times_ms: tuple[float, ...] = ()
    source: str = ""
    warnings: tuple[str, ...] = ()


def read_cine(path: str | Path, *more: str | Path) -> Cine:
    """The frames of a 4-D file, of a folder of 3-D files (in the order of their names), of a DICOM folder, or of
    several 3-D files that are named one by one.

    Raises:
        InputError: a file is missing or damaged; there is one frame only; frames lie on different grids; of a DICOM
            folder also: no stack of parallel slices, slices with too few phases, phases that nothing tells apart.
    """
    path = Path(path)
    if more:
        return _joined(path, [path, *map(Path, more)])
    if path.is_dir():
        files = _image_files(path)
        if files:
            return _joined(path, files)
        from kaf.imaging.dicom_cine import read_dicom_cine

        with quiet():
            return read_dicom_cine(path)
    count = _frames_in(path)
    if count < 2:
        raise InputError(path, "is a single volume, not a scan over time",
                         "Give a 4-D file, a folder of phases, or two files: end-diastole, and end-systole with --es.")
    return Cine(tuple(read_volume(path, frame=index) for index in range(count)), (), str(path))


def _image_files(folder: Path) -> list[Path]:
    """The volumes of a folder, label maps apart: frame 2 before frame 10."""
    try:
        names = [entry for entry in folder.iterdir() if entry.is_file()]
    except OSError as error:
        raise InputError(folder, f"cannot be read ({error.strerror})", "Check its permissions.") from error
    files = [file for file in names if file.name.lower().endswith(EXTENSIONS) and not file.name.startswith(".")
             and not is_segmentation(file)]
    return sorted(files, key=lambda file: [(int(part), "") if part.isdigit() else (-1, part)
                                           for part in re.split(r"(\d+)", file.name)])


def _joined(subject: Path, files: Sequence[Path]) -> Cine:
    if len(files) < 2:
        raise InputError(subject, "holds a single volume, not a scan over time",
                         "Give all phases, or at least end-diastole and end-systole.")
    frames = tuple(read_volume(file) for file in files)
    check_same_grid(frames)
    return Cine(frames, (), str(subject))


def check_same_grid(frames: Sequence[Volume]) -> None:
    """Raises InputError where a frame does not lie where the first one lies."""
    first = frames[0]
    corners = np.array([[x, y, z, 1.0] for x in (0, first.shape[2]) for y in (0, first.shape[1])
                        for z in (0, first.shape[0])])
    for frame in frames[1:]:
        if frame.shape != first.shape:
            sizes = [" x ".join(map(str, reversed(one.shape))) for one in (frame, first)]
            raise InputError(frame.source, f"has {sizes[0]} voxels where {first.source} has {sizes[1]}",
                             "Give phases of one scan.")
        apart = np.linalg.norm(corners @ (frame.affine - first.affine).T, axis=1).max()
        if apart > _SAME:
            raise InputError(frame.source, f"lies up to {apart:.3g} mm away from {first.source}",
                             "Give phases of one scan; resample them onto one grid if they are.")


def as_cine(volumes: Sequence[Volume], times_ms: Sequence[float] = ()) -> Cine:
    """Frames that are in memory.

    Raises:
        InputError: fewer than two, or on different grids.
    """
    if len(volumes) < 2:
        raise InputError("cine", "has a single frame", "Give at least end-diastole and end-systole.")
    check_same_grid(volumes)
    return Cine(tuple(replace(volume) for volume in volumes), tuple(times_ms), volumes[0].source)


def _frames_in(path: Path) -> int:
    """How many volumes a file holds; whoever reads it says what is wrong with it."""
    import SimpleITK

    from kaf.runtime.files import check_regular

    check_regular(path)
    reader = SimpleITK.ImageFileReader()
    reader.SetFileName(name_of(path))
    with quiet():
        try:
            reader.ReadImageInformation()
        except RuntimeError:
            read_volume(path)
            return 1
    size = reader.GetSize()
    return int(size[3]) if len(size) == 4 else 1
