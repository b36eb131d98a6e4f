"""One thread that does one thing at a time, so that memory is bounded by the largest picture, not by the visitors."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from time import monotonic
from types import TracebackType
from typing import Any, Generic, TypeVar

from artgan.errors import ArtganError
from artgan.progress import reporting_to

T = TypeVar("T")

MOST_WAITING = 32
"""Tasks that wait or are under way; more are refused."""

_LOOK = 0.05  # seconds between looks at whether something is done


class Stopped(KeyboardInterrupt):
    """The visitor cancelled the work, or left. Passes through what catches every ``Exception``, as Ctrl-C does."""


class Task(Generic[T]):
    """Work that waits or is under way; used in a ``with`` block, whose end stops it.

    Attributes:
        subject: what is worked on, as the work says; "" if it says nothing.
        step: the step that it is at, as progress is reported; "" if none is.
        share: how much of the step is done, 0 to 1; None if that is not known.
    """

    def __init__(self, pool: ThreadPoolExecutor, work: Callable[[Task[T]], T]) -> None:
        self.subject = ""
        self.step = ""
        self.share: float | None = None
        self._stop = threading.Event()
        self._future: Future[T] = pool.submit(self._run, work)

    def __enter__(self) -> Task[T]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _run(self, work: Callable[[Task[T]], T]) -> T:
        self.check()
        with reporting_to(self._hear):
            return work(self)

    def _hear(self, what: str, done: float, total: float | None) -> None:
        self.check()
        self.step = what
        self.share = min(done / total, 1.0) if total else None

    def turn_to(self, subject: str) -> None:
        """Called by the work when it begins with something else.

        Raises:
            Stopped: it is to stop.
        """
        self.check()
        self.subject, self.step, self.share = subject, "", None

    def stop(self) -> None:
        """Have the work raise :class:`Stopped` at its next step; does not wait for that."""
        self._stop.set()
        self._future.cancel()

    def check(self) -> None:
        """Called by the work where it may be stopped.

        Raises:
            Stopped: it is to stop.
        """
        if self._stop.is_set():
            raise Stopped

    @property
    def done(self) -> bool:
        """Whether it has ended, in whatever way."""
        return self._future.done()

    async def finished(self, within: float) -> bool:
        """Wait so many seconds, or until the work has ended; returns whether it has."""
        until = monotonic() + within
        while not self.done and monotonic() < until:
            await asyncio.sleep(_LOOK)
        return self.done

    def result(self) -> T:
        """What the work returned, once it is done.

        Raises:
            Stopped: it was stopped.
            Exception: whatever the work raised.
        """
        return self._future.result()


class Worker:
    """The thread, and those who wait for it."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, "artgan-demo")
        self._tasks: list[Task[Any]] = []  # in the order of their turns
        self._lock = threading.Lock()

    def start(self, work: Callable[[Task[T]], T]) -> Task[T]:
        """Have ``work`` done after all that was started before; it is given its own task.

        Raises:
            ArtganError: too many wait.
        """
        with self._lock:
            self._tasks = [known for known in self._tasks if not known.done]
            if len(self._tasks) >= MOST_WAITING:
                raise ArtganError("too many visitors are waiting at the moment; try again in a few minutes")
            task = Task(self._pool, work)
            self._tasks.append(task)
        return task

    def before(self, task: Task[Any]) -> int:
        """How many have their turn before this task, the one under way included."""
        with self._lock:
            waiting = [known for known in self._tasks if not known.done]
        return waiting.index(task) if task in waiting else 0

    def close(self) -> None:
        """Stop everything, and wait for what is under way to notice."""
        with self._lock:
            for task in self._tasks:
                task.stop()
        self._pool.shutdown(wait=True, cancel_futures=True)
