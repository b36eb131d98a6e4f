"""How often a classifier tells two sets of patches apart: on numbers whose answer is known."""

from __future__ import annotations

import sys
from statistics import NormalDist

import numpy as np
import pytest
from numpy.typing import NDArray

from artgan.errors import ConfigError
from artgan.metrics.intervals import wilson
from artgan.metrics.told import FOLDS, told

PER_PICTURE = 4


def cloud(pictures: int, center: float, seed: int, width: int = 4, own: float = 0.0) -> NDArray[np.float64]:
    """Patches of pictures, normal around a center in the first column; ``own``: what those of one picture share."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(pictures, PER_PICTURE, width)) + own * rng.normal(size=(pictures, 1, width))
    rows[..., 0] += center
    return rows.reshape(-1, width)


def pictures(count: int, first: int = 0) -> list[int]:
    return np.repeat(np.arange(first, first + count), PER_PICTURE).tolist()


@pytest.mark.numerical
@pytest.mark.parametrize("apart", [0.5, 1.0, 2.0])
def test_two_gaussians_are_told_as_often_as_they_can_be(apart: float) -> None:
    """No classifier is right more often than the share of the normal distribution below half the distance."""
    found = told(cloud(400, 0, 0), cloud(400, apart, 1), pictures(400), pictures(400, 400))
    best = NormalDist().cdf(apart / 2)
    error = (best * (1 - best) / (800 * PER_PICTURE)) ** 0.5
    assert abs(found.accuracy - best) < 5 * error + 0.005  # and what is lost by learning from samples
    assert found.interval[1] - found.interval[0] == pytest.approx(2 * 1.96 * error, rel=0.2)
    assert found.accuracy == pytest.approx((found.real + found.fake) / 2)


@pytest.mark.numerical
def test_the_log_loss_is_that_of_the_best_classifier() -> None:
    """Whose probability of the right set is the logistic function of the distance from the middle."""
    found = told(cloud(400, 0, 0), cloud(400, 1, 1), pictures(400), pictures(400, 400), strength=1)
    distance = np.random.default_rng(2).normal(0.5, 1, 100_000)
    expected = np.log1p(np.exp(-distance))
    assert found.log_loss == pytest.approx(expected.mean(), abs=5 * expected.std() / (800 * PER_PICTURE) ** 0.5)


@pytest.mark.numerical
def test_sets_far_apart_are_always_told() -> None:
    found = told(cloud(20, 0, 0), cloud(20, 30, 1), pictures(20), pictures(20, 20))
    assert found.accuracy == found.real == found.fake == 1
    assert found.interval == pytest.approx(wilson(40, 40))
    assert found.log_loss < 0.6


@pytest.mark.numerical
def test_one_distribution_is_not_told_though_patches_of_a_picture_are_alike() -> None:
    """With many features and few pictures, of which each could be known by heart."""
    found = [
        told(cloud(30, 0, 2 * i, 50, 2), cloud(30, 0, 2 * i + 1, 50, 2), pictures(30), pictures(30, 30))
        for i in range(5)
    ]
    # Of 60 pictures that are judged as wholes the standard error is 0.065, that of the mean of five runs 0.03.
    assert abs(np.mean([one.accuracy for one in found]) - 0.5) < 0.15
    # Were patches taken for independent, the intervals would be half as wide.
    assert all(one.interval[1] - one.interval[0] > 0.15 for one in found)


@pytest.mark.numerical
def test_a_set_is_not_told_from_itself() -> None:
    """A picture of the training would give its twin away, to the wrong side: they are in one fold."""
    rows = cloud(30, 0, 0, 50)
    same = told(rows, rows, pictures(30), pictures(30))
    assert same.accuracy == 0.5
    assert same.log_loss == pytest.approx(np.log(2))
    apart = told(rows, rows, pictures(30), pictures(30, 30))
    assert apart.accuracy < 0.4


@pytest.mark.numerical
def test_sets_of_different_sizes_have_equal_weight() -> None:
    found = told(cloud(300, 0, 0), cloud(30, 1, 1), pictures(300), pictures(30, 300))
    best = NormalDist().cdf(0.5)
    assert abs(found.real - best) < 0.15  # without weights nearly all are taken for real
    assert abs(found.fake - best) < 0.2
    assert found.accuracy == pytest.approx((found.real + found.fake) / 2)


def test_features_that_never_change_and_their_scale_do_not_matter() -> None:
    real, fake = cloud(30, 0, 0), cloud(30, 1, 1)
    plain = told(real, fake, pictures(30), pictures(30, 30))

    def changed(rows: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.concatenate([1e3 * rows - 7, np.full((len(rows), 2), 0.1)], axis=1)

    other = told(changed(real), changed(fake), pictures(30), pictures(30, 30))
    assert other.accuracy == plain.accuracy
    assert other.log_loss == pytest.approx(plain.log_loss, rel=1e-3)
    nothing = told(np.ones((20, 3)), np.ones((20, 3)), list(range(20)), list(range(20, 40)))
    assert nothing.accuracy == 0.5


def test_the_same_seed_gives_the_same_figures_whatever_the_groups_are_called() -> None:
    real, fake = cloud(20, 0, 0), cloud(20, 0.5, 1)
    named = [f"photo {i}" for i in pictures(20)], [f"painting {i}" for i in pictures(20)]
    once = told(real, fake, pictures(20), pictures(20, 20), seed=3)
    assert told(real, fake, *named, seed=3) == once
    assert told(real.astype(np.float32), fake.astype(np.float32), *named, seed=3).accuracy == once.accuracy
    assert told(real, fake, *named, seed=4) != once


def test_what_cannot_be_judged_is_an_error() -> None:
    rows = cloud(10, 0, 0)
    with pytest.raises(ValueError, match="at least 5 generated pictures, got 4"):
        told(rows, rows[:16], pictures(10), pictures(4))
    with pytest.raises(ValueError, match="40 real patches have 36 groups"):
        told(rows, rows, pictures(9), pictures(10))
    with pytest.raises(ValueError, match="of one width"):
        told(rows, rows[:, :3], pictures(10), pictures(10))
    with pytest.raises(ValueError, match="at least 2 folds"):
        told(rows, rows, pictures(10), pictures(10), folds=1)
    with pytest.raises(ValueError, match="not finite"):
        told(rows, np.full_like(rows, np.nan), pictures(10), pictures(10))
    assert FOLDS == 5


def test_scikit_learn_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.linear_model", None)
    rows = cloud(10, 0, 0)
    with pytest.raises(ConfigError, match=r'pip install "artgan\[metrics\]"'):
        told(rows, rows, pictures(10), pictures(10))
