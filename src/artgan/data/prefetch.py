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
    """Prepares the next items in background threads, and yields the results in order.

    An item is not started if the results not yet :meth:`release`-d would exceed ``weight`` in total weight or ``count``
    in number, unless the consumer is waiting for it: an item that is too heavy is processed alone. Exceptions raised
    while iterating, beginning or making are raised in the item's turn.

    Args:
        items: iterated in the threads, by one thread at a time.
        begin: returns the weight of an item's result, and a function that makes the result.
        weight: the maximum total weight.
        count: the maximum number of results.
        threads: the number of threads that make results.
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
        self._weight, self._count = weight, count  # remaining budget
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
        """Whether the next result is available without waiting."""
        return bool(self._results) and self._results[0].done()

    def release(self, weight: int) -> None:
        """Report that a result of this weight is no longer in memory."""
        with self._changed:
            self._weight += weight
            self._count += 1
            self._changed.notify_all()

    def close(self) -> None:
        """Start no more items, and wait for those in progress."""
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
        """Make one result without keeping references to it; False if there are no more items, or after closing."""
        result: Future[Made] = Future()
        with self._turn:  # held until the item is admitted, so that results stay in item order
            begun = next(self._begun, None)
            if begun is None or not self._admit(begun[0], result):
                return False
        try:
            result.set_result(begun[1]())
        except BaseException as error:  # raised to the consumer
            result.set_exception(error)
        with self._changed:
            self._changed.notify_all()
        return True

    def _admit(self, weight: int, result: Future[Made]) -> bool:
        """Wait until there is room in the budget; False after closing."""
        with self._changed:
            self._changed.wait_for(
                lambda: (
                    self._closed
                    or (self._count > 0 and weight <= self._weight)
                    or (self._wanted and not self._results)  # the waiting consumer holds the budget
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
    """Yield the result of ``work`` for each item, in order; a result counts as in memory until the next is requested.

    Uses threads, as Pillow's decoders and hashlib release the interpreter lock. Processes would be up to twice as fast
    once they run, but forked ones may hang on locks of libraries, and new ones take seconds to start.

    Args:
        work: called from several threads.
        items: its arguments.
        threads: the number of threads.
        count: the maximum number of results in memory.
        weights: the items' weights; None: all are 0.
        weight: the maximum total weight of results in memory.
    """
    heavy = weights or [0] * len(items)

    def begin(place: int) -> tuple[int, Callable[[], Made]]:
        return heavy[place], partial(work, items[place])

    with closing(Prefetcher(range(len(items)), begin, weight=weight, count=count, threads=threads)) as made:
        for one in heavy:
            yield next(made)  # no reference is kept here, so the result is freed before release()
            made.release(one)


def _begin_each(
    items: Iterable[Item], begin: Callable[[Item], tuple[int, Callable[[], Made]]]
) -> Iterator[tuple[int, Callable[[], Made]]]:
    """Yield ``begin(item)`` for each item; an exception becomes a final item that raises it."""
    try:
        for item in items:
            yield begin(item)
    except GeneratorExit:
        raise
    except BaseException as error:
        yield 0, partial(_raise, error)


def _raise(error: BaseException) -> NoReturn:
    raise error
