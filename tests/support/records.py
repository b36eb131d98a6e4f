"""TFRecord files of pictures for tests."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from pathlib import Path

from artgan.data.tfrecord import crc32c


def write_records(path: Path, examples: Iterable[Mapping[str, bytes]]) -> None:
    """Write a TFRecord file of Examples, each of them byte strings by name."""
    with path.open("wb") as file:
        for example in examples:
            # Example.features = 1, Features.feature = 1 (a map: key = 1, value = 2), Feature.bytes_list = 1, .value = 1
            entries = (
                _field(1, _field(1, name.encode()) + _field(2, _field(1, _field(1, value))))
                for name, value in example.items()
            )
            data = _field(1, b"".join(entries))
            length = struct.pack("<Q", len(data))
            file.write(length + _masked_crc(length) + data + _masked_crc(data))


def _masked_crc(data: bytes) -> bytes:
    crc = crc32c(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def _field(number: int, value: bytes) -> bytes:
    """A string or message as a field of another."""
    size, head = len(value), bytearray([number << 3 | 2])
    while size > 0x7F:
        head.append(size & 0x7F | 0x80)
        size >>= 7
    head.append(size)
    return bytes(head) + value
