"""A folder of pictures."""

from __future__ import annotations

import io
import os
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from artgan import images
from artgan.data.passed_over import PassedOver, Tally, hint, is_archive, is_passed_over
from artgan.data.pictures import PictureSet
from artgan.errors import PictureError

_Identity: TypeAlias = "tuple[int, int] | str"


@dataclass(frozen=True)
class Found:
    """The pictures in a folder.

    Attributes:
        paths: of the pictures, sorted.
        passed_over: what is left out.
    """

    paths: list[Path]
    passed_over: tuple[PassedOver, ...]


def find_pictures(folder: Path) -> Found:
    """The pictures in a folder and its sub-folders, without hidden files and metadata.

    Links are followed. A folder or a picture that is reached twice, by device and inode, counts once, so that loops
    end; it goes by its own name rather than by a link's, otherwise by the first one in the order of names.
    """
    tally = Tally()
    seen: set[_Identity] = set()
    paths: list[Path] = []
    links: deque[Path] = deque()  # visited when everything that is reached without them is known
    _visit(folder, folder, seen, paths, links, tally)
    while links:
        link = links.popleft()
        if not os.path.isdir(link):
            _take(link, folder, seen, paths, tally)
        elif _identity(link) in seen:
            tally.add("repeated", _name(link, folder))
        else:
            _visit(folder, link, seen, paths, links, tally)
    return Found(sorted(paths), tally.result())


def _visit(root: Path, top: Path, seen: set[_Identity], paths: list[Path], links: deque[Path], tally: Tally) -> None:
    """Add the pictures at and below ``top``, and note the links."""
    pending = [top]
    while pending:
        folder = pending.pop()
        seen.add(_identity(folder))
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError:
            tally.add("unreadable-folder", _name(folder, root))
            continue
        for entry in entries:
            path = folder / entry.name
            if is_passed_over(entry.name):
                tally.add("hidden", _name(path, root))
            elif entry.is_symlink():
                if not os.path.exists(path):
                    tally.add("broken-link", _name(path, root))
                else:
                    links.append(path)
            elif entry.is_dir():
                pending.append(path)
            else:
                _take(path, root, seen, paths, tally)


def _take(path: Path, root: Path, seen: set[_Identity], paths: list[Path], tally: Tally) -> None:
    if not images.is_picture(path) or not os.path.isfile(path):  # a pipe may have any name
        tally.add("nested" if is_archive(path.name) else "other", _name(path, root))
    elif (identity := _identity(path)) in seen:
        tally.add("repeated", _name(path, root))
    else:
        seen.add(identity)
        paths.append(path)


def _identity(path: Path) -> _Identity:
    """Identifies a file or folder whatever its name: by device and inode, or by path where a file system has none."""
    status = os.stat(path)
    return (status.st_dev, status.st_ino) if status.st_ino else os.path.realpath(path)


def _name(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix()


class PictureFolder(PictureSet):
    """The pictures in a folder and its sub-folders, sorted by path; see :func:`find_pictures`.

    Raises:
        PictureError: no such folder, or no picture in it.
    """

    def __init__(self, folder: str | Path) -> None:
        self.location = str(folder)
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise PictureError(f"{folder}: no such folder")
        found = find_pictures(self.folder)
        self.paths, self.passed_over = found.paths, found.passed_over
        if not self.paths:
            raise PictureError(f"{folder}: no pictures in it{hint(self.passed_over)}")
        self.names = [_name(path, self.folder) for path in self.paths]

    def read(self, index: int) -> bytes:
        """The bytes of the file; see :meth:`PictureSet.read`."""
        path = self.paths[index]
        try:
            return path.read_bytes()
        except OSError as error:
            raise PictureError(f"{path}: cannot be read ({error.strerror})") from None

    def open(self, index: int) -> io.BufferedReader:
        """Open the file; see :meth:`PictureSet.open`."""
        try:
            return self.paths[index].open("rb")
        except OSError as error:
            raise PictureError(f"{self.paths[index]}: cannot be read ({error.strerror})") from None

    def size_in_bytes(self, index: int) -> int:
        """The size of the file."""
        try:
            return self.paths[index].stat().st_size
        except OSError as error:  # removed since the set was opened
            raise PictureError(f"{self.paths[index]}: cannot be read ({error.strerror})") from None
