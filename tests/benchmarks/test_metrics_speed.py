"""The Frechet distance of features against torch-fidelity's, and how long the whole score takes.

The sizes are small by default; ``ARTGAN_METRICS_FULL=1`` takes those of FID: 300 paintings and 7000, and 5000 and
5000, by 2048 features, which takes some minutes.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from time import perf_counter
from typing import Any

import pytest
import torch
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

from artgan.metrics.frechet import FID, frechet_distance

FULL = os.environ.get("ARTGAN_METRICS_FULL") == "1"


@pytest.mark.parametrize(
    ("n", "m", "width"),
    [(300, 7000, 2048), (5000, 5000, 2048)] if FULL else [(60, 400, 256), (600, 600, 256)],
)
def test_frechet_distance(n: int, m: int, width: int, compare: Callable[..., None], benchmark: Any) -> None:
    """Of features that are like Inception's: not negative, and with variances that fall off."""
    generator = torch.Generator().manual_seed(0)
    mix = torch.randn(width, width, generator=generator) * torch.arange(1, width + 1).unsqueeze(1) ** -0.8
    real, fake = ((torch.randn(rows, width, generator=generator) @ mix).clamp_min(0) for rows in (n, m))
    fake *= 1.2

    def ours() -> float:
        return frechet_distance(real, fake)

    def theirs() -> float:
        statistics = [fid_features_to_statistics(rows.double()) for rows in (real, fake)]
        return float(fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"])

    assert ours() == pytest.approx(theirs(), rel=1e-4)  # torch-fidelity's own error where pictures are few
    start = perf_counter()
    FID().evaluate(real, fake)
    benchmark.extra_info |= {
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "with_interval_and_at_half_s": perf_counter() - start,
    }
    compare(
        ours,
        theirs,
        names=(f"Frechet distance, {n} x {m} x {width}", "torch-fidelity"),
        rounds=1 if FULL else 3,
        warm=False,  # both have just run
    )
