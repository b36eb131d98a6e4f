"""Decompression of the members of zip archives, of at most the size that the archive states."""

from __future__ import annotations

import bz2
import lzma
import struct
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from importlib.util import find_spec

DEFLATE64 = 9
"""The code of Deflate64, by which Windows packs files of more than 2 GB, and which zipfile does not know."""


def _lzma(data: bytes, size: int) -> bytes:
    """LZMA as in zip archives: 2 bytes of version, 2 of length, 5 of properties, then the raw stream."""
    length, packed, dictionary = struct.unpack("<2xHBI", data[:9])
    if length != 5:
        raise ValueError("bad properties")
    packed, lc = divmod(packed, 9)
    pb, lp = divmod(packed, 5)
    # A dictionary larger than the result is of no use, whatever size the archive demands.
    wanted = min(dictionary, max(size, 1 << 12))
    filters = [{"id": lzma.FILTER_LZMA1, "lc": lc, "lp": lp, "pb": pb, "dict_size": wanted}]
    return lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=filters).decompress(data[9:], size)


def _deflate64(data: bytes, size: int) -> bytes:
    """Deflate64 in pieces of 512 bytes, none of which inflates to more than about 15 MB."""
    import inflate64

    inflater = inflate64.Inflater()
    result = bytearray()
    for start in range(0, len(data), 512):
        result += inflater.inflate(data[start : start + 512])
        if len(result) >= size:
            break
    return bytes(result)


METHODS: dict[int, Callable[[bytes, int], bytes]] = {
    zipfile.ZIP_STORED: lambda data, size: data,
    zipfile.ZIP_DEFLATED: lambda data, size: zlib.decompressobj(-15).decompress(data, size),
    zipfile.ZIP_BZIP2: lambda data, size: bz2.BZ2Decompressor().decompress(data, size),
    zipfile.ZIP_LZMA: _lzma,
    **({DEFLATE64: _deflate64} if find_spec("inflate64") else {}),
}
"""By a method's code, a function of the packed bytes and the maximum size of the result, which may raise anything."""


def unpack(data: bytes, method: int, size: int) -> bytes:
    """Decompress a member.

    Args:
        data: the packed bytes.
        method: one of :data:`METHODS`.
        size: the size that the archive states, in bytes.

    Returns:
        The member, or something of another size if it is damaged or larger than stated.
    """
    with suppress(Exception):  # damaged data raise almost anything
        return METHODS[method](data, size + 1)  # one byte more reveals a larger member
    return b""
