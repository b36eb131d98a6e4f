"""The page's temporary folder: what visitors sent and got, removed when they leave, and bounded in bytes."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic

from artgan.errors import ArtganError

MOST_STORED = 4 * 2**30
"""Bytes in the folder, of all visitors together."""

KEPT = 3600
"""Seconds that files are kept of a visitor who says no goodbye, such as a program."""

_HASH = re.compile("[0-9a-f]{64}")  # of its content: Gradio keeps each upload in a folder of this name


class Store:
    """Folders of visitors inside one folder. Thread-safe.

    Attributes:
        folder: where Gradio keeps uploads too.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._results = folder / "results"
        self._visitors: dict[str, tuple[Path, float]] = {}  # the folder, and when it was last used
        self._uploads: dict[str, set[Path]] = {}
        self._lock = threading.Lock()

    def new_folder(self, visitor: str) -> Path:
        """An empty folder for a visitor's results, in place of the one before; its name cannot be guessed.

        Raises:
            ArtganError: the page's folder is full.
        """
        self.sweep()
        self._drop(visitor)
        self.check_room(0)
        path = self._results / secrets.token_urlsafe(16)
        path.mkdir(parents=True)
        with self._lock:
            self._visitors[visitor] = (path, monotonic())
        return path

    @contextmanager
    def in_use(self, folder: Path) -> Iterator[None]:
        """For a block that writes to a visitor's folder: if the visitor leaves meanwhile, it is removed at the end."""
        try:
            yield
        finally:
            with self._lock:
                known = any(folder == path for path, _ in self._visitors.values())
            if not known:
                shutil.rmtree(folder, ignore_errors=True)

    def remember(self, visitor: str, uploads: Iterable[Path]) -> None:
        """These files go when the visitor leaves."""
        with self._lock:
            self._uploads.setdefault(visitor, set()).update(uploads)

    def leave(self, visitor: str) -> None:
        """Remove what is kept for a visitor, except uploads of the same content and name that another one made too."""
        self._drop(visitor)
        with self._lock:
            gone = self._uploads.pop(visitor, set()) - set().union(*self._uploads.values())
        for path in gone:
            if path.parent.parent == self.folder and _HASH.fullmatch(path.parent.name):  # and nothing else, ever
                shutil.rmtree(path.parent, ignore_errors=True)

    def sweep(self) -> None:
        """Remove the results of those who have not come back for an hour."""
        with self._lock:
            old = [visitor for visitor, (_, used) in self._visitors.items() if monotonic() - used > KEPT]
        for visitor in old:
            self.leave(visitor)

    def remove_partial(self) -> None:
        """Remove what Gradio leaves of uploads that failed or broke off; called when no upload is under way."""
        for path in self.folder.iterdir():
            if path.is_file():
                path.unlink(missing_ok=True)

    def _drop(self, visitor: str) -> None:
        with self._lock:
            path, _ = self._visitors.pop(visitor, (None, 0.0))
        if path is not None:
            shutil.rmtree(path, ignore_errors=True)

    def check_room(self, size: int) -> None:
        """Called before ``size`` bytes are stored.

        Raises:
            ArtganError: there is no room for them.
        """
        if size + _bytes_in(self.folder) > MOST_STORED:
            raise ArtganError("too many pictures are stored at the moment; try again in an hour")


def _bytes_in(folder: Path) -> int:
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(Path(parent, name)).st_size
            except OSError:  # removed meanwhile
                continue
    return total
