"""Files: hashes, atomic writes, the user's cache. Free of torch."""

from __future__ import annotations

import glob
import hashlib
import os
import secrets
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from artgan.errors import ArtganError


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal, read piece by piece."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(2**20):
            digest.update(piece)
    return digest.hexdigest()


_PREFIX = f".artgan-{socket.gethostname()}-"
"""Temporary files are named by the machine, the process, and a random number, so that the stale ones can be told."""

_SUFFIX = ".part"


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Write a file that appears under its name complete or not at all.

    The block gets the path of a new, empty file in the same folder and writes to it. When the block ends, that file
    replaces ``path``; when it raises, that file is removed and ``path`` stays as it was. Processes that write the same
    path at once do not disturb one another: the file of the last one stays. A symbolic link is itself replaced.

    Raises:
        OSError: the file cannot be created, written to the disk or renamed.
    """
    part = path.with_name(f"{_PREFIX}{os.getpid()}-{secrets.token_hex(8)}{_SUFFIX}")
    try:
        part.open("xb").close()  # not tempfile: the permissions are to be those of any new file
        yield part
        replace_durably(part, path)
    finally:
        with suppress(OSError):  # it is gone after success, and was never there in a folder that is not writable
            part.unlink()


def replace_durably(part: Path, path: Path) -> None:
    """Rename a file or a folder, after its content has reached the disk: a power failure leaves no empty file behind.

    Raises:
        OSError: the content cannot be written to the disk, or the name cannot be taken.
    """
    for inside in part.rglob("*"):
        _sync(inside)
    _sync(part)
    os.replace(part, path)
    with suppress(OSError):  # it is in place, and some file systems cannot sync a folder
        _sync(path.parent)


def _sync(path: Path) -> None:
    windows = os.name == "nt"
    if windows and path.is_dir():  # which Windows does not open
        return
    descriptor = os.open(path, os.O_RDWR if windows else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def temporary_folder(parent: Path) -> tempfile.TemporaryDirectory[str]:
    """A hidden folder that is removed at the end, or by :func:`remove_unfinished` if this process is killed."""
    return tempfile.TemporaryDirectory(_SUFFIX, f"{_PREFIX}{os.getpid()}-", parent)


def remove_unfinished(folder: str | os.PathLike[str]) -> None:
    """Remove the temporary files and folders of killed processes of this machine."""
    import shutil

    import psutil

    for path in Path(folder).glob(f"{glob.escape(_PREFIX)}*{_SUFFIX}"):
        process = path.name.removeprefix(_PREFIX).partition("-")[0]
        if process.isdecimal() and not psutil.pid_exists(int(process)):
            with suppress(OSError):  # another process may have been quicker
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink()


def check_writable(path: Path, *, overwrite: bool, error: type[ArtganError]) -> None:
    """Raise ``error`` if a file can certainly not be written: to be asked before the work.

    Args:
        path: of the file.
        overwrite: whether an existing file may be replaced.
        error: the class that is raised.
    """
    if path.is_dir():
        raise error(f"{path}: is a folder, where the name of a file is needed")
    if not overwrite and os.path.lexists(path):
        raise error(f"{path}: exists already; give another name, or --overwrite")
    if not path.parent.is_dir():
        raise error(f"{path}: there is no folder {path.parent}; create it first")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise error(f"{path}: you are not permitted to write into {path.parent}")


def cache_folder(kind: str) -> Path:
    """Where things of one kind are kept: ``$XDG_CACHE_HOME/artgan/KIND``, or ``~/.cache/artgan/KIND``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "artgan", kind)


def make_room(folder: Path, pattern: str, most: float) -> None:
    """Remove stale temporary files, and the files that were written longest ago until the rest fit in so many bytes."""
    with suppress(OSError):
        remove_unfinished(folder)
        files = sorted(folder.glob(pattern), key=lambda file: file.stat().st_mtime)
        total = sum(file.stat().st_size for file in files)
        for file in files:
            if total <= most:
                break
            total -= file.stat().st_size
            file.unlink()
