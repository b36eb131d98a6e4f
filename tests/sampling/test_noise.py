"""Noise by name: what parses, and that what is drawn has the moments that it should."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from artgan.sampling.noise import Noise

DISTRIBUTIONS = {
    "normal(0,1)": stats.norm(0, 1),
    "normal(-1,1)": stats.norm(-1, 1),
    "normal(0,0.01)": stats.norm(0, 0.1),
    "normal(0,100)": stats.norm(0, 10),
    "uniform(-1,1)": stats.uniform(-1, 2),
    "gamma(2,1)": stats.gamma(2, scale=1),
    "gamma(0.5,3)": stats.gamma(0.5, scale=3),
    "truncated(0,1,2)": stats.truncnorm(-2, 2),
    "truncated(1,4,0.5)": stats.truncnorm(-0.5, 0.5, loc=1, scale=2),
}


@pytest.mark.parametrize("text", DISTRIBUTIONS)
@pytest.mark.numerical
def test_what_is_drawn_follows_the_distribution(text: str) -> None:
    noise, expected = Noise.parse(text), DISTRIBUTIONS[text]
    drawn = noise.draw(1000, 100, generator=torch.Generator().manual_seed(0))
    assert (drawn.shape, drawn.dtype) == ((1000, 100), torch.float32)
    assert noise.mean == pytest.approx(expected.mean())
    assert noise.variance == pytest.approx(expected.var())
    error = math.sqrt(noise.variance / drawn.numel())
    assert float(drawn.mean()) == pytest.approx(noise.mean, abs=6 * error)
    assert float(drawn.var()) == pytest.approx(noise.variance, rel=0.05)
    assert stats.kstest(drawn.flatten().numpy(), expected.cdf).pvalue > 1e-6  # another distribution: 0
    # Neither rows nor columns are alike: six standard errors of 1000 and of 100 draws.
    assert abs(float(torch.corrcoef(drawn.T[:2])[0, 1])) < 0.2
    assert abs(float(torch.corrcoef(drawn[:2])[0, 1])) < 0.6


@pytest.mark.parametrize("text", DISTRIBUTIONS)
def test_draws_depend_on_the_seed_alone(text: str) -> None:
    noise = Noise.parse(text)
    one, same, other = (noise.draw(3, 5, generator=torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    torch.manual_seed(1)
    assert torch.equal(noise.draw(3, 5), one)
    assert not torch.equal(noise.draw(3, 5), one)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "write normal(MEAN,VARIANCE) or"),
        ("normal", "write normal(MEAN,VARIANCE) or"),
        ("normal(0,1", "write normal(MEAN,VARIANCE) or"),
        ("normal(0,1))", "write normal(MEAN,VARIANCE) or"),
        ("normal(0)", "write normal(MEAN,VARIANCE)"),
        ("normal(0,1,2)", "write normal(MEAN,VARIANCE)"),
        ("normal(a,b)", "'a,b' are not numbers"),
        ("normal(,)", "are not numbers"),
        ("normal(0,-1)", "VARIANCE must be greater than 0"),
        ("normal(0,0)", "VARIANCE must be greater than 0"),
        ("normal(nan,1)", "must be finite"),
        ("normal(0,inf)", "must be finite"),
        ("truncated(0,1,0)", "BOUND must be greater than 0"),
        ("uniform(1,-1)", "LOW must be less than HIGH"),
        ("uniform(1,1)", "LOW must be less than HIGH"),
        ("gamma(0,1)", "SHAPE and SCALE must be greater than 0"),
        ("gamma(2,-1)", "SHAPE and SCALE must be greater than 0"),
        ("cauchy(0,1)", "unknown noise 'cauchy'; known: normal(MEAN,VARIANCE), truncated("),
        ("__import__('os')", "write normal"),
    ],
)
def test_what_does_not_parse_is_told_in_one_line(text: str, told: str) -> None:
    with pytest.raises(ValueError, match="noise") as refused:
        Noise.parse(text)
    assert told in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("text", [" normal( 0 , 1e0 ) ", "normal(0,1)", "normal(-0.0,1.0)"])
def test_spellings(text: str) -> None:
    assert Noise.parse(text) == Noise("normal", (0.0, 1.0))


@pytest.mark.slow
@given(st.text(max_size=40))
def test_any_text_parses_or_is_refused(text: str) -> None:
    try:
        noise = Noise.parse(text)
    except ValueError:
        return
    assert Noise.parse(str(noise)).kind == noise.kind


@given(st.floats(-100, 100).map(lambda x: round(x, 3)), st.floats(0.001, 100).map(lambda x: round(x, 3)))
def test_a_text_of_its_own_parses_again(mean: float, variance: float) -> None:
    noise = Noise("normal", (mean, variance))
    assert Noise.parse(str(noise)) == noise
