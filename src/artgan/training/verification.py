"""All pictures of a run decoded beside the training, to find damaged ones before they are drawn."""

from __future__ import annotations

import os
import queue
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress

from artgan.data import PictureSet
from artgan.errors import PictureError


class Verification:
    """Decodes every picture once, in a thread of low priority.

    Args:
        sets: by domain.
    """

    def __init__(self, sets: Mapping[str, PictureSet]) -> None:
        self._sets = sets
        self._found: queue.SimpleQueue[tuple[str, str, str]] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="artgan-verify", daemon=True)
        self._thread.start()

    def found(self) -> Iterator[tuple[str, str, str]]:
        """Domain, name and reason of each picture found to be unreadable since the last call."""
        with suppress(queue.Empty):
            while True:
                yield self._found.get_nowait()

    def close(self) -> None:
        """Stop after the picture that is being decoded."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        if sys.platform == "linux":  # elsewhere this would lower the priority of the whole process
            with suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)
        for domain, pictures in self._sets.items():
            for index, name in enumerate(pictures.names):
                if self._stop.is_set():
                    return
                try:
                    pictures[index]
                except PictureError as error:
                    self._found.put((domain, name, str(error)))
