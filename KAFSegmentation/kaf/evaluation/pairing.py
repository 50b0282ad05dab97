"""Which prediction belongs to which reference and scan, whether they share a grid, and what their labels are.

Two files belong together when their names are equal without the extension and without the usual endings for
segmentations (``_gt``, ``-seg``, ``_label`` ...).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import islice, product
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from kaf.imaging.file_names import EXTENSIONS, is_segmentation, stem_of, without_label_words
from kaf.imaging.labels import PALETTE, Label
from kaf.runtime.errors import InputError
from kaf.runtime.files import is_regular

if TYPE_CHECKING:
    from kaf.imaging.volume import Volume

_CHANNEL = re.compile(r"_0000$")  # first channel of a scan in nnU-Net's folders
_LOOK_AT = 3  # files of a folder, which is one of DICOM files or is not
_NAMED = 8  # how many files a message names before it only counts

# How far (mm) the same voxel may lie apart in two files: headers that round to six digits pass, and no metric
# can tell the difference; half a pixel does not pass.
GRID_TOLERANCE = 0.01


@dataclass(frozen=True)
class Pair:
    """One case to score; ``image`` is None where no scan was given.

    Attributes:
        drawn: what is drawn in a reference that is not just a file of values, read by whoever knows its layout; and
            ``meaning``, which changes with what that does to the files.
        annotated: values of the structures that were drawn in the reference wherever they are; None: all.
        names: value -> name of structures, where the folder of the references says so.
    """

    name: str
    prediction: Path
    reference: Path
    image: Path | None = None
    drawn: Callable[[], tuple[Volume, np.ndarray | None]] | None = field(default=None, compare=False, repr=False)
    meaning: str = ""
    annotated: frozenset[int] | None = None
    names: tuple[tuple[int, str], ...] = ()

    def read_reference(self) -> tuple[Volume, np.ndarray | None]:
        """The reference's label map, and where nobody has labelled anything (bool), or None.

        Raises:
            InputError: it cannot be read.
        """
        from kaf.imaging.volume import read_labels

        return self.drawn() if self.drawn is not None else (read_labels(self.reference), None)


def find_pairs(prediction: str | Path, reference: str | Path, images: str | Path = "",
               known: Mapping[str, Pair] | None = None) -> tuple[list[Pair], list[str]]:
    """The cases of two files or two folders, by name, and a sentence for each file without a counterpart.

    Two single files are a pair whatever their names; a file and a folder are matched by name.

    Args:
        known: the references by the names of their cases, where the folder is not one of label maps; the predictions
            of these pairs are not looked at.

    Raises:
        InputError: a path does not exist, a folder holds no segmentation or two for one case, or nothing
            matches.
    """
    made = {_case_name(name): pair for name, pair in (known or {}).items()}
    references = {name: pair.reference for name, pair in made.items()} if made else _by_case(Path(reference))
    predictions = _by_case(Path(prediction))
    if Path(prediction).is_file() and Path(reference).is_file():
        predictions = dict.fromkeys(references, Path(prediction))
    scans = _by_case(Path(images), scans=True) if str(images) and not _holds_dicom(Path(images)) else {}
    if len(references) == 1 and (Path(images).is_file() or _holds_dicom(Path(images))):
        scans = dict.fromkeys(references, Path(images))
    common = sorted(predictions.keys() & references.keys(), key=_natural)
    if not common:
        raise InputError(
            prediction, f"none of its {len(predictions)} segmentations has a counterpart in {reference} "
            f"({_few(predictions)} against {_few(references)})",
            "Give both files of a case the same name, apart from endings such as _gt or -seg.",
        )
    unmatched: list[str] = []
    if Path(reference).is_dir():
        unmatched += [f"{predictions[name]} has no reference in {reference}."
                      for name in sorted(predictions.keys() - references.keys(), key=_natural)]
    if Path(prediction).is_dir():
        unmatched += [f"{references[name]} has no prediction in {prediction}."
                      for name in sorted(references.keys() - predictions.keys(), key=_natural)]
    pairs = [made.get(name, Pair(name, predictions[name], references[name])) for name in common]
    return [replace(pair, prediction=predictions[name], image=scans.get(name, pair.image))
            for name, pair in zip(common, pairs, strict=True)], unmatched


def _case_of(path: Path) -> str:
    """What the reference, the prediction and the scan of a case are all called."""
    return _case_name(stem_of(path))


def _case_name(name: str) -> str:
    return without_label_words(name)


def _by_case(path: Path, scans: bool = False) -> dict[str, Path]:
    """Case name -> file.  In a folder of scans and labels together, the right one of the two is taken."""
    if path.is_file():
        return {_case_of(path): path}
    if not path.is_dir():
        raise InputError(path, "does not exist", "Check the path.")
    groups: dict[str, list[Path]] = {}
    try:
        content = sorted(path.iterdir())
    except OSError as error:
        raise InputError(path, f"cannot be read ({error.strerror})", "Check its permissions.") from error
    for file in content:
        if scans and _holds_dicom(file):
            groups.setdefault(_case_of(file), []).append(file)
        if not file.name.lower().endswith(EXTENSIONS) or file.name.startswith(".") or not file.is_file():
            continue
        name = _case_of(file)
        if not scans:
            groups.setdefault(name, []).append(file)
        elif not is_segmentation(file):
            groups.setdefault(_CHANNEL.sub("", name), []).append(file)
    if not groups:
        raise InputError(
            path, "holds no image file", f"Put {', '.join(EXTENSIONS)} files directly into the folder."
        )
    return {name: _choose(files) for name, files in groups.items()}


def _holds_dicom(path: Path) -> bool:
    """Whether it is a folder whose first files are DICOM."""
    if not path.is_dir() or path.name.startswith("."):
        return False
    from kaf.imaging.dicom_series import looks_like_dicom

    with suppress(OSError):
        files = islice((file for file in sorted(path.iterdir()) if is_regular(file)), _LOOK_AT)
        return any(looks_like_dicom(file) for file in files)
    return False


def _choose(files: list[Path]) -> Path:
    """The only file of a case, or the only one whose name says that it is a segmentation."""
    wanted = files if len(files) == 1 else [file for file in files if is_segmentation(file)]
    if len(wanted) != 1:
        raise InputError(
            files[0].parent, f"several files could be the one meant for case {_case_of(files[0])}: "
            + ", ".join(file.name for file in files), "Keep one of them in the folder.",
        )
    return wanted[0]


def _natural(name: str) -> list[tuple[int, str]]:
    """Sorts case 2 before case 10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


def _few(names: dict[str, Path]) -> str:
    listed = ", ".join(sorted(names, key=_natural)[:_NAMED])
    return listed + (", ..." if len(names) > _NAMED else "")


def require_same_grid(first: Volume, second: Volume) -> None:
    """Raises :class:`InputError` unless the voxels of both lie in the same places, within 0.01 mm."""
    if first.shape != second.shape:
        sizes = [" x ".join(str(n) for n in reversed(volume.shape)) for volume in (first, second)]
        reason = f"has {sizes[0]} voxels where {second.source} has {sizes[1]}"
    else:
        ends = ((0, n - 1) for n in reversed(first.shape))
        corners = np.array([(*corner, 1.0) for corner in product(*ends)])
        apart = float(np.linalg.norm(corners @ (first.affine - second.affine).T, axis=1).max())
        if apart <= GRID_TOLERANCE:
            return
        reason = f"lies on another grid than {second.source}: the same voxel is up to {apart:.3g} mm apart"
    raise InputError(
        first.source, reason,
        "Resample the prediction onto the reference (nearest neighbour), or segment the scan the reference "
        "was drawn on.",
    )


def named_labels(path: Path) -> dict[int, Label]:
    """Value -> label of the segments that a Slicer segmentation (.seg.nrrd) names; empty for other files."""
    if not path.name.lower().endswith((".nrrd", ".nhdr")):
        return {}
    import SimpleITK as sitk

    from kaf.imaging.itk import name_of

    reader = sitk.ImageFileReader()
    try:
        reader.SetFileName(name_of(path))
        reader.ReadImageInformation()
    except (RuntimeError, InputError):
        return {}  # whoever reads the voxels will say what is wrong
    # A key that is no text, as damage leaves it, cannot be asked for.
    keys = [key for key in reader.GetMetaDataKeys() if key.startswith("Segment") and key.isascii()]
    header = {key: reader.GetMetaData(key) for key in keys}
    found = {}
    for key in header:
        if (match := re.fullmatch(r"(Segment\d+_)LabelValue", key)) and header[key].strip().isdigit():
            value, start = int(header[key]), match[1]
            colour = _colour(header.get(start + "Color", ""), value)
            found[value] = Label(value, header.get(start + "Name", "").strip() or f"label {value}", colour)
    return found


def _colour(text: str, value: int) -> tuple[int, int, int]:
    """Slicer writes three numbers in 0..1."""
    try:
        red, green, blue = (min(255, max(0, round(255 * float(part)))) for part in text.split())
    except ValueError:
        return PALETTE[(value - 1) % len(PALETTE)]
    return red, green, blue


# Told apart on black, on white and with the common colour-vision deficiencies (after Okabe and Ito, 2008).
