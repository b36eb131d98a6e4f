"""Reading pictures: from files, bytes, Pillow images, arrays and tensors to :class:`Picture`."""

from __future__ import annotations

import io
import logging
import os
import re
import stat
import sys
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeAlias

import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError

from artgan.errors import ArtganError, PictureError
from artgan.images.arrays import decode_tensor, from_array
from artgan.images.coding import Coding, from_codes, from_gamma, to_srgb
from artgan.images.color import color_space, convert_to_rgb, over_white, profile, split_alpha
from artgan.images.deep import Samples, deep_samples, eight_bit
from artgan.images.formats import FORMAT_NAMES, SNIFFED, Foreign, Format, foreign_by_suffix, recognize
from artgan.images.headers import avif_coding, jxl_size, png_coding
from artgan.images.jpeg import jpeg_quality
from artgan.images.metadata import read_metadata
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
        with open_picture(source) as (image, file):
            return decode_image(image, str(source), max_pixels, file)
    if isinstance(source, Image.Image):
        name = str(getattr(source, "filename", "") or "picture")
        return decode_image(source, name, max_pixels)
    if isinstance(source, np.ndarray):
        return decode_image(from_array(source, max_pixels), "array", max_pixels)
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
    with open_picture(path) as (image, _):
        return image.size


def decode_bytes(data: bytes, name: str, *, max_pixels: int = MAX_PIXELS) -> Picture:
    """Decode a picture from the bytes of its file, like :func:`decode`; ``name`` is used in errors."""
    with _refusing(name):
        if not data:
            raise _Unreadable("is empty (0 bytes); fetch or export it again")
        with io.BytesIO(data) as file, open_image(file, name) as image:
            return decode_image(image, name, max_pixels, file)


@contextmanager
def open_picture(path: str | os.PathLike[str]) -> Iterator[tuple[Image.Image, IO[bytes]]]:
    """Open a picture file and read its header: the image, and the file, which must stay where the image needs it.

    Raises:
        PictureError: the file cannot be read as a picture; also for any error in the block that is not artgan's own.
    """
    path = Path(path)
    with _refusing(str(path)):
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise _Unreadable("is a folder, not a picture")
        if not stat.S_ISREG(status.st_mode):  # opening a pipe would block forever
            raise _Unreadable("is a device, pipe or socket, not a picture file")
        if status.st_size == 0:
            raise _Unreadable("is empty (0 bytes); fetch or export it again")
        with path.open("rb") as file, open_image(file, path) as image:
            yield image, file


_ADDRESS = re.compile(r"(https?|ftp|s3|gs|file):/+(?:[^/@]*@)?([^?#]*)", re.I)  # a path has one slash of the two


def missing(path: str | os.PathLike[str], why: str) -> str:
    """A message about a path where nothing is: ``why``, or what to do if it is an address of the web.

    Credentials and what follows a question mark, which may hold some, are left out.
    """
    found = _ADDRESS.match(str(path))
    if found is None:
        return f"{path}: {why}"
    return (
        f"{found[1]}://{found[2]}: is a URL, but artgan reads only files; download it first, or pipe it: "
        "curl -L ADDRESS | artgan paint - -o painting.jpg"
    )


class _Unreadable(Exception):
    """Why a file cannot be read, as the end of a sentence that begins with its name."""


@contextmanager
def _refusing(name: str) -> Iterator[None]:
    """Turn any error but artgan's own into a :class:`PictureError` that begins with the name."""
    try:
        yield
    except ArtganError:
        raise
    except _Unreadable as error:
        raise PictureError(f"{name}: {error}") from None
    except FileNotFoundError:
        raise PictureError(missing(name, "no such file")) from None
    except PermissionError:
        raise PictureError(f"{name}: you are not permitted to read it") from None
    except Exception as error:  # Pillow raises almost anything for broken files
        raise PictureError(f"{name}: cannot be read as a picture ({reason(error)})") from error


_HUNGRY = ("GIF", "WEBP")
"""Formats for which Pillow allocates the pixels as soon as it reads the header, up to Pillow's own limit."""

# What matters is whether the pixels can be read. Set permanently: warnings.catch_warnings() is not thread-safe.
logging.getLogger("PIL").addHandler(logging.NullHandler())  # else Python prints its log to standard error
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.\w+ImagePlugin")  # broken metadata
warnings.filterwarnings("ignore", rf".* limit of {MAX_PIXELS} pixels", Image.DecompressionBombWarning)  # see below

_opening = threading.Lock()


@contextmanager
def open_image(file: IO[bytes], name: str | os.PathLike[str] = "") -> Iterator[Image.Image]:
    """Read the header of a picture file, whose format is judged by its content.

    ``load()`` reads the pixels; limiting their number is up to the caller.

    Args:
        file: the file.
        name: of the file, which tells camera raw files from the TIFF files that they begin like.

    Raises:
        Exception: almost anything, as Pillow does for broken files.
    """
    found = recognize(file.read(SNIFFED))
    foreign = found if isinstance(found, Foreign) else None
    if isinstance(found, Format) and found.name == "TIFF":
        foreign = foreign_by_suffix(name)
    if foreign is not None:
        raise _Unreadable(f"is {foreign.kind}, not a picture that artgan reads; {foreign.remedy}")
    if not isinstance(found, Format):
        raise _Unreadable(f"not a picture in a format that artgan reads ({', '.join(FORMAT_NAMES)})")
    if not found.available:
        raise _Unreadable(f"is a {found.name} picture, which needs more to be read: {found.install}")
    try:
        image = _open_as(found.name, file)
    except UnidentifiedImageError:
        raise _Unreadable(
            f"damaged, or a kind of {found.name} that artgan does not read; fetch it again, or export it as JPEG or PNG"
        ) from None
    with image:
        if found.name == "TIFF":
            _check_tiff(image)
        yield image


def _open_as(name: str, file: IO[bytes]) -> ImageFile.ImageFile:
    file.seek(0)
    if name == "HEIF":  # not registered with Pillow, where it would change what other code opens
        return import_module("pillow_heif").HeifImageFile(file)  # type: ignore[no-any-return]  # by name
    if name == "JXL":
        import_module("pillow_jxl")
        width, height = jxl_size(file.read())
        if width * height > MAX_PIXELS:  # the pixels are decoded as the file is opened
            raise Image.DecompressionBombError
        file.seek(0)
    with _opening:
        limit = Image.MAX_IMAGE_PIXELS
        try:
            # We check the size ourselves, as Pillow's error does not state it; or Pillow warns above this, and raises
            # above twice as many.
            Image.MAX_IMAGE_PIXELS = MAX_PIXELS if name in _HUNGRY else None
            return Image.open(file, formats=[name])
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def _check_tiff(image: Image.Image) -> None:
    """Refuse what Pillow would read wrongly."""
    tags: Mapping[int, Any] = image.tag_v2  # type: ignore[attr-defined]  # TIFF files have tags
    reduced = int(tags.get(254, 0)) & 1 and 330 in tags  # a thumbnail, and the picture elsewhere
    if 50706 in tags or reduced:  # the version of DNG
        raise _Unreadable("is a camera raw file; export it as JPEG or PNG")
    bits = tags.get(258, (1,))
    if tags.get(284) == 2 and len(bits) > 1 and max(bits) > 8:
        raise _Unreadable(
            "is a TIFF of more than 8 bits that holds its channels one after another (planar), which is not read; "
            "save it with interleaved channels"
        )


def decode_image(image: Image.Image, name: str, max_pixels: int, file: IO[bytes] | None = None) -> Picture:
    """Decode the current frame of an opened image.

    Args:
        image: from :func:`open_image`, or anybody's.
        name: used in errors.
        max_pixels: larger pictures are rejected.
        file: what the image was opened from, if it may be read again.
    """
    check_size(image.size, name, max_pixels)
    kind = image.format or "picture"
    try:
        deep = None if file is None else deep_samples(image, file, kind, partial(_open_as, kind, file))
        if deep is None:
            image.load()
        icc, coding = profile(image), None
        if file is not None:
            icc, coding = _colors(image, file, kind, icc)
        color, alpha = split_alpha(image if deep is None else _shallow(image, *deep))
        rgb = convert_to_rgb(color, icc)
        if coding is not None:
            in_color = deep is not None and deep[1].shape[2] >= 3
            rgb = to_srgb(deep[1][:, :, :3] if deep is not None and in_color else np.asarray(rgb), coding)
        rgb, alpha = _upright(image, rgb, alpha)
        if alpha is not None:
            rgb = over_white(rgb, alpha)
    except PictureError as error:
        raise PictureError(f"{name}: {error}") from None
    except MemoryError:
        raise PictureError(f"{name}: {describe(image.size)} do not fit in memory; make it smaller") from None
    except Exception as error:  # Pillow raises almost anything for broken files
        raise PictureError(
            f"{name}: damaged or incomplete {kind} ({reason(error)}); fetch or export it again"
        ) from error
    rgb.info.clear()
    icc = icc if icc and color_space(icc) == b"RGB " else None
    return Picture(rgb, alpha, icc, read_metadata(image), *jpeg_quality(image))


def _shallow(image: Image.Image, mode: str, samples: Samples) -> Image.Image:
    """An image of 8 bits from samples of 16, with what else the image says."""
    height, width, _ = samples.shape
    shallow = Image.frombytes(mode, (width, height), eight_bit(samples).tobytes())
    shallow.info.update(image.info)
    transparent = image.info.get("transparency")
    if mode == "RGB" and transparent is not None:  # one color, in 16 bits
        del shallow.info["transparency"]
        hidden = (samples == np.array(transparent, np.uint16)).all(axis=2)
        shallow.putalpha(Image.fromarray(np.where(hidden, 0, 255).astype(np.uint8)))
    return shallow


def _colors(image: Image.Image, file: IO[bytes], kind: str, icc: bytes | None) -> tuple[bytes | None, Coding | None]:
    """The profile that counts, and the coding that is signalled otherwise; one of them, or neither for sRGB."""
    info = image.info
    if kind == "PNG":
        codes = png_coding(file)  # this goes before a profile
        if codes is not None:
            return None, from_codes(*codes)
        if icc is None and "srgb" not in info and isinstance(info.get("gamma"), float):
            return None, from_gamma(info["gamma"], info.get("chromaticity"))
    if icc is None and kind == "AVIF":
        codes = avif_coding(file)
        return None, None if codes is None else from_codes(*codes)
    if icc is None and kind == "HEIF" and "nclx_profile" in info:
        nclx = info["nclx_profile"]
        return None, from_codes(nclx["color_primaries"], nclx["transfer_characteristics"])
    return icc, None


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
    if image.format == "JXL" and not getattr(image, "jpeg", False):  # is upright, whatever its EXIF says (18181-2)
        return rgb, alpha
    try:
        turn = UPRIGHT.get(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # broken EXIF data raise almost anything, and do not affect the pixels
        turn = None
    if turn is None:
        return rgb, alpha
    return rgb.transpose(turn), alpha and alpha.transpose(turn)
