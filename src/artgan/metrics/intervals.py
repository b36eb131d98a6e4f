"""Confidence intervals. Free of torch."""

from __future__ import annotations

import math
from statistics import NormalDist

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
