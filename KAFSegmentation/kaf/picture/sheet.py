"""A dark sheet to lay pictures and words on: text, swatches, colour bars, rounded pictures.

Words are set in the TrueType font that comes inside Pillow, so a picture looks the same on every machine.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import lru_cache

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

Colour = tuple[int, int, int]

BACKGROUND: Colour = (14, 17, 22)
BRIGHT: Colour = (236, 239, 244)
QUIET: Colour = (139, 148, 161)
_ROUND = 7  # radius in pixels of the corners of pictures
_KEPT = set("·…±“”")  # beyond ASCII, what the font has


@lru_cache(maxsize=16)
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=size)


def plain(words: str) -> str:
    """The words in letters that the font has: accents are dropped, the rest becomes a question mark."""
    words = words.replace("×", "x").replace("–", "-").replace("—", "-").replace("ß", "ss")
    letters = (letter if letter in _KEPT else unicodedata.normalize("NFKD", letter) for letter in words)
    kept = (c for c in "".join(letters) if not unicodedata.combining(c))
    return "".join(c if c in _KEPT or " " <= c <= "~" else "?" for c in kept)


def width_of(words: str, size: int) -> float:
    """Pixels that the words take."""
    return _font(size).getlength(plain(words))


def shortened(words: str, size: int, room: float) -> str:
    """The words, cut with an ellipsis where they take more than ``room`` pixels."""
    if width_of(words, size) <= room:
        return words
    while words and width_of(words + "…", size) > room:
        words = words[:-1]
    return words.rstrip() + "…"


class Page:
    """Collects what lies on a sheet of fixed width; positions are pixels from the upper left corner."""

    def __init__(self, width: int, margin: int):
        self.width, self.margin = width, margin
        self._items: list[tuple[int, int, np.ndarray]] = []
        self._words: list[tuple[float, float, str, int, Colour, str, int]] = []

    def picture(self, left: int, top: int, pixels: np.ndarray, rounded: bool = True) -> None:
        """Pixels (rows, columns, 3) uint8."""
        self._items.append((left, top, rounded_corners(pixels) if rounded else pixels))

    def text(
        self,
        x: float,
        middle: float,
        words: str,
        size: int,
        colour: Colour = BRIGHT,
        anchor: str = "l",
        on_picture: bool = False,
    ) -> None:
        """A line; ``x`` is its left ("l"), centre ("m") or right ("r"), ``middle`` its height's middle.

        On a picture the letters get a dark rim.
        """
        self._words.append((x, middle, plain(words), size, colour, anchor, 2 * on_picture))

    def entries(self, top: int, entries: Sequence[tuple[Colour | None, str, str]], size: int = 17) -> int:
        """A legend that wraps: colour (None: a dashed line), name, value; returns the height it took."""
        x, y, line = float(self.margin), float(top), round(1.75 * size)
        for colour, name, value in entries:
            name = shortened(name, size, self.width - 2 * self.margin - 120)
            advance = 26 + width_of(name, size) + 8 + width_of(value, size)
            if x > self.margin and x + advance > self.width - self.margin:
                x, y = float(self.margin), y + line
            swatch = _dashes() if colour is None else _disc(colour)
            self.picture(round(x), round(y + line / 2 - 8), swatch, rounded=False)
            self.text(x + 26, y + line / 2, name, size)
            self.text(x + 34 + width_of(name, size), y + line / 2, value, size, QUIET)
            x += advance + 30
        return round(y + line - top)

    def bar(self, right: int, middle: int, pixels: np.ndarray, low: str, high: str, size: int = 15) -> None:
        """A colour bar (rows, columns, 3) that ends at ``right`` with its words."""
        x = right - width_of(high, size)
        self.text(right, middle, high, size, QUIET, "r")
        x -= 10 + pixels.shape[1]
        self.picture(round(x), middle - pixels.shape[0] // 2, rounded_corners(pixels, 4), rounded=False)
        self.text(x - 10, middle, low, size, QUIET, "r")

    def render(self, height: int) -> np.ndarray:
        """The sheet (height, width, 3) uint8 RGB."""
        sheet = np.empty((height, self.width, 3), np.uint8)
        sheet[:] = BACKGROUND
        for left, top, pixels in self._items:
            target = sheet[top:top + pixels.shape[0], left:left + pixels.shape[1]]
            target[:] = pixels[:target.shape[0], :target.shape[1]]
        image = Image.fromarray(sheet)
        draw = ImageDraw.Draw(image)
        for x, middle, words, size, colour, anchor, rim in self._words:
            draw.text((x, middle), words, font=_font(size), fill=colour, anchor=anchor + "m",
                      stroke_width=rim, stroke_fill=BACKGROUND)
        return np.array(image)


def rounded_corners(pixels: np.ndarray, radius: int = _ROUND) -> np.ndarray:
    """The picture with round corners in the colour of the sheet."""
    rows, columns = pixels.shape[:2]
    away = [np.abs(np.arange(n) - (n - 1) / 2) - (n / 2 - radius) for n in (rows, columns)]
    distance = np.hypot(np.maximum(away[0], 0)[:, None], np.maximum(away[1], 0)[None, :])
    share = np.clip(radius + 0.5 - distance, 0, 1)[..., None]
    return np.rint(pixels * share + np.array(BACKGROUND) * (1 - share)).astype(np.uint8)


def _disc(colour: Colour) -> np.ndarray:
    return rounded_corners(np.broadcast_to(np.array(colour, np.uint8), (16, 16, 3)), 8)


def _dashes() -> np.ndarray:
    big = np.empty((64, 80, 3), np.uint8)
    big[:] = BACKGROUND
    for start in (2, 32, 62):
        cv2.line(big, (start, 32), (start + 14, 32), (255, 255, 255), 7, cv2.LINE_AA)
    return np.asarray(cv2.resize(big, (20, 16), interpolation=cv2.INTER_AREA))
