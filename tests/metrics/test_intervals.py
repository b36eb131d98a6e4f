"""Confidence intervals against printed tables."""

from __future__ import annotations

import math
import statistics

import pytest

from artgan.metrics.intervals import student

# 97.5 % quantiles of Student's t by degrees of freedom, as printed in textbooks.
TABLE = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 9: 2.262, 10: 2.228, 29: 2.045, 30: 2.042, 120: 1.980}


@pytest.mark.parametrize("degrees", TABLE)
def test_the_interval_of_a_mean_is_students(degrees: int) -> None:
    values = [math.sin(7 * index) for index in range(degrees + 1)]
    low, high = student(values)
    error = statistics.stdev(values) / math.sqrt(len(values))
    assert (low + high) / 2 == pytest.approx(statistics.mean(values))
    assert (high - low) / 2 / error == pytest.approx(TABLE[degrees], abs=6e-4)


def test_one_value_has_no_interval() -> None:
    with pytest.raises(statistics.StatisticsError):
        student([1.0])
