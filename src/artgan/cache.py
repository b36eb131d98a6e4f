"""The user's cache: what can be made again, and is removed when it takes too much room. Free of torch."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def cache_folder(kind: str) -> Path:
    """Where things of one kind are kept: ``$XDG_CACHE_HOME/artgan/KIND``, or ``~/.cache/artgan/KIND``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "artgan", kind)


def make_room(folder: Path, pattern: str, most: float) -> None:
    """Remove the files of a folder that were written longest ago, until all together have at most so many bytes."""
    with suppress(OSError):
        files = sorted(folder.glob(pattern), key=lambda file: file.stat().st_mtime)
        total = sum(file.stat().st_size for file in files)
        for file in files:
            if total <= most:
                break
            total -= file.stat().st_size
            file.unlink()
