"""Confidence intervals. Free of torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from statistics import NormalDist, mean, stdev

Z95 = NormalDist().inv_cdf(0.975)
"""Half the width of a 95 % confidence interval, in standard errors."""


def wilson(hits: float, count: float) -> tuple[float, float]:
    """The 95 % confidence interval of a share, given ``hits`` of ``count`` (Wilson, 1927)."""
    share, z = hits / count, Z95**2 / count
    middle, half = share + z / 2, Z95 * math.sqrt(share * (1 - share) / count + z / (4 * count))
    return max((middle - half) / (1 + z), 0.0), min((middle + half) / (1 + z), 1.0)


def normal(value: float, error: float) -> tuple[float, float]:
    """The 95 % confidence interval of a value with a standard error."""
    return value - Z95 * error, value + Z95 * error


def student(values: Sequence[float]) -> tuple[float, float]:
    """The 95 % confidence interval of the mean that two or more normally distributed values come from.

    Raises:
        statistics.StatisticsError: fewer than two values.
    """
    middle = mean(values)
    half = stdev(values) / math.sqrt(len(values)) * _student_t(len(values) - 1)
    return middle - half, middle + half


@cache
def _student_t(degrees: int) -> float:
    """The 97.5 % quantile of Student's t, by bisection over the angle in its distribution's closed form.

    Abramowitz and Stegun, 1964, 26.7.3 and 26.7.4.
    """
    low, high = 0.0, math.pi / 2
    for _ in range(60):
        angle = (low + high) / 2
        cosine, odd = math.cos(angle), degrees % 2
        terms, term = 0.0, cosine if odd else 1.0
        for k in range(2 + odd, degrees + 1, 2):
            terms += term
            term *= (k - 1) / k * cosine**2
        inside = math.sin(angle) * terms
        if odd:
            inside = 2 / math.pi * (angle + inside)
        low, high = (angle, high) if inside < 0.95 else (low, angle)
    return math.tan(low) * math.sqrt(degrees)
