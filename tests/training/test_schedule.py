"""When things are done in a run."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artgan.config import parse
from artgan.discovery import Plugin
from artgan.errors import ConfigError
from artgan.training.options import IN_STEPS_OR_EPOCHS, INTERVALS, TrainingOptions
from artgan.training.schedule import Schedule
from artgan.training.settings import configure

EVERY = {"log": 3, "samples": 4, "models": 5, "scores": 6, "checkpoint": 7}


def schedule(steps: int) -> Schedule:
    return Schedule(steps, *EVERY.values())


@pytest.mark.parametrize("what", EVERY)
def test_each_thing_is_due_at_its_multiples_and_all_but_copies_of_models_at_the_end(what: str) -> None:
    due = [step for step in range(1, 17) if getattr(schedule(16).after(step), what)]
    multiples = [step for step in range(1, 17) if step % EVERY[what] == 0]
    assert due == sorted({*multiples, *(() if what == "models" else (16,))})


def test_milestones_have_a_sheet_and_nothing_else() -> None:
    due = Schedule(100, *EVERY.values(), milestones={1, 4}).after(1)
    assert due.samples
    assert [due.log, due.models, due.scores, due.checkpoint] == [False] * 4


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
    plain = Schedule.of(TrainingOptions(steps=8, metrics_every=2), 8, pictures=5)
    assert not any(plain.after(step).scores or plain.after(step).models for step in range(1, 9))


def test_to_keep_the_best_model_there_are_scores() -> None:
    keeping = Schedule.of(TrainingOptions(steps=8, keep_best="style", metrics_every=2), 8, pictures=5)
    assert [step for step in range(1, 9) if keeping.after(step).scores] == [2, 4, 6, 8]


@pytest.mark.parametrize("what", [what for what in INTERVALS if what != "log"])
def test_epochs_become_steps_once(what: str) -> None:
    options = TrainingOptions(steps=60, batch=2, accumulate=2, metrics="style", **{f"{what}_every_epochs": 3})
    schedule = Schedule.of(options, 60, pictures=21, processes=2)  # 3 steps an epoch: the last has fewer pictures
    name = {"sample": "samples", "metrics": "scores"}.get(what, what)
    assert [step for step in range(1, 60) if getattr(schedule.after(step), name)] == [9, 18, 27, 36, 45, 54]


@pytest.mark.parametrize(("in_steps", "in_epochs"), IN_STEPS_OR_EPOCHS)
def test_steps_and_epochs_of_one_interval_are_refused(in_steps: str, in_epochs: str) -> None:
    with pytest.raises(ConfigError, match=f"give {in_steps} or {in_epochs}, not both"):
        parse(TrainingOptions, {in_steps: 2, in_epochs: 2}, where="training")


@pytest.mark.parametrize(("in_steps", "in_epochs"), IN_STEPS_OR_EPOCHS)
def test_the_later_of_the_two_forms_replaces_the_earlier(in_steps: str, in_epochs: str) -> None:
    plugin = Plugin(
        name="plain",
        summary="",
        config="artgan.training.options:AdversarialOptions",
        networks="no.such:networks",
        trainer="no.such:Trainer",
        training={in_steps: 7},
    )

    def chosen(**given: int) -> tuple[int | None, int | None]:
        options = configure(plugin, given)[1]
        return getattr(options, in_steps), getattr(options, in_epochs)

    assert chosen() == (7, None)
    assert chosen(**{in_epochs: 3}) == (None, 3)
    stored = {"config": {}, "training": {in_steps: None, in_epochs: 3}}
    options = configure(plugin, {in_steps: 5}, stored=stored)[1]
    assert (getattr(options, in_steps), getattr(options, in_epochs)) == (5, None)
