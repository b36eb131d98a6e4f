"""The Inception Score against torch-fidelity, and where it is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch_fidelity.metric_isc import isc_features_to_metric

from artgan.metrics.inception_score import InceptionScore, inception_scores

pytestmark = pytest.mark.numerical


def logits(n: int, seed: int, *, classes: int = 30, scale: float = 3.0) -> Tensor:
    return torch.randn(n, classes, generator=torch.Generator().manual_seed(seed)) * scale


@pytest.mark.parametrize("n", [10, 97, 500])
def test_score_is_torch_fidelitys(n: int) -> None:
    theirs = isc_features_to_metric(logits(n, 0))
    [score] = InceptionScore().evaluate(torch.empty(0, 30), logits(n, 0))
    assert score.value == pytest.approx(theirs["inception_score_mean"], rel=1e-12)
    assert score.details["deviation"] == pytest.approx(theirs["inception_score_std"], rel=1e-9)
    assert score.n == (0, n)


def test_pictures_that_all_look_alike_score_1() -> None:
    [score] = InceptionScore().evaluate(torch.empty(0, 30), logits(1, 0).expand(50, -1))
    assert score.value == pytest.approx(1, rel=1e-12)


@pytest.mark.parametrize("certainty", [100.0, 1e6])
def test_pictures_that_are_plainly_of_each_class_alike_score_the_number_of_classes(certainty: float) -> None:
    """Even where a class is so unlikely that its probability is 0 in double precision."""
    certain = certainty * torch.eye(7).repeat(40, 1)
    assert inception_scores(certain, splits=1) == pytest.approx([7], rel=1e-9)


def test_interval_holds_the_mean_over_more_pictures() -> None:
    """Of parts of the same size: the score grows with their size."""
    right = np.mean(inception_scores(logits(20000, 99), splits=500))
    held = 0
    for seed in range(40):
        [score] = InceptionScore().evaluate(torch.empty(0, 30), logits(400, seed))
        assert score.interval is not None
        held += score.interval[0] < right < score.interval[1]
    assert held >= 30  # of 40; 38 are to be expected


def test_few_pictures_are_told_and_too_few_refused() -> None:
    [score] = InceptionScore().evaluate(torch.empty(0, 30), logits(400, 0))
    assert score.notes == ("400 pictures are few: the score grows with n; compare only scores of the same n",)
    assert InceptionScore().evaluate(torch.empty(0, 30), logits(5000, 0))[0].notes == ()
    with pytest.raises(ValueError, match="needs at least 10 generated pictures, got 9"):
        InceptionScore().evaluate(torch.empty(0, 30), logits(9, 0))
