"""The distribution of a measure over cases."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

_NAN = float("nan")


@dataclass(frozen=True)
class Statistic:
    """A distribution over cases; ``n`` counts the defined values, the rest is NaN without any.

    ``sd`` is the sample standard deviation (n - 1), NaN for a single value; ``lower`` and ``upper`` are the
    quartiles.
    """

    n: int
    mean: float
    sd: float
    median: float
    lower: float
    upper: float
    smallest: float
    largest: float


def statistic(values: Iterable[float]) -> Statistic:
    """The distribution of the values that are not NaN."""
    data = np.array([value for value in values if not np.isnan(value)], dtype=np.float64)
    if not data.size:
        return Statistic(0, *[_NAN] * 7)
    lower, median, upper = (float(q) for q in np.percentile(data, [25, 50, 75]))
    sd = float(data.std(ddof=1)) if data.size > 1 else _NAN
    ends = float(data.min()), float(data.max())
    return Statistic(data.size, float(data.mean()), sd, median, lower, upper, *ends)
