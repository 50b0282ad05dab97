"""Few points that stand for all: greedy k-centre, the farthest first.  numpy and scipy only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial.distance import cdist


@dataclass(frozen=True)
class Pick:
    """A chosen point: its index, how far it was from the nearest point chosen before (infinite for the first), which
    one that was (None), and how many other points have it as the nearest of all that are chosen in the end."""

    index: int
    distance: float
    nearest: int | None
    stands_for: int = 0


def medoid(points: np.ndarray) -> int:
    """The point of (n, D) whose distances to all others add up to least; the first one where several do."""
    return int(cdist(points, points).sum(1).argmin())


def farthest_first(points: np.ndarray, count: int, given: Sequence[int] = ()) -> list[Pick]:
    """Choose ``count`` of (n, D) points: each one the farthest from all chosen before it, which are ``given`` at the
    beginning; without those the medoid comes first.

    The largest distance of a point to the nearest chosen one is at most twice the smallest possible (Gonzalez,
    Clustering to minimize the maximum intercluster distance, 1985).  Ties go to the lower index.
    """
    chosen, picks = list(given), list[Pick]()
    nearest = np.full(len(points), np.inf)
    who = np.full(len(points), -1)

    def take(index: int) -> None:
        away = cdist(points, points[[index]])[:, 0]
        closer = away < nearest
        who[closer], nearest[closer] = index, away[closer]
        nearest[index], who[index] = 0.0, index

    for index in chosen:
        take(index)
    free = np.ones(len(points), bool)
    free[chosen] = False
    while free.any() and len(picks) < count:
        index = medoid(points) if not chosen else int(np.where(free, nearest, -1.0).argmax())
        picks.append(Pick(index, float(nearest[index]), int(who[index]) if chosen else None))
        take(index)
        free[index] = False
        chosen.append(index)
    stood = np.bincount(who[who >= 0], minlength=len(points))
    return [Pick(p.index, p.distance, p.nearest, int(stood[p.index]) - 1) for p in picks]
