"""Calls in several processes: what they return, a process that dies, and Ctrl-C."""

from __future__ import annotations

import multiprocessing

import pytest

from artgan.errors import ArtganError
from artgan.training.processes import run_in_processes

DIES = "__import__('os')._exit(1)"
INTERRUPTED = "(_ for _ in ()).throw(KeyboardInterrupt)"


@pytest.mark.slow
def test_each_call_has_its_result_and_a_process_that_dies_costs_only_its_own() -> None:
    calls = [("__import__('os').getpid()",), (DIES,), ("2 + 2",), ("'x' * 3",)]
    results = dict(run_in_processes(eval, calls, 2))
    assert sorted(results) == [0, 1, 2, 3]
    assert results[0] != multiprocessing.current_process().pid
    assert isinstance(results[1], ArtganError)
    assert "the process of this run ended" in str(results[1])
    assert (results[2], results[3]) == (4, "xxx")
    assert not multiprocessing.active_children()


@pytest.mark.slow
def test_no_call_begins_after_an_interruption() -> None:
    seen = []
    with pytest.raises(KeyboardInterrupt):
        for index, result in run_in_processes(eval, [("1",), (INTERRUPTED,), ("3",)], 1):
            seen.append((index, result))
    assert seen == [(0, 1)]
    assert not multiprocessing.active_children()
