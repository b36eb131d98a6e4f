"""Reading pictures: from files, bytes, Pillow images, arrays and tensors to :class:`Picture`."""

from __future__ import annotations

import io
import logging
import os
import stat
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from PIL import Image, UnidentifiedImageError

from artgan.errors import PictureError
from artgan.images.arrays import decode_tensor, from_array
from artgan.images.color import color_space, convert_to_rgb, over_white, profile, split_alpha
from artgan.images.formats import FORMAT_NAMES
from artgan.images.picture import MAX_PIXELS, Picture, check_size, describe, reason

if TYPE_CHECKING:
    from torch import Tensor

Source: TypeAlias = "str | os.PathLike[str] | Image.Image | np.ndarray[Any, Any] | Tensor"
"""What :func:`decode` accepts."""


def decode(source: Source, *, max_pixels: int = MAX_PIXELS) -> Picture:
    """Read a picture of any mode as 8-bit RGB, with transparency and RGB color profile kept separately.

    Args:
        source: one of

            - a path to a file; of an animation, the first frame is read;
            - a Pillow image: its current frame; the image is loaded but not modified;
            - an array H x W, H x W x 1, H x W x 3 (RGB) or H x W x 4 (RGBA): uint8, uint16 or float in
              [0, 1];
            - a tensor 3 x H x W or 1 x 3 x H x W: float in [-1, 1], RGB.
        max_pixels: larger pictures are rejected before memory for their pixels is allocated.

    EXIF orientation is applied. CMYK, grayscale and Lab pictures are converted to sRGB through their ICC profile if
    they have one, which is then dropped. 16-bit grayscale is scaled (65535 is white). 32-bit integers are treated as
    16-bit grayscale, floats as grayscale in the smallest of the ranges 0..1, 0..255 and 0..65535 that holds all
    values; if none does, the smallest value becomes black and the largest white.

    Raises:
        PictureError: the picture cannot be read; the one-line message starts with the path (or "picture", "array" or
            "tensor") and gives the reason.
    """
    if isinstance(source, str | os.PathLike):
        return _decode_file(Path(source), max_pixels)
    if isinstance(source, Image.Image):
        name = str(getattr(source, "filename", "") or "picture")
        return _decode_image(source, name, max_pixels)
    if isinstance(source, np.ndarray):
        return _decode_image(from_array(source, max_pixels), "array", max_pixels)
    torch = sys.modules.get("torch")  # if torch is not loaded, this is not a tensor
    if torch is not None and isinstance(source, torch.Tensor):
        return decode_tensor(source, max_pixels)
    raise PictureError(
        f"picture: cannot read one from a {type(source).__name__}; give a path, a Pillow image, an array or a tensor"
    )


def measure(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Width and height from a file's header, before EXIF orientation is applied.

    Raises:
        PictureError: the file cannot be read as a picture; see :func:`decode`.
    """
    with _open_file(Path(path)) as image:
        return image.size


def _decode_file(path: Path, max_pixels: int) -> Picture:
    with _open_file(path) as image:
        return _decode_image(image, str(path), max_pixels)


@contextmanager
def _open_file(path: Path) -> Iterator[Image.Image]:
    """Open a picture file and read its header; any error here or in the block becomes a :class:`PictureError`."""
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise PictureError(f"{path}: is a folder, not a picture")
        if not stat.S_ISREG(status.st_mode):  # opening a pipe would block forever
            raise PictureError(f"{path}: is a device, pipe or socket, not a picture file")
        if status.st_size == 0:
            raise PictureError(f"{path}: is empty (0 bytes); fetch or export it again")
        with path.open("rb") as file, open_image(file) as image:
            yield image
    except PictureError:
        raise
    except FileNotFoundError:
        raise PictureError(f"{path}: no such file") from None
    except PermissionError:
        raise PictureError(f"{path}: you are not permitted to read it") from None
    except UnidentifiedImageError:
        known = ", ".join(FORMAT_NAMES)
        raise PictureError(f"{path}: not a picture in a format that artgan reads ({known})") from None
    except Exception as error:  # Pillow raises almost anything for broken files
        raise PictureError(f"{path}: cannot be read as a picture ({reason(error)})") from error


def decode_bytes(data: bytes, name: str, *, max_pixels: int = MAX_PIXELS) -> Picture:
    """Decode a picture from the bytes of its file, like :func:`decode`; ``name`` is used in errors."""
    if not data:
        raise PictureError(f"{name}: is empty (0 bytes); fetch or export it again")
    try:
        with open_image(io.BytesIO(data)) as image:
            return _decode_image(image, name, max_pixels)
    except PictureError:
        raise
    except UnidentifiedImageError:
        known = ", ".join(FORMAT_NAMES)
        raise PictureError(f"{name}: not a picture in a format that artgan reads ({known})") from None
    except Exception as error:  # Pillow raises almost anything for broken files
        raise PictureError(f"{name}: cannot be read as a picture ({reason(error)})") from error


_HUNGRY = ("GIF", "WEBP")
"""Formats for which Pillow allocates the pixels as soon as it reads the header, up to Pillow's own limit."""

_FRUGAL = tuple(name for name in FORMAT_NAMES if name not in _HUNGRY)

# What matters is whether the pixels can be read. Set permanently: warnings.catch_warnings() is not thread-safe.
logging.getLogger("PIL").addHandler(logging.NullHandler())  # else Python prints its log to standard error
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.\w+ImagePlugin")  # broken metadata
warnings.filterwarnings("ignore", rf".* limit of {MAX_PIXELS} pixels", Image.DecompressionBombWarning)  # see below

_opening = threading.Lock()


@contextmanager
def open_image(file: io.BufferedReader | io.BytesIO) -> Iterator[Image.Image]:
    """Read the header of a picture file. ``load()`` reads the pixels; limiting their number is up to the caller.

    Raises:
        Exception: almost anything, as Pillow does for broken files.
    """
    with _opening:
        limit = Image.MAX_IMAGE_PIXELS
        try:
            Image.MAX_IMAGE_PIXELS = None  # we check the size ourselves: Pillow's error does not state it
            image = Image.open(file, formats=_FRUGAL)
        except UnidentifiedImageError:
            Image.MAX_IMAGE_PIXELS = MAX_PIXELS  # Pillow warns above this, and raises above twice as many
            image = Image.open(file, formats=_HUNGRY)
        finally:
            Image.MAX_IMAGE_PIXELS = limit
    with image:
        yield image


def _decode_image(image: Image.Image, name: str, max_pixels: int) -> Picture:
    check_size(image.size, name, max_pixels)
    try:
        image.load()
        icc = profile(image)
        color, alpha = split_alpha(image)
        rgb = convert_to_rgb(color, icc)
        rgb, alpha = _upright(image, rgb, alpha)
        if alpha is not None:
            rgb = over_white(rgb, alpha)
    except PictureError as error:
        raise PictureError(f"{name}: {error}") from None
    except MemoryError:
        raise PictureError(f"{name}: {describe(image.size)} do not fit in memory; make it smaller") from None
    except Exception as error:  # Pillow raises almost anything for broken files
        kind = getattr(image, "format", None) or "picture"
        raise PictureError(
            f"{name}: damaged or incomplete {kind} ({reason(error)}); fetch or export it again"
        ) from error
    rgb.info.clear()
    return Picture(rgb, alpha, icc if icc and color_space(icc) == b"RGB " else None)


_ORIENTATION = 0x0112
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""The transposition that turns a picture upright, by EXIF orientation; orientation 1 needs none."""


def _upright(image: Image.Image, rgb: Image.Image, alpha: Image.Image | None) -> tuple[Image.Image, Image.Image | None]:
    """Rotate and flip both as the image's EXIF orientation says."""
    try:
        turn = UPRIGHT.get(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # broken EXIF data raise almost anything, and do not affect the pixels
        turn = None
    if turn is None:
        return rgb, alpha
    return rgb.transpose(turn), alpha and alpha.transpose(turn)
