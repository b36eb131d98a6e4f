"""KID against torch-fidelity and the plain double sum, and its standard error against the spread over redraws."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch_fidelity.metric_kid import kid_features_to_metric

from artgan.metrics import kernel
from artgan.metrics.kernel import KID, kernel_distances
from artgan.metrics.style import kernel_distance, kernel_distance_error

pytestmark = pytest.mark.numerical


def normal(n: int, seed: int, *, width: int = 16, shift: float = 0.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, width, dtype=torch.float64, generator=generator) + shift


def reference(real: Tensor, fake: Tensor, size: int) -> tuple[float, float]:
    """torch-fidelity's KID: mean and deviation over 100 subsets."""
    found = kid_features_to_metric(fake, real, kid_subset_size=size, verbose=False)
    return found["kernel_inception_distance_mean"], found["kernel_inception_distance_std"]


@pytest.mark.parametrize("size", [2, 50, 120])
def test_subsets_are_torch_fidelitys(size: int) -> None:
    """The very ones, so that values agree to rounding."""
    real, fake = normal(150, 0), normal(120, 1, shift=0.3)
    distances = kernel_distances(real, fake, size=size)
    assert (np.mean(distances), np.std(distances)) == pytest.approx(reference(real, fake, size), rel=1e-9)


@pytest.mark.slow
def test_kid_is_torch_fidelitys_with_its_default_size() -> None:
    real, fake = normal(1100, 0), normal(1050, 1, shift=0.3)
    [score] = KID().evaluate(real, fake)
    assert (score.value, score.details["deviation"]) == pytest.approx(reference(real, fake, 1000), rel=1e-9)
    assert score.details["subset size"] == 1000
    assert score.n == (1100, 1050)


def test_kid_of_few_pictures_takes_all_of_the_smaller_set() -> None:
    """torch-fidelity refuses until it is told a size."""
    real, fake = normal(60, 0), normal(40, 1, shift=0.3)
    [score] = KID().evaluate(real, fake)
    assert score.details["subset size"] == 40
    assert score.value == pytest.approx(reference(real, fake, 40)[0], rel=1e-9)


def test_kid_of_sets_that_are_one_subset_is_the_double_sum() -> None:
    real, fake = normal(12, 0, width=5), normal(12, 1, width=5, shift=1)
    x, y = real.numpy(), fake.numpy()

    def mean(a: np.ndarray, b: np.ndarray, *, same: bool) -> float:
        terms = [(p @ q / 5 + 1) ** 3 for i, p in enumerate(a) for j, q in enumerate(b) if not (same and i == j)]
        return float(np.mean(terms))

    expected = mean(x, x, same=True) + mean(y, y, same=True) - 2 * mean(x, y, same=False)
    [score] = KID().evaluate(real, fake)
    assert score.value == pytest.approx(expected, rel=1e-12)
    assert score.details["deviation"] == pytest.approx(0, abs=1e-12)


def test_where_a_subset_is_all_pictures_one_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the mean is that of a hundred permutations, as torch-fidelity takes it."""
    calls = []

    def counted(x: Tensor, y: Tensor) -> float:
        calls.append(len(x))
        return kernel_distance(x, y)

    monkeypatch.setattr(kernel, "kernel_distance", counted)
    real, fake = normal(40, 0).float(), normal(40, 1, shift=0.3).float()
    [score] = KID().evaluate(real, fake)
    assert calls == [40]
    assert score.value == pytest.approx(reference(real.double(), fake.double(), 40)[0], rel=1e-9)
    assert score.details["deviation"] == pytest.approx(0, abs=1e-12)
    assert score.interval is not None
    error = kernel_distance_error(fake.double(), real.double())
    assert score.interval[1] - score.value == pytest.approx(1.96 * error, rel=1e-4)
    KID().evaluate(real, fake[:39])
    assert calls == [40] + [39] * 100


def test_kid_of_one_distribution_is_0_on_average() -> None:
    values = [KID().evaluate(normal(20, 2 * i), normal(20, 2 * i + 1))[0].value for i in range(60)]
    assert abs(np.mean(values)) < 5 * np.std(values, ddof=1) / np.sqrt(len(values))
    assert min(values) < 0


@pytest.mark.slow
@pytest.mark.parametrize(("n", "m"), [(40, 40), (100, 40)])
def test_interval_is_of_the_spread_over_fresh_pictures(n: int, m: int) -> None:
    values, errors = [], []
    for i in range(60):
        [score] = KID().evaluate(normal(n, 2 * i), normal(m, 2 * i + 1, shift=0.4))
        assert score.interval is not None
        values.append(score.value)
        errors.append((score.interval[1] - score.interval[0]) / (2 * 1.96))
    assert 0.6 < np.mean(errors) / np.std(values, ddof=1) < 1.7  # five standard errors of 60


def test_kid_needs_two_pictures_and_three_for_an_interval() -> None:
    rows = normal(5, 0)
    with pytest.raises(ValueError, match="needs at least 2 real pictures, got 1"):
        KID().evaluate(rows[:1], rows)
    with pytest.raises(ValueError, match="needs at least 2 generated pictures, got 1"):
        KID().evaluate(rows, rows[:1])
    assert KID().evaluate(rows, rows[:2])[0].interval is None
    assert KID().evaluate(rows, rows[:3])[0].interval is not None
