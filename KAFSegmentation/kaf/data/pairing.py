"""Which files are scans and which are label maps, by their places and names."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence, Sized
from dataclasses import dataclass, replace
from pathlib import Path

from kaf.data import names
from kaf.imaging import file_names

_CHANNEL = re.compile(r"^(.+)_(\d{4})$")
_MOST_CHANNELS = 16  # "_0000" to "_0015" may be channels; a higher number counts cases
# BIDS folders of time series and field maps.
_NOT_SCANS = frozenset(("func", "dwi", "fmap", "perf", "eeg", "meg", "ieeg", "beh", "motion", "nirs", "micr"))


@dataclass(frozen=True)
class Item:
    """A volume file, or a folder of DICOM files.

    ``folder`` is its place below the root without words such as "images" and "labels", so that a scan and its
    label map share it; ``full`` and ``key`` are what their names share, with and without the modality.
    """

    path: Path
    relative: tuple[str, ...]
    stem: str
    extension: str  # "" for DICOM
    folder: tuple[str, ...] = ()
    label: str = ""  # the word that makes it a label map
    labels_folder: str = ""
    images_folder: str = ""
    full: str = ""
    key: str = ""
    more: tuple[tuple[int, Path], ...] = ()  # number and file of every further channel
    split: str = ""  # "train", "validation" or "test", where its folders say so

    @property
    def shown(self) -> str:
        return "/".join((*self.relative[-1:], self.path.name))


def classify(items: Sequence[Item], problems: list[str]) -> list[Item]:
    """Scans and label maps with their keys; what is neither is left out and named in ``problems``."""
    stems = {(item.relative, item.stem.casefold()) for item in items}
    kept: list[Item] = []
    series: list[str] = []
    derived: list[str] = []
    for item in items:
        item = _described(item, stems)
        bids = any(part.startswith("sub-") or part == "derivatives" for part in item.relative)
        if not item.label and bids and "derivatives" in item.relative:
            derived.append(item.path.name)
        elif not item.label and (names.is_series(item.stem) or (bids and _NOT_SCANS & {*item.relative})):
            series.append(item.path.name)
        else:
            kept.append(item)
    astray = _astray(kept)
    if astray:
        problems.append(f"{count(astray, 'label map')} among the images: {some(astray)}. Put label maps into the "
                        "folder labels")
    if series:
        problems.append(f"{count(series, 'time series', 'time series')} left out: {some(series)}. To use one, save its "
                        "time points as scans")
    if derived:
        problems.append(f"{count(derived, 'derived image')} under derivatives left out: {some(derived)}")
    return kept


def _described(item: Item, stems: set[tuple[tuple[str, ...], str]]) -> Item:
    """The item with its role, recognised by the innermost folder that names one and by its name."""
    roles = [names.folder_role(part) for part in item.relative]
    role = next((role for role, _ in reversed(roles) if role), "")
    word, stem = file_names.label_word(item.stem, item.extension), item.stem
    scan, inside = file_names.label_word_inside(stem)
    if not word and (item.relative, scan.casefold()) in stems:  # ct_seg_heart beside ct
        word, stem = inside, scan
    if not item.extension:
        word = ""
    named = {role: part for part, (role, _) in zip(item.relative, roles, strict=True)}
    if role == "label":
        word = word or file_names.label_word(named["label"]) or "label"
    outside = [split if role else part for part, (role, split) in zip(item.relative, roles, strict=True)]
    # In BIDS a scan and its label map lie in different trees below the same folder.
    bids = (n for n, part in enumerate(outside) if part.startswith("sub-") or part == "derivatives")
    subject = next(bids, None)
    full = file_names.bare(stem)
    splits = (names.split_of(part) for part in reversed(item.relative))
    return replace(item, folder=tuple(part for part in outside[:subject] if part), label=word,
                   split=next(filter(None, splits), ""), labels_folder=named.get("label", ""),
                   images_folder=named.get("image", ""), full=full, key=names.case_key(full))


def _astray(items: Sequence[Item]) -> list[str]:
    """Label maps by name that lie among the images although a folder of label maps stands beside."""
    def above(item: Item, folder: str) -> tuple[str, ...]:
        return item.relative[: item.relative.index(folder)]

    parents = {above(item, item.labels_folder) for item in items if item.labels_folder}
    return [item.shown for item in items if item.label and item.images_folder and not item.labels_folder
            and above(item, item.images_folder) in parents]


def distinct(images: Iterable[Item], problems: list[str]) -> list[Item]:
    """One item per scan: a scan in two formats counts once; scans that share a key get their full names."""
    groups: dict[object, dict[object, list[Item]]] = defaultdict(lambda: defaultdict(list))
    for item in images:
        groups[item.folder, item.key][item.relative, item.stem].append(item)
    result = []
    for stems in groups.values():
        for same in stems.values():
            same.sort(key=preference)
            if len(same) > 1:
                listed = [item.path.name for item in same]
                problems.append(f"the same scan {len(same)} times: {some(listed)}; {listed[0]} is used")
            result.append(same[0] if len(stems) == 1 else replace(same[0], key=same[0].full))
    return result


def preference(item: Item) -> int:
    """Order in which files of the same image are taken: DICOM first."""
    return file_names.EXTENSIONS.index(item.extension) if item.extension else -1


def first_channels(
    images: list[Item], labels: Sequence[Item], problems: list[str]
) -> tuple[list[Item], bool]:
    """nnU-Net's ``case_0000``, ``case_0001``: the first channel stands for the case, the others go with it.

    Returns the scans that stay, and whether the names were of this kind: every scan ends in four digits, and
    either label maps bear the names without them or every case has a channel 0000.
    """
    matches = [_CHANNEL.match(item.key) for item in images]
    groups: dict[tuple[tuple[str, ...], str], list[Item]] = defaultdict(list)
    for item, match in zip(images, matches, strict=True):
        if not match or int(match[2]) >= _MOST_CHANNELS:
            return images, False
        groups[item.folder, match[1]].append(item)
    label_keys = {item.key for item in labels}
    named_by_labels = any(head in label_keys for _, head in groups)
    all_have_first = len(groups) > 1 and all(any(i.key.endswith("_0000") for i in g) for g in groups.values())
    if label_keys & {item.key for item in images} or not (named_by_labels or all_have_first):
        return images, False
    result, lacking = [], []
    wanted = {item.key[-4:] for group in groups.values() for item in group}
    for (_, head), group in groups.items():
        if {item.key[-4:] for item in group} != wanted:
            lacking.append(head)
            continue
        first, *others = sorted(group, key=lambda item: item.key)
        more = tuple((int(item.key[-4:]), item.path) for item in others)
        result.append(replace(first, key=head, full=head, stem=file_names.without_image_word(first.stem)[:-5],
                              more=more))
    if lacking:
        problems.append(f"{count(lacking, 'case')} left out for lack of channels that others have "
                        f"({', '.join(sorted(wanted))}): {some(lacking)}. Add the missing files")
    return result, True


def count(things: Sized, word: str, plural: str = "") -> str:
    """"1 scan", "3 scans"."""
    return f"{len(things)} {word if len(things) == 1 else plural or word + 's'}"


def some(things: Iterable[object], limit: int = 5) -> str:
    """The first few names, and how many more there are."""
    listed = [str(thing) for thing in things]
    more = len(listed) - limit
    return ", ".join(listed[:limit]) + (f" and {more} more" if more > 0 else "")


def own_places(item: Item) -> list[str]:
    """The folders that may be a site's or a patient's: not "images", "train" or "CT"."""
    return [part for part in item.relative
            if not (names.folder_role(part)[0] or names.is_split(part) or names.is_modality(part))]
