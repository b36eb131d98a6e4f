"""Prefetching keeps the order and its budget, whatever the threads do."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from artgan.data.prefetch import Prefetcher, prefetch

pytestmark = pytest.mark.filterwarnings("error")


@pytest.mark.parametrize("threads", [1, 4])
def test_results_come_in_order(threads: int) -> None:
    def work(item: int) -> int:
        time.sleep(random.random() / 1000)
        return item * item

    assert list(prefetch(work, range(200), threads=threads, count=8)) == [n * n for n in range(200)]
    assert list(prefetch(work, [], threads=threads, count=8)) == []


@pytest.mark.parametrize("threads", [1, 4])
def test_count_and_weight_are_bounded_and_what_is_too_heavy_is_alone(threads: int) -> None:
    weights = [random.randint(1, 40) for _ in range(150)]
    lock, inside, most = threading.Lock(), [0, 0], [0, 0]

    def work(place: int) -> int:
        with lock:
            inside[0] += 1
            inside[1] += weights[place]
            most[0] = max(most[0], inside[0])
            if inside[0] > 1:  # one alone may weigh anything
                most[1] = max(most[1], inside[1])
        time.sleep(0.0005)
        return place

    results = prefetch(work, range(150), threads=threads, count=5, weights=weights, weight=30)
    for place in results:
        if place % 10 == 0:
            time.sleep(0.002)
        with lock:
            inside[0] -= 1
            inside[1] -= weights[place]
    assert 1 < most[0] <= 5
    assert most[1] <= 30
    assert inside == [0, 0]


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("where", ["items", "begin", "make"])
def test_an_error_is_raised_in_its_turn(threads: int, where: str) -> None:
    def items() -> Iterator[int]:
        yield from range(5)
        if where == "items":
            raise ValueError("items")
        yield 5

    def begin(item: int) -> tuple[int, Callable[[], int]]:
        if item == 5 and where == "begin":
            raise ValueError("begin")

        def make() -> int:
            if item == 5:
                raise ValueError("make")
            return item

        return 1, make

    with closing(Prefetcher(items(), begin, weight=100, count=100, threads=threads)) as ahead:
        assert [next(ahead) for _ in range(5)] == list(range(5))
        with pytest.raises(ValueError, match=where):
            next(ahead)
        assert list(ahead) == []


def test_nothing_is_begun_after_closing() -> None:
    begun: list[int] = []

    def begin(item: int) -> tuple[int, Callable[[], int]]:
        begun.append(item)
        return 1, lambda: item

    with closing(Prefetcher(range(1000), begin, weight=3, count=3)) as ahead:
        assert next(ahead) == 0
        assert not begun[5:]
    count = len(begun)
    assert count <= 5
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("artgan-prefetch")]
    assert list(ahead) in ([1, 2], [1], [])  # what was made already
    assert len(begun) == count


def test_whoever_stops_early_leaves_no_threads() -> None:
    results = prefetch(lambda item: item, range(1000), threads=4, count=10)
    assert next(results) == 0
    results.close()  # type: ignore[attr-defined]  # it is a generator
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("artgan-prefetch")]
