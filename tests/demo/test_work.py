"""One thread, its queue, and how work in it is stopped."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError
from typing import Any

import pytest

from artgan.demo import work as module
from artgan.demo.work import Stopped, Task, Worker
from artgan.errors import ArtganError
from artgan.progress import progress


@pytest.fixture
def worker() -> Iterator[Worker]:
    worker = Worker()
    yield worker
    worker.close()


def wait(task: Task[Any]) -> Any:
    assert asyncio.run(task.finished(30))
    return task.result()


def test_one_at_a_time_in_order(worker: Worker) -> None:
    go, seen = threading.Event(), []

    def first(task: Task[int]) -> int:
        go.wait(30)
        seen.append(1)
        return 1

    tasks = [worker.start(first)]
    for number in (2, 3):
        tasks.append(worker.start(lambda task, number=number: seen.append(number) or number))  # type: ignore[misc]  # append returns None
    assert [worker.before(task) for task in tasks] == [0, 1, 2]
    tasks[1].stop()
    assert [worker.before(tasks[0]), worker.before(tasks[2])] == [0, 1]
    go.set()
    assert [wait(tasks[0]), wait(tasks[2])] == [1, 3]
    assert seen == [1, 3]
    assert worker.before(tasks[2]) == 0


def test_progress_is_seen_and_work_stops_at_the_next_step(worker: Worker) -> None:
    steps, reached, go = 0, threading.Event(), threading.Event()

    def work(task: Task[None]) -> None:
        nonlocal steps
        task.turn_to("a.jpg")
        with progress("strokes", 8, after=100) as advance:  # a listener hears at once
            for step in range(8):
                advance()
                steps += 1
                if step == 1:
                    reached.set()
                    go.wait(30)

    with worker.start(work) as task:
        assert reached.wait(30)
        assert (task.subject, task.step, task.share) == ("a.jpg", "strokes", 0.25)
    go.set()
    with pytest.raises(Stopped):
        wait(task)
    assert steps == 2
    assert wait(worker.start(lambda task: "next")) == "next"


def test_what_stops_is_not_caught_as_an_error(worker: Worker) -> None:
    stopped = threading.Event()

    def work(task: Task[str]) -> str:
        stopped.wait(30)
        try:
            task.check()
        except Exception:  # as painting does with what plugins raise
            return "went on"
        return "was not stopped"

    with worker.start(work) as task:
        while worker.before(task):
            pass
    stopped.set()
    with pytest.raises((Stopped, CancelledError)):  # the latter if it had not begun
        wait(task)


def test_too_many_are_refused(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_WAITING", 2)
    go = threading.Event()
    tasks = [worker.start(lambda task: go.wait(30)) for _ in range(2)]
    with pytest.raises(ArtganError, match="too many visitors are waiting"):
        worker.start(lambda task: True)
    go.set()
    for task in tasks:
        wait(task)
    assert wait(worker.start(lambda task: True))


def test_an_error_is_the_work_s_own(worker: Worker) -> None:
    def work(task: Task[None]) -> None:
        raise ValueError("here")

    with pytest.raises(ValueError, match="here"):
        wait(worker.start(work))
