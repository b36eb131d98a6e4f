"""Tar sets: numbered tar files of pictures in a folder or at a URL, as WebDataset reads and writes them."""

from __future__ import annotations

import io
import re
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from artgan.data.archives import TarPictures
from artgan.data.stores import Location, Members, check_name, shown
from artgan.errors import ConfigError, PictureError
from artgan.files import temporary_folder

MAX_SHARD = 32 << 30
"""The maximum size of a tar file, in bytes; it is copied to a temporary folder."""

_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")
_NUMBER = re.compile(r"%0?(\d*)d")


@dataclass(frozen=True)
class TarFiles:
    """A tar set to read: the files of a folder whose names match a pattern, or that a range of numbers gives.

    Attributes:
        place: the folder.
        pattern: a name, with ``*``, ``?`` and ``[...]``, or with ``{000..123}`` as WebDataset writes it.
    """

    place: Location
    pattern: str

    @classmethod
    def of(cls, location: str) -> TarFiles:
        """The files that a location names: FILE.tar, FOLDER/PATTERN.tar or FOLDER/NAME-{0000..0123}.tar."""
        folder, _, pattern = location.rpartition("/")
        return cls(Location(folder or "."), pattern)

    def names(self) -> list[str]:
        """The names of the files, in order.

        Raises:
            PictureError: there are none.
        """
        import fnmatch

        found = _RANGE.search(self.pattern)
        if found is not None:
            low, high = found[1], found[2]
            numbers = range(int(low), int(high) + 1)
            if len(numbers) > 1_000_000:
                raise PictureError(f"{self.place.address(self.pattern)}: names more than a million files")
            names = [_RANGE.sub(f"{number:0{len(low)}d}", self.pattern, count=1) for number in numbers]
        elif any(sign in self.pattern for sign in "*?["):
            self.place.check()
            inside = self.place.walk(lambda folder: False)
            names = [entry.name for entry in inside if fnmatch.fnmatchcase(entry.name, self.pattern)]
        else:
            self.place.size(self.pattern)
            names = [self.pattern]
        if not names:
            raise PictureError(f"{self.place.address(self.pattern)}: no such tar files")
        return names


@dataclass(frozen=True)
class TarTarget:
    """A tar set to write, in WebDataset's layout: the name of a file has a number, such as ``monet-%06d.tar``.

    Attributes:
        place: the folder.
        pattern: a name with ``%06d``.
    """

    place: Location
    pattern: str

    @classmethod
    def of(cls, location: str) -> TarTarget:
        """The files that a location names; without a number, it comes before the suffix.

        Raises:
            ConfigError: the name is a pattern of another kind.
        """
        folder, _, name = location.rpartition("/")
        if len(_NUMBER.findall(name)) > 1 or "%" in _NUMBER.sub("", name) or re.search(r"[*?{}\[\]]", name):
            raise ConfigError(
                f"{shown(location)}: name the tar files with one number: -o {shown(folder)}/NAME-%06d.tar"
            )
        if not _NUMBER.search(name):
            name = f"{name[: -len('.tar')]}-%06d.tar"
        return cls(Location(folder or "."), name)

    def name(self, number: int) -> str:
        """The name of a file by its number."""
        return self.pattern % number


_ORIGIN = "artgan.origin"  # a global header of a tar file, which readers pass over


class TarWriter:
    """Writes one file of a tar set: the same paintings give the same bytes.

    Args:
        path: of the file.
        origin: says what it is made from; see :func:`origin_of`.
    """

    def __init__(self, path: Path, origin: str) -> None:
        headers = {_ORIGIN: origin}
        self._tar = tarfile.open(path, "w", format=tarfile.PAX_FORMAT, pax_headers=headers)  # noqa: SIM115  # close()
        self.count = 0

    def add(self, file: Path, name: str) -> None:
        """Add a file under a name.

        Raises:
            PictureError: the name leads out.
        """
        check_name(name)
        info = tarfile.TarInfo(name)
        info.size = file.stat().st_size
        with file.open("rb") as content:
            self._tar.addfile(info, content)
        self.count += 1

    def close(self) -> None:
        """End the file."""
        self._tar.close()


def origin_of(place: Location, name: str) -> str:
    """What a tar file says that it is made from; "" if it says nothing."""
    with suppress(tarfile.TarError), tarfile.open(fileobj=io.BytesIO(place.head(name, 64 << 10))) as tar:
        return tar.pax_headers.get(_ORIGIN, "")
    return ""


@contextmanager
def open_tar(place: Location, name: str) -> Iterator[Members]:
    """The pictures of one tar file.

    Raises:
        PictureError: it cannot be read, is damaged, or has no pictures.
    """
    with temporary_folder(Path(tempfile.gettempdir())) as folder:
        path = place.fetch(name, Path(folder, "shard.tar"), most=MAX_SHARD)
        try:
            pictures = TarPictures(path)
        except PictureError as error:
            raise PictureError(str(error).replace(str(path), place.address(name))) from None
        pictures.location = place.address(name)
        yield Members(pictures)
