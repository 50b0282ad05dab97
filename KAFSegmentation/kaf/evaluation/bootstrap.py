"""How sure a mean difference is: a bootstrap over everything that would be another time another one.

A few-shot experiment has folds; within a fold seeds of pretraining, draws of labelled patients, and test patients, each
crossed with the others.  All of them are sampled anew: who keeps the networks fixed and samples patients alone finds
"significant" differences between networks that differ by chance.  numpy only.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

REPLICATES = 4000


def bootstrap_means(values: np.ndarray, seed: int = 0, replicates: int = REPLICATES) -> np.ndarray:
    """Means of resampled experiments.

    Folds are drawn with replacement; in every fold that is drawn its seeds, draws and patients are drawn independently
    (the product of the three counts is the weight of a value: Owen, Annals of Applied Statistics 2007).  Of n units
    n - 1 are drawn, which makes the variance of a mean unbiased (Rao and Wu, JASA 1988); a level with one unit is taken
    as it is, so that its share of the variance is not seen.  The result is conservative where each run has a noise of
    its own, which counts for its seed and for its draw.

    Args:
        values: (folds, seeds, draws, patients) float, NaN where there is none.
        seed: of the resampling.
        replicates: number of experiments.

    Returns:
        (replicates,) means; NaN where a resampled experiment held no value.
    """
    rng = np.random.default_rng([seed, 5])
    folds = np.flatnonzero(np.isfinite(values).any((1, 2, 3)))
    taken = rng.integers(len(folds), size=(replicates, max(1, len(folds) - 1)))
    total, weight = np.zeros(replicates), np.zeros(replicates)
    for number, fold in enumerate(folds):
        own, there = np.nan_to_num(values[fold]), np.isfinite(values[fold]).astype(float)
        which = np.nonzero(taken == number)[0]
        counts = [_counts(rng, there.any(axes), len(which)) for axes in ((1, 2), (0, 2), (0, 1))]
        np.add.at(total, which, np.einsum("rs,rd,rp,sdp->r", *counts, own, optimize=True))
        np.add.at(weight, which, np.einsum("rs,rd,rp,sdp->r", *counts, there, optimize=True))
    return np.divide(total, weight, out=np.full(replicates, np.nan), where=weight > 0)


def _counts(rng: np.random.Generator, there: np.ndarray, times: int) -> np.ndarray:
    """(times, units): how often each unit is drawn when n - 1 of the n that are there are drawn."""
    units = int(there.sum())
    return rng.multinomial(max(1, units - 1), there / units, times).astype(float)


def interval(means: np.ndarray, share: float = 0.95) -> tuple[float, float]:
    """The percentile interval that holds this share of the resampled means."""
    low, high = np.nanpercentile(means, [50 * (1 - share), 50 * (1 + share)])
    return float(low), float(high)


def two_sided(means: np.ndarray) -> float:
    """The share of resampled means on the far side of zero, twice; at least that of one replicate."""
    sound = means[np.isfinite(means)]
    tail = min(int((sound <= 0).sum()), int((sound >= 0).sum()))
    return min(1.0, 2 * (tail + 1) / (len(sound) + 1))


def holm(p: Sequence[float]) -> list[float]:
    """p values corrected for their number (Holm, 1979); NaN stays NaN and does not count."""
    order = sorted((value, index) for index, value in enumerate(p) if np.isfinite(value))
    corrected, largest = [float("nan")] * len(p), 0.0
    for rank, (value, index) in enumerate(order):
        largest = max(largest, min(1.0, value * (len(order) - rank)))
        corrected[index] = largest
    return corrected
