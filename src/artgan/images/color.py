"""Color: modes and profiles to 8-bit RGB."""

from __future__ import annotations

import io
from contextlib import suppress

import numpy as np
from PIL import Image, ImageCms

from artgan.errors import PictureError

_BITS, _PHOTOMETRIC, _SAMPLE_FORMAT = 258, 262, 339  # tags of TIFF
_DEEP_MODES = {"I;16", "I;16L", "I;16B", "I;16N", "I", "F"}


def split_alpha(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """An 8-bit image without transparency, in the file's color space, and its alpha channel unless opaque."""
    if image.mode in _DEEP_MODES:
        color, alpha = _eight_bit(image)
    elif image.has_transparency_data:
        rgba = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
        gray = image.mode in ("1", "L", "LA", "La")
        color, alpha = rgba.getchannel("R") if gray else rgba.convert("RGB"), rgba.getchannel("A")
    elif image.mode in ("1", "P"):
        color, alpha = image.convert("L" if image.mode == "1" else "RGB"), None
    else:
        color, alpha = image, None
    if alpha is not None and alpha.getextrema() == (255, 255):
        alpha = None
    return color, alpha


def _eight_bit(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """Convert grayscale of more than 8 bits to mode L; Pillow's own conversion clips at 255."""
    values = np.asarray(image)
    tags = getattr(image, "tag_v2", {})  # of a TIFF file
    bits, kinds = tags.get(_BITS, (16,))[0], tags.get(_SAMPLE_FORMAT, (1,))
    ceilings: tuple[float, ...] = (1, 255, 65_535) if image.mode == "F" else (65_535,)
    if tags and image.mode == "I" and bits == 32 and kinds[0] == 1:  # unsigned, which Pillow has no mode for
        values, ceilings = values.view(np.uint32), (65_535, 2**32 - 1)
    elif bits == 12:
        ceilings = (4095,)
    low, high = float(values.min()), float(values.max())
    if not np.isfinite([low, high]).all():
        raise PictureError("holds values that are not finite")
    fitting = [ceiling for ceiling in ceilings if low >= 0 and high <= ceiling]
    black, white = (0, fitting[0]) if fitting else (low, high)
    gray = np.empty(values.shape, np.uint8)
    for row, line in zip(gray, values, strict=True):
        row[:] = np.rint((line.astype(np.float64) - black) * (255 / ((white - black) or 1))).clip(0, 255)
    if tags.get(_PHOTOMETRIC) == 0:  # white is 0
        np.subtract(255, gray, out=gray)
    alpha = None
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        alpha = Image.fromarray(np.where(values == transparent, 0, 255).astype(np.uint8))
    return Image.fromarray(gray), alpha


def profile(image: Image.Image) -> bytes | None:
    icc = image.info.get("icc_profile")
    if not isinstance(icc, bytes) or icc[36:40] != b"acsp":  # the signature of every ICC profile
        return None
    return icc


def color_space(icc: bytes) -> bytes:
    return icc[16:20]


_SPACE_OF_MODE = {"CMYK": b"CMYK", "L": b"GRAY", "LAB": b"Lab "}


def convert_to_rgb(image: Image.Image, icc: bytes | None) -> Image.Image:
    """A new RGB image: converted through the picture's profile if that is not an RGB profile, else by formula."""
    if icc and color_space(icc) == _SPACE_OF_MODE.get(image.mode):
        with suppress(ImageCms.PyCMSError, OSError, ValueError, TypeError, ImportError):  # a damaged profile
            srgb = ImageCms.createProfile("sRGB")
            converted = ImageCms.profileToProfile(image, io.BytesIO(icc), srgb, outputMode="RGB")
            if converted is not None:
                return converted
    return image.convert("RGB")


def over_white(rgb: Image.Image, alpha: Image.Image) -> Image.Image:
    return Image.composite(rgb, Image.new("RGB", rgb.size, "white"), alpha)
