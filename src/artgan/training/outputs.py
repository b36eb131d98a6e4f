"""What a run writes into its folder besides the log: sample sheets, models, scores, checkpoints, the report."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from artgan.training.schedule import Due
from artgan.training.scores import Scores
from artgan.training.session import Session

_REPORT_EVERY = 30.0  # seconds between two reports, at least

_log = logging.getLogger(__name__)


class RunOutputs:
    """Writes what is due. All processes call it alike; the main one writes.

    Args:
        session: the run.
        out: its folder.
        fixed: the pictures of each domain that every sample sheet shows.
        scores: the metrics that judge it.
    """

    def __init__(self, session: Session, out: Path, fixed: Mapping[str, Tensor], scores: Scores) -> None:
        self._session = session
        self._out = out
        self._fixed = fixed
        self._scores = scores
        self._report_due = time.monotonic()

    def begin(self, done: int, steps: int) -> None:
        """Before the first of ``steps`` steps that are not done yet."""
        if not self._session.is_main:
            return
        if done == 0:  # what there was before any training
            self._samples(0)
        if done >= steps:  # killed between the last checkpoint and what is made of it
            self._session.save_models(self._out, done)
            self._report()

    def write(self, step: int, due: Due) -> None:
        """Do what is due after a step.

        Raises:
            TrainingError: a loss or a weight is not finite; nothing is written then.
        """
        session, main = self._session, self._session.is_main
        if due.check:
            session.check_finite(step)
        if due.log:
            session.log(step)
        if due.inspect:
            session.inspect(step, self._fixed)
        if due.samples and main:
            self._samples(step)
        if due.models and main:
            session.save_models(self._out / "models", step, name=f"step-{step:08d}")
        if due.scores and main:
            session.take_scores(step, self._scores)
        if due.checkpoint:
            session.save(self._out / "checkpoints", step)
            if main:
                session.save_models(self._out, step)
                if due.last or time.monotonic() > self._report_due:
                    self._report()
                    self._report_due = time.monotonic() + _REPORT_EVERY
            session.wait()

    def _samples(self, step: int) -> None:
        self._session.draw_samples(self._fixed, self._out / "samples" / f"step-{step:08d}.jpg")

    def _report(self) -> None:
        """The run goes on if its report cannot be made."""
        from artgan.reports.run import write_run_report

        try:
            write_run_report(self._out)
        except Exception as error:  # whatever a plot or a picture may raise
            reason = f"{type(error).__name__}: {error}"
            _log.warning("artgan: %s: the report could not be made (%s)", self._out, reason)
