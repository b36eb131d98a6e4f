"""Pictures whose style is taken, and masks that say where: found, weighted, read. Imports no torch."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from artgan.data import open_pictures
from artgan.errors import ConfigError, PictureError
from artgan.images import decode

_MOST_REGIONS = 16


@dataclass(frozen=True)
class Style:
    """One of the style pictures. It is read only when needed, since a folder may hold many.

    Attributes:
        name: for messages: its path.
        weight: its share of the blend, above 0 to 1; those of all styles sum to 1.
        read: reads the picture, mode RGB; raises a ConfigError if it cannot be read.
        mask: the path of its mask, or None.
    """

    name: str
    weight: float
    read: Callable[[], Image.Image]
    mask: str | None = None

    def regions(self) -> dict[int, NDArray[np.bool_]]:
        """The regions of its mask, as :func:`read_mask` gives them; none without a mask.

        Raises:
            PictureError: the mask cannot be used.
            ConfigError: the picture cannot be read.
        """
        return read_mask(self.mask, self.read().size, self.name) if self.mask is not None else {}


def find_styles(paths: Sequence[str], masks: Sequence[str] = ()) -> list[Style]:
    """The style pictures that a user names, with weights that sum to 1. None is read yet.

    Args:
        paths: ``PATH`` or ``PATH:WEIGHT`` each, as the option ``style`` gives them; the weight is 1 by default. The
            pictures of a folder share its weight equally.
        masks: the path of a mask for each style picture, or none at all.

    Raises:
        ConfigError: no style is given, a path does not exist, a folder holds no pictures, a weight is not positive, or
            there are not as many masks as pictures.
    """
    if not paths:
        raise ConfigError("give a style: a picture, or a folder of one artist's pictures (--style PATH)")
    found = []
    for text in paths:
        path, weight = _weighted(text)
        readers = _readers(path)
        found += [(name, weight / len(readers), read) for name, read in readers.items()]
    if masks and len(masks) != len(found):
        raise ConfigError(f"there must be as many style masks as style pictures: {len(found)}, not {len(masks)}")
    total = sum(weight for _, weight, _ in found)
    return [
        Style(name, weight / total, read, masks[index] if masks else None)
        for index, (name, weight, read) in enumerate(found)
    ]


def read_mask(path: str, size: tuple[int, int], name: str) -> dict[int, NDArray[np.bool_]]:
    """The regions of a mask by color (0xRRGGBB), H x W each, bool: whether a pixel is inside.

    Args:
        path: a picture of at most 16 colors.
        size: width and height of the picture that it belongs to.
        name: of that picture, for errors.

    Raises:
        PictureError: the mask cannot be read, has another size, or too many colors.
    """
    rgb = decode(path).rgb
    if rgb.size != size:
        raise PictureError(
            f"{path}: a mask must have the size of {name}, {size[0]} x {size[1]} pixels, not {rgb.width} x {rgb.height}"
        )
    pixels = np.asarray(rgb, np.int32)
    labels = pixels[..., 0] << 16 | pixels[..., 1] << 8 | pixels[..., 2]
    colors = np.unique(labels).tolist()
    if len(colors) > _MOST_REGIONS:
        raise PictureError(
            f"{path}: has {len(colors)} colors, where a mask has one for each of at most {_MOST_REGIONS} regions; "
            "save it as PNG, drawn without smoothing"
        )
    return {color: labels == color for color in colors}


def _weighted(text: str) -> tuple[str, float]:
    path, colon, number = text.rpartition(":")
    if not colon or Path(text).exists():
        return text, 1.0
    try:
        weight = float(number)
    except ValueError:
        return text, 1.0
    if not 0 < weight < math.inf:
        raise ConfigError(f"{text}: the weight of a style must be positive")
    return path, weight


def _readers(path: str) -> dict[str, Callable[[], Image.Image]]:
    if not path or not Path(path).exists():
        raise ConfigError(f"style {path!r}: no such file or folder")
    if not Path(path).is_dir():
        return {path: _reader(lambda: decode(path).rgb)}
    try:
        pictures = open_pictures(path)
    except PictureError as error:
        raise ConfigError(f"style {error}") from None
    return {f"{path}/{name}": _reader(partial(pictures.__getitem__, i)) for i, name in enumerate(pictures.names)}


def _reader(read: Callable[[], Image.Image]) -> Callable[[], Image.Image]:
    """Reads a style picture: one that cannot be read fails the call, and not the photo that is painted."""

    def reader() -> Image.Image:
        try:
            return read()
        except PictureError as error:
            raise ConfigError(f"style {error}") from None

    return reader
