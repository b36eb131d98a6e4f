"""Folders and data sets as stores of pictures by name: on this machine, on the Hub, or at a URL of fsspec.

Nothing here decides what is painted. Names are relative, with ``/`` between folders, and never lead out of the store.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from artgan import images
from artgan.data.hub import PREFIX, HubPictures
from artgan.data.pictures import PictureSet
from artgan.errors import ConfigError, PictureError, one_line
from artgan.files import atomic_write, refused_here, temporary_folder

MAX_FILE = 2 << 30
"""The maximum size of a picture's file, in bytes."""

_URL = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]+)://", re.I)
_ONE_SLASH = re.compile(r"^([a-z][a-z0-9+.-]+):/(?!/)", re.I)
_WEB = {"http", "https", "ftp", "file"}  # addresses of single files, or what a path says better
_SECRET = re.compile(r"""(//)[^/@\s]*@|\?[^\s)"']*""")
_WHOLE = {"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "hf", "memory"}
"""Schemes of stores in which a file appears when it is complete."""


def is_url(location: str) -> bool:
    """Whether a location is a URL that fsspec may know, such as ``s3://BUCKET/FOLDER``."""
    found = _URL.match(location)
    return found is not None and found["scheme"].lower() not in _WEB


def is_tar(location: str) -> bool:
    """Whether a location names a tar file, or several by a pattern."""
    return location.lower().endswith(".tar")


def is_store(location: str) -> bool:
    """Whether a location needs a store: it is no folder or picture file of this machine."""
    return is_url(location) or is_tar(location) or location.startswith(PREFIX)


def location_of(path: Path) -> str:
    """A location from the command line, of which :class:`Path` has taken one slash of the two of a URL."""
    return _ONE_SLASH.sub(r"\1://", path.as_posix())


def shown(text: str) -> str:
    """A location, or a message with one, without what may be secret: user, password and query."""
    return _SECRET.sub(r"\1", text) if "://" in text else text


class Listed(NamedTuple):
    """A file or folder of a folder.

    Attributes:
        folder: "" or the folder that it is in, ending in ``/``.
        name: within this.
        is_folder: what it is.
    """

    folder: str
    name: str
    is_folder: bool


class Location:
    """A folder of files, on this machine or at a URL.

    It can be pickled, and is opened where it is used: credentials are those of the machine.

    Args:
        location: as the user wrote it.

    Raises:
        ConfigError: fsspec, or a package that it needs for the URL, is missing; it does not know such URLs.
    """

    def __init__(self, location: str) -> None:
        self.given = os.path.abspath(location) if not is_url(location) else location
        self.location = shown(location.rstrip("/") or location)
        self.local = None if is_url(location) else Path(self.given)
        if self.local is None:
            self._opened  # noqa: B018  # so that what is missing is said first

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_opened"}

    @cached_property
    def _opened(self) -> tuple[Any, str]:
        """The file system of fsspec, and the path in it."""
        try:
            import fsspec
        except ImportError:
            raise ConfigError(f'{self.location}: URLs need fsspec: pip install "artgan[ray]"') from None
        try:
            system, path = fsspec.url_to_fs(self.given, use_listings_cache=False, skip_instance_cache=True)
        except (ImportError, ValueError) as error:  # the package of the protocol is missing, or there is no such one
            raise ConfigError(f"{self.location}: cannot be opened ({self._reason(error)})") from None
        return system, str(path).rstrip("/")

    def _reason(self, error: BaseException) -> str:
        return shown(one_line(error, kind=not isinstance(error, OSError) or error.strerror is None))

    @contextmanager
    def _explaining(self, name: str, doing: str) -> Iterator[None]:
        try:
            yield
        except (PictureError, ConfigError):
            raise
        except FileNotFoundError:
            raise PictureError(f"{self.address(name)}: no such file, folder or bucket") from None
        except Exception as error:  # file systems raise almost anything
            raise PictureError(f"{self.address(name)}: cannot be {doing} ({self._reason(error)})") from None

    def address(self, name: str) -> str:
        """Where a file is, for people."""
        if self.local is not None:
            return str(Path(self.location, name))
        return f"{self.location}/{name}" if name else self.location

    def check(self, *, make: bool = False) -> None:
        """Raise unless the folder is there.

        Args:
            make: whether it may also be missing, or be made if it is on this machine.

        Raises:
            PictureError: it is not there, or cannot be asked for.
        """
        if self.local is not None:
            if make:
                with self._explaining("", "made"):
                    self.local.mkdir(parents=True, exist_ok=True)
            if not self.local.is_dir():
                raise PictureError(f"{self.location}: no such folder")
            return
        system, path = self._opened
        with self._explaining("", "read"):
            if make and not system.exists(path):
                system.ls(path.partition("/")[0])  # a bucket must be there; its folders are only parts of names
            elif not make and not system.isdir(path):
                why = "is a file; give its folder" if system.exists(path) else "no such folder or bucket"
                raise PictureError(f"{self.location}: {why}")

    def walk(self, wanted: Callable[[Listed], bool]) -> Iterator[Listed]:
        """What is in the folder, sorted within each; folders are entered after their parent's files.

        Args:
            wanted: says which folders are entered.

        Raises:
            PictureError: it cannot be listed.
        """
        pending = [""]
        while pending:
            folder = pending.pop()
            inside = []
            for entry in self._list(folder):
                yield entry
                if entry.is_folder and entry.name and wanted(entry):
                    inside.append(f"{folder}{entry.name}/")
            pending += reversed(inside)

    def _list(self, folder: str) -> list[Listed]:
        with self._explaining(folder.rstrip("/"), "listed"):
            if self.local is not None:
                with os.scandir(self.local / folder) as entries:
                    found = [Listed(folder, entry.name, entry.is_dir()) for entry in entries]
            else:
                system, path = self._opened
                start = f"{path}/{folder}".rstrip("/") + "/"
                found = [
                    Listed(folder, name, entry["type"] == "directory")
                    for entry in system.ls(start, detail=True)
                    if (name := entry["name"].removeprefix(start.rstrip("/")).strip("/"))
                    or entry["type"] == "directory"  # as in a//b, whose folder has no name
                ]
        return sorted(found, key=lambda entry: entry.name)

    def names(self) -> Iterator[str]:
        """The names of all files, none if the folder is not there.

        Raises:
            PictureError: they cannot be listed.
        """
        with self._explaining("", "listed"):
            there = self.local.is_dir() if self.local is not None else self._opened[0].exists(self._opened[1])
        if there:
            for entry in self.walk(lambda folder: True):
                if not entry.is_folder:
                    yield entry.folder + entry.name

    def size(self, name: str) -> int:
        """The size of a file in bytes.

        Raises:
            PictureError: there is no such file.
        """
        with self._explaining(name, "read"):
            if self.local is not None:
                return (self.local / name).stat().st_size
            system, path = self._opened
            return int(system.size(f"{path}/{name}") or 0)

    def head(self, name: str, size: int) -> bytes:
        """The first bytes of a file; none if it cannot be read, or is no regular file."""
        if self.local is not None:
            return images.first_bytes(self.local / name, size)
        with suppress(PictureError), self._explaining(name, "read"):
            system, path = self._opened
            return bytes(system.cat_file(f"{path}/{name}", start=0, end=size))
        return b""

    def fetch(self, name: str, to: Path, *, most: int = MAX_FILE) -> Path:
        """A file's path on this machine: its own, or ``to``, to which it is copied.

        Raises:
            PictureError: it cannot be read, or is larger than ``most`` bytes.
        """
        if self.local is not None:
            return self.local / name
        size = self.size(name)
        if size > most:
            raise PictureError(
                f"{self.address(name)}: has {size / 1e6:,.0f} MB, over the limit of {most / 1e6:,.0f} MB"
            )
        with self._explaining(name, "read"):
            system, path = self._opened
            system.get_file(f"{path}/{name}", str(to))
        return to

    def put(self, file: Path, name: str) -> None:
        """Store a file, which is there complete or not at all.

        Raises:
            PictureError: it cannot be written, or the name leads out of the folder.
        """
        check_name(name)
        with self._explaining(name, "written"):
            if self.local is not None:
                here = self.local / name
                here.parent.mkdir(parents=True, exist_ok=True)
                with atomic_write(here) as part:
                    shutil.copyfile(file, part)
                return
            system, path = self._opened
            whole = f"{path}/{name}"
            if _URL.match(self.given)["scheme"].lower() in _WHOLE:  # type: ignore[index]  # it is a URL
                system.put_file(str(file), whole)
                return
            folder, _, last = whole.rpartition("/")
            system.makedirs(folder, exist_ok=True)
            beside = f"{folder}/.artgan-{os.getpid()}-{last}.part"
            system.put_file(str(file), beside)
            system.mv(beside, whole)

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        with suppress(PictureError, FileNotFoundError), self._explaining(name, "removed"):
            if self.local is not None:
                (self.local / name).unlink(missing_ok=True)
            else:
                system, path = self._opened
                system.rm_file(f"{path}/{name}")

    @contextmanager
    def seen_from_everywhere(self) -> Iterator[Callable[[], None]]:
        """What another machine calls to find out whether it sees the same folder.

        Raises:
            PictureError: from what it yields: the machine does not see it.
        """
        if self.local is None:
            yield _nothing
            return
        with self._explaining("", "written into"), temporary_folder(self.local) as witness:
            yield _Seen(Path(witness), self.location)


def _nothing() -> None:
    pass


@dataclass(frozen=True)
class _Seen:
    witness: Path
    location: str

    def __call__(self) -> None:
        if not self.witness.is_dir():
            raise PictureError(
                f"{self.location}: is not the same folder here; all nodes must see it (on a shared file system), "
                "or give a URL such as s3://BUCKET/FOLDER"
            )


def check_name(name: str) -> None:
    """Raise unless a name stays within its store, and can be a file's here.

    Raises:
        PictureError: it does not.
    """
    parts = name.split("/")
    hostile = "\0" in name or any(part in ("", ".", "..") for part in parts)
    if hostile or (os.name == "nt" and ("\\" in name or any(refused_here(Path(part)) for part in parts))):
        raise PictureError(f"{name!r}: is not a valid name for a painting: it leads out of the target")


class Held:
    """The names that a store holds, in 16 bytes each."""

    def __init__(self, names: Iterator[str]) -> None:
        found = np.fromiter(map(_digest, names), dtype="S16")
        found.sort()
        self._digests = found

    def __contains__(self, name: str) -> bool:
        digest = np.bytes_(_digest(name))
        place = int(np.searchsorted(self._digests, digest))
        return place < len(self._digests) and bool(self._digests[place] == digest)


def _digest(name: str) -> bytes:
    # NumPy drops zeros at the end, so there are none.
    return hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=15).digest() + b"\1"


@dataclass
class Members:
    """Pictures of a set, read by index: those of a tar file, or of a data set of the Hub."""

    pictures: PictureSet
    _place: dict[str, int] = field(default_factory=dict)

    @property
    def names(self) -> Sequence[str]:
        """The names of all pictures."""
        return self.pictures.names

    def address(self, name: str) -> str:
        """Where a picture is, for people."""
        return f"{self.pictures.location}: {name}"

    def fetch(self, name: str, to: Path) -> Path:
        """A picture in the file ``to``.

        Raises:
            PictureError: it cannot be read, or is too large.
        """
        if isinstance(self.pictures, HubPictures):
            index = int(name.rpartition("/")[2])
        else:
            self._place = self._place or {name: index for index, name in enumerate(self.pictures.names)}
            index = self._place[name]
        size = self.pictures.size_in_bytes(index)
        if size > MAX_FILE:
            raise PictureError(f"{self.address(name)}: has {size / 1e6:,.0f} MB, over the limit")
        to.write_bytes(self.pictures.read(index))
        return to
