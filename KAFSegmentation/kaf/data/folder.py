"""Any folder of scans -> cases: scans paired with their label maps, grouped by patient.

Only names are looked at (and one header per DICOM folder, for the patient), so that thousands of files take a
moment.  What was not understood is said in :attr:`Dataset.problems`; nothing is dropped in silence.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from kaf.data import names
from kaf.data.dicom_folders import are_dicom, dicom_scans, maybe_dicom_file
from kaf.data.pairing import Item, classify, count, distinct, first_channels, own_places, pair, some
from kaf.data.walk import walk
from kaf.imaging.file_names import split_extension, without_image_word
from kaf.runtime.errors import InputError
from kaf.runtime.events import Message
from kaf.runtime.message_codes import TEST_SCANS, UNLABELLED


@dataclass(frozen=True)
class Case:
    """One scan: its name (unique in its dataset), its patient, its file or DICOM folder, its label map."""

    name: str
    patient: str
    image: Path
    label: Path | None = None


@dataclass(frozen=True)
class Dataset:
    """The cases of a folder, by name; ``layout`` and ``problems`` are words for the user.

    ``cases`` are those to learn from.  ``test`` are those in folders for testing (imagesTs, testing, ...), which no
    training, validation or pretraining may see.
    """

    root: Path
    layout: str
    cases: tuple[Case, ...]
    problems: tuple[str, ...] = ()
    unlabelled_problem: str = ""
    test: tuple[Case, ...] = ()

    def warnings(self) -> tuple[Message, ...]:
        """The problems, and that some scans have no label map, as messages of a run."""
        found = [Message(problem, "warning") for problem in self.problems]
        if self.unlabelled_problem:
            found.append(Message(self.unlabelled_problem, "warning", UNLABELLED,
                                 {"cases": [case.name for case in self.unlabelled]}))
        if self.test:
            found.append(Message(f"{count(self.test, 'test scan')} (in {self.test_folders}), not used for training, "
                                 f"validation or pretraining: {some(case.name for case in self.test)}.", "info",
                                 TEST_SCANS, {"cases": [case.name for case in self.test]}))
        return tuple(found)

    @property
    def every(self) -> tuple[Case, ...]:
        """The cases to learn from and those for testing."""
        return (*self.cases, *self.test)

    @property
    def test_folders(self) -> str:
        """"imagesTs": the folders below the root that make their scans test scans, or their places."""
        found = {next((part for part in relative if names.split_of(part) == "test"), "")
                 for case in self.test for relative in [case.image.relative_to(self.root).parts]}
        return " and ".join(sorted(found))

    @property
    def labelled(self) -> tuple[Case, ...]:
        return tuple(case for case in self.cases if case.label is not None)

    @property
    def unlabelled(self) -> tuple[Case, ...]:
        return tuple(case for case in self.cases if case.label is None)

    @property
    def patients(self) -> tuple[str, ...]:
        """Every patient once, sorted."""
        return tuple(sorted({case.patient for case in self.cases}))


def scan_folder(folder: str | Path) -> Dataset:
    """What lies in ``folder`` and below: scans, their label maps, their patients.

    Understood: images/ and labels/ (also imagesTr, scans/masks, ...), label maps beside the scans
    (``case01_gt``, ``case01.seg.nrrd``), one folder per case, nnU-Net channel suffixes, BIDS with
    derivatives, trees of DICOM series, scans without labels.

    Raises:
        InputError: the folder is missing, is a file, cannot be read, or holds no scan.
    """
    root = Path(folder).expanduser()
    problems: list[str] = []
    files, others = _walk(root, problems)
    files, patient_ids = dicom_scans(files, problems)
    items = classify(files, problems)
    labels = [item for item in items if item.label]
    images = distinct((item for item in items if not item.label), problems)
    if not images:
        _raise_empty(root, labels, others, problems)
    images, channels = first_channels(images, labels, problems)
    pairs = pair(images, labels, problems)
    every = _cases(root, images, pairs, patient_ids)
    testing = {item.path for item in images if item.split == "test"}
    cases, test = [case for case in every if case.image not in testing], [c for c in every if c.image in testing]
    problems += _shared_patients(cases, test)
    unlabelled, missing = [case.name for case in cases if case.label is None], ""
    if len(unlabelled) < len(cases) and unlabelled:
        missing = f"{count(unlabelled, 'scan')} without a label map: {some(unlabelled)}"
    if not pairs:
        problems.extend(_hints(root, images))
    learning = [item for item in images if item.split != "test"] or images
    return Dataset(root, _layout(learning, pairs, channels), tuple(cases), tuple(problems), missing, tuple(test))


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
    root: Path, images: Sequence[Item], pairs: dict[Path, Item], patient_ids: dict[Path, str]
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
        patient = patient_ids.get(item.path) or _patient(item, home, per_case, len(times) < len(short))
        label = pairs.get(item.path)
        cases.append(Case(name, patient, item.path, label.path if label else None))
    return sorted(cases, key=lambda case: (case.name, case.image))


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


def _layout(images: Sequence[Item], pairs: dict[Path, Item], channels: bool) -> str:
    """What was understood, as text."""
    dicom = sum(not item.extension for item in images)
    scans = "DICOM series" if dicom == len(images) else "scan files and DICOM series" if dicom else "scans"
    if any(part.startswith("sub-") for item in images for part in item.relative):
        return "sub-... folders, as in BIDS, " + ("with label maps" if pairs else "without label maps")
    if not any(item.path in pairs for item in images):
        return f"{scans} without label maps"
    paired = [item for item in images if item.path in pairs]
    maps = [pairs[item.path] for item in paired]
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
