"""For tests of ``evaluate``: two small cases whose agreement can be counted by hand, and readers of its results."""

from __future__ import annotations

import json
from html.parser import HTMLParser

import numpy as np

from kaf.imaging.labels import Label
from kaf.imaging.volume import Volume
from kaf.settings.evaluate import EvaluateSettings

SPACING = (1.5, 1.5, 8.0)  # mm along (i, j, k)
VOXEL_ML = 1.5 * 1.5 * 8.0 / 1000
VENTRICLES = (Label(1, "Right ventricle", (0, 151, 206)), Label(2, "Left ventricle", (216, 101, 79)))


def volume(voxels, shift=0.0):
    affine = np.diag([-SPACING[0], -SPACING[1], SPACING[2], 1.0])
    affine[:3, 3] = [40.0 + shift, 30.0, -12.0]
    return Volume(voxels, affine)


def boxes(second=True, moved=0):
    """Label 1 is a box of 4 x 10 x 10 voxels, label 2 one of 4 x 5 x 5; ``moved`` columns to the right."""
    voxels = np.zeros((6, 40, 44), np.uint8)
    voxels[1:5, 5:15, 5 + moved: 15 + moved] = 1
    if second:
        voxels[1:5, 25:30, 20:25] = 2
    return voxels


def settings(folders, **more):
    prediction, reference, output = folders
    return EvaluateSettings(prediction=str(prediction), reference=str(reference), output=str(output), **more)


def strict_json(path):
    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)


class Outline(HTMLParser):
    """Checks that tags nest, and keeps attributes and words."""

    VOID = frozenset({"meta", "img", "line", "rect", "polyline"})

    def __init__(self, text):
        super().__init__()
        self.open, self.attributes, self.words, self.tags = [], [], [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            self.words.append(data)
