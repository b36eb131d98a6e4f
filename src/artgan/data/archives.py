"""Zip and tar archives of pictures, read in place.

Nothing is ever written under a member's name. Archives with member names that lead out of the archive's folder are
rejected all the same: nobody creates one by accident.
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
"""The maximum size of a picture file in an archive, in bytes, compressed or uncompressed."""

MAX_MEMBERS = 2_000_000
"""The maximum number of members in an archive."""

MAX_RATIO = 200
"""The maximum ratio of the members' total size to the archive's size; pictures hardly compress."""

_UNIX = 3  # in a zip file, a code for the system that wrote a member
_ALWAYS = 1 << 30  # bytes that an archive may always unpack to, whatever the ratio


class Member(NamedTuple):
    """A picture in an archive: the position of its bytes, and how to verify them."""

    name: str
    offset: int  # of the bytes, or of the local header in a zip file
    size: int
    packed: int = 0  # compressed size
    method: int = zipfile.ZIP_STORED
    crc: int | None = None


def read_span(path: str | Path, offset: int, size: int) -> bytes:
    """Read ``size`` bytes of a file from ``offset``, or fewer at its end.

    The file is opened anew, so that no handle is shared between processes or threads; opening costs next to nothing.

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
    except (OSError, OverflowError) as error:  # a hostile offset may be out of range
        reason = getattr(error, "strerror", None) or error
        raise PictureError(f"{path}: cannot be read at byte {offset} ({reason})") from None


class _Archive(PictureSet):
    """The pictures in an archive, sorted by name; hidden files are skipped.

    Args:
        path: the archive.
        folder: use only this folder of the archive, with names relative to it.

    Raises:
        PictureError: the file does not exist, is damaged, hostile or too large, or holds no pictures.
    """

    def __init__(self, path: str | Path, folder: str = "") -> None:
        self.location = f"{path}:{folder}" if folder else str(path)
        self.path = Path(path)
        if not self.path.is_file():
            raise PictureError(f"{path}: no such file" + (" (it is a folder)" if self.path.is_dir() else ""))
        found: dict[str, Member] = {}
        try:
            for member in self._members():  # of two with the same name, the later one wins
                found[member.name] = member
        except PictureError:
            raise
        except Exception as error:  # the standard library raises almost anything for damaged archives
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
        """The pictures in archive order; may raise anything if the archive is damaged."""

    def size_in_bytes(self, index: int) -> int:
        """The uncompressed size according to the archive; :meth:`read` raises if it is wrong."""
        return self.members[index].size

    def _fault(self, name: str, what: str) -> PictureError:
        return PictureError(f"{self.path}: {name!r} {what}")

    def _picture_name(self, name: str) -> str | None:
        """The normalized name of a member that is a picture; None for other members."""
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
            raise PictureError(
                f"{self.path}: unpacks to more than {MAX_RATIO} times its size; it is a decompression bomb"
            )


class _Bounded(io.FileIO):
    """A file that rejects huge reads: zipfile and tarfile read as many bytes as a header says."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > MAX_MEMBER:
            raise PictureError(f"{os.fsdecode(self.name)}: has a header of {size / 1e6:,.0f} MB; it is damaged")
        return super().read(-1 if size is None else size) or b""


class ZipPictures(_Archive):
    """The pictures in a zip archive, stored or deflated, verified against their CRC-32; see :class:`_Archive`."""

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
        """Read the uncompressed bytes; see :meth:`PictureSet.read`."""
        member = self.members[index]
        header = read_span(self.path, member.offset, 30)
        if len(header) < 30 or header[:4] != b"PK\3\4":
            raise self._fault(member.name, "is not where the archive says; it is damaged: fetch it again")
        name_length, extra_length = struct.unpack("<HH", header[26:])
        data = read_span(self.path, member.offset + 30 + name_length + extra_length, member.packed)
        if member.method == zipfile.ZIP_DEFLATED:
            try:
                data = zlib.decompressobj(-15).decompress(data, member.size + 1)  # one more byte reveals a wrong size
            except zlib.error:
                data = b""
        if len(data) != member.size or zlib.crc32(data) != member.crc:
            raise self._fault(member.name, "is damaged (its size or checksum differs); fetch the archive again")
        return data


_Opener = Callable[[Path], Any]
_PACKERS: dict[bytes, _Opener] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open}


class TarPictures(_Archive):
    """The pictures in a tar archive: plain, gzip, bzip2 or xz; see :class:`_Archive`.

    A compressed archive is decompressed to a temporary plain tar file, which is removed with the set: compressed
    archives have no random access.
    """

    def _members(self) -> Iterator[Member]:
        self.tar = self._plain_tar()
        end = self.tar.stat().st_size
        with _Bounded(self.tar) as file, tarfile.open(fileobj=file, mode="r:") as archive:
            count = 0
            while (info := archive.next()) is not None:
                archive.members.clear()  # type: ignore[attr-defined]  # else tarfile keeps all members
                count += 1
                self._check_total(count, 0)
                name = self._picture_name(info.name)
                if info.size < 0:  # tarfile would seek backward and loop forever
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
            # tarfile treats any damage as the end of the archive; the real end is a block of zeros.
            if read_span(self.tar, archive.offset, 512) != bytes(512):
                raise PictureError(f"{self.path}: damaged or incomplete tar archive; fetch it again")

    def _plain_tar(self) -> Path:
        """The archive itself or, if it is compressed, a decompressed temporary file."""
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
        """Read the bytes; see :meth:`PictureSet.read`. The tar format has no checksum for them."""
        member = self.members[index]
        data = read_span(self.tar, member.offset, member.size)
        if len(data) != member.size:
            raise self._fault(member.name, "is cut off: the archive is incomplete; fetch it again")
        return data


def _remove(path: str, owner: int) -> None:
    """Remove the temporary file, but only in the process that created it, not in a forked one."""
    if os.getpid() == owner:
        with suppress(OSError):
            os.unlink(path)
