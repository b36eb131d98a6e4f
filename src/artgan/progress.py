"""The progress bar for everything that takes longer than a second."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
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
def progress(what: str, total: int, *, done: int = 0) -> Iterator[Advance]:
    """A bar on standard error with pace and time left; call the yielded function to advance it. None off a terminal.

    While another bar is active, this one is drawn below it and removed when done.
    """
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
