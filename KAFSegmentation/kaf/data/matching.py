"""Which label map, or which masks, belong to which scan."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kaf.data import names
from kaf.data.pairing import Item, count, preference, some
from kaf.imaging import file_names

_SEPARATORS = "._ -"


@dataclass(frozen=True)
class Pairs:
    """By a scan's path: its label map, or its masks by the names of the structures; never both."""

    maps: dict[Path, Item] = field(default_factory=dict)
    masks: dict[Path, dict[str, Item]] = field(default_factory=dict)

    def __contains__(self, path: object) -> bool:
        return path in self.maps or path in self.masks


def pair(images: Sequence[Item], labels: Sequence[Item], problems: list[str]) -> Pairs:
    """The labels of each scan's path; label maps without a scan, or too many for one, are named."""
    index = _Index(images)
    found: dict[Path, list[Item]] = defaultdict(list)
    exact = [index.exact(label) for label in labels]
    labelled = {image.path for image in exact if image}
    lost = []
    for label, image in zip(labels, exact, strict=True):
        image = image or index.only_fit(label, labelled) or index.one_of_several(label, labelled)
        if image is None:
            lost.append(label.shown)
        else:
            found[image.path].append(label)
    if lost:
        problems.append(f"{count(lost, 'label map')} without a scan: {some(lost)}. Name each like its scan")
    if index.shared:
        problems.append(f"{count(index.shared, 'label map')} with several scans each: multi-channel is not "
                        f"supported yet, one scan is used ({some(index.shared, 2)}). To use another one, take the "
                        "others out")
    return _chosen(found, {image.path: image for image in images}, problems)


class _Index:
    """Scans by place and name; ``shared`` says which label maps were found to fit several contrasts."""

    def __init__(self, images: Sequence[Item]):
        self._full, self._exact, self._folder, self._key, self._contrast = (_groups() for _ in range(5))
        self.shared: list[str] = []
        for item in images:
            self._full[item.folder, item.full].append(item)
            self._exact[item.folder, item.key].append(item)
            self._folder[item.folder].append(item)
            self._key[item.key].append(item)
            head = names.without_modality(item.key)
            if head is not None:
                self._contrast[item.folder, head].append(item)

    def exact(self, label: Item) -> Item | None:
        """The scan of the same place and name."""
        for group in (self._full[label.folder, label.full], self._exact[label.folder, label.key]):
            if len(group) == 1:
                return group[0]
        return None

    def only_fit(self, label: Item, labelled: set[Path]) -> Item | None:
        """The only scan that the label map can belong to; of several contrasts the first."""
        contrasts = sorted(self._contrast[label.folder, label.key], key=lambda i: names.modality_rank(i.key))
        if contrasts:
            if len(contrasts) > 1:
                self.shared.append(f"{label.shown}: {contrasts[0].stem} of {some(i.stem for i in contrasts)}")
            return contrasts[0]
        inside = self._folder[label.folder]
        own_folder = bool(label.folder) and names.is_patient_folder(label.folder[-1], label.stem)
        if len(inside) == 1 and (not label.key or (own_folder and _same_numbers(label.key, inside[0].key))):
            return inside[0]
        elsewhere = self._key[label.key] if label.key else []
        return elsewhere[0] if len(elsewhere) == 1 and elsewhere[0].path not in labelled else None

    def one_of_several(self, label: Item, labelled: set[Path]) -> Item | None:
        """The scan of a mask in a folder of masks: the only one that the folder lies beside (``s01/ct``,
        ``s01/segmentations/aorta``), or the one that it is named after (``images/s01``, ``masks/s01/aorta``)."""
        if not label.labels_folder:
            return None
        inside = self._folder[label.folder]
        if len(inside) == 1 and (label.folder or not inside[0].images_folder):
            return inside[0] if inside[0].path not in labelled else None
        if not label.folder:
            return None
        named = self._full[label.folder[:-1], file_names.bare(label.folder[-1])]
        return named[0] if len(named) == 1 and named[0].path not in labelled else None


def _groups() -> dict[object, list[Item]]:
    return defaultdict(list)


def _same_numbers(one: str, other: str) -> bool:
    """False where two names of one folder count differently (``visit1``, ``visit2``)."""
    first, second = ({int(digits) for digits in re.findall(r"\d+", name)} for name in (one, other))
    return not first or not second or first == second


def _chosen(found: dict[Path, list[Item]], images: dict[Path, Item], problems: list[str]) -> Pairs:
    """One label map per scan, or one mask per structure; none where several fit equally well."""
    rank = file_names.LABEL_WORDS.index
    maps: dict[Path, Item] = {}
    masks: dict[Path, dict[str, Item]] = {}
    preferred, undecided = [], []
    for path, fitting in found.items():
        fitting = sorted(fitting, key=lambda i: (rank(i.label), i.relative, i.stem, preference(i)))
        first = fitting[0]
        alike = [i for i in fitting if i.label == first.label]
        if all((i.relative, i.stem) == (first.relative, first.stem) for i in alike):
            maps[path] = first
            if len(fitting) > 1:
                preferred.append(f"{first.shown} of {some(i.shown for i in fitting)}")
        elif structures := _structures(images[path], alike):
            masks[path] = structures
        else:
            undecided.append(f"{path.parent.name}/{path.name}: {some(i.shown for i in fitting)}")
    if preferred:
        problems.append(f"{count(preferred, 'scan')} with several label maps, one is used: "
                        f"{some(preferred, 2)}. If it is the wrong one, take it out")
    if undecided:
        problems.append(f"{count(undecided, 'scan')} with several label maps, none is used "
                        f"({some(undecided, 2)}). Keep one of them")
    # Where other cases have a file per structure, a lone "aorta" is a mask too.
    known = {name.casefold() for structures in masks.values() for name in structures}
    for path, label in list(maps.items()):
        (name,) = _names(images[path], [label])
        if name.casefold() in known and not path.name.casefold().startswith(name.casefold()):
            masks[path] = {name: maps.pop(path)}
    return Pairs(maps, masks)


def _structures(image: Item, masks: Sequence[Item]) -> dict[str, Item]:
    """Masks by the names of their structures; none where the names do not tell them apart."""
    found: dict[str, tuple[str, Item]] = {}
    for name, item in zip(_names(image, masks), masks, strict=True):
        _, other = found.setdefault(name.casefold(), (name, item))
        if not name or (other.relative, other.stem) != (item.relative, item.stem):
            return {}
    return dict(found.values())


def _names(image: Item, masks: Sequence[Item]) -> list[str]:
    """What is left of the masks' names without words for "label" and without the name of the scan or its folder."""
    starts = [start for start in (image.full, *(part.casefold() for part in image.relative[-1:])) if start]
    return [_without(_own(mask), starts) for mask in masks]


def _own(mask: Item) -> str:
    """``heart`` of ``ct_seg_heart``, of ``mask_heart`` and of ``heart``."""
    stem, _ = file_names.split_extension(mask.path.name)
    scan, word = file_names.label_word_inside(stem)
    if word and file_names.bare(scan) == mask.full:
        return stem[len(scan) + 1 + len(word):].strip(_SEPARATORS)
    return file_names.without_label_words(stem)


def _without(name: str, starts: Iterable[str]) -> str:
    for start in starts:
        if name.casefold().startswith(start) and name[len(start):][:1] in _SEPARATORS:
            name = name[len(start):].strip(_SEPARATORS) or name
    return name
