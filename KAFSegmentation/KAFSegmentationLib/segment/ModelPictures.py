"""A small picture for each model: one that is kept with it, or its structures in their colours."""

from __future__ import annotations

from pathlib import Path

import qt

from kaf.modelfile.card import Card
from kaf.modelfile.library import Entry

SIZE = 72
FOLDER = Path(__file__).resolve().parents[2] / "Resources" / "Gallery"
_BACK, _NEUTRAL, _RINGS = (24, 26, 30), (120, 124, 130), 5


def modelPicture(entry: Entry) -> qt.QPixmap:
    """The picture NAME.png that came with KAF or lies beside the model's file, else rings in the colours of its
    structures."""
    kept = FOLDER / f"{entry.name}.png" if entry.bundled else entry.path.with_suffix(".png")
    found = qt.QPixmap(str(kept)) if kept.is_file() else qt.QPixmap()
    if found.isNull():
        return _rings(entry.card)
    return found.scaled(SIZE, SIZE, qt.Qt.KeepAspectRatio, qt.Qt.SmoothTransformation)


def _rings(card: Card) -> qt.QPixmap:
    """Nested discs, the first structure outermost; grey for pretrained weights, which know none."""
    picture = qt.QPixmap(SIZE, SIZE)
    picture.fill(qt.QColor(*_BACK))
    colors = [label.colour for label in card.labels[:_RINGS]] or [_NEUTRAL]
    painter = qt.QPainter(picture)
    painter.setRenderHint(qt.QPainter.Antialiasing)
    painter.setPen(qt.Qt.NoPen)
    for index, color in enumerate(colors):
        width = round(0.8 * SIZE * (len(colors) - index) / len(colors))
        place = (SIZE - width) // 2
        painter.setBrush(qt.QBrush(qt.QColor(*color)))
        painter.drawEllipse(place, place, width, width)
    painter.end()
    return picture
