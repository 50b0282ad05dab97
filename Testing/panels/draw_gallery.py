"""Draws the picture of the heart model for the gallery: a slice of a synthetic heart as that model segments it.

    .venv/bin/python Testing/panels/draw_gallery.py
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "KAFSegmentation"))

import numpy as np  # noqa: E402
from PIL import Image  # noqa: E402

from kaf.phantom.heart import cardiac_phantom  # noqa: E402
from kaf.settings.segment import SegmentSettings  # noqa: E402
from kaf.verbs.segment import segment  # noqa: E402

MODEL, SLICE, MARGIN, SIZE, FILL = "cardiac-mr-sax", 5, 14, 144, 0.55


def main() -> None:
    scan, _ = cardiac_phantom(0)
    result = segment(scan, SegmentSettings(model=MODEL))
    image, labels = np.asarray(scan.voxels[SLICE], np.float32), result.labels.voxels[SLICE]
    gray = np.clip(255 * (image - image.min()) / (np.percentile(image, 99.5) - image.min()), 0, 255)
    colored = np.repeat(gray[..., None], 3, axis=2)
    for label in result.card.labels:
        inside = labels == label.value
        colored[inside] = (1 - FILL) * colored[inside] + FILL * np.array(label.colour, np.float32)
    rows, columns = np.nonzero(labels)
    half = max(np.ptp(rows), np.ptp(columns)) // 2 + MARGIN
    top, left = int(rows.mean()) - half, int(columns.mean()) - half
    square = colored[max(0, top):top + 2 * half, max(0, left):left + 2 * half].astype(np.uint8)
    path = ROOT / "KAFSegmentation" / "Resources" / "Gallery" / f"{MODEL}.png"
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(square).resize((SIZE, SIZE), Image.Resampling.BICUBIC).save(path, optimize=True)
    print(f"{path.relative_to(ROOT)}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
