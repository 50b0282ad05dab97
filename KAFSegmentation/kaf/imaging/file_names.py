"""What the name of a file says: which format, scan or label map, and what a scan and its label map are both called.

One definition for the folders that are trained on, for the files that are evaluated, and for the names of results.
The conventions are those of the Medical Segmentation Decathlon, nnU-Net, BIDS, KiTS, LiTS, BTCV, MM-WHS, PROMISE12,
SegTHOR, HVSMR and ACDC.  Names only: no file is opened.
"""

from __future__ import annotations

import re
from pathlib import Path

# In order of preference where a folder holds the same image twice.
EXTENSIONS = (".nii.gz", ".seg.nrrd", ".nii", ".nrrd", ".seg.nhdr", ".nhdr", ".mha", ".mhd", ".hdr")
# Most trusted first: where a case has both, a reference (gt) is meant, and a mask is often the field of view.
LABEL_WORDS = ("gt", "groundtruth", "ground_truth", "reference", "dseg", "labels", "label", "labelmap", "segmentation",
               "segmentations", "seg", "manual", "annotation", "annotations", "contour", "contours", "masks", "mask",
               "roi")
# What a model predicted is a label map to evaluate; it is never a reference to train on.
_PREDICTION_END = re.compile(r"[._ -](?:pred|preds|prediction|predictions|predicted)$", re.IGNORECASE)
_IMAGES = "image|img|imaging|volume|vol|scan|orig|dicom|dicom_anon|dcm"
IMAGE_WORDS = tuple(_IMAGES.split("|"))
_ANY_LABEL = "|".join(sorted(LABEL_WORDS, key=len, reverse=True))
_LABEL_END = re.compile(rf"(?:^|[._ -])({_ANY_LABEL})$", re.IGNORECASE)
_LABEL_START = re.compile(rf"^({_ANY_LABEL})(?:[._ -]+(?=.)|(?=\d+$))", re.IGNORECASE)
_LABEL_MIDDLE = re.compile(rf"^(.+?)[._ -]({_ANY_LABEL})[._ -].+$", re.IGNORECASE)
_IMAGE_END = re.compile(rf"(?:^|[._ -])(?:{_IMAGES})$", re.IGNORECASE)
_IMAGE_START = re.compile(r"^(?:image|img|volume|vol|scan)(?:[._ -]+(?=.)|(?=\d+$))", re.IGNORECASE)
# BIDS entities that a derivative has and its source has not.
_DERIVED = re.compile(r"_(?:label|desc|space|res|den|atlas|seg)-[a-z0-9]+")


def split_extension(name: str) -> tuple[str, str]:
    """("case01", ".nii.gz"); the extension is "" for a file that is no volume."""
    lower = name.lower()
    for extension in sorted(EXTENSIONS, key=len, reverse=True):
        if lower.endswith(extension) and len(name) > len(extension):
            return name[: -len(extension)], extension
    return name, ""


def stem_of(path: str | Path) -> str:
    """The name of a file or folder without its extension, of whatever format."""
    stem, extension = split_extension(Path(path).name)
    return stem if extension else Path(path).stem


def label_word(stem: str, extension: str = "") -> str:
    """The word that makes a file name a label map's (``gt`` of ``case01_gt``), or ""."""
    match = _LABEL_END.search(stem) or _LABEL_START.match(stem)
    if match:
        return match[1].casefold()
    return "seg" if extension.startswith(".seg.") else ""


def label_word_inside(stem: str) -> tuple[str, str]:
    """("ct", "seg") of ``ct_seg_heart``, which is a label map where ``ct`` lies beside it; two "" if there is none."""
    match = _LABEL_MIDDLE.match(stem)
    return (match[1], match[2].casefold()) if match else ("", "")


def is_segmentation(path: str | Path) -> bool:
    """Whether the name says label map: a reference's, or a prediction's."""
    stem, extension = split_extension(Path(path).name)
    return bool(label_word(stem, extension) or _PREDICTION_END.search(stem_of(path)))


def without_image_word(stem: str) -> str:
    """``ct`` of ``ct_image``: a scan's name without an ending that only says that it is one."""
    return _IMAGE_END.sub("", stem) or stem


def without_label_ending(stem: str) -> str:
    """``case01`` of ``case01_gt`` and ``case01-seg``: what the scan of a label map is called, and its results."""
    while (shorter := _PREDICTION_END.sub("", _LABEL_END.sub("", stem))) and shorter != stem:
        stem = shorter
    return stem


def result_name(path: str | Path) -> str:
    """What the results of a scan are named after, and a segmentation's other files: its name without endings."""
    return without_label_ending(stem_of(path))


def without_label_words(stem: str) -> str:
    """Like :func:`without_label_ending`, and ``case01`` of ``seg_case01`` too: what two label maps of a case share."""
    ended = without_label_ending(stem)
    return _LABEL_START.sub("", ended) or ended


def bare(stem: str) -> str:
    """The name without words for "label" and "image", in lower case: ``t1w`` of ``T1w_seg-manual``."""
    key = _DERIVED.sub("", stem.casefold())
    before = None
    while key != before:
        before = key
        for pattern in (_LABEL_END, _IMAGE_END, _LABEL_START, _IMAGE_START):
            key = pattern.sub("", key, count=1)
    return key
