"""Any folder of scans -> cases: scans paired with their label maps, grouped by patient.

Only names are looked at (and one header per DICOM folder, for the patient), so that thousands of files take a
moment.  What was not understood is said in :attr:`Dataset.problems`; nothing is dropped in silence.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from kaf.data import names
from kaf.data.case import Case, Mask
from kaf.data.dataset import Dataset
from kaf.data.description import Description, read_description
from kaf.data.dicom_folders import DicomScan, are_dicom, dicom_scans, maybe_dicom_file
from kaf.data.matching import Pairs, pair
from kaf.data.numbering import number_structures
from kaf.data.pairing import Item, classify, count, distinct, first_channels, own_places, some
from kaf.data.structure_sets import match_structure_sets
from kaf.data.walk import walk
from kaf.imaging.file_names import split_extension, without_image_word
from kaf.runtime.errors import InputError

__all__ = ["Case", "Dataset", "scan_folder"]


def scan_folder(folder: str | Path) -> Dataset:
    """What lies in ``folder`` and below: scans, their label maps, their patients.

    Understood: images/ and labels/ (also imagesTr, scans/masks, ...), label maps beside the scans
    (``case01_gt``, ``case01.seg.nrrd``), one folder per case, one mask per structure, nnU-Net channel suffixes, BIDS
    with derivatives, trees of DICOM series with or without structure sets (RTSTRUCT), scans without labels; what
    ``dataset.json`` says.

    Raises:
        InputError: the folder is missing, is a file, cannot be read, or holds no scan.
    """
    root = Path(folder).expanduser()
    problems: list[str] = []
    files, others = _walk(root, problems)
    files, dicom = dicom_scans(files, problems)
    items = classify(files, problems)
    labels = [item for item in items if item.label]
    images = distinct((item for item in items if not item.label), problems)
    if not images:
        _raise_empty(root, labels, others, problems)
    images, channels = first_channels(images, labels, problems)
    pairs = pair(images, labels, problems)
    every = _cases(root, images, pairs, dicom)
    every = match_structure_sets(every, dicom, problems)
    testing = {item.path for item in images if item.split == "test"}
    description = read_description(root)
    problems += description.problems
    every, label_names = number_structures(_with_channels(every, description), description, problems)
    cases, test = [case for case in every if case.image not in testing], [c for c in every if c.image in testing]
    problems += [*_missing_files(root, description.files), *_shared_patients(cases, test)]
    unlabelled, missing = [case.name for case in cases if case.label is None], ""
    if len(unlabelled) < len(cases) and unlabelled:
        missing = f"{count(unlabelled, 'scan')} without a label map: {some(unlabelled)}"
    if all(case.label is None for case in every):
        problems.extend(_hints(root, images))
    learning = [item for item in images if item.split != "test"] or images
    layout = _layout(learning, pairs, channels, [case for case in every if case.masks])
    return Dataset(root, layout, tuple(cases), tuple(problems), missing, tuple(test), label_names, description)


def _walk(root: Path, problems: list[str]) -> tuple[list[Item], Counter[str]]:
    """Volumes and DICOM folders below ``root``, and how many other files there are by extension."""
    if not root.exists():
        raise InputError(root, "there is no such folder", "Check the path, and that its disk is connected.")
    if not root.is_dir():
        raise InputError(root, "is a file, not a folder", f"Give the folder that holds it: {root.parent}.")

    items: list[Item] = []
    others: Counter[str] = Counter()
    for place, relative, files in walk(root, problems):
        maybe_dicom: list[str] = []
        volumes = []
        for name in files:
            stem, extension = split_extension(name)
            if extension:
                volumes.append(Item(place / name, relative, stem, extension))
            elif maybe_dicom_file(name):
                maybe_dicom.append(name)
            else:
                others[Path(name).suffix.lower()] += 1
        items.extend(volumes)
        if not are_dicom(place, maybe_dicom):
            others.update(Path(name).suffix.lower() for name in maybe_dicom)
        elif volumes:  # slices and a label map in one folder: it is the case's folder
            items.append(Item(place, relative, "dicom", ""))
        else:
            *above, own = relative or (root.resolve().name,)
            items.append(Item(place, tuple(above), own, ""))
    return items, others


def _cases(
    root: Path, images: Sequence[Item], pairs: Pairs, dicom: dict[Path, DicomScan]
) -> list[Case]:
    """Names that are unique, patients that keep the scans of one person together.

    A scan to learn from keeps its name where only a test scan has the same.
    """
    home = root.resolve().name
    images = sorted(images, key=lambda item: item.split == "test")
    short = [without_image_word(item.stem) if item.key else (home, *item.relative)[-1] for item in images]
    times = Counter(name.casefold() for name in short)
    learning = Counter(name.casefold() for item, name in zip(images, short, strict=True) if item.split != "test")
    # The same few names in every folder: a folder is a case.
    per_case = len({item.stem.casefold() for item in images}) < len({item.relative for item in images})
    taken: set[str] = set()
    cases = []
    for item, name in zip(images, short, strict=True):
        if (times if item.split == "test" else learning)[name.casefold()] > 1:
            name = "_".join((*item.relative, item.stem))
        while name.casefold() in taken:
            name += "-2"
        taken.add(name.casefold())
        patient = dicom[item.path].patient if item.path in dicom else _patient(
            item, home, per_case, len(times) < len(short))
        label, masks = pairs.maps.get(item.path), pairs.masks.get(item.path, {})
        place = label.path if label else _place(masks) if masks else None
        cases.append(Case(name, patient, item.path, place, tuple(Mask(of, mask.path) for of, mask in masks.items()),
                          more=tuple(path for _, path in item.more)))
    return sorted(cases, key=lambda case: (case.name, case.image))


def _with_channels(cases: Sequence[Case], description: Description) -> list[Case]:
    """The cases with the names of their channels: those of files of their own, or the frames of 4-D files where
    dataset.json names several."""
    named = description.channels
    if any(case.more for case in cases):
        names = tuple(named.get(number, f"channel {number}") for number in range(1 + max(len(c.more) for c in cases)))
        return [replace(case, channels=names[:1 + len(case.more)]) if case.more else case for case in cases]
    if len(named) > 1 and all(case.image.is_file() for case in cases):
        return [replace(case, channels=tuple(named.values()), frames=len(named)) for case in cases]
    return list(cases)


def _place(masks: dict[str, Item]) -> Path:
    """What is shown for the label map of a case: the folder of its masks, or the first of those that lie elsewhere."""
    paths = sorted(mask.path for mask in masks.values())
    folders = {path.parent for path in paths}
    return folders.pop() if len(folders) == 1 and all(mask.labels_folder for mask in masks.values()) else paths[0]


def _missing_files(root: Path, files: Sequence[str]) -> list[str]:
    """Words about files that dataset.json names and that are not there."""
    gone = [name for name in files if not _is_there(root, name)]
    if not gone:
        return []
    return [f"dataset.json names {count(gone, 'file')} of {len(files)} that {'is' if len(gone) == 1 else 'are'} not in "
            f"the folder: {some(gone)}. Add what is missing, or correct dataset.json"]


def _is_there(root: Path, name: str) -> bool:
    """Whether a file is there, or the first channel of a scan that nnU-Net's first version names without its number."""
    try:
        if (root / name).exists():
            return True
        stem, extension = split_extension(name)
        return bool(extension) and (root / f"{stem}_0000{extension}").exists()
    except (OSError, ValueError):
        return False


def _shared_patients(cases: Sequence[Case], test: Sequence[Case]) -> list[str]:
    """Words about patients who are on both sides."""
    both = sorted({case.patient for case in cases} & {case.patient for case in test})
    if not both:
        return []
    return [f"{count(both, 'patient')} in both training and test by the names of their scans: {some(both)}. If these "
            "are the same people, test scores will be too good: take their scans out of one of the two, or leave "
            "these patients out"]


def _patient(item: Item, home: str, per_case: bool, clash: bool) -> str:
    """By BIDS, by a folder that is a patient's, else by the file name (with its folder where names clash)."""
    place = own_places(item)
    if any(part.startswith("sub-") for part in (*place, item.stem)):
        return names.patient_of("/".join((*place, item.stem)))
    for part in place:
        if names.is_patient_folder(part, item.stem):
            return names.patient_of(part)
    if not names.case_key(item.full) or (per_case and place):
        return names.patient_of((home, *place)[-1])
    return names.patient_of("_".join((*place, item.stem)) if clash else item.stem)


def _layout(images: Sequence[Item], pairs: Pairs, channels: bool, masked: Sequence[Case]) -> str:
    """What was understood, as text."""
    dicom = sum(not item.extension for item in images)
    scans = "DICOM series" if dicom == len(images) else "scan files and DICOM series" if dicom else "scans"
    paired = [item for item in images if item.path in pairs.maps]
    maps = [pairs.maps[item.path] for item in paired]
    if any(part.startswith("sub-") for item in images for part in item.relative):
        return "sub-... folders, as in BIDS, " + ("with label maps" if pairs.maps else "without label maps")
    if masked:
        sets = all(not split_extension(mask.path.name)[1] for case in masked for mask in case.masks)
        kind = "DICOM structure sets (RTSTRUCT)" if sets else "one mask per structure"
        return f"{scans} with {kind}" + (", some with label maps" if paired else "")
    if not paired:
        return f"{scans} without label maps"
    folders = sorted({label.labels_folder for label in maps})
    if all(folders) and all(item.images_folder for item in paired):
        known = "nnU-Net" if channels else "the Medical Segmentation Decathlon"
        both = " and ".join((*sorted({item.images_folder for item in paired}), *folders))
        return f"{both}, as in {known}" if "labelsTr" in folders else both
    if all(folders):
        return f"{scans} with label maps in {' and '.join(folders)}"
    if len({item.relative for item in paired}) == len(paired) > 1:
        return f"one folder per case, with {scans} and label maps"
    words = " and ".join(sorted({label.label for label in maps}))
    return f"label maps beside the {scans}, recognised by {words} in their names"


def _hints(root: Path, images: Sequence[Item]) -> list[str]:
    """Words for likely reasons why no label map was found."""
    hints = []
    home = root.resolve()
    if names.folder_role(home.name)[0] == "image":
        near: list[str] = []
        with suppress(OSError):  # it may be closed to us
            near = sorted(path.name for path in home.parent.iterdir())
        beside = [name for name in near if names.folder_role(name)[0] == "label"]
        if beside:
            hints.append(f"a folder {beside[0]} lies beside this one: give {home.parent} to use it")
    folders: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for item in images:
        folders[item.relative].add(item.stem.casefold())
    stems = set.intersection(*folders.values())
    if len(folders) == 2 and len(stems) > max(1, min(map(len, folders.values())) // 2):
        both = " and ".join("/".join(folder) or "." for folder in folders)
        hints.append(f"{both} hold files of the same names: if one of them holds label maps, name it labels")
    elif len(folders) > 2 and len(stems) > 1:
        hints.append(f"every folder holds {some(sorted(stems))}: if one of them is the label map, "
                     "end its name in _gt")
    return hints


def _raise_empty(root: Path, labels: Sequence[Item], others: Counter[str], problems: Sequence[str]) -> None:
    if labels:
        raise InputError(root, f"holds {count(labels, 'label map')} but no scan",
                         "Put the scans beside the label maps, or in a folder images next to labels.")
    found = ", ".join(f"{number} {suffix or 'without extension'}" for suffix, number in others.most_common(3))
    why = "; ".join(problems) or (f"files found: {found}" if found else "it is empty")
    unpack = "Unpack the archive first; " if {".zip", ".gz", ".tar", ".7z", ".rar"} & set(others) else ""
    raise InputError(root, f"holds no scan ({why})",
                     f"{unpack}KAF reads NIfTI (.nii, .nii.gz), NRRD (.nrrd, .nhdr), MetaImage (.mha, .mhd) "
                     "and folders of DICOM files.")
