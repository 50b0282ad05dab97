"""One scan and what is known of its labels."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

IGNORE = 255
"""In a batch: a pixel that nobody has labelled, neither as a structure nor as background."""


@dataclass(frozen=True)
class Mask:
    """A structure that is drawn in a file of its own, or is one of a DICOM structure set (RTSTRUCT): its name, the
    file, and the value that stands for it in the label map of the case."""

    name: str
    path: Path
    value: int = 0


@dataclass(frozen=True)
class Case:
    """One scan: its name (unique in its dataset), its patient, its file or DICOM folder, and its labels.

    Attributes:
        label: the label map; where each structure is drawn by itself, the folder of the masks or the RTSTRUCT file.
        masks: the structures that are drawn each by itself; empty for a label map.
        values: (value in the label map, value that KAF uses for it); values that are not named stay as they are.
        ignore: the value, in the label map, of voxels that nobody has labelled.
        annotated: the values (those that KAF uses) of the structures that were drawn in this scan wherever they are;
            any other may be there without being drawn.  None: all were.
        channels: names of the input channels, where there are several; the others lie in the files ``more``, or all of
            them are the ``frames`` of the one file (a 4-D file; 0 for others).
    """

    name: str
    patient: str
    image: Path
    label: Path | None = None
    masks: tuple[Mask, ...] = ()
    values: tuple[tuple[int, int], ...] = ()
    ignore: int | None = None
    annotated: frozenset[int] | None = None
    channels: tuple[str, ...] = ()
    more: tuple[Path, ...] = ()
    frames: int = 0

    @property
    def one_channel(self) -> Case:
        """The case with its first channel only."""
        return replace(self, channels=(), more=(), frames=min(self.frames, 1)) if self.channels else self

    @property
    def label_files(self) -> tuple[Path, ...]:
        """Every file that its labels are read from, once."""
        if self.masks:
            return tuple(dict.fromkeys(mask.path for mask in self.masks))
        return (self.label,) if self.label is not None else ()

    @property
    def meaning(self) -> str:
        """What the files of its labels do not say, which value stands for what, as text; "" where they say it."""
        if not (self.masks or self.values or self.ignore is not None):
            return ""
        return json.dumps([[(mask.name, mask.value) for mask in self.masks], self.values, self.ignore])

    def drawing(self) -> dict[str, Any]:
        """How its labels are read, JSON-ready for :func:`case_of`; empty for a label map whose values are used as they
        are."""
        if not self.meaning:
            return {}
        return {"masks": [[mask.name, str(mask.path), mask.value] for mask in self.masks],
                "values": [list(pair) for pair in self.values], "ignore": self.ignore}

    @property
    def unlabelled(self) -> Case:
        """The same scan without its labels."""
        return Case(self.name, self.patient, self.image, channels=self.channels, more=self.more, frames=self.frames)


def case_of(name: str, image: str | Path, label: str | Path, drawing: dict[str, Any]) -> Case:
    """A labelled case from what :meth:`Case.drawing` says of it."""
    masks = tuple(Mask(of, Path(path), value) for of, path, value in drawing.get("masks", ()))
    values = tuple((int(stored), int(used)) for stored, used in drawing.get("values", ()))
    return Case(name, name, Path(image), Path(label), masks, values, drawing.get("ignore"))
