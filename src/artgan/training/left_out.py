"""The pictures that a run leaves out because they cannot be read: warnings, the record, and when to give up."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from accelerate import Accelerator
from accelerate.utils import gather_object

from artgan.data import PictureSet
from artgan.data.crops import Batch
from artgan.errors import TrainingError, printable
from artgan.training.journal import Journal, read_lines
from artgan.training.sets import RunSet, shortened

NAME = "left_out"
"""``left_out.jsonl`` in a run's folder: a line for each picture, with the step at which it was found (0: before)."""

_WARNINGS = 10  # before the first step; the others are only counted
_SHARE = 0.1  # of the draws that may fail
_PATIENCE = 20  # draws before the share counts
_FEW = 2  # pictures of a set that may be damaged whatever the share: in a small set, one is drawn often

_log = logging.getLogger(__name__)


class LeftOut:
    """Collects the pictures that cannot be read. The run draws others in their place (:class:`Draws`).

    What is known here changes no draw: it is for the user, and for :func:`artgan.training.sets.as_used`.

    Args:
        journal: of the run.
        drawn: by domain, the pictures to draw from.
        accelerator: of the run.
        known: names by domain, as :func:`read_left_out` returns them.
    """

    def __init__(
        self,
        journal: Journal,
        drawn: Mapping[str, PictureSet],
        accelerator: Accelerator,
        known: Mapping[str, frozenset[str]],
    ) -> None:
        self._journal = journal
        self._drawn = drawn
        self._accelerator = accelerator
        self._known = {(domain, name) for domain, names in known.items() for name in names}
        self._pending: dict[tuple[str, str], tuple[int, str]] = {}
        self._draws: Counter[str] = Counter()
        self._failures: Counter[str] = Counter()
        self._bad: dict[str, set[str]] = {}

    def begin(self, step: int, sets: Mapping[str, RunSet]) -> None:
        """Warn about, and record, what was found before the first step of a session."""
        for domain, used in sets.items():
            if self._accelerator.is_main_process:
                for found in used.pictures.passed_over:
                    if found.unexpected:
                        _log.warning("artgan: %s: passed over %s", used.pictures.location, found)
                for reason in list(used.faults.values())[:_WARNINGS]:
                    _log.warning("artgan: left out: %s", printable(reason))
                more = len(used.faults) - _WARNINGS
                if more > 0:
                    path = self._journal.run / f"{NAME}.jsonl"
                    _log.warning("artgan: %s: and %d more are left out; %s lists all", domain, more, path)
            for name, reason in used.faults.items():
                self._record(step, domain, name, reason)

    def note(self, step: int, domain: str, name: str, reason: str) -> None:
        """Note a picture that could not be read at a step, for the next :meth:`flush`."""
        if (domain, name) not in self._known:
            self._pending.setdefault((domain, name), (step, reason))

    def watched(self, batches: Iterator[Batch], done: int, per_step: int) -> Iterator[Batch]:
        """Pass batches on, and note what failed.

        Args:
            batches: of the steps from ``done`` + 1.
            done: steps done.
            per_step: batches in a step.

        Raises:
            TrainingError: more than a tenth of the draws fail, and not because of one or two pictures.
        """
        for number, batch in enumerate(batches):
            step = done + 1 + number // per_step
            for failure in batch.failures:
                name = self._drawn[failure.domain].names[failure.place]
                self.note(step, failure.domain, name, failure.reason)
                self._failures[failure.domain] += 1
                self._bad.setdefault(failure.domain, set()).add(name)
            for domain, pictures in batch.pictures.items():
                self._draws[domain] += len(pictures)
            for domain, names in self._bad.items():
                tried = self._draws[domain] + self._failures[domain]
                many = self._failures[domain] > _SHARE * tried and len(names) > _FEW and tried >= _PATIENCE
                if many:
                    self._give_up(step, domain)
            if not batch.complete:
                self._give_up(step, batch.failures[-1].domain)
            yield batch

    def _give_up(self, step: int, domain: str) -> None:
        tried = self._draws[domain] + self._failures[domain]
        for (of, name), (found, reason) in self._pending.items():
            self._record(found, of, name, reason)
        names, location = shortened(sorted(self._bad[domain])), self._drawn[domain].location
        raise TrainingError(
            f"step {step}: {self._failures[domain]} of {tried} pictures drawn from {location}, over a tenth, cannot "
            f"be read ({names}). `artgan data verify {location}` finds the damaged ones; repair or remove them, "
            "then continue with --resume. The last checkpoint is intact"
        )

    def flush(self) -> None:
        """Warn about and record what was noted, in all processes; every process calls this at the same step."""
        pending = [(*key, *value) for key, value in self._pending.items()]
        self._pending.clear()
        if self._accelerator.num_processes > 1:
            pending = gather_object(pending)
        for domain, name, step, reason in sorted(pending, key=lambda found: (found[2], found[0], found[1])):
            if (domain, name) not in self._known and self._accelerator.is_main_process:
                _log.warning("artgan: step %d: left out, another is drawn in its place: %s", step, printable(reason))
            self._record(step, domain, name, reason)

    def _record(self, step: int, domain: str, name: str, reason: str) -> None:
        if (domain, name) not in self._known:
            self._known.add((domain, name))
            self._journal.append(NAME, {"step": step, "domain": domain, "name": name, "reason": reason})


def read_left_out(out: Path) -> dict[str, frozenset[str]]:
    """The names of the pictures that a run has left out so far, by domain."""
    path = out / f"{NAME}.jsonl"
    names: dict[str, set[str]] = {}
    for line in read_lines(path) if path.exists() else []:
        names.setdefault(line["domain"], set()).add(line["name"])
    return {domain: frozenset(found) for domain, found in names.items()}
