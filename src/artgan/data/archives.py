"""Zip and tar archives of pictures, read in place.

Nothing is ever written under a member's name. An archive whose members have names that would lead out of a folder is
refused all the same: nobody makes one by accident.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import re
import stat
import struct
import tarfile
import tempfile
import weakref
import zipfile
import zlib
from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from artgan import images
from artgan.data.pictures import PictureSet
from artgan.errors import PictureError, one_line

MAX_MEMBER = 256 << 20
"""The largest picture file in an archive, in bytes, packed or unpacked."""

MAX_MEMBERS = 2_000_000
"""The most members of an archive."""

MAX_RATIO = 200
"""How many times an archive's size its members may have together; pictures hardly shrink when they are packed."""

_UNIX = 3  # in a zip, the system that a member comes from
_ALWAYS = 1 << 30  # bytes that small archives may unpack to whatever the ratio


class Member(NamedTuple):
    """A picture in an archive: where its bytes are, and how to tell that they are sound."""

    name: str
    offset: int  # of the bytes, or of the local header in a zip
    size: int
    packed: int = 0  # size in the archive
    method: int = zipfile.ZIP_STORED
    crc: int | None = None


def read_span(path: str | Path, offset: int, size: int) -> bytes:
    """``size`` bytes of a file from ``offset``: fewer at its end.

    The file is opened anew: no handle is shared with another process or thread, and opening costs next to nothing.

    Raises:
        PictureError: it cannot be read.
    """
    try:
        with open(path, "rb", buffering=0) as file:
            file.seek(offset)
            pieces = []
            while size > 0 and (piece := file.read(size)):
                pieces.append(piece)
                size -= len(piece)
            return pieces[0] if len(pieces) == 1 else b"".join(pieces)
    except (OSError, OverflowError) as error:  # a hostile offset may not even be one
        reason = getattr(error, "strerror", None) or error
        raise PictureError(f"{path}: cannot be read at byte {offset} ({reason})") from None


class _Archive(PictureSet):
    """The pictures of an archive in the order of their names; hidden files are passed over.

    Args:
        path: the archive.
        folder: take only what is in this folder of the archive, and name it relative to that.

    Raises:
        PictureError: no such file, damaged, hostile, too large, or no picture in it.
    """

    def __init__(self, path: str | Path, folder: str = "") -> None:
        self.location = f"{path}:{folder}" if folder else str(path)
        self.path = Path(path)
        if not self.path.is_file():
            raise PictureError(f"{path}: no such file" + (" (it is a folder)" if self.path.is_dir() else ""))
        found: dict[str, Member] = {}
        try:
            for member in self._members():  # of two with the same name the later one replaces the other
                found[member.name] = member
        except PictureError:
            raise
        except Exception as error:  # on damaged archives the standard library raises nearly everything
            raise PictureError(
                f"{path}: damaged, incomplete or no archive ({one_line(error)}); fetch it again"
            ) from None
        start = PurePosixPath(folder).as_posix() + "/" if folder else ""
        self.members = [found[name] for name in sorted(found) if name.startswith(start)]
        if not self.members:
            tops = sorted({name.partition("/")[0] for name in found if "/" in name})
            there = f"; pictures are in {', '.join(tops[:8])}" if tops and folder else ""
            raise PictureError(f"{self.location}: no pictures in it{there}")
        self.names = [member.name[len(start) :] for member in self.members]

    @abstractmethod
    def _members(self) -> Iterator[Member]:
        """The pictures, as the archive lists them; raises anything if it is damaged."""

    def size_in_bytes(self, index: int) -> int:
        """The unpacked size, as the archive tells it; :meth:`read` raises if that is wrong."""
        return self.members[index].size

    def _fault(self, name: str, what: str) -> PictureError:
        return PictureError(f"{self.path}: {name!r} {what}")

    def _picture_name(self, name: str) -> str | None:
        """The plain name of a member that is a picture, None for other members."""
        parts = name.split("/")
        if name.startswith("/") or ".." in parts or "\\" in name or "\0" in name or re.match("[A-Za-z]:", name):
            raise self._fault(name, "leads out of the archive; it is hostile or damaged: do not use it")
        if not images.is_picture(name) or parts[-1].startswith(".") or "__MACOSX" in parts:
            return None
        return PurePosixPath(name).as_posix()  # without "./"

    def _check_size(self, name: str, size: int) -> None:
        if size > MAX_MEMBER:
            raise self._fault(name, f"has {size / 1e6:,.0f} MB, over the limit of {MAX_MEMBER / 1e6:,.0f} MB")

    def _check_total(self, count: int, size: int) -> None:
        if count > MAX_MEMBERS:
            raise PictureError(f"{self.path}: has more than {MAX_MEMBERS:,} members; split it")
        if size > max(_ALWAYS, MAX_RATIO * self.path.stat().st_size):
            raise PictureError(f"{self.path}: unpacks to more than {MAX_RATIO} times its size; it is a bomb")


class _Bounded(io.FileIO):
    """A file that refuses to be read in huge pieces: zipfile and tarfile read as much as a header tells them to."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > MAX_MEMBER:
            raise PictureError(f"{os.fsdecode(self.name)}: has a header of {size / 1e6:,.0f} MB; it is damaged")
        return super().read(-1 if size is None else size) or b""


class ZipPictures(_Archive):
    """The pictures of a zip archive: stored or deflated, checked against their CRC-32; see :class:`_Archive`."""

    def _members(self) -> Iterator[Member]:
        with _Bounded(self.path) as file, zipfile.ZipFile(file) as archive:
            total = 0
            listing = archive.infolist()
            self._check_total(len(listing), 0)
            for info in listing:
                raw = info.orig_filename
                name = self._picture_name(raw)
                kind = stat.S_IFMT(info.external_attr >> 16) if info.create_system == _UNIX else 0
                if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                    raise self._fault(raw, "is a link or device; make the archive without")
                if name is None or info.is_dir():
                    continue
                if info.flag_bits & 0x1:
                    raise self._fault(raw, "is encrypted; unpack the archive and give the folder")
                if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                    raise self._fault(
                        raw, f"is packed by method {info.compress_type}; artgan reads stored and deflated"
                    )
                self._check_size(raw, max(info.file_size, info.compress_size))
                total += info.file_size
                self._check_total(0, total)
                yield Member(name, info.header_offset, info.file_size, info.compress_size, info.compress_type, info.CRC)

    def read(self, index: int) -> bytes:
        """The unpacked bytes; see :meth:`PictureSet.read`."""
        member = self.members[index]
        header = read_span(self.path, member.offset, 30)
        if len(header) < 30 or header[:4] != b"PK\3\4":
            raise self._fault(member.name, "is not where the archive says; it is damaged: fetch it again")
        name_length, extra_length = struct.unpack("<HH", header[26:])
        data = read_span(self.path, member.offset + 30 + name_length + extra_length, member.packed)
        if member.method == zipfile.ZIP_DEFLATED:
            try:
                data = zlib.decompressobj(-15).decompress(data, member.size + 1)  # one more shows a lie
            except zlib.error:
                data = b""
        if len(data) != member.size or zlib.crc32(data) != member.crc:
            raise self._fault(member.name, "is damaged (its size or checksum differs); fetch the archive again")
        return data


_Opener = Callable[[Path], Any]
_PACKERS: dict[bytes, _Opener] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open}


class TarPictures(_Archive):
    """The pictures of a tar archive: plain, gzip, bzip2 or xz; see :class:`_Archive`.

    A compressed one is unpacked, as one plain tar, into a temporary file that goes when the set does: nothing in it
    could be found otherwise without unpacking all that is before it.
    """

    def _members(self) -> Iterator[Member]:
        self.tar = self._plain_tar()
        end = self.tar.stat().st_size
        with _Bounded(self.tar) as file, tarfile.open(fileobj=file, mode="r:") as archive:
            count = 0
            while (info := archive.next()) is not None:
                archive.members.clear()  # type: ignore[attr-defined]  # tarfile keeps all it has seen
                count += 1
                self._check_total(count, 0)
                name = self._picture_name(info.name)
                if info.size < 0:  # tarfile would go back, and round for ever
                    raise self._fault(info.name, "has a size below zero; the archive is hostile or damaged")
                if not info.isreg() and not info.isdir():
                    raise self._fault(info.name, "is a link or device; make the archive without")
                if name is None or info.isdir():
                    continue
                if info.issparse():
                    raise self._fault(info.name, "is a sparse file; make the archive without --sparse")
                self._check_size(info.name, info.size)
                if info.offset_data + info.size > end:
                    raise self._fault(info.name, "is cut off: the archive is incomplete; fetch it again")
                yield Member(name, info.offset_data, info.size)
            # tarfile takes any damage for the end, which is a block of zeros.
            if read_span(self.tar, archive.offset, 512) != bytes(512):
                raise PictureError(f"{self.path}: damaged or incomplete tar archive; fetch it again")

    def _plain_tar(self) -> Path:
        """The archive itself or, if it is compressed, a temporary file."""
        head = read_span(self.path, 0, 6)
        opener = next((opener for magic, opener in _PACKERS.items() if head.startswith(magic)), None)
        if opener is None:
            return self.path
        handle, name = tempfile.mkstemp(prefix="artgan-", suffix=".tar")
        weakref.finalize(self, _remove, name, os.getpid())
        with open(handle, "wb") as plain, opener(self.path) as packed:
            while piece := packed.read(1 << 20):
                try:
                    plain.write(piece)
                    plain.flush()
                except OSError as error:
                    raise PictureError(
                        f"{self.path}: cannot be unpacked into {tempfile.gettempdir()} ({error.strerror}); "
                        "set TMPDIR to a folder with more room"
                    ) from None
                self._check_total(0, plain.tell())
        return Path(name)

    def read(self, index: int) -> bytes:
        """The bytes; see :meth:`PictureSet.read`. Tar keeps no checksum of them."""
        member = self.members[index]
        data = read_span(self.tar, member.offset, member.size)
        if len(data) != member.size:
            raise self._fault(member.name, "is cut off: the archive is incomplete; fetch it again")
        return data


def _remove(path: str, owner: int) -> None:
    """Only the process that made the file removes it, not one forked from it."""
    if os.getpid() == owner:
        with suppress(OSError):
            os.unlink(path)
