"""When things are done in a run."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artgan.training.options import TrainingOptions
from artgan.training.schedule import Schedule

EVERY = {"log": 3, "samples": 4, "models": 5, "scores": 6, "checkpoint": 7}


def schedule(steps: int) -> Schedule:
    return Schedule(steps, *EVERY.values())


@pytest.mark.parametrize("what", EVERY)
def test_each_thing_is_due_at_its_multiples_and_all_but_copies_of_models_at_the_end(what: str) -> None:
    due = [step for step in range(1, 17) if getattr(schedule(16).after(step), what)]
    multiples = [step for step in range(1, 17) if step % EVERY[what] == 0]
    assert due == sorted({*multiples, *(() if what == "models" else (16,))})


def test_an_interrupted_run_writes_a_checkpoint_and_nothing_else() -> None:
    due = schedule(100).after(1, interrupted=True)
    assert due.checkpoint
    assert due.check
    assert due.last
    assert due.interrupted
    assert [due.log, due.samples, due.models, due.scores] == [False] * 4


def test_an_interruption_at_the_last_step_leaves_a_complete_run() -> None:
    due = schedule(100).after(100, interrupted=True)
    assert due.last
    assert not due.interrupted


@given(st.integers(1, 50), st.integers(1, 50), st.booleans())
def test_nothing_is_logged_or_saved_unchecked(step: int, more: int, interrupted: bool) -> None:
    due = schedule(step + more).after(step, interrupted=interrupted)
    assert due.check >= (due.log or due.scores or due.checkpoint)


def test_without_metrics_or_copies_of_models_these_are_never_due() -> None:
    plain = Schedule.of(TrainingOptions(steps=8), 8, scores_every=2)
    assert not any(plain.after(step).scores or plain.after(step).models for step in range(1, 9))


def test_to_keep_the_best_model_there_are_scores() -> None:
    keeping = Schedule.of(TrainingOptions(steps=8, keep_best="style"), 8, scores_every=2)
    assert [step for step in range(1, 9) if keeping.after(step).scores] == [2, 4, 6, 8]
