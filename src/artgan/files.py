"""Files: hashes, atomic writes, the user's cache. Does not import torch."""

from __future__ import annotations

import glob
import hashlib
import os
import re
import secrets
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePath

from artgan.errors import ArtganError


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal, computed in chunks."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(2**20):
            digest.update(piece)
    return digest.hexdigest()


_PREFIX = f".artgan-{socket.gethostname()}-"
"""Names of temporary files hold host name, process id and a random number, so that stale ones can be recognized."""

_SUFFIX = ".part"


_WINDOWS_DEVICE = re.compile(r"(CON|PRN|AUX|NUL|CONIN\$|CONOUT\$|(COM|LPT)[1-9¹²³])", re.I)


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Atomic write: the file appears under its name complete or not at all.

    The block gets the path of a new, empty temporary file in the same folder and writes to it. When the block ends,
    that file replaces ``path``; if it raises, the temporary file is removed and ``path`` is unchanged. Processes may
    write the same path concurrently: the last one wins. A symbolic link is replaced, not followed.

    Raises:
        OSError: the file cannot be created, written to the disk or renamed.
    """
    part = path.with_name(f"{_PREFIX}{os.getpid()}-{secrets.token_hex(8)}{_SUFFIX}")
    try:
        part.open("xb").close()  # not tempfile: the file should have the default permissions
        yield part
        replace_durably(part, path)
    finally:
        with suppress(OSError):  # already renamed on success; never created if the folder is not writable
            part.unlink()


def replace_durably(part: Path, path: Path) -> None:
    """Rename a file or a folder after syncing its content to disk: a power failure leaves no empty file behind.

    Raises:
        OSError: syncing or renaming failed.
    """
    for inside in part.rglob("*"):
        _sync(inside)
    _sync(part)
    os.replace(part, path)
    with suppress(OSError):  # already in place; some file systems cannot sync a folder
        _sync(path.parent)


def _sync(path: Path) -> None:
    windows = os.name == "nt"
    if windows and path.is_dir():  # Windows cannot open folders
        return
    descriptor = os.open(path, os.O_RDWR if windows else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def temporary_folder(parent: Path) -> tempfile.TemporaryDirectory[str]:
    """A hidden temporary folder, removed on exit, or by :func:`remove_unfinished` if this process is killed."""
    return tempfile.TemporaryDirectory(_SUFFIX, f"{_PREFIX}{os.getpid()}-", parent)


def remove_unfinished(folder: str | os.PathLike[str]) -> None:
    """Remove stale temporary files and folders, left by killed processes of this machine."""
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
    """Raise ``error`` if a file certainly cannot be written; called before the work begins.

    Args:
        path: the file.
        overwrite: whether an existing file may be replaced.
        error: the exception class to raise.
    """
    if path.is_dir():
        raise error(f"{path}: is a folder; give the name of a file")
    refused = refused_here(path)
    if refused is not None:
        raise error(f"{path}: cannot be the name of a file: {refused}")
    if not overwrite and os.path.lexists(path):
        raise error(f"{path}: exists already; give another name, or --overwrite")
    if not path.parent.is_dir():
        raise error(f"{path}: there is no folder {path.parent}; create it first")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise error(f"{path}: you are not permitted to write into {path.parent}")


def cache_folder(kind: str) -> Path:
    """The cache folder for one kind of data: ``$XDG_CACHE_HOME/artgan/KIND``, or ``~/.cache/artgan/KIND``.

    It is not created, and may not exist.
    """
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "artgan", kind)


def make_room(folder: Path, pattern: str, most: float) -> None:
    """Remove stale temporary files of artgan, then the oldest files until the rest fit; best effort, raises nothing.

    Args:
        folder: a cache folder; it may not exist.
        pattern: of the names of the files that may be removed, as for :meth:`pathlib.Path.glob`. The oldest are those
            modified longest ago.
        most: how many bytes may remain.
    """
    with suppress(OSError):
        remove_unfinished(folder)
        files = sorted(folder.glob(pattern), key=lambda file: file.stat().st_mtime)
        total = sum(file.stat().st_size for file in files)
        for file in files:
            if total <= most:
                break
            total -= file.stat().st_size
            file.unlink()


def refused_by_windows(path: PurePath) -> str | None:
    """The reason why Windows cannot keep a file of this name, as a clause, or None if it can.

    Output to the name of a device is lost, and a colon hides the output in a stream of another file. Only the last part
    of the path is checked: Windows itself reports folders that do not exist.
    """
    name = path.name
    if _WINDOWS_DEVICE.fullmatch(name.partition(".")[0].rstrip(" ")):
        return "Windows reserves this name for a device"
    if name != name.rstrip(". "):
        return "Windows drops dots and spaces at the end of a name"
    found = re.search(r'[<>:"|?*\x00-\x1f]', name)
    return f"Windows does not allow {found[0]!r} in names" if found else None


def refused_here(path: PurePath) -> str | None:
    """The same on Windows; None on other systems."""
    return refused_by_windows(path) if os.name == "nt" else None
