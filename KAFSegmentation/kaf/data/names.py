"""What the names of a data set say: a folder of scans or of label maps, which modality, which patient.

Names only: no file is opened.  Which file is a label map: :mod:`kaf.imaging.file_names`.
"""

from __future__ import annotations

import re

from kaf.imaging.file_names import IMAGE_WORDS

_MODALITIES = ("t1w", "t1", "t1n", "t1ce", "t1c", "t1gd", "t2w", "t2", "t2f", "flair", "t2star", "pdw", "pd",
               "ct", "cta", "cbct", "mr", "mri", "pet", "suv", "adc", "dwi", "bssfp", "lge", "cine", "unit1",
               "mp2rage")
_SPLITS = {"tr": "train", "train": "train", "training": "train", "ts": "test", "test": "test",
           "testing": "test", "va": "validation", "val": "validation", "validation": "validation"}
_SPLIT = "|".join(sorted(_SPLITS, key=len, reverse=True))


def _role(words: str) -> re.Pattern[str]:
    return re.compile(rf"^(?:({_SPLIT})[-_ ]?)?(?:{words})(?:[-_ ]?({_SPLIT}))?$")


_LABEL_FOLDER = _role(r"labels?|labelmaps?|masks?|segs?|segmentations?|gts?|ground[-_ ]?truths?|annotations?|"
                      r"contours?|dseg")
_IMAGE_FOLDER = _role(r"images?|imgs?|imaging|scans?|volumes?|vols?")


def folder_role(name: str) -> tuple[str, str]:
    """("label", "train") of ``labelsTr``: what a folder's name says of its files; "" for each if nothing."""
    for role, pattern in (("label", _LABEL_FOLDER), ("image", _IMAGE_FOLDER)):
        if match := pattern.match(name.casefold()):
            return role, _SPLITS.get(match[1] or match[2] or "", "")
    return "", ""


def is_split(name: str) -> bool:
    """Whether a folder is a part of a data set, ``train`` or ``test``."""
    return name.casefold() in _SPLITS


def split_of(name: str) -> str:
    """"test" of ``imagesTs`` and of ``testing``: the part of a data set that a folder's name refers to, or ""."""
    whole = name.casefold()
    return _SPLITS[whole] if len(whole) > 2 and whole in _SPLITS else folder_role(name)[1]  # "ts" alone is no word


def is_modality(name: str) -> bool:
    """Whether a folder name says no more than the kind of scan, ``CT``."""
    return name.casefold() in _MODALITIES


def is_series(stem: str) -> bool:
    """ACDC and M&Ms name the whole cine ``patient001_4d``."""
    return stem.casefold().endswith(("_4d", "-4d"))


def case_key(name: str) -> str:
    """What a scan and its label map have in common; "" where the name only says what the file is."""
    return "" if name in _MODALITIES else name


def without_modality(key: str) -> str | None:
    """``case01`` of ``case01_t1``, "" of ``t1``; None where no modality ends the key."""
    head, _, tail = key.replace("-", "_").rpartition("_")
    return key[: len(head)] if tail in _MODALITIES else None


def modality_rank(key: str) -> int:
    """Order in which scans of one case stand for it: T1 first."""
    return _MODALITIES.index(key.replace("-", "_").rpartition("_")[2])


_PERSON = r"patient|pat|pt|subject|subj|sub|case|volunteer"
_NAMED = re.compile(rf"^(.*?(?:^|[-_ .])(?:{_PERSON})[-_ ]?\d+)(?=[-_ .]|$)", re.IGNORECASE)
_BIDS = re.compile(r"(?:^|[_/])(sub-[A-Za-z0-9]+)")
_KNOWN = re.compile(r"^(BraTS-[A-Za-z]+-\d{5}|BraTS\d*_[A-Za-z]+_\d{3}|TCGA-\w\w-\w{4}|LIDC-IDRI-\d{4})")
_VISIT = re.compile(
    r"[-_ .](?:frame|fr|time|tp|t|ses|session|visit|v|phase|run|scan|series|fu|followup|day|week|month|m|"
    r"year|y)[-_ ]?\d+$|[-_ .](?:ed|es|sys|dia|pre|post|baseline|followup|left|right|l|r|lh|rh|sa|la|sax|lax|"
    r"art|ven|arterial|venous|portal|delayed|native|contrast|"
    + "|".join((*_MODALITIES, *IMAGE_WORDS)) + r")$", re.IGNORECASE)
_DATE = re.compile(r"[-_ .](?:19|20)\d\d[-.]?(?:0[1-9]|1[0-2])[-.]?(?:0[1-9]|[12]\d|3[01])$")
_PATIENT_FOLDER = re.compile(rf"^(?:{_PERSON}|id|p|s)?[-_ ]?\d+$", re.IGNORECASE)


def patient_of(name: str) -> str:
    """The patient that a case name refers to: visit, phase, frame, side and modality are cut off its end.

    ``patient001_frame12`` -> ``patient001``, ``sub-01_ses-2_T1w`` -> ``sub-01``, ``case_03_ED`` ->
    ``case_03``, ``train_pt_31`` and ``hippocampus_001`` -> themselves.
    """
    for pattern in (_BIDS, _KNOWN, _NAMED):
        if match := pattern.search(name):
            return match[1]
    before = None
    while name != before:
        before = name
        name = _VISIT.sub("", name) or name
        shorter = _DATE.sub("", name)
        # "scan_20200131": without its date nothing would tell one patient from another.
        name = shorter if any(c.isdigit() for c in shorter) else name
    return name


def is_patient_folder(folder: str, stem: str) -> bool:
    """Whether a folder is one patient's: ``case_07``, ``0012``, or the start of its files' names."""
    named_after = stem.casefold().startswith(folder.casefold()) and not stem[len(folder):][:1].isalnum()
    return bool(_PATIENT_FOLDER.match(folder)) or (named_after and any(c.isdigit() for c in folder))
