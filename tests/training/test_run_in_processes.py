"""Calls in several processes: what they return, a process that dies, and Ctrl-C."""

from __future__ import annotations

import multiprocessing

import pytest

from artgan.errors import ArtganError
from artgan.training.processes import run_in_processes

DIES = "__import__('os')._exit(1)"
INTERRUPTED = "(_ for _ in ()).throw(KeyboardInterrupt)"


@pytest.mark.slow
def test_a_process_that_dies_costs_only_its_call_and_none_begins_after_an_interruption() -> None:
    calls = [("__import__('os').getpid()",), (DIES,), ("2 + 2",), (INTERRUPTED,), ("5",)]
    results = run_in_processes(eval, calls, 1)
    index, pid = next(results)
    assert index == 0
    assert pid != multiprocessing.current_process().pid
    index, error = next(results)
    assert index == 1
    assert isinstance(error, ArtganError)
    assert "the process of this run crashed" in str(error)
    assert next(results) == (2, 4)
    with pytest.raises(KeyboardInterrupt):
        next(results)
    assert not multiprocessing.active_children()
