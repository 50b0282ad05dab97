#!/usr/bin/env python3
"""Draws the PNG files of the extension from their sources: the icons from the SVG, the thumbnails from phantoms.

    PYTHONPATH=KAFSegmentation Resources/scripts/draw_icons.py

Needs PySide6-Essentials and KAF itself.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from PySide6.QtCore import QPointF, Qt
from PySide6.QtGui import QColor, QGuiApplication, QImage, QPainter, QPen, QPolygonF
from PySide6.QtSvg import QSvgRenderer

ROOT = Path(__file__).resolve().parents[2]
ICONS = ROOT / "KAFSegmentation" / "Resources" / "Icons"
MODULES = ("KAFSegmentation", "KAFPretrain")
WIDTH, HEIGHT = 260, 280  # what Sample Data shows
CROP = 100  # pixels of the phantom's 176, around the heart
COLOURS = ("#6fb8d2", "#e6675b", "#f1d691")  # right ventricle, myocardium, left ventricle


def draw_icon(source: Path, size: int, path: Path) -> None:
    image = QImage(size, size, QImage.Format.Format_ARGB32)
    image.fill(0)
    painter = QPainter(image)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    QSvgRenderer(str(source)).render(painter)
    painter.end()
    image.save(str(path))


def draw_thumbnail(seed: int, truth: bool, path: Path) -> None:
    """The middle slice; with the outlines of the true structures if they come with it."""
    from kaf.phantom.heart import cardiac_phantom

    volume, labels = cardiac_phantom(seed)
    k = volume.voxels.shape[0] * 2 // 5
    rows, columns = np.nonzero(labels.voxels[k])
    height = CROP * HEIGHT // WIDTH
    top, left = int(rows.mean()) - height // 2, int(columns.mean()) - CROP // 2
    window = (slice(top, top + height), slice(left, left + CROP))
    grey = volume.voxels[k][window].astype(np.float32)
    grey = np.clip(grey / np.percentile(grey, 99.5) * 255, 0, 255).astype(np.uint8)
    small = QImage(np.ascontiguousarray(grey).tobytes(), CROP, height, CROP, QImage.Format.Format_Grayscale8)
    image = small.scaled(WIDTH, HEIGHT, Qt.AspectRatioMode.IgnoreAspectRatio,
                         Qt.TransformationMode.SmoothTransformation).convertToFormat(QImage.Format.Format_RGB32)
    if truth:
        outline(image, labels.voxels[k][window])
    image.save(str(path))


def outline(image: QImage, labels: np.ndarray) -> None:
    import cv2

    painter = QPainter(image)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    scale = np.array([image.width() / labels.shape[1], image.height() / labels.shape[0]])
    for value, colour in enumerate(COLOURS, start=1):
        painter.setPen(QPen(QColor(colour), 2.5))
        contours, _ = cv2.findContours((labels == value).astype(np.uint8), cv2.RETR_TREE, cv2.CHAIN_APPROX_NONE)
        for contour in contours:
            points = [QPointF(*((point + 0.5) * scale)) for point in contour[:, 0].astype(float)]
            painter.drawPolygon(QPolygonF(points))
    painter.end()


def main() -> None:
    _application = QGuiApplication([])
    draw_icon(ICONS / "KAFSegmentation.svg", 128, ROOT / "Resources" / "KAFSegmentation.png")
    for module in MODULES:
        icon = ROOT / module / "Resources" / "Icons" / f"{module}.svg"
        draw_icon(icon, 64, icon.with_suffix(".png"))
    samples = json.loads((ICONS.parent / "SampleData.json").read_text(encoding="utf-8"))["samples"]
    for sample in samples:
        draw_thumbnail(sample["seed"], sample["truth"], ICONS / sample["thumbnail"])


if __name__ == "__main__":
    main()
