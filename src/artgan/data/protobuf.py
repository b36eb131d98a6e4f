"""The wire format of protocol buffers (https://protobuf.dev/programming-guides/encoding/), read as untrusted input."""

from __future__ import annotations

from collections.abc import Iterator

VARINT, LENGTH_DELIMITED = 0, 2
"""Wire types: a number; a text, a message or a packed list. Others are numbers of 4 and 8 bytes."""


def fields(message: memoryview) -> Iterator[tuple[int, int, int | memoryview]]:
    """Number, wire type and value of each field: a number for :data:`VARINT`, bytes for all others.

    Raises:
        ValueError: the message is cut off, or is no message.
    """
    at = 0
    while at < len(message):
        key, at = varint(message, at)
        wire = key & 7
        if wire == VARINT:
            value, at = varint(message, at)
            yield key >> 3, wire, value
            continue
        if wire == LENGTH_DELIMITED:
            size, at = varint(message, at)
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
        else:
            raise ValueError("bad field type")
        if size > len(message) - at:
            raise ValueError("a field is cut off")
        yield key >> 3, wire, message[at : at + size]
        at += size


def varint(message: memoryview, at: int) -> tuple[int, int]:
    """Parse a number of up to 64 bits; returns it and the position after it.

    Raises:
        ValueError: it is cut off or too long.
    """
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(message):
            break
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("bad number")
