"""The schedule of progressive growing: its ends, and what holds between them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artgan.training.multiscale.growth import Growth, placed


def test_the_levels_of_a_short_run_are_these() -> None:
    growth = Growth(resolutions=3, phase_steps=4, fade_in=0.5)
    assert [growth.level(step) for step in range(15)] == [0, 0, 0, 0, 0.5, 1, 1, 1, 1.5, 2, 2, 2, 2, 2, 2]
    assert growth.phase_ends == {4, 8}
    assert growth.complete_after == 10


def test_a_level_is_a_resolution_and_its_share() -> None:
    assert placed(0.0) == (0, 1)
    assert placed(3.0) == (3, 1)
    assert placed(2.25) == (3, 0.25)


schedules = st.builds(Growth, st.integers(2, 9), st.integers(1, 1000), st.floats(0, 1))


@given(schedules, st.integers(0, 10_000))
def test_networks_never_shrink_and_grow_by_equal_parts(growth: Growth, step: int) -> None:
    before, after = growth.level(step), growth.level(step + 1)
    assert 0 <= before <= after <= growth.resolutions - 1
    assert after - before <= 1 / max(1, growth.fade_steps) + 1e-9


@given(schedules, st.integers(1, 8))
def test_a_fade_in_begins_with_one_part_and_ends_with_the_whole(growth: Growth, phase: int) -> None:
    if phase >= growth.resolutions:
        return
    start, fade = phase * growth.phase_steps, growth.fade_steps
    assert growth.level(start - 1) == phase - 1  # the phase before ended in full
    assert growth.level(start) == pytest.approx(phase - 1 + 1 / max(1, fade))
    assert growth.level(start + max(1, fade) - 1) == phase
    if fade > 1:
        assert growth.level(start + fade - 2) < phase


@pytest.mark.slow
@given(schedules)
def test_growth_is_complete_when_it_says_so(growth: Growth) -> None:
    last = growth.resolutions - 1
    assert growth.level(growth.complete_after - 1) == last
    if growth.complete_after > 1:
        assert growth.level(growth.complete_after - 2) < last
