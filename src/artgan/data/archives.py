"""Zip and tar archives of pictures, read in place.

Nothing is ever written under a member's name, so absolute names do no harm: their root is dropped. What cannot be read
safely or at all (links, encrypted members, names that lead out of the archive) is passed over and counted; an archive
that is damaged or unpacks to too much is rejected.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import posixpath
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
from artgan.data.packing import DEFLATE64, METHODS, unpack
from artgan.data.passed_over import Tally, hint, is_archive, is_passed_over
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
    """The pictures in an archive, sorted by name, without hidden files and metadata.

    Args:
        path: the archive.
        folder: use only this folder of the archive, with names relative to it.

    Raises:
        PictureError: the file does not exist, is damaged or too large, or holds no pictures.
    """

    def __init__(self, path: str | Path, folder: str = "") -> None:
        self.location = f"{path}:{folder}" if folder else str(path)
        self.path = Path(path)
        if not self.path.is_file():
            raise PictureError(f"{path}: no such file" + (" (it is a folder)" if self.path.is_dir() else ""))
        found: dict[str, Member] = {}
        self._tally = Tally()
        try:
            for member in self._members():
                if member.name in found:
                    self._tally.add("same-name", member.name)
                found[member.name] = member
        except PictureError:
            raise
        except Exception as error:  # the standard library raises almost anything for damaged archives
            raise PictureError(
                f"{path}: damaged, incomplete, or not an archive ({one_line(error)}); fetch it again"
            ) from None
        self.passed_over = self._tally.result()
        start = PurePosixPath(folder).as_posix() + "/" if folder else ""
        self.members = [found[name] for name in sorted(found) if name.startswith(start)]
        if not self.members:
            tops = sorted({name.partition("/")[0] for name in found if "/" in name})
            there = f"; pictures are in {', '.join(tops[:8])}" if tops and folder else hint(self.passed_over)
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

    def _picture_name(self, raw: str) -> str | None:
        """The normalized name of a member that is a picture; others are counted as passed over, and None is returned.

        Windows PowerShell writes backslashes between folders.
        """
        name = posixpath.normpath(re.sub("^([A-Za-z]:)?/*", "", raw.replace("\\", "/")))
        parts = name.split("/")
        if parts[0] == ".." or "\0" in name:
            self._tally.add("leads-out", raw)
        elif any(map(is_passed_over, parts[:-1])) or (name != "." and is_passed_over(parts[-1])):
            self._tally.add("hidden", raw)
        elif is_archive(name):
            self._tally.add("nested", raw)
        elif not images.is_picture(name):
            self._tally.add("other", raw)
        else:
            return name
        return None

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
    """The pictures in a zip archive, verified against their CRC-32; see :class:`_Archive`.

    Members may be stored or packed by Deflate, bzip2 or LZMA, and by Deflate64 if the package inflate64 is installed.
    """

    def _members(self) -> Iterator[Member]:
        with _Bounded(self.path) as file, zipfile.ZipFile(file) as archive:
            total = 0
            listing = archive.infolist()
            self._check_total(len(listing), 0)
            for info in listing:
                raw = info.orig_filename
                kind = stat.S_IFMT(info.external_attr >> 16) if info.create_system == _UNIX else 0
                if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                    self._tally.add("link", raw)
                    continue
                if kind == stat.S_IFDIR or raw.endswith(("/", "\\")):
                    continue
                name = self._picture_name(raw)
                if name is None:
                    continue
                if info.flag_bits & 0x1:
                    self._tally.add("encrypted", raw)
                    continue
                if info.compress_type not in METHODS:
                    self._tally.add("deflate64" if info.compress_type == DEFLATE64 else "method", raw)
                    continue
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
        data = unpack(data, member.method, member.size)
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
                if info.size < 0:  # tarfile would seek backward and loop forever
                    raise self._fault(info.name, "has a negative size; the archive is hostile or damaged")
                if info.isdir():
                    continue
                if not info.isreg():
                    self._tally.add("link", info.name)
                    continue
                name = self._picture_name(info.name)
                if name is None:
                    continue
                if info.issparse():
                    self._tally.add("sparse", info.name)
                    continue
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
