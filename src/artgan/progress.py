"""The progress of everything that takes longer than a second: a bar on a terminal, or a report to a listener."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:  # imported where a bar is drawn, since that takes a tenth of a second
    from rich.progress import Progress

_MOST_BARS = 2  # at once: of all, and of one of them
_MOST_COUNTED = 10_000  # steps; more, and parts of steps, are shown as a percentage


class Advance(Protocol):
    """Advances a bar."""

    def __call__(self, note: str = "", steps: float = 1) -> None:
        """By so many steps; ``note`` is shown at the end of the bar until the next note."""


class Listener(Protocol):
    """Hears of progress, as the work begins and at each of its steps."""

    def __call__(self, what: str, done: float, total: float | None) -> None:
        """What is worked on, the steps done, and their number if it is known; what this raises ends the work."""


_bars: Progress | None = None
_listener: ContextVar[Listener | None] = ContextVar("artgan_progress", default=None)


@contextmanager
def reporting_to(listener: Listener) -> Iterator[None]:
    """Report the progress of what this thread does in the block to a function, and draw no bars."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def shown() -> bool:
    """Whether bars are drawn: standard error is a terminal, and this is the main thread."""
    return sys.stderr.isatty() and threading.current_thread() is threading.main_thread()


@contextmanager
def progress(what: str, total: float | None, *, done: float = 0, after: float = 0) -> Iterator[Advance]:
    """A bar on standard error with pace and time left; call the yielded function to advance it.

    None is drawn where :func:`shown` says so (other threads may work on several things at once), for fewer than two
    steps, and below two other bars (in a notebook, below one). While another bar is active, this one is drawn below it
    and removed when done.

    Args:
        what: the bar's name.
        total: the number of steps; None if it is not known, for a bar that only says that something happens and for
            how long, and is removed when done.
        done: steps done before.
        after: seconds after which the bar appears, if the work takes so long.
    """
    listener = _listener.get()
    if listener is not None:
        yield _reported(listener, what, total, done)
        return
    if after > 0:
        with _late_progress(what, total, done, after) as advance:
            yield advance
        return
    # A notebook shows what is overwritten on a line, but not the lines above it: a second bar would be added each time.
    most = 1 if os.environ.get("JPY_PARENT_PID") else _MOST_BARS
    deep = _bars is not None and len(_bars.task_ids) >= most
    if not shown() or deep or (total is not None and total < 2):
        yield lambda note="", steps=1: None
        return
    with _screen() as bars:
        temporary = bool(bars.task_ids) or total is None
        task = bars.add_task(what, total=total, count=_count(done, total), pace="", left="", note="")
        bars.update(task, completed=done)  # which takes parts of steps
        start, completed, advances = monotonic(), done, 0

        def advance(note: str = "", steps: float = 1) -> None:
            nonlocal completed, advances
            completed += steps
            advances += 1
            fields: dict[str, Any] = {"count": _count(completed, total)}
            if total is not None:
                elapsed = monotonic() - start
                fields["left"] = f"{_clock(elapsed * max(total - completed, 0) / (completed - done))} left"
                if completed - done == advances:  # not in parts of different size
                    fields["pace"] = f"{elapsed / advances:.2f} s each"
            if note:
                fields["note"] = note
            bars.update(task, completed=completed, **fields)

        try:
            yield advance
        finally:
            if temporary:
                bars.remove_task(task)


def _reported(listener: Listener, what: str, total: float | None, done: float) -> Advance:
    def advance(note: str = "", steps: float = 1) -> None:
        nonlocal done
        done += steps
        listener(what, done, total)

    listener(what, done, total)
    return advance


def _count(completed: float, total: float | None) -> str:
    if total is None:
        return ""
    whole = total == round(total) <= _MOST_COUNTED
    return f"{completed:.0f}/{total:.0f}" if whole else f"{100 * completed / total:.0f} %"


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


@contextmanager
def _late_progress(what: str, total: float | None, done: float, after: float) -> Iterator[Advance]:
    began = monotonic()
    bar: Advance | None = None
    with ExitStack() as stack:

        def advance(note: str = "", steps: float = 1) -> None:
            nonlocal done, bar
            done += steps
            if bar is not None:
                bar(note, steps)
            elif monotonic() - began > after:
                bar = stack.enter_context(progress(what, total, done=done))

        yield advance


@contextmanager
def _screen() -> Iterator[Progress]:
    """All active bars: rich draws only one ``Progress`` at a time."""
    global _bars
    if _bars is not None:
        yield _bars
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    what, *fields = (
        TextColumn(f"{{task.{text}}}", markup=False)
        for text in ("description", "fields[count]", "fields[pace]", "fields[left]", "fields[note]")
    )
    columns = (what, BarColumn(), fields[0], fields[1], TimeElapsedColumn(), *fields[2:])
    # rich would write to standard error what is printed, also where standard output is a file.
    stdout = sys.stdout.isatty()
    with Progress(*columns, console=Console(stderr=True), redirect_stdout=stdout) as _bars:
        try:
            yield _bars
        finally:
            _bars = None
