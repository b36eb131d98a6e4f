"""Ctrl-C and SIGTERM during training, which end it after the current step."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def interrupts() -> Iterator[list[int]]:
    """Collect Ctrl-C and SIGTERM in a list, to be handled after the current step; a second one ends at once."""
    noted: list[int] = []
    if threading.current_thread() is not threading.main_thread():  # only the main thread receives signals
        yield noted
        return

    def note(number: int, frame: Any) -> None:
        noted.append(number)
        for kind, handler in previous.items():
            signal.signal(kind, handler)

    previous: dict[signal.Signals, Any] = {}
    for kind in (signal.SIGINT, signal.SIGTERM):
        previous[kind] = signal.signal(kind, note)
    try:
        yield noted
    finally:
        for kind, handler in previous.items():
            signal.signal(kind, handler)
