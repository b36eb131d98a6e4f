"""The progress bar of everything that takes longer than a second."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

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
    """Seconds of one step."""

    def render(self, task: Task) -> Text:
        return Text(f"{1 / task.speed:.2f} s each" if task.speed else "")


@contextmanager
def progress(what: str, total: int, *, done: int = 0) -> Iterator[Callable[[], None]]:
    """A bar with pace and time left on standard error, advanced by calling what it gives; none if no terminal."""
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), _Pace(), TimeElapsedColumn())
    bar = Progress(
        *columns,
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=total < 2 or not sys.stderr.isatty(),
    )
    with bar:
        task = bar.add_task(what, total=total, completed=done)
        yield lambda: bar.advance(task)
