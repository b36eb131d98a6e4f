"""Making things before they are asked for, in a thread, in bounded memory."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

Item = TypeVar("Item")
Made = TypeVar("Made")


class Ahead(Iterator[Made], Generic[Item, Made]):
    """What is made of each item, in order, while whoever takes it is busy with the one before.

    No item is begun that would bring the weight of all that is not yet :meth:`release`-d over ``weight``, or their
    number over ``count``, unless the next one is waited for: whatever is too heavy is alone.

    Args:
        items: iterated in the thread.
        begin: tells the weight of what an item becomes, and gives a function that makes it.
        weight: the most, of all together.
        count: the most at once.
    """

    def __init__(
        self,
        items: Iterable[Item],
        begin: Callable[[Item], tuple[int, Callable[[], Made]]],
        *,
        weight: int,
        count: int,
    ) -> None:
        self._items, self._begin = items, begin
        self._weight, self._count = weight, count  # what is left of them
        self._made: deque[Made] = deque()
        self._end: BaseException | None = None
        self._wanted = self._closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="artgan-ahead", daemon=True)
        self._thread.start()

    def __next__(self) -> Made:
        with self._changed:
            self._wanted = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._made or self._end)
            self._wanted = False
            if self._made:
                return self._made.popleft()
        assert self._end is not None
        raise self._end

    @property
    def ready(self) -> bool:
        """Whether the next one is there already."""
        return bool(self._made)

    def release(self, weight: int) -> None:
        """Tell that something of this weight is done with, and no longer in memory."""
        with self._changed:
            self._weight += weight
            self._count += 1
            self._changed.notify_all()

    def close(self) -> None:
        """Begin no more, and wait for the one that is being made."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()

    def _run(self) -> None:
        end: BaseException = StopIteration()
        try:
            for item in self._items:
                weight, make = self._begin(item)
                if not self._admit(weight):
                    break
                made = make()
                with self._changed:
                    self._made.append(made)
                    self._changed.notify_all()
                del made, make  # whoever takes it says when it is released
        except BaseException as error:  # for whoever takes from it
            end = error
        with self._changed:
            self._end = end
            self._changed.notify_all()

    def _admit(self, weight: int) -> bool:
        """Wait until there is room; False if none is wanted any more."""
        with self._changed:
            self._changed.wait_for(
                lambda: (
                    self._closed
                    or (self._count > 0 and weight <= self._weight)
                    or (self._wanted and not self._made)  # whoever waits holds what takes the room
                )
            )
            self._weight -= weight
            self._count -= 1
            return not self._closed
