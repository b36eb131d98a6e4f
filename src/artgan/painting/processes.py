"""Paints many files in several processes: strokes are drawn by code that runs in one thread of a process at a time."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from types import FrameType
from typing import Any

from artgan.errors import ArtganError
from artgan.images import film_format
from artgan.painting.files import Result, paint_files
from artgan.painting.manner import Manner
from artgan.painting.network import Network, usable_threads
from artgan.painting.planning import Job

_LEAST_JOBS = 16  # starting a process takes as long as painting some pictures
_MEMORY = 1e9  # bytes of a process, with its next pictures


def useful_processes(network: Network, jobs: Sequence[Job], manner: Manner) -> int:
    """How many processes paint the jobs soonest; 1 is this process."""
    if manner.brush is None or not network.portable or len(jobs) < _LEAST_JOBS:
        return 1
    if any(job.output is not None and film_format(job.output) for job in jobs):  # Ctrl-C could not end one in a process
        return 1
    return max(1, min(usable_threads(), int(network.free_memory() / _MEMORY), len(jobs) // (_LEAST_JOBS // 2)))


def paint_in_processes(network: Network, jobs: Sequence[Job], processes: int, **how: Any) -> Iterator[Result]:
    """As :func:`artgan.painting.files.paint_files`, in several processes, each of which paints with one thread.

    The main module of the program is imported again by each process, and must start nothing when it is.

    Args:
        network: ``portable``.
        jobs: number n is painted by process n modulo ``processes``.
        processes: how many.
        how: further arguments of :func:`paint_files`.

    Raises:
        ArtganError: as :func:`paint_files` does.
        KeyboardInterrupt: the user pressed Ctrl-C; pictures begun before that are finished and yielded first, unless
            it is pressed again.
    """
    with _interrupts(twice=True) as interrupted, _workers(network, jobs, processes, how) as (workers, pipes):
        ended: set[int] = set()
        told = False
        for number, job in enumerate(jobs):
            if interrupted and not told:
                told = True
                for worker in workers:  # which know already if Ctrl-C was pressed in a terminal
                    with suppress(OSError):
                        os.kill(worker.pid, signal.SIGINT)
            try:
                got = pipes[number % processes].recv()
            except (EOFError, OSError):
                ended.add(number % processes)
                if not interrupted:
                    why = "cannot be painted (its process ended: too little memory?)"
                    yield Result(job.input, None, f"{job.input}: {why}", 0.0)
                elif len(ended) == processes:
                    break
                continue
            if isinstance(got, ArtganError):
                raise got
            yield got
        if interrupted:
            raise KeyboardInterrupt


@contextmanager
def _workers(
    network: Network, jobs: Sequence[Job], processes: int, how: dict[str, Any]
) -> Iterator[tuple[list[Any], list[Connection]]]:
    """Processes that paint, all of which end with the block; the pipes by which they tell their results."""
    context = multiprocessing.get_context("spawn")
    workers, pipes = [], []
    for number in range(processes):
        ours, theirs = context.Pipe(duplex=False)
        arguments = network, list(jobs[number::processes]), how, theirs
        worker = context.Process(target=_work, args=arguments, name=f"artgan-paint-{number}", daemon=True)
        with ignoring_interrupts():  # until the process has a handler of its own
            worker.start()
        theirs.close()
        workers.append(worker)
        pipes.append(ours)
    try:
        yield workers, pipes
    finally:
        for pipe in pipes:
            pipe.close()  # what a process then tells ends it
        for worker in workers:
            worker.join()


def _work(network: Network, jobs: Sequence[Job], how: dict[str, Any], pipe: Connection) -> None:
    """What a process does."""
    with (
        suppress(BrokenPipeError),  # nobody waits for the results any more
        _interrupts(twice=False) as interrupted,
        network.one_thread_each() as (alone, begin),
    ):
        begin()
        try:
            for result in paint_files(alone, (job for job in jobs if not interrupted), **how):
                pipe.send(result)
        except ArtganError as error:
            pipe.send(error)


@contextmanager
def _interrupts(*, twice: bool) -> Iterator[list[int]]:
    """A list that is empty until the user presses Ctrl-C, which only the main thread can know.

    Args:
        twice: whether pressing it again raises KeyboardInterrupt.
    """
    interrupted: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield interrupted
        return

    def note(number: int, frame: FrameType | None) -> None:
        if interrupted and twice:
            raise KeyboardInterrupt
        interrupted.append(number)

    before = signal.signal(signal.SIGINT, note)
    try:
        yield interrupted
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def ignoring_interrupts() -> Iterator[None]:
    """Start a process in which Ctrl-C does nothing yet; only the main thread can arrange that."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
