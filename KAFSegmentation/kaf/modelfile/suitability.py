"""What about a scan is unlike what a model was made for: from the scan and the card alone, before anything is loaded.

The same sentences stand in the panel above Apply, in the output of ``kaf segment`` before torch is imported, and among
the warnings of the result.  No torch, no pydantic: Slicer's own process uses this file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from kaf.imaging.grid import Grid, canonical_grid
from kaf.imaging.volume import Volume, guess_modality
from kaf.modelfile.card import Card

_FAR = 2.0  # a distance or an extent this many times larger or smaller than the model's is worth a doubt
_FEW_PIXELS = 24
# DICOM's words for other kinds of images; one that is not here says nothing ("OT": other), and intensities are asked.
_OTHERS = {"PT": "PET", "NM": "nuclear medicine", "US": "ultrasound", "XA": "X-ray angiography", "CR": "a radiograph",
           "DX": "a radiograph", "MG": "mammography", "OPT": "optical coherence tomography", "SEG": "a segmentation",
           "RTDOSE": "a dose distribution"}


def doubts(volume: Volume, card: Card, flips: bool = False) -> tuple[str, ...]:
    """Why a result of this model on this scan may be wrong, in sentences; none where nothing is known against it.

    Args:
        volume: ``modality`` is DICOM's word, or empty; of the voxels at most a sample is looked at.
        flips: whether the result will be averaged over mirrored copies.

    Raises:
        InputError: the scan has no grid.
    """
    grid = canonical_grid(volume.shape, volume.affine, card.spacing, card.slicing_axis)
    found = [_kind(volume, card), _slices(grid, card), _pixels(volume, grid, card), _extent(grid, card),
             _depth(grid, card)]
    if card.channels and len(card.channels) == 1 + len(volume.more):
        found[0] = " ".join(filter(None, (
            _kind(Volume(voxels, volume.affine), replace(card, modality=channel["modality"]), channel["name"])
            for voxels, channel in zip((volume.voxels, *volume.more), card.channels, strict=True))))
    if flips and not card.knows_mirrors:
        found.append(f"{card.name} has not learned from mirrored scans: averaging over mirrored copies makes its "
                     "result worse.")
    return tuple(text for text in found if text)


def _kind(volume: Volume, card: Card, channel: str = "") -> str:
    if card.modality not in ("CT", "MR"):
        return ""
    end = f"but {card.name} was made for {card.modality}{f' as {channel}' * bool(channel)}: do not trust the result."
    stated = {"CT": "CT", "MR": "MR", **_OTHERS}.get(volume.modality)
    if stated is not None:
        return "" if stated == card.modality else f"This scan is {stated}, as its DICOM header says, {end}"
    guess = guess_modality(Volume(volume.voxels, volume.affine))
    return f"This scan looks like {guess}, {end}" if guess not in ("unknown", card.modality) else ""


def _slices(grid: Grid, card: Card) -> str:
    apart = grid.spacing[0]
    if 1 / _FAR <= apart / card.slice_spacing <= _FAR:
        return ""
    return f"Slices lie {apart:.1f} mm apart; {card.name} was made for about {card.slice_spacing:.1f} mm."


def _pixels(volume: Volume, grid: Grid, card: Card) -> str:
    """Finer pixels are averaged and lose nothing; coarser ones hold less than the model needs."""
    lengths = np.linalg.norm(volume.affine[:3, :3], axis=0)  # columns, rows, slices of the array
    rows, columns = (float(lengths[2 - axis]) for axis in grid.order[1:])
    if max(rows, columns) <= _FAR * card.spacing:
        return ""
    return f"Pixels are {rows:.1f} x {columns:.1f} mm in {grid.plane} slices; {card.name} was made for " \
        f"{card.spacing:.2g} mm."


def _extent(grid: Grid, card: Card) -> str:
    """The field of view, in pixels and in mm."""
    rows, columns = grid.size
    if min(rows, columns) < _FEW_PIXELS:
        return f"Slices have only {rows} x {columns} pixels at the model's {card.spacing:.2f} mm."
    seen = (rows * grid.spacing[1], columns * grid.spacing[2])
    covers = f"Slices cover {seen[0]:.0f} x {seen[1]:.0f} mm"
    trained = _sides(card.metrics.get("training_field_of_view_mm"))
    if trained is not None:
        ratios = [mine / theirs for mine, theirs in zip(seen, trained, strict=True)]
        if max(ratios) > _FAR or min(ratios) < 1 / _FAR:
            what = "crop the scan as those were" if max(ratios) > _FAR else "structures may be cut off"
            return f"{covers}; {card.name} was made for about {trained[0]:.0f} x {trained[1]:.0f} mm: {what}."
        return ""
    patch = _patch(card)
    if patch is not None and min(seen[0] / patch[0], seen[1] / patch[1]) < 1 / _FAR:
        return f"{covers} only; {card.name} learned from pieces of {patch[0]:.0f} x {patch[1]:.0f} mm: structures " \
            "may be cut off."
    return ""


def _depth(grid: Grid, card: Card) -> str:
    count, network = grid.n_slices, card.network
    if network.get("dimensions", 2) == 3:
        depth = (network.get("patch") or (0,))[0]
        return f"The scan has only {count} slices; {card.name} looks at {depth} at a time." \
            if count < depth / _FAR else ""
    return f"The scan is a single slice; {card.name} looks at its neighbours, too." \
        if count == 1 and card.slice_context else ""


def _patch(card: Card) -> tuple[float, float] | None:
    """mm of the pieces (rows, columns) that the model learned from, where its card tells."""
    if card.network.get("dimensions", 2) == 3:
        sides = _sides((card.network.get("patch") or ())[1:])
    else:
        side = card.recipe.get("patch")
        sides = _sides((side, side))
    return None if sides is None else (sides[0] * card.spacing, sides[1] * card.spacing)


def _sides(value: Any) -> tuple[float, float] | None:
    """Two lengths, or None for anything else: what a card holds beyond its fields is not checked."""
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != 2:
        return None
    if not all(isinstance(side, (int, float)) and not isinstance(side, bool) and side > 0 for side in value):
        return None
    return float(value[0]), float(value[1])
