"""Any folder of scans -> cases: scans paired with their label maps, grouped by patient.

Only names are looked at (and one header per DICOM folder, for the patient), so a scan of thousands of files
takes a moment.  What was not understood is said in :attr:`Dataset.problems`; nothing is dropped in silence.
"""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from kaf.data import names
from kaf.errors import InputError

_DICOM_EXTENSIONS = (".dcm", ".dicom", ".ima", ".dc3")
_CHANNEL = re.compile(r"^(.+)_(\d{4})$")
_NOT_SCANS = {"func", "dwi", "fmap", "perf", "eeg", "meg", "ieeg", "beh", "motion", "nirs", "micr"}
_FORMATS = "KAF reads NIfTI (.nii, .nii.gz), NRRD (.nrrd), MetaImage (.mha, .mhd) and folders of DICOM files"


@dataclass(frozen=True)
class Case:
    """One scan: its name (unique in its dataset), its patient, its file or DICOM folder, its label map."""

    name: str
    patient: str
    image: Path
    label: Path | None = None


@dataclass(frozen=True)
class Dataset:
    """The cases of a folder in the order of their names; ``layout`` and ``problems`` are words for the user."""

    root: Path
    layout: str
    cases: tuple[Case, ...]
    problems: tuple[str, ...] = ()

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


@dataclass(frozen=True)
class _Item:
    """A volume file or DICOM folder; ``folder`` is its place without the words "images" or "labels"."""

    path: Path
    relative: tuple[str, ...]  # folders from the root
    folder: tuple[str, ...]
    stem: str
    extension: str  # "" for DICOM
    label: str = ""  # the word that makes it a label map
    labels_folder: str = ""
    key: str = ""

    @property
    def where(self) -> tuple[tuple[str, ...], str]:
        return self.folder, self.key


def scan_folder(folder: str | Path) -> Dataset:
    """What lies in ``folder`` (and below): scans, their label maps, their patients.

    Understood: images/ and labels/ (also imagesTr, scans/masks, ...), label maps beside the scans
    (``case01_gt``, ``case01.seg.nrrd``), one folder per case, nnU-Net channel suffixes, BIDS with derivatives,
    trees of DICOM series, scans without labels.

    Raises:
        InputError: the folder is missing, is a file, cannot be read, or holds no scan.
    """
    root = Path(folder).expanduser()
    problems: list[str] = []
    items, others = _walk(root, problems)
    items = _classify(items, problems)
    images = _distinct([item for item in items if not item.label], problems)
    labels = [item for item in items if item.label]
    if not images:
        _raise_empty(root, labels, others)
    images, channels = _first_channels(images, labels, problems)
    pairs = _pair(images, labels, problems)
    cases = _cases(root, images, pairs, problems)
    unlabelled = [case.name for case in cases if case.label is None]
    if pairs and unlabelled:
        problems.append(f"{_count(unlabelled, 'scan')} without a label map: {_some(unlabelled)}")
    _hint_unpaired(root, images, bool(pairs), problems)
    return Dataset(root, _layout(images, pairs, channels), tuple(cases), tuple(problems))


def _walk(root: Path, problems: list[str]) -> tuple[list[_Item], Counter[str]]:
    """Volumes and DICOM folders below ``root``, and how many other files there are by extension."""
    if not root.exists():
        raise InputError(root, "there is no such folder", "Check the path, and that the disk is connected.")
    if not root.is_dir():
        raise InputError(root, "is a file, not a folder", f"Give the folder that holds the scans: {root.parent}.")

    def failed(error: OSError) -> None:
        if Path(error.filename) == root:
            raise InputError(root, f"cannot be read ({error.strerror})",
                             "Ask for permission to read it, or copy the scans to a folder of yours.") from error
        problems.append(f"the folder {Path(error.filename).relative_to(root)} cannot be read ({error.strerror})")

    items: list[_Item] = []
    others: Counter[str] = Counter()
    seen: set[str] = set()
    for place, folders, files in os.walk(root, onerror=failed, followlinks=True):
        real = os.path.realpath(place)
        # A link to a folder above would never end.
        folders[:] = [] if real in seen else sorted(f for f in folders if not f.startswith((".", "__MACOSX")))
        if real in seen:
            continue
        seen.add(real)
        relative = Path(place).relative_to(root).parts
        dicom: list[str] = []
        for name in sorted(f for f in files if not f.startswith(".")):
            stem, extension = names.split_extension(name)
            if extension:
                items.append(_Item(Path(place, name), relative, relative, stem, extension))
            elif _maybe_dicom(name):
                dicom.append(name)
            else:
                others[Path(name).suffix.lower()] += 1
        if _are_dicom(place, dicom):
            beside = any(item.relative == relative for item in items)
            inside = relative if beside or not relative else relative[:-1]
            stem = "dicom" if beside else (relative or (root.resolve().name,))[-1]
            items.append(_Item(Path(place), inside, inside, stem, ""))
        else:
            others.update(Path(name).suffix.lower() for name in dicom)
    return items, others


def _maybe_dicom(name: str) -> bool:
    suffix = Path(name).suffix.lower()
    return name.upper() != "DICOMDIR" and (suffix in (*_DICOM_EXTENSIONS, "") or suffix[1:].isdigit())


def _are_dicom(place: str, candidates: list[str]) -> bool:
    """DICOM by extension, or by the four letters after the preamble of one of the first files."""
    if any(name.lower().endswith(_DICOM_EXTENSIONS) for name in candidates):
        return True
    for name in candidates[:3]:
        try:
            with open(os.path.join(place, name), "rb") as file:
                file.seek(128)
                if file.read(4) == b"DICM":
                    return True
        except OSError:
            continue
    return False


def _classify(items: list[_Item], problems: list[str]) -> list[_Item]:
    """Each item's key, and whether it is a label map by its folder or by its name."""
    bids = any(item.stem.startswith("sub-") or "derivatives" in item.relative for item in items)
    stems = {(item.relative, item.stem.casefold()) for item in items}
    result, series, derived, inside = [], [], [], []
    for item in items:
        roles = [names.folder_role(part) for part in item.relative]
        folder = tuple(split or "" if role else part
                       for part, (role, split) in zip(item.relative, roles, strict=True))
        folder = tuple(part for part in folder if part)
        role = next((role for role, _ in reversed(roles) if role), "")
        word, stem = names.label_word(item.stem, item.extension), item.stem
        middle = names.LABEL_MIDDLE.match(stem.casefold())
        if not word and middle and (item.relative, middle[1]) in stems:
            word, stem = middle[2], stem[: len(middle[1])]
        if not item.extension:
            word = ""
        labels_folder = next((part for part, (r, _) in zip(item.relative, roles, strict=True) if r == "label"), "")
        if role == "label" and item.extension:
            word = word or "label"
        elif word and role == "image":
            inside.append(item)
        if bids:
            folder = ()
            if not word and "derivatives" in item.relative:
                derived.append(item.path.name)
                continue
        if not word and (item.stem.casefold().endswith("_4d") or (bids and _NOT_SCANS & set(item.relative))):
            series.append(item.path.name)
            continue
        key = names.case_key(stem)
        result.append(replace(item, folder=folder, label=word, labels_folder=labels_folder, key=key))
    if inside and any(item.labels_folder for item in result):
        listed = [item.path.name for item in inside]
        problems.append(f"{_count(listed, 'label map')} among the images: {_some(listed)}")
    if series:
        problems.append(f"{_count(series, 'time series', 'time series')} left out: {_some(series)}")
    if derived:
        problems.append(f"{_count(derived, 'derived image')} under derivatives left out: {_some(derived)}")
    return result


def _distinct(images: list[_Item], problems: list[str]) -> list[_Item]:
    """One item per scan: the same name in two formats is one scan, two scans under one key are told apart."""
    groups: dict[object, list[_Item]] = defaultdict(list)
    for item in images:
        groups[item.where].append(item)
    result = []
    for group in groups.values():
        stems: dict[object, list[_Item]] = defaultdict(list)
        for item in group:
            stems[item.relative, item.stem.casefold()].append(item)
        for same in stems.values():
            same.sort(key=_preference)
            if len(same) > 1:
                listed = [item.path.name for item in same]
                problems.append(f"the same scan {len(same)} times: {_some(listed)}; {listed[0]} is used")
            best = same[0]
            result.append(best if len(stems) == 1 else
                          replace(best, folder=best.relative, key=best.stem.casefold()))
    return result


def _preference(item: _Item) -> int:
    return names.EXTENSIONS.index(item.extension) if item.extension else -1


def _first_channels(images: list[_Item], labels: list[_Item], problems: list[str]) -> tuple[list[_Item], bool]:
    """nnU-Net's ``case_0000``, ``case_0001``: the first channel stands for the case, the others are named."""
    label_keys = {item.key for item in labels}
    matches = {item.path: match for item in images if (match := _CHANNEL.match(item.key))}
    heads = Counter(match[1] for match in matches.values())
    if len(matches) < len(images) or max(int(m[2]) for m in matches.values()) > 15:
        return images, False
    if any(item.key in label_keys for item in images):
        return images, False
    zeros = {m[1] for m in matches.values() if int(m[2]) == 0}
    if not (label_keys & set(heads)) and not (len(heads) > 1 and zeros == set(heads)):
        return images, False
    groups: dict[object, list[_Item]] = defaultdict(list)
    for item in images:
        groups[item.folder, matches[item.path][1]].append(item)
    result = []
    for (_, head), group in groups.items():  # type: ignore[misc]
        first = min(group, key=lambda item: item.key)
        result.append(replace(first, key=head, stem=first.stem[:-5]))
    several = [matches[g[0].path][1] for g in groups.values() if len(g) > 1]
    if several:
        problems.append(f"{_count(several, 'case')} with several channels ({_some(several)}): multi-channel is "
                        "not supported yet, channel 0000 is used")
    return result, True


def _pair(images: list[_Item], labels: list[_Item], problems: list[str]) -> dict[Path, _Item]:
    """The label map of each image path: by place and key, else by the only scan that it can belong to."""
    exact = {item.where: item for item in images}
    by_folder: dict[object, list[_Item]] = defaultdict(list)
    by_key: dict[str, list[_Item]] = defaultdict(list)
    by_contrast: dict[object, list[_Item]] = defaultdict(list)
    for item in images:
        by_folder[item.folder].append(item)
        by_key[item.key].append(item)
        if head := names.without_modality(item.key):
            by_contrast[item.folder, head].append(item)
    found: dict[Path, list[_Item]] = defaultdict(list)
    lost = []
    for label in labels:
        image = exact.get(label.where)
        if image is None and label.where in by_contrast:
            fitting = sorted(by_contrast[label.where], key=lambda item: names.modality_rank(item.key))
            image = fitting[0]
            if len(fitting) > 1:
                problems.append(f"{label.path.name} fits {len(fitting)} scans ({_some(i.stem for i in fitting)}): "
                                f"multi-channel is not supported yet, it is taken for {image.stem}")
        if image is None and len(by_folder[label.folder]) == 1 and (label.folder or not label.key):
            image = by_folder[label.folder][0]
        if image is None and label.key and len(by_key[label.key]) == 1:
            image = by_key[label.key][0]
        if image is None:
            lost.append("/".join((*label.relative, label.path.name)))
        else:
            found[image.path].append(label)
    if lost:
        problems.append(f"{_count(lost, 'label map')} without a scan: {_some(lost)}")
    pairs = {}
    for path, fitting in found.items():
        best = _best_label(path, fitting, problems)
        if best:
            pairs[path] = best
    return pairs


def _best_label(image: Path, labels: list[_Item], problems: list[str]) -> _Item | None:
    """The label map to use; None where several fit equally well (one per structure, say)."""
    labels = sorted(labels, key=lambda item: (names.LABEL_WORDS.index(item.label), item.stem, _preference(item)))
    first = labels[0]
    if len(labels) == 1:
        return first
    rivals = [item for item in labels if item.label == first.label and item.stem != first.stem]
    listed = [item.path.name for item in labels]
    use = "none is used; join them into one label map" if rivals else f"{first.path.name} is used"
    problems.append(f"{len(labels)} label maps for the scan {image.name} ({_some(listed)}): {use}")
    return None if rivals else first


def _cases(root: Path, images: list[_Item], pairs: dict[Path, _Item], problems: list[str]) -> list[Case]:
    """Names that are unique, patients that keep the scans of one person together."""
    stems = {item.stem.casefold() for item in images}
    per_case = len(stems) < len({item.relative for item in images})  # the same few names in every folder
    short = [names.case_name(item.stem) if item.key else (*item.relative, root.name)[-1 if not item.relative
             else len(item.relative) - 1] for item in images]
    clash = len({name.casefold() for name in short}) < len(short)
    patients = _dicom_patients([item for item in images if not item.extension], problems)
    cases = []
    for item, name in zip(images, short, strict=True):
        if clash:
            name = "_".join((*item.relative, item.stem))
        patient = patients.get(item.path) or _patient(item, name, per_case)
        label = pairs.get(item.path)
        cases.append(Case(name, patient, item.path, label.path if label else None))
    return sorted(cases, key=lambda case: (case.name, str(case.image)))


def _patient(item: _Item, name: str, per_case: bool) -> str:
    place = [part for part in item.relative if not names.folder_role(part)[0] and not names.is_split(part)]
    if any(part.startswith("sub-") for part in (*place, item.stem)):
        return names.patient_of("/".join((*place, item.stem)))
    for part in place:
        if names.is_patient_folder(part, item.stem):
            return names.patient_of(part)
    if place and (per_case or not item.key or not item.extension):
        return names.patient_of(place[0] if not item.extension else place[-1])
    return names.patient_of("_".join((*place, item.stem)) if name != item.stem and place else name)


def _dicom_patients(series: list[_Item], problems: list[str]) -> dict[Path, str]:
    """The PatientID of each series; the top folder's name where there is none or all share one."""
    found = {item.path: _patient_id(item.path) for item in series}
    tops = {item.path: (*item.relative, item.stem)[0] for item in series}
    if len(set(found.values())) == 1 and len(set(tops.values())) > 1 and all(found.values()):
        problems.append(f"every DICOM series says PatientID {next(iter(found.values()))}: patients are told apart "
                        "by their folders")
        return tops
    return {path: identity or tops[path] for path, identity in found.items()}


def _patient_id(folder: Path) -> str:
    """PatientID (0010,0020) of the first file of a series that says one, else ""."""
    import SimpleITK as sitk  # takes a quarter of a second, and only DICOM needs it

    for file in sorted(path for path in folder.iterdir() if _maybe_dicom(path.name))[:3]:
        reader = sitk.ImageFileReader()
        reader.SetFileName(str(file))
        try:
            reader.ReadImageInformation()
            if reader.HasMetaDataKey("0010|0020"):
                return reader.GetMetaData("0010|0020").strip().strip("\0")
        except RuntimeError:
            continue
    return ""


def _layout(images: list[_Item], pairs: dict[Path, _Item], channels: bool) -> str:
    """What was understood, in words."""
    dicom = sum(not item.extension for item in images)
    scans = "DICOM series" if dicom == len(images) else "DICOM series and files" if dicom else "scans"
    if any(item.stem.startswith("sub-") for item in images):
        return "sub-… folders, as in BIDS" + (", with label maps" if pairs else ", without label maps")
    if not pairs:
        return f"{scans} without label maps" if dicom else "scans without label maps"
    folders = sorted({item.labels_folder for item in pairs.values()})
    if "labelsTr" in folders:
        known = "nnU-Net" if channels else "the Medical Segmentation Decathlon"
        return f"imagesTr and labelsTr, as in {known}"
    places = {item.path: item.relative for item in images}
    if all(folders):
        image_folders = {next((p for p in places[path] if names.folder_role(p)[0] == "image"), "") for path in pairs}
        if all(image_folders):
            return f"{' and '.join(sorted(image_folders))} and {' and '.join(folders)}"
        return f"{scans} with label maps in {' and '.join(folders)}"
    if len({places[path] for path in pairs}) == len(pairs) > 1:
        return f"one folder per case, with {scans} and label maps"
    words = sorted({item.label for item in pairs.values()})
    return f"label maps beside the {scans}, told by {' and '.join(words)} in their names"


def _hint_unpaired(root: Path, images: list[_Item], paired: bool, problems: list[str]) -> None:
    """Words for the two likely reasons why nothing was paired."""
    if paired:
        return
    if names.folder_role(root.name)[0] == "image":
        beside = [path.name for path in root.parent.iterdir() if names.folder_role(path.name)[0] == "label"]
        if beside:
            problems.append(f"a folder {beside[0]} lies beside this one: give {root.parent} to use its label maps")
    folders: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for item in images:
        folders[item.relative].add(item.stem.casefold())
    if len(folders) == 2:
        (one, first), (two, second) = folders.items()
        if len(first & second) > max(1, min(len(first), len(second)) // 2):
            problems.append(f"{'/'.join(one) or '.'} and {'/'.join(two) or '.'} hold files of the same names: if one "
                            "of them holds label maps, name it labels")


def _raise_empty(root: Path, labels: list[_Item], others: Counter[str]) -> None:
    if labels:
        raise InputError(root, f"holds {_count(labels, 'label map')} but no scan",
                         "Put the scans beside the label maps, or in a folder named images next to labels.")
    found = ", ".join(f"{n} {suffix or 'without extension'}" for suffix, n in others.most_common(3))
    raise InputError(root, f"holds no scan (files found: {found})" if found else "is empty", f"{_FORMATS}.")


def _count(things: list, word: str, plural: str = "") -> str:
    return f"{len(things)} {word if len(things) == 1 else plural or word + 's'}"


def _some(things: Iterable[object], limit: int = 5) -> str:
    """The first few names, and how many more there are."""
    listed = [str(thing) for thing in things]
    more = len(listed) - limit
    return ", ".join(listed[:limit]) + (f" and {more} more" if more > 0 else "")
