"""What file and folder names say: image or label map, which case, which patient.

Words only, nothing is opened.  The conventions are those of the Medical Segmentation Decathlon, nnU-Net,
BIDS, BraTS, KiTS, LiTS, BTCV, MM-WHS, PROMISE12, SegTHOR, HVSMR and ACDC.
"""

from __future__ import annotations

import re

# In order of preference where the same image lies there twice.
EXTENSIONS = (".nii.gz", ".seg.nrrd", ".nii", ".nrrd", ".seg.nhdr", ".nhdr", ".mha", ".mhd", ".hdr")
# Most trusted first: where a case has both, a reference (gt) is meant and a mask is often the field of view.
LABEL_WORDS = ("gt", "groundtruth", "ground_truth", "dseg", "labels", "label", "labelmap", "segmentation",
               "segmentations", "seg", "manual", "annotation", "contour", "masks", "mask", "roi")
_MODALITIES = ("t1w", "t1", "t1n", "t1ce", "t1c", "t1gd", "t2w", "t2", "t2f", "flair", "t2star", "pdw", "pd",
               "ct", "cta", "cbct", "mr", "mri", "pet", "suv", "adc", "dwi", "bssfp", "lge", "cine", "unit1",
               "mp2rage")
_IMAGES = ("image", "img", "imaging", "volume", "vol", "scan", "orig", "dicom", "dicom_anon", "dcm")
_ANY_LABEL = "|".join(sorted(LABEL_WORDS, key=len, reverse=True))
_LABEL_END = re.compile(rf"(?:^|[._ -])({_ANY_LABEL})$")
_LABEL_START = re.compile(rf"^({_ANY_LABEL})(?:[._ -]+(?=.)|(?=\d+$))")
LABEL_MIDDLE = re.compile(rf"^(.+?)[._ -]({_ANY_LABEL})[._ -].+$")
_IMAGE_END = re.compile(rf"(?:^|[._ -])(?:{'|'.join(_IMAGES)})$")
_IMAGE_START = re.compile(r"^(?:image|img|volume|vol|scan)(?:[._ -]+(?=.)|(?=\d+$))")
# BIDS entities that a derivative has and its source has not.
_DERIVED = re.compile(r"_(?:label|desc|space|res|den|atlas|seg)-[a-z0-9]+")

_SPLITS = {"tr": "train", "train": "train", "training": "train", "ts": "test", "test": "test",
           "testing": "test", "va": "validation", "val": "validation", "validation": "validation"}
_SPLIT = "|".join(sorted(_SPLITS, key=len, reverse=True))


def _role(words: str) -> re.Pattern[str]:
    return re.compile(rf"^(?:({_SPLIT})[-_ ]?)?(?:{words})(?:[-_ ]?({_SPLIT}))?$")


_LABEL_FOLDER = _role(r"labels?|labelmaps?|masks?|segs?|segmentations?|gts?|ground[-_ ]?truths?|annotations?|"
                      r"contours?|dseg")
_IMAGE_FOLDER = _role(r"images?|imgs?|imaging|scans?|volumes?|vols?")


def split_extension(name: str) -> tuple[str, str]:
    """("case01", ".nii.gz"); the extension is "" for a file that is no volume."""
    lower = name.lower()
    for extension in sorted(EXTENSIONS, key=len, reverse=True):
        if lower.endswith(extension) and len(name) > len(extension):
            return name[: -len(extension)], extension
    return name, ""


def folder_role(name: str) -> tuple[str, str]:
    """("label", "train") of ``labelsTr``: what a folder's name says of its files; "" for each if nothing."""
    for role, pattern in (("label", _LABEL_FOLDER), ("image", _IMAGE_FOLDER)):
        if match := pattern.match(name.casefold()):
            return role, _SPLITS.get(match[1] or match[2] or "", "")
    return "", ""


def is_split(name: str) -> bool:
    """Whether a folder is a part of a data set, ``train`` or ``test``."""
    return name.casefold() in _SPLITS


def is_modality(name: str) -> bool:
    """Whether a folder name says no more than the kind of scan, ``CT``."""
    return name.casefold() in _MODALITIES


def is_series(stem: str) -> bool:
    """ACDC and M&Ms name the whole cine ``patient001_4d``."""
    return stem.casefold().endswith(("_4d", "-4d"))


def case_name(stem: str) -> str:
    """The file name without an ending that only says "image"."""
    match = _IMAGE_END.search(stem.casefold())
    return stem[: match.start()] or stem if match else stem


def label_word(stem: str, extension: str = "") -> str:
    """The word that makes a file name a label map's (``gt`` of ``case01_gt``), or ""."""
    lower = stem.casefold()
    match = _LABEL_END.search(lower) or _LABEL_START.match(lower)
    if match:
        return match[1]
    return "seg" if extension.startswith(".seg.") else ""


def bare(stem: str) -> str:
    """The name without words for "label" and "image", in lower case: ``t1w`` of ``T1w_seg-manual``."""
    key = _DERIVED.sub("", stem.casefold())
    before = None
    while key != before:
        before = key
        for pattern in (_LABEL_END, _IMAGE_END, _LABEL_START, _IMAGE_START):
            key = pattern.sub("", key, count=1)
    return key


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
    + "|".join((*_MODALITIES, *_IMAGES)) + r")$", re.IGNORECASE)
_DATE = re.compile(r"[-_ .](?:19|20)\d\d[-.]?(?:0[1-9]|1[0-2])[-.]?(?:0[1-9]|[12]\d|3[01])$")
_PATIENT_FOLDER = re.compile(rf"^(?:{_PERSON}|id|p|s)?[-_ ]?\d+$", re.IGNORECASE)


def patient_of(name: str) -> str:
    """The patient that a case name speaks of: visit, phase, frame, side and modality are cut off its end.

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
