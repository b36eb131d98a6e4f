"""Several calls at once, each in a process of its own: trainings of small networks leave a GPU idle. Free of torch."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any, Generic, TypeVar

from artgan.errors import ArtganError
from artgan.painting.processes import ignoring_interrupts
from artgan.progress import reporting_to
from artgan.training.interrupts import interrupts

Result = TypeVar("Result")


@dataclass
class _Worker(Generic[Result]):
    process: Any
    pipe: Connection
    call: int | None = None  # its index; None: it is idle


def run_in_processes(
    function: Callable[..., Result], calls: Sequence[tuple[Any, ...]], processes: int
) -> Iterator[tuple[int, Result | ArtganError]]:
    """Call ``function`` with each of the arguments, in several processes; yield results as they complete.

    The main module of the program is imported again by each process, and must start nothing when it is.

    Args:
        function: of a module, since it is pickled; it handles SIGINT, which is passed on to it, itself.
        calls: the arguments of each call; a process takes the next one when it has completed the last.
        processes: how many at most.

    Yields:
        The index of a call, and what it returned; or an error if its process ended, for example for lack of memory.

    Raises:
        KeyboardInterrupt: a call raised it, or this process received SIGINT or SIGTERM: no further calls are made, and
            those begun are waited for.
    """
    waiting = list(enumerate(calls))[::-1]
    with interrupts() as interrupted, _workers(function, min(processes, len(calls))) as workers:
        told = False
        while True:
            if interrupted and not told:
                told = True
                _interrupt(workers)
            for worker in workers:
                if worker.call is None and waiting and not interrupted:
                    worker.call, arguments = waiting.pop()
                    with suppress(OSError):  # it has ended, which is noticed below
                        worker.pipe.send(arguments)
            busy = {worker.pipe: worker for worker in workers if worker.call is not None}
            if not busy:
                break
            for pipe in wait(list(busy), timeout=1):  # a signal does not end the waiting
                worker = busy[pipe]  # type: ignore[index]  # the pipes given are those returned
                assert worker.call is not None
                index, worker.call = worker.call, None
                try:
                    result = worker.pipe.recv()
                except (EOFError, OSError):
                    workers.remove(worker)
                    worker.process.join()
                    if waiting and not interrupted:
                        workers.append(_start(function))
                    result = ArtganError("the process of this run crashed (out of memory?)")
                if isinstance(result, KeyboardInterrupt):
                    interrupted.append(signal.SIGINT)
                elif not (interrupted and isinstance(result, ArtganError)):
                    yield index, result
        if interrupted:
            raise KeyboardInterrupt


@contextmanager
def _workers(function: Callable[..., Any], count: int) -> Iterator[list[_Worker[Any]]]:
    """Processes that make calls, all of which end with the block."""
    workers: list[_Worker[Any]] = []
    try:
        for _ in range(count):
            workers.append(_start(function))
        yield workers
    finally:
        if any(worker.call is not None for worker in workers):  # left early
            _interrupt(workers)
        for worker in workers:
            worker.pipe.close()  # ends it once it is idle
        for worker in workers:
            worker.process.join()


def _start(function: Callable[..., Any]) -> _Worker[Any]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(function, theirs), name="artgan-train")
    with ignoring_interrupts():  # until the process has a handler of its own
        process.start()
    theirs.close()
    return _Worker(process, ours)


def _interrupt(workers: Sequence[_Worker[Any]]) -> None:
    """Pass Ctrl-C on; in a terminal they know already."""
    for worker in workers:
        if worker.call is not None and worker.process.pid is not None:
            with suppress(OSError):
                os.kill(worker.process.pid, signal.SIGINT)


def _work(function: Callable[..., Any], pipe: Connection) -> None:
    """What a process does until its pipe is closed."""
    with reporting_to(lambda what, done, total: None):
        while True:
            try:
                arguments = pipe.recv()
            except (EOFError, OSError):  # no more calls, or nobody who makes them
                return
            try:
                result: Any = function(*arguments)
            except KeyboardInterrupt as error:
                result = error
            with suppress(OSError):
                pipe.send(result)
