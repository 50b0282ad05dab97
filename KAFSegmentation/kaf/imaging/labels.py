"""A labelled structure: its voxel value, name, colour and standard code."""

from __future__ import annotations

from dataclasses import dataclass

# Told apart on black, on white and with the common colour-vision deficiencies (after Okabe and Ito, 2008).
PALETTE = (
    (230, 159, 0), (86, 180, 233), (0, 158, 115), (204, 121, 167), (213, 94, 0), (0, 114, 178),
    (240, 228, 66), (148, 103, 189), (140, 180, 60), (127, 127, 127),
)


@dataclass(frozen=True)
class Label:
    """One structure: its voxel value (1..255), its name, its colour (0..255) and its standard code.

    ``terminology`` is Slicer's terminology entry string for the segment, or empty.
    """

    value: int
    name: str
    colour: tuple[int, int, int]
    terminology: str = ""


def plain_label(value: int, name: str = "", terminology: str = "") -> Label:
    """A label with the palette's colour, and a name that says only its value where none is given."""
    return Label(value, name or f"label {value}", PALETTE[(value - 1) % len(PALETTE)], terminology)
