"""What a run writes to its folder besides the log: sample sheets, models, scores, checkpoints, the report."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from artgan.training.schedule import Due
from artgan.training.scores import Scores
from artgan.training.session import Session

_STOP_SHEET = "samples/stopped-at"  # holds the step of a sheet that only a stop has made
_REPORT_EVERY = 30.0  # minimum seconds between two reports

_log = logging.getLogger(__name__)


class RunOutputs:
    """Writes the outputs that are due. All processes call it; only the main one writes.

    Args:
        session: the run.
        out: its folder.
        fixed: by domain, the N x 3 x H x W pictures that every sample sheet shows.
        scores: the metrics to compute.
    """

    def __init__(self, session: Session, out: Path, fixed: Mapping[str, Tensor], scores: Scores) -> None:
        self._session = session
        self._out = out
        self._fixed = fixed
        self._scores = scores
        self._report_due = time.monotonic()

    def begin(self, done: int, steps: int) -> None:
        """Write what is due before the first step; ``done`` of ``steps`` steps are complete."""
        if not self._session.is_main:
            return
        self._remove_stop_sheet()
        options = self._session.options
        if options.keep_best is not None:
            self._session.save_best(self._out)
        if done == 0:  # the samples before any training
            if options.keep_best is not None and options.held_out == 0:
                _log.warning(
                    "artgan: --keep-best without --held-out: the best model is chosen by scores on training pictures"
                )
            self._samples(0)
        if done >= steps:  # killed between the last checkpoint and its report
            self._session.save_models(self._out, done)
            self._report()

    def write(self, step: int, due: Due) -> None:
        """Write what is due after a step.

        Raises:
            TrainingError: a loss or a weight is not finite; nothing is then written.
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
            session.take_scores(step, self._scores, self._out)
        if due.checkpoint:
            session.save(self._out / "checkpoints", step)
            if due.interrupted and not due.log:
                session.log_stop(step)
            if main:
                session.save_models(self._out, step)
                if due.interrupted:
                    self._show_stop(step, due)
                if due.last or time.monotonic() > self._report_due:
                    self._report()
                    self._report_due = time.monotonic() + _REPORT_EVERY
            session.wait()
        complete = due.last and not due.interrupted
        if complete and main and session.options.keep_best is not None and session.best.score is None:
            _log.warning("artgan: no model is in %s: there was no score to choose it by", self._out / "best")

    def _show_stop(self, step: int, due: Due) -> None:
        """Show where a run stopped, by a sheet and scores that are not due; resumed, it removes them."""
        if not due.samples:
            (self._out / _STOP_SHEET).write_text(f"{step}\n")
            self._samples(step)
        if self._scores.metrics and not due.scores:
            self._session.take_scores(step, self._scores, self._out, stop=True)

    def _remove_stop_sheet(self) -> None:
        note = self._out / _STOP_SHEET
        if note.exists():
            self._sheet(int(note.read_text())).unlink(missing_ok=True)
            note.unlink()

    def _sheet(self, step: int) -> Path:
        return self._out / "samples" / f"step-{step:08d}.jpg"

    def _samples(self, step: int) -> None:
        self._session.draw_samples(self._fixed, self._sheet(step))

    def _report(self) -> None:
        """Write the report; the run continues if this fails."""
        from artgan.reports.run import write_run_report

        try:
            write_run_report(self._out)
        except Exception as error:  # whatever a plot or a picture may raise
            reason = f"{type(error).__name__}: {error}"
            _log.warning("artgan: %s: the report could not be made (%s)", self._out, reason)
