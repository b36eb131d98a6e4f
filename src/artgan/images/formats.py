"""The formats that artgan reads and writes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from artgan.errors import PictureError


@dataclass(frozen=True)
class Format:
    name: str  # Pillow's
    suffixes: tuple[str, ...]
    save: Mapping[str, Any] | None = None  # options for writing; None: read-only
    alpha: bool = False  # whether files can hold transparency that other programs support
    codec: str = "PIL"  # the module that Pillow needs for this format


# Common picture formats. All others are rejected, even under these suffixes: Pillow would start Ghostscript for an EPS
# file named .jpg.
FORMATS = tuple(
    row
    for row in (
        Format("JPEG", (".jpg", ".jpeg", ".jpe", ".jfif"), {"quality": 95, "subsampling": "4:4:4"}),
        Format("PNG", (".png",), {}, alpha=True),
        Format("WEBP", (".webp",), {"quality": 95}, alpha=True, codec="PIL._webp"),
        Format("AVIF", (".avif",), {"quality": 90, "subsampling": "4:4:4"}, alpha=True, codec="PIL._avif"),
        Format("TIFF", (".tif", ".tiff"), {"compression": "tiff_adobe_deflate"}, alpha=True),
        Format("BMP", (".bmp",), {}),
        Format("PPM", (".ppm", ".pnm"), {}),
        Format("PPM", (".pgm", ".pbm")),
        Format("GIF", (".gif",)),
        Format("JPEG2000", (".jp2", ".j2k")),
    )
    if find_spec(row.codec)
)
FORMAT_NAMES = tuple(dict.fromkeys(row.name for row in FORMATS))

READABLE = frozenset(suffix for row in FORMATS for suffix in row.suffixes)
"""Lower-case suffixes of the files that artgan treats as pictures when it scans a folder."""

WRITABLE = frozenset(suffix for row in FORMATS if row.save is not None for suffix in row.suffixes)
"""Lower-case suffixes that :func:`encode` writes."""


def is_picture(path: str | os.PathLike[str]) -> bool:
    """Whether the name has the suffix of a picture format that artgan reads; the file itself is not opened."""
    return Path(path).suffix.lower() in READABLE


def format_for_writing(path: Path) -> Format:
    for row in FORMATS:
        if row.save is not None and path.suffix.lower() in row.suffixes:
            return row
    raise PictureError(
        f"{path}: cannot write pictures with suffix '{path.suffix}'; known: {', '.join(sorted(WRITABLE))}"
    )
