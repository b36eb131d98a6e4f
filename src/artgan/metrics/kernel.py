"""The kernel distance of Inception's features: KID (Binkowski et al., 2018, arXiv:1801.01401)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from artgan.interfaces import Score
from artgan.metrics.feature_metric import FeatureMetric, require_pictures
from artgan.metrics.intervals import normal
from artgan.metrics.style import kernel_distance, kernel_distance_error

_SUBSETS = 100
_SUBSET_SIZE = 1000
_SEED = 2020  # torch-fidelity's
_MOST = 5000  # pictures of each set used for the standard error


def kernel_distances(real: Tensor, fake: Tensor, *, subsets: int = _SUBSETS, size: int = _SUBSET_SIZE) -> list[float]:
    """The unbiased kernel distances of random subsets, exactly those of torch-fidelity, in float64.

    torch-fidelity's first input, from which it draws first and of which it computes the IS, is the generated pictures.
    If a subset is the whole set, all subsets are equal, and only one is computed.

    Args:
        real: N x D, of any floating type, possibly memory-mapped.
        fake: M x D.
        subsets: number of subsets.
        size: of each subset, from 2 to the smaller of N and M.
    """
    if size == len(real) == len(fake):
        return [kernel_distance(fake.double(), real.double())] * subsets
    rng = np.random.RandomState(_SEED)
    return [kernel_distance(*(_some(rows, size, rng) for rows in (fake, real))) for _ in range(subsets)]


def _some(rows: Tensor, count: int, rng: np.random.RandomState) -> Tensor:
    return rows[torch.from_numpy(rng.choice(len(rows), count, replace=False))].double()


class KID(FeatureMetric):
    """Like FID, with a kernel: comparable across n; about 0 for no difference, sometimes slightly less.

    The interval is 1.96 standard errors to either side. The deviation over subsets, which is usually reported with KID,
    is not a standard error: subsets share pictures, and their number is arbitrary. The mean over all subsets would be
    the distance of all pictures, whose standard error the jackknife estimates; using a hundred subsets instead of all
    adds the deviation / 10. From sets of more than 5000 pictures, 5000 are used for it, so the interval is too wide.
    """

    name = "kid"
    better = "lower"
    extractor_name = "inception"
    part = "pool"

    def evaluate(self, real: Tensor, fake: Tensor, inputs: Tensor | None = None) -> Sequence[Score]:
        """The mean over 100 subsets of 1000 pictures, or fewer if a set is smaller."""
        require_pictures(real, fake, least=2)
        n = len(real), len(fake)
        size = min(_SUBSET_SIZE, *n)
        distances = kernel_distances(real, fake, size=size)
        value, deviation = float(np.mean(distances)), float(np.std(distances))
        details: dict[str, Any] = {"subsets": _SUBSETS, "subset size": size, "deviation": deviation}
        if min(n) < 3:
            return [self.score(self.name, value, n, **details)]
        rng = np.random.RandomState(_SEED)
        of_all = kernel_distance_error(*(_some(rows, min(_MOST, len(rows)), rng) for rows in (real, fake)))
        error = math.hypot(of_all, deviation / math.sqrt(_SUBSETS))
        details["interval_of"] = "1.96 standard errors: of the distance of all pictures (jackknife), and by the subsets"
        return [self.score(self.name, value, n, interval=normal(value, error), **details)]
