"""The progress bar for everything that takes longer than a second."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text


class _Pace(ProgressColumn):
    """Seconds per step."""

    def render(self, task: Task) -> Text:
        return Text(f"{1 / task.speed:.2f} s each" if task.speed else "")


class Advance(Protocol):
    """Advances a bar by one step."""

    def __call__(self, note: str = "") -> None:
        """``note`` is shown at the end of the bar until the next note."""


_bars: Progress | None = None


@contextmanager
def progress(what: str, total: int, *, done: int = 0, after: float = 0) -> Iterator[Advance]:
    """A bar on standard error with pace and time left; call the yielded function to advance it. None off a terminal.

    While another bar is active, this one is drawn below it and removed when done.

    Args:
        what: is being done.
        total: number of steps.
        done: steps done already.
        after: seconds after which the bar appears, if the work takes so long.
    """
    if after > 0:
        with _late_progress(what, total, done, after) as advance:
            yield advance
        return
    if total < 2 or not sys.stderr.isatty():
        yield lambda note="": None
        return
    with _screen() as bars:
        inner = bool(bars.task_ids)
        task = bars.add_task(what, total=total, completed=done, note="")

        def advance(note: str = "") -> None:
            bars.advance(task)
            if note:
                bars.update(task, note=note)

        try:
            yield advance
        finally:
            if inner:
                bars.remove_task(task)


@contextmanager
def _late_progress(what: str, total: int, done: int, after: float) -> Iterator[Advance]:
    began, bar = time.monotonic(), None
    with ExitStack() as stack:

        def advance(note: str = "") -> None:
            nonlocal done, bar
            done += 1
            if bar is not None:
                bar(note)
            elif time.monotonic() - began > after:
                bar = stack.enter_context(progress(what, total, done=done))

        yield advance


@contextmanager
def _screen() -> Iterator[Progress]:
    """All active bars: rich draws only one ``Progress`` at a time."""
    global _bars
    if _bars is not None:
        yield _bars
        return
    columns = (BarColumn(), MofNCompleteColumn(), _Pace(), TimeElapsedColumn(), TimeRemainingColumn())
    what, note = (TextColumn(f"{{task.{text}}}", markup=False) for text in ("description", "fields[note]"))
    with Progress(what, *columns, note, console=Console(stderr=True)) as _bars:
        try:
            yield _bars
        finally:
            _bars = None
