"""Comparisons with a baseline that is timed in the same run, and a table of them at the end."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from time import perf_counter
from typing import Any

import pytest

Row = tuple[str, str, float, float]
_ROWS = pytest.StashKey[list[Row]]()


@pytest.fixture
def compare(benchmark: Any, request: pytest.FixtureRequest) -> Callable[..., None]:
    """Benchmark a function; before each of its rounds the baseline runs once. Asserts nothing about time.

    The ratio of the medians, baseline / subject, goes to ``extra_info`` and to the table: 2 is twice as fast.
    """

    def run(
        subject: Callable[[], Any],
        baseline: Callable[[], Any],
        *,
        names: tuple[str, str],
        rounds: int,
        warm: bool = True,
    ) -> None:
        if warm and benchmark.enabled:  # before they are timed
            subject()
            baseline()
        times: dict[str, list[float]] = {"subject": [], "baseline": []}

        def timed(key: str, function: Callable[[], Any]) -> None:
            start = perf_counter()
            function()
            times[key].append(perf_counter() - start)

        benchmark.pedantic(
            lambda: timed("subject", subject),
            setup=lambda: timed("baseline", baseline),
            rounds=rounds,  # one with --benchmark-disable
        )
        ours, theirs = median(times["subject"]), median(times["baseline"])
        benchmark.extra_info |= {
            "baseline": names[1],
            "baseline_median_s": theirs,
            "subject_median_s": ours,
            "ratio": theirs / ours,
            "rounds": len(times["subject"]),
        }
        request.config.stash.setdefault(_ROWS, []).append((*names, ours, theirs))

    return run


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """The ratios, one line each."""
    rows = config.stash.get(_ROWS, [])
    if rows:
        terminalreporter.section("ratios (baseline / subject, medians)")
    for subject, baseline, ours, theirs in rows:
        terminalreporter.write_line(
            f"{subject}: {ours * 1e3:.0f} ms; {baseline}: {theirs * 1e3:.0f} ms; ratio {theirs / ours:.2f}"
        )
