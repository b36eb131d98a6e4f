"""Prepares the next items in background threads, in order and within a memory budget."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import closing
from functools import partial
from typing import Generic, NoReturn, TypeVar

Item = TypeVar("Item")
Made = TypeVar("Made")


class Prefetcher(Iterator[Made], Generic[Item, Made]):
    """What is made of each item, in order, while whoever takes it is busy with the one before.

    No item is begun that would bring the weight of all that is not yet :meth:`release`-d over ``weight``, or their
    number over ``count``, unless the next one is waited for: whatever is too heavy is alone. What iterating, beginning
    or making raises is raised in its turn.

    Args:
        items: iterated in the threads, by one at a time.
        begin: tells the weight of what an item becomes, and gives a function that makes it.
        weight: the most, of all together.
        count: the most at once.
        threads: how many make items at once.
    """

    def __init__(
        self,
        items: Iterable[Item],
        begin: Callable[[Item], tuple[int, Callable[[], Made]]],
        *,
        weight: int,
        count: int,
        threads: int = 1,
    ) -> None:
        self._begun = _begin_each(items, begin)
        self._weight, self._count = weight, count  # what is left of them
        self._results: deque[Future[Made]] = deque()
        self._wanted = self._closed = self._ended = False
        self._changed = threading.Condition()
        self._turn = threading.Lock()
        self._threads = [
            threading.Thread(target=self._run, name=f"artgan-prefetch-{number}", daemon=True)
            for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def __next__(self) -> Made:
        with self._changed:
            self._wanted = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._results[0].done() if self._results else self._ended)
            self._wanted = False
            if self._results:
                return self._results.popleft().result()
        raise StopIteration

    @property
    def ready(self) -> bool:
        """Whether the next one is there already."""
        return bool(self._results) and self._results[0].done()

    def release(self, weight: int) -> None:
        """Tell that something of this weight is done with, and no longer in memory."""
        with self._changed:
            self._weight += weight
            self._count += 1
            self._changed.notify_all()

    def close(self) -> None:
        """Begin no more, and wait for those that are being made."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while self._make_next():
            pass
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _make_next(self) -> bool:
        """Make one item, and hold nothing of it afterwards; False if there is none, or none is wanted any more."""
        result: Future[Made] = Future()
        with self._turn:  # until the item is admitted: the results are in the order of the items
            begun = next(self._begun, None)
            if begun is None or not self._admit(begun[0], result):
                return False
        try:
            result.set_result(begun[1]())
        except BaseException as error:  # for whoever takes from it
            result.set_exception(error)
        with self._changed:
            self._changed.notify_all()
        return True

    def _admit(self, weight: int, result: Future[Made]) -> bool:
        """Wait until there is room; False if none is wanted any more."""
        with self._changed:
            self._changed.wait_for(
                lambda: (
                    self._closed
                    or (self._count > 0 and weight <= self._weight)
                    or (self._wanted and not self._results)  # whoever waits holds what takes the room
                )
            )
            if self._closed:
                return False
            self._weight -= weight
            self._count -= 1
            self._results.append(result)
            return True


def prefetch(
    work: Callable[[Item], Made],
    items: Sequence[Item],
    *,
    threads: int,
    count: int,
    weights: Sequence[int] | None = None,
    weight: int = 0,
) -> Iterator[Made]:
    """What ``work`` makes of each item, in order; each counts as in memory until the next one is asked for.

    Threads, for Pillow decodes and hashlib hashes without the interpreter's lock. Processes would be up to twice as
    fast once they run, but forked ones may hang on locks of libraries, and fresh ones take seconds to start.

    Args:
        work: is called by several threads.
        items: what it is called with.
        threads: how many.
        count: the most results at once.
        weights: of the items; None: all are 0.
        weight: the most, of all results at once.
    """
    heavy = weights or [0] * len(items)

    def begin(place: int) -> tuple[int, Callable[[], Made]]:
        return heavy[place], partial(work, items[place])

    with closing(Prefetcher(range(len(items)), begin, weight=weight, count=count, threads=threads)) as made:
        for one in heavy:
            yield next(made)  # held by no name here: it is out of memory when it is released
            made.release(one)


def _begin_each(
    items: Iterable[Item], begin: Callable[[Item], tuple[int, Callable[[], Made]]]
) -> Iterator[tuple[int, Callable[[], Made]]]:
    """What ``begin`` gives for each item; an error of either becomes a last item that raises it."""
    try:
        for item in items:
            yield begin(item)
    except GeneratorExit:
        raise
    except BaseException as error:
        yield 0, partial(_raise, error)


def _raise(error: BaseException) -> NoReturn:
    raise error
