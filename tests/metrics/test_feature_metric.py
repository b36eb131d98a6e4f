"""What holds for all metrics: what they refuse, and how they are introduced."""

from __future__ import annotations

import inspect
import math

import pytest
import torch

from artgan.metrics import METRICS
from artgan.metrics.feature_metric import FeatureMetric
from artgan.metrics.names import resolve_metric
from artgan.metrics.neighbors import held_out_gap

OF_FEATURES = [name for name in METRICS if issubclass(resolve_metric(name), FeatureMetric)]


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", OF_FEATURES)
def test_features_that_are_not_finite_are_refused(name: str, number: float) -> None:
    """As weights that are damaged give them: no score would be about pictures."""
    cls = resolve_metric(name)
    assert issubclass(cls, FeatureMetric)
    whole = torch.rand(60, 8, generator=torch.Generator().manual_seed(0))
    damaged = whole.clone()
    damaged[17, 3] = number
    sets = [(whole, damaged)] if cls.against == "nothing" else [(whole, damaged), (damaged, whole)]
    for real, fake in sets:
        with pytest.raises(ValueError, match="the features are not finite; are the weights intact"):
            cls().evaluate(real, fake)
    if cls.wants_inputs:
        with pytest.raises(ValueError, match="the features are not finite"):
            cls().evaluate(whole, whole, damaged)


def test_no_gap_is_told_of_features_that_are_not_finite() -> None:
    whole = torch.rand(30, 8)
    for place in range(3):
        sets = [whole.clone() for _ in range(3)]
        sets[place][5, 5] = math.nan
        with pytest.raises(ValueError, match="the features are not finite"):
            held_out_gap(*sets)


@pytest.mark.parametrize("name", OF_FEATURES)
def test_pictures_that_are_all_the_same_give_finite_scores_or_none(name: str) -> None:
    cls = resolve_metric(name)
    assert issubclass(cls, FeatureMetric)
    varied, same = torch.rand(60, 8, generator=torch.Generator().manual_seed(0)), torch.full((60, 8), 0.3)
    for real, fake in ((same, same), (varied, same), (same, varied)):
        for score in cls().evaluate(real, fake):
            assert all(map(math.isfinite, (score.value, *(score.interval or ()))))


@pytest.mark.parametrize("name", METRICS)
def test_the_first_line_of_a_metric_introduces_it(name: str) -> None:
    first = (inspect.getdoc(resolve_metric(name)) or "").splitlines()[0]
    assert 20 < len(first) <= 100
    assert first[-1] in ".?"
