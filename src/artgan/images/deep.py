"""Pictures of more than 8 bits a channel, which Pillow reads as their upper 8 bits."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from typing import IO, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

Samples: TypeAlias = "NDArray[np.uint16]"

_SWAPPED = {"L": "B", "B": "L", "N": "B" if sys.byteorder == "little" else "L"}


def deep_samples(
    image: Image.Image, file: IO[bytes], name: str, again: Callable[[], ImageFile.ImageFile]
) -> tuple[str, Samples] | None:
    """The samples of a picture with 9 to 16 bits a channel, and several channels.

    Args:
        image: opened from the file, not loaded yet.
        file: the file.
        name: Pillow's name of its format.
        again: opens the file anew.

    Returns:
        The mode without its depth, such as "RGB", and H x W x C samples where 65535 is white; None for other pictures,
        which Pillow reads right.
    """
    if name == "HEIF":
        return _heif_samples(file) if image.info["bit_depth"] > 8 else None
    raw = _raw_mode(image)
    if name not in ("PNG", "TIFF") or ";16" not in raw or raw.startswith("I"):
        return None
    frame = image.tell()
    if frame and name == "PNG":  # frames are put together in 8 bits
        return None
    if raw == "LA;16B":  # Pillow has no second way to read these, but 4 bytes a pixel are 4 bytes a pixel
        parts = _read_as(again, 0, "RGBA", "RGBA").astype(np.uint16)
        return "LA", (parts[:, :, 0::2] << 8 | parts[:, :, 1::2]).astype(np.uint16)
    premultiplied = raw.startswith("RGBa")
    raw = raw.replace("RGBa", "RGBA")
    # Read twice, with both orders of bytes: the upper bytes, then the lower ones.
    upper, lower = (_read_as(again, frame, image.mode, mode) for mode in (raw, raw[:-1] + _SWAPPED[raw[-1]]))
    samples = upper.astype(np.uint16)
    samples <<= 8
    samples |= lower
    if premultiplied:
        for row in samples:
            color = row[:, :3] * (65_535 / np.maximum(row[:, 3:], 1))
            row[:, :3] = np.rint(np.minimum(color, 65_535))
    return image.mode, samples


def eight_bit(samples: Samples) -> NDArray[np.uint8]:
    """65535 to 255, rounded."""
    result = np.empty(samples.shape, np.uint8)
    for row, values in zip(result, samples, strict=True):
        row[:] = (values.astype(np.uint32) * 255 + 32_895) >> 16  # exactly round(values / 257)
    return result


def _raw_mode(image: Image.Image) -> str:
    """How Pillow's decoders read pixels, such as "RGB;16B"."""
    tiles = getattr(image, "tile", ())
    arguments: Any = tiles[0][3] if tiles else ""
    return str(arguments[0] if isinstance(arguments, tuple) and arguments else arguments)


def _read_as(again: Callable[[], ImageFile.ImageFile], frame: int, mode: str, raw: str) -> NDArray[np.uint8]:
    """All bytes that Pillow reads of a frame in a raw mode, H x W x C."""
    with again() as image:
        image.seek(frame)
        image._mode = mode
        image.tile = [
            tile._replace(args=(raw, *tile.args[1:]) if isinstance(tile.args, tuple) else raw) for tile in image.tile
        ]
        return np.asarray(image)


def _heif_samples(file: IO[bytes]) -> tuple[str, Samples]:
    heif = import_module("pillow_heif")
    file.seek(0)
    opened = heif.open_heif(file, convert_hdr_to_8bit=False, hdr_to_16bit=False)
    frame = opened[opened.primary_index]
    mode, depth = frame.mode.split(";")
    samples = np.asarray(frame)
    most = (1 << int(depth)) - 1
    full = np.rint(np.arange(most + 1) * (65_535 / most)).astype(np.uint16)
    if samples.ndim == 2:
        samples = samples[:, :, None]
    return mode, full[np.minimum(samples, most)]
