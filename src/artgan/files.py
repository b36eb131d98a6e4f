"""Files: hashes, atomic writes, the user's cache. Free of torch."""

from __future__ import annotations

import glob
import hashlib
import os
import socket
from contextlib import suppress
from pathlib import Path


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal, read piece by piece."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(2**20):
            digest.update(piece)
    return digest.hexdigest()


_PART = f".artgan-{socket.gethostname()}-"
"""How the names of unfinished files begin: with the machine, and then the process, that writes them."""


UNFINISHED_SUFFIX = ".part"


def unfinished_prefix() -> str:
    """How the hidden names begin of what this process has not finished; they end with :data:`UNFINISHED_SUFFIX`."""
    return f"{_PART}{os.getpid()}-"


def remove_unfinished(folder: str | os.PathLike[str]) -> None:
    """Remove what a killed process of this machine left unfinished in a folder: files, and folders."""
    import shutil

    import psutil

    for path in Path(folder).glob(f"{glob.escape(_PART)}*{UNFINISHED_SUFFIX}"):
        process = path.name.removeprefix(_PART).partition("-")[0]
        if process.isdecimal() and not psutil.pid_exists(int(process)):
            with suppress(OSError):  # another process may have been quicker
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink()


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
