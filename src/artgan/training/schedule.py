"""What is due after each step of a run."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from artgan.training.options import INTERVALS, TrainingOptions

INSPECT_EVERY = 100
"""Steps between two inspections of the generators' outputs; each costs about as much as a step."""


@dataclass(frozen=True)
class Due:
    """What is due after one step.

    Attributes:
        log: a line of the log.
        check: a check that everything is still finite; always before something is logged, scored or saved.
        inspect: an inspection of the generators' outputs, for the health of the run.
        samples: a sample sheet.
        models: a copy of the models that later ones do not replace.
        scores: scores by the run's metrics.
        checkpoint: a checkpoint, with the models and, if the last one is stale, the report.
        last: whether this was the last step, because the run is complete or was interrupted.
        interrupted: whether the run ends before it is complete. It then also shows where it stopped, by a line of the
            log, a sheet and scores that are not due; these are removed when it is resumed.
    """

    log: bool
    check: bool
    inspect: bool
    samples: bool
    models: bool
    scores: bool
    checkpoint: bool
    last: bool
    interrupted: bool


@dataclass(frozen=True)
class Schedule:
    """The interval of each task in steps, 0 for never. All except copies of models are also due at the last step.

    Sample sheets are due after the steps of ``milestones``, too.
    """

    steps: int
    log_every: int
    samples_every: int
    models_every: int
    scores_every: int
    checkpoint_every: int
    milestones: Collection[int] = ()

    @classmethod
    def of(
        cls,
        options: TrainingOptions,
        steps: int,
        *,
        pictures: int,
        processes: int = 1,
        milestones: Collection[int] = (),
    ) -> Schedule:
        """The schedule of the options for a run of ``steps`` steps, where an epoch is a pass over ``pictures``."""
        every = {what: options.interval(what, pictures, processes) for what in INTERVALS}
        scored = bool(options.metric_names) or options.keep_best is not None
        return cls(
            steps=steps,
            log_every=every["log"],
            samples_every=every["sample"],
            models_every=every["models"],
            scores_every=every["metrics"] if scored else 0,
            checkpoint_every=every["checkpoint"],
            milestones=milestones,
        )

    def after(self, step: int, *, interrupted: bool = False) -> Due:
        """What is due after ``step``, counted from 1; an interrupted run writes a checkpoint and ends."""
        complete = step == self.steps

        def due(every: int) -> bool:
            return every > 0 and (complete or step % every == 0)

        checkpoint = due(self.checkpoint_every) or interrupted
        log, scores = due(self.log_every), due(self.scores_every)
        return Due(
            log=log,
            check=log or scores or checkpoint,
            inspect=step % INSPECT_EVERY == 0,
            samples=due(self.samples_every) or step in self.milestones,
            models=self.models_every > 0 and step % self.models_every == 0,
            scores=scores,
            checkpoint=checkpoint,
            last=complete or interrupted,
            interrupted=interrupted and not complete,
        )
