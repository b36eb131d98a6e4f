"""Pictures in TFRecord files, as distributed by Kaggle, read without TensorFlow.

A file is a sequence of records, each consisting of

    length      8 bytes, little-endian
    CRC-32C     4 bytes, of the length, masked
    data        ``length`` bytes: a ``tf.train.Example`` message
    CRC-32C     4 bytes, of the data, masked

An Example maps names to lists of byte strings, floats or integers; pictures are byte strings.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from artgan.data import protobuf
from artgan.data.archives import read_span
from artgan.data.pictures import PictureSet
from artgan.errors import PictureError

SUFFIXES = (".tfrec", ".tfrecord", ".tfrecords")
"""Lower-case suffixes of TFRecord files."""

MAX_RECORD = 64 << 20
"""The maximum size of a record, in bytes."""

_MAX_FEATURES = 1000  # per record; typical records have a handful
_Words = NDArray[np.uint32]

# ---- CRC-32C
#
# A CRC register is a vector over GF(2), and feeding it a zero byte is a linear map. So the CRC of two concatenated
# halves is that of the first, advanced by the length of the second, plus (xor) that of the second. Halves are joined
# pairwise, all pairs at once.

_CASTAGNOLI = np.uint32(0x82F63B78)  # the polynomial, bits reflected
_BLOCK = 1 << 20  # bytes joined at once, which bounds the memory


@cache
def _zeros(power: int) -> _Words:
    """The linear map that feeds 2 ** ``power`` zero bytes: a 4 x 256 table, one row per byte of the register."""
    if power:
        half = _zeros(power - 1)
        return _advance(half, power - 1)
    table = np.arange(256, dtype=np.uint32) << np.arange(0, 32, 8, dtype=np.uint32)[:, None]
    for _ in range(8):
        table = (table >> np.uint32(1)) ^ (table & np.uint32(1)) * _CASTAGNOLI
    return table


def _advance(registers: _Words, power: int) -> _Words:
    rows = _zeros(power)
    joined: _Words = rows[0][registers & 255]
    for byte in (1, 2, 3):
        joined ^= rows[byte][registers >> np.uint32(8 * byte) & 255]
    return joined


def crc32c(data: bytes) -> int:
    """The CRC-32C (Castagnoli) of ``data``."""
    register = np.array([0xFFFFFFFF], np.uint32)
    for start in range(0, len(data), _BLOCK):
        block = data[start : start + _BLOCK]
        for power in range(len(block).bit_length()):
            if len(block) >> power & 1:
                register = _advance(register, power)
        levels = ((len(block) - 1) // 4).bit_length()
        words = np.frombuffer(block.rjust(4 << levels, b"\0"), "<u4").astype(np.uint32)  # leading zeros have no effect
        for level in range(levels):
            words = _advance(words[0::2], level + 2) ^ words[1::2]
        register ^= _advance(words, 2)
    return int(register[0]) ^ 0xFFFFFFFF


def _masked(data: bytes) -> int:
    """The CRC as stored: rotated, plus a constant, because a CRC over data that contain CRCs would be weak."""
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


# ---- protobuf


def parse_example(data: bytes) -> dict[str, memoryview]:
    """The byte strings in a ``tf.train.Example``, by name: the first of each list.

    Raises:
        ValueError: ``data`` is not such a message.
    """
    found = {}
    for features in _only(memoryview(data), 1):
        for entry in _only(features, 1):
            name = b"".join(_only(entry, 1)).decode("utf-8", "replace")
            strings = (text for value in _only(entry, 2) for kind in _only(value, 1) for text in _only(kind, 1))
            first = next(strings, None)
            if first is not None:
                found[name] = first
            if len(found) > _MAX_FEATURES:
                raise ValueError(f"over {_MAX_FEATURES} features")
    return found


def _only(data: memoryview, number: int) -> Iterator[memoryview]:
    """The texts and messages in the fields of this number."""
    for found, wire, value in protobuf.fields(data):
        if found == number and wire == protobuf.LENGTH_DELIMITED and not isinstance(value, int):
            yield value


# ---- files


class _Record(NamedTuple):
    path: Path
    number: int  # in its file, from 0
    offset: int  # of the data
    length: int  # of the data
    size: int  # of the picture


class TFRecordPictures(PictureSet):
    """The pictures in a TFRecord file, or in those of a folder, in file and record order.

    Args:
        location: the file or folder.
        feature: the name of the feature that holds the picture's bytes.

    Raises:
        PictureError: nothing was found, a file is damaged or not a TFRecord file, or a record has no picture.
    """

    def __init__(self, location: str | Path, feature: str = "image") -> None:
        self.location = str(location)
        self.feature = feature
        path = Path(location)
        files = record_files(path) if path.is_dir() else [path]
        self.records = [record for file in files for record in self._walk(file)]
        if not self.records:
            raise PictureError(f"{location}: no records in it")
        self.names = [f"{record.path.name}/{record.number:06d}" for record in self.records]

    def _walk(self, path: Path) -> Iterator[_Record]:
        try:
            if not path.is_file():
                raise PictureError(f"{path}: no such file")
            with path.open("rb") as file:
                left = os.fstat(file.fileno()).st_size
                number = 0
                while head := file.read(12):
                    if len(head) < 12 or _masked(head[:8]) != int.from_bytes(head[8:], "little"):
                        raise PictureError(
                            f"{path}: damaged at record {number}, or not a TFRecord file; fetch it again"
                        )
                    length = int.from_bytes(head[:8], "little")
                    left -= 16 + length
                    if left < 0:
                        raise PictureError(f"{path}: incomplete, ends within record {number}; fetch it again")
                    if length > MAX_RECORD:
                        raise PictureError(
                            f"{path}: record {number} has {length / 1e6:,.0f} MB, over the limit of "
                            f"{MAX_RECORD / 1e6:,.0f} MB"
                        )
                    offset = file.tell()
                    picture = self._picture(file.read(length + 4), path, number, check=False)
                    yield _Record(path, number, offset, length, len(picture))
                    number += 1
        except OSError as error:
            raise PictureError(f"{path}: cannot be read ({error.strerror})") from None

    def _picture(self, stored: bytes, path: Path, number: int, *, check: bool) -> memoryview:
        """The picture in a record (data and checksum). The checksum is verified if ``check``, or on any error."""
        data, crc = stored[:-4], int.from_bytes(stored[-4:], "little")
        example, problem = {}, None
        try:
            example = parse_example(data)
            if self.feature not in example:
                has = ", ".join(map(repr, sorted(example)[:8])) or "none"
                problem = f"has no bytes named {self.feature!r}; it has {has}"
        except ValueError as error:
            problem = f"is not an Example ({error})"
        if (check or problem) and _masked(data) != crc:
            problem = "is damaged (its checksum differs); fetch it again"
        if problem:
            raise PictureError(f"{path}: record {number} {problem}")
        return example[self.feature]

    def read(self, index: int) -> bytes:
        """Read the picture's bytes; see :meth:`PictureSet.read`."""
        record = self.records[index]
        stored = read_span(record.path, record.offset, record.length + 4)
        return bytes(self._picture(stored, record.path, record.number, check=True))

    def size_in_bytes(self, index: int) -> int:
        """The size of the picture, without the rest of its record."""
        return self.records[index].size


def record_files(folder: Path) -> list[Path]:
    """The TFRecord files in a folder, sorted by name; hidden ones are skipped."""
    found = (path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file())
    return sorted(path for path in found if not path.name.startswith("."))
