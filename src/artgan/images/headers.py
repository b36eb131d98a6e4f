"""What the headers of files say that Pillow does not pass on: how colors are coded, and the size of a JPEG XL."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import IO

MAX_META = 4 << 20
"""The most bytes that are read of the metadata box of an AVIF file."""

_MAX_PARTS = 1000  # chunks or boxes that are looked at


def png_coding(file: IO[bytes]) -> tuple[int, int] | None:
    """Primaries and transfer function of a PNG file, by its cICP chunk (PNG, third edition); None without one."""
    file.seek(8)
    for _ in range(_MAX_PARTS):
        head = file.read(8)
        if len(head) < 8 or head[4:] in (b"IDAT", b"IEND"):
            break
        if head[4:] == b"cICP":
            coding = file.read(min(int.from_bytes(head[:4], "big"), 5))
            return (coding[0], coding[1]) if len(coding) == 4 else None
        file.seek(int.from_bytes(head[:4], "big") + 4, 1)  # the data, and a checksum
    return None


def avif_coding(file: IO[bytes]) -> tuple[int, int] | None:
    """Primaries and transfer function of an AVIF file, by its ``colr`` box of type nclx; None without one."""
    file.seek(0)
    for _ in range(_MAX_PARTS):
        head = file.read(8)
        if len(head) < 8:
            break
        size = int.from_bytes(head[:4], "big")
        if size == 1:
            size = int.from_bytes(file.read(8), "big") - 8
        if head[4:] == b"meta":
            properties = file.read(min(size - 8, MAX_META) if size >= 8 else MAX_META)[4:]
            for name in (b"iprp", b"ipco"):
                properties = next((data for kind, data in boxes(properties) if kind == name), b"")
            for kind, data in boxes(properties):
                if kind == b"colr" and data[:4] == b"nclx" and len(data) >= 8:
                    return struct.unpack(">HH", data[4:8])
            break
        if size < 8:  # up to the end of the file
            break
        file.seek(size - 8, 1)
    return None


def boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and content of the boxes (ISO/IEC 14496-12) in a box; damaged ones end the iteration."""
    start = 0
    for _ in range(_MAX_PARTS):
        if start + 8 > len(data):
            return
        size, begin = int.from_bytes(data[start : start + 4], "big"), start + 8
        if size == 1:
            size, begin = int.from_bytes(data[begin : begin + 8], "big"), begin + 8
        end = start + size if size else len(data)
        if end < begin:
            return
        yield data[start + 4 : start + 8], data[begin:end]
        start = end


def jxl_size(data: bytes) -> tuple[int, int]:
    """Width and height of a JPEG XL file (ISO/IEC 18181-1, 18181-2), before its orientation is applied.

    Raises:
        ValueError: there is no codestream.
    """
    if data[:2] != b"\xff\x0a":
        streams = ((kind, inside) for kind, inside in boxes(data) if kind in (b"jxlc", b"jxlp"))
        kind, data = next(streams, (b"", b""))
        data = data[4:] if kind == b"jxlp" else data  # a number
    if data[:2] != b"\xff\x0a":
        raise ValueError("no JPEG XL codestream")
    bits = _Bits(data[2:16])
    small = bits.take(1)
    height = 8 * (bits.take(5) + 1) if small else 1 + bits.take((9, 13, 18, 30)[bits.take(2)])
    ratio = bits.take(3)
    if ratio:
        above, below = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))[ratio - 1]
        return height * above // below, height
    return 8 * (bits.take(5) + 1) if small else 1 + bits.take((9, 13, 18, 30)[bits.take(2)]), height


class _Bits:
    """Little-endian bits."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "little")

    def take(self, count: int) -> int:
        taken = self._value & ((1 << count) - 1)
        self._value >>= count
        return taken
