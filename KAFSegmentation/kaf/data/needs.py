"""What self-supervised methods need of the data: views, matched keypoints, regions, crops that overlap."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from kaf.runtime.errors import SettingsError

DRAWN_VIEWS = ("anchor", "neighbour", "again")
"""The views that data provides; see :mod:`kaf.data.views`.  Others a method makes of them."""


@dataclass(frozen=True)
class Needs:
    """What one method needs of the data, or several together.

    views: names of views, those that the method makes itself included; aligned: ``anchor`` and ``again`` without
    elastic deformation, so that their geometry is exact; match_radius: Manhattan distance in pixels within which
    keypoints of neighbouring slices are matched, 0 for no matching (and no descriptors); match_mm: the same in mm,
    which counts where it is not 0; match_ratio: see :func:`kaf.imaging.keypoints.match`; regions: "superpixels",
    "labels" or "" for none; superpixels: Felzenszwalb's scale, smoothing (pixels) and smallest region (pixels);
    least_overlap: share (0..1) that two crops of a volume have in common; slices: fewest slices in all;
    several_per_scan: the place of a slice within its volume counts, so that some scan has to have two.
    """

    views: tuple[str, ...] = ("anchor",)
    aligned: bool = False
    match_radius: float = 0.0
    regions: str = ""
    superpixels: tuple[float, float, int] | None = None
    least_overlap: float = 0.0
    slices: int = 1
    several_per_scan: bool = False
    match_mm: float = 0.0
    match_ratio: float = 1.0


def joined(needs: Iterable[Needs]) -> Needs:
    """What several methods need together.

    Raises:
        SettingsError: two of them want different regions.
    """
    every = list(needs)
    regions = {(each.regions, each.superpixels) for each in every if each.regions}
    if len(regions) > 1:
        raise SettingsError("method", "combines methods that need different regions of the same slice",
                            "Give them the same region settings, or use one of them.")
    kind, superpixels = next(iter(regions), ("", None))
    return Needs(tuple(sorted({view for each in every for view in each.views})), any(each.aligned for each in every),
                 max(each.match_radius for each in every), kind, superpixels,
                 max(each.least_overlap for each in every), max(each.slices for each in every),
                 any(each.several_per_scan for each in every), max(each.match_mm for each in every),
                 min(each.match_ratio for each in every))
