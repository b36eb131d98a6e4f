"""Reading and writing pictures: the one place that deals with Pillow's pitfalls.

:func:`decode` turns a file, a Pillow image, an array or a tensor into a :class:`Picture`: upright 8-bit RGB, with
transparency and color profile kept separately. :func:`assemble` puts them back, :func:`encode` writes a file.
Torch is imported only when a tensor is needed.
"""

from __future__ import annotations

import io
import logging
import os
import stat
import sys
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from PIL import Image, ImageCms, UnidentifiedImageError

from artgan import files
from artgan.errors import PictureError, one_line

if TYPE_CHECKING:
    from torch import Tensor

MAX_PIXELS = 100_000_000
"""The largest picture that :func:`decode` accepts by default, in pixels."""

Source: TypeAlias = "str | os.PathLike[str] | Image.Image | np.ndarray[Any, Any] | Tensor"
"""What :func:`decode` accepts."""


@dataclass(frozen=True)
class _Format:
    name: str  # Pillow's
    suffixes: tuple[str, ...]
    save: Mapping[str, Any] | None = None  # options for writing; None: read-only
    alpha: bool = False  # whether files can hold transparency that other programs support
    codec: str = "PIL"  # the module that Pillow needs for this format


# Common picture formats. All others are rejected, even under these suffixes: Pillow would start Ghostscript for an EPS
# file named .jpg.
_FORMATS = tuple(
    row
    for row in (
        _Format("JPEG", (".jpg", ".jpeg", ".jpe", ".jfif"), {"quality": 95, "subsampling": "4:4:4"}),
        _Format("PNG", (".png",), {}, alpha=True),
        _Format("WEBP", (".webp",), {"quality": 95}, alpha=True, codec="PIL._webp"),
        _Format("AVIF", (".avif",), {"quality": 90, "subsampling": "4:4:4"}, alpha=True, codec="PIL._avif"),
        _Format("TIFF", (".tif", ".tiff"), {"compression": "tiff_adobe_deflate"}, alpha=True),
        _Format("BMP", (".bmp",), {}),
        _Format("PPM", (".ppm", ".pnm"), {}),
        _Format("PPM", (".pgm", ".pbm")),
        _Format("GIF", (".gif",)),
        _Format("JPEG2000", (".jp2", ".j2k")),
    )
    if find_spec(row.codec)
)
_FORMAT_NAMES = tuple(dict.fromkeys(row.name for row in _FORMATS))

READABLE = frozenset(suffix for row in _FORMATS for suffix in row.suffixes)
"""Lower-case suffixes of the files that artgan treats as pictures when it scans a folder."""

WRITABLE = frozenset(suffix for row in _FORMATS if row.save is not None for suffix in row.suffixes)
"""Lower-case suffixes that :func:`encode` writes."""


@dataclass(frozen=True)
class Picture:
    """A decoded picture.

    Attributes:
        rgb: upright, mode RGB, without metadata; transparent parts are composited onto white, so that invisible colors
            do not bleed into the painting.
        alpha: mode L, same size, 0 (transparent) to 255 (opaque); None if the picture is fully opaque.
        icc: the ICC profile of ``rgb``; None means sRGB.
    """

    rgb: Image.Image
    alpha: Image.Image | None = field(default=None)
    icc: bytes | None = field(default=None, repr=False)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.rgb.size


def is_picture(path: str | os.PathLike[str]) -> bool:
    """Whether the name has the suffix of a picture format that artgan reads; the file itself is not opened."""
    return Path(path).suffix.lower() in READABLE


# ---- in


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
        return _decode_image(_from_array(source, max_pixels), "array", max_pixels)
    torch = sys.modules.get("torch")  # if torch is not loaded, this is not a tensor
    if torch is not None and isinstance(source, torch.Tensor):
        return _decode_tensor(source, max_pixels)
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
        known = ", ".join(_FORMAT_NAMES)
        raise PictureError(f"{path}: not a picture in a format that artgan reads ({known})") from None
    except Exception as error:  # Pillow raises almost anything for broken files
        raise PictureError(f"{path}: cannot be read as a picture ({_reason(error)})") from error


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
        known = ", ".join(_FORMAT_NAMES)
        raise PictureError(f"{name}: not a picture in a format that artgan reads ({known})") from None
    except Exception as error:  # Pillow raises almost anything for broken files
        raise PictureError(f"{name}: cannot be read as a picture ({_reason(error)})") from error


_HUNGRY = ("GIF", "WEBP")
"""Formats for which Pillow allocates the pixels as soon as it reads the header, up to Pillow's own limit."""

_FRUGAL = tuple(name for name in _FORMAT_NAMES if name not in _HUNGRY)

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
    _check_size(image.size, name, max_pixels)
    try:
        image.load()
        icc = _profile(image)
        color, alpha = _split_alpha(image)
        rgb = _convert_to_rgb(color, icc)
        rgb, alpha = _upright(image, rgb, alpha)
        if alpha is not None:
            rgb = _over_white(rgb, alpha)
    except PictureError as error:
        raise PictureError(f"{name}: {error}") from None
    except MemoryError:
        raise PictureError(f"{name}: {_describe(image.size)} do not fit in memory; make it smaller") from None
    except Exception as error:  # Pillow raises almost anything for broken files
        kind = getattr(image, "format", None) or "picture"
        raise PictureError(
            f"{name}: damaged or incomplete {kind} ({_reason(error)}); fetch or export it again"
        ) from error
    rgb.info.clear()
    return Picture(rgb, alpha, icc if icc and _color_space(icc) == b"RGB " else None)


def _check_size(size: tuple[int, int], name: str, max_pixels: int) -> None:
    width, height = size
    if width < 1 or height < 1:
        raise PictureError(f"{name}: has no pixels ({width} x {height})")
    if width * height > max_pixels:
        raise PictureError(
            f"{name}: {_describe(size)} are over the limit of {max_pixels / 1e6:g} megapixels; make it smaller"
        )


def _describe(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]} pixels"


def _reason(error: BaseException) -> str:
    too_large = isinstance(error, Image.DecompressionBombError)
    return "more pixels than the limit allows" if too_large else one_line(error)


_DEEP_MODES = {"I;16", "I;16L", "I;16B", "I;16N", "I", "F"}


def _split_alpha(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
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
    low, high = float(values.min()), float(values.max())
    if not np.isfinite([low, high]).all():
        raise PictureError("holds values that are not finite")
    ceilings = (1.0, 255.0, 65535.0) if image.mode == "F" else (65535.0,)
    fitting = [ceiling for ceiling in ceilings if low >= 0 and high <= ceiling]
    black, white = (0.0, fitting[0]) if fitting else (low, high)
    scale = 255 / ((white - black) or 1)
    gray = np.rint((values.astype(np.float32) - np.float32(black)) * np.float32(scale)).clip(0, 255)
    alpha = None
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        alpha = Image.fromarray(np.where(values == transparent, 0, 255).astype(np.uint8))
    return Image.fromarray(gray.astype(np.uint8)), alpha


def _profile(image: Image.Image) -> bytes | None:
    icc = image.info.get("icc_profile")
    if not isinstance(icc, bytes) or icc[36:40] != b"acsp":  # the signature of every ICC profile
        return None
    return icc


def _color_space(icc: bytes) -> bytes:
    return icc[16:20]


_SPACE_OF_MODE = {"CMYK": b"CMYK", "L": b"GRAY", "LAB": b"Lab "}


def _convert_to_rgb(image: Image.Image, icc: bytes | None) -> Image.Image:
    """A new RGB image: converted through the picture's profile if that is not an RGB profile, else by formula."""
    if icc and _color_space(icc) == _SPACE_OF_MODE.get(image.mode):
        with suppress(ImageCms.PyCMSError, OSError, ValueError, TypeError, ImportError):  # a damaged profile
            srgb = ImageCms.createProfile("sRGB")
            converted = ImageCms.profileToProfile(image, io.BytesIO(icc), srgb, outputMode="RGB")
            if converted is not None:
                return converted
    return image.convert("RGB")


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


def _over_white(rgb: Image.Image, alpha: Image.Image) -> Image.Image:
    return Image.composite(rgb, Image.new("RGB", rgb.size, "white"), alpha)


def _from_array(array: np.ndarray[Any, Any], max_pixels: int) -> Image.Image:
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)):
        raise PictureError(f"array: expected H x W or H x W x C with 1, 3 or 4 channels, got shape {array.shape}")
    _check_size((array.shape[1], array.shape[0]), "array", max_pixels)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.dtype == np.uint16:
        array = np.rint(array / np.float32(257))
    elif np.issubdtype(array.dtype, np.floating):
        if not (array.min() >= 0 and array.max() <= 1):  # false for NaN too
            raise PictureError("array: float values must be finite and in [0, 1]")
        array = np.rint(array * 255)
    elif array.dtype != np.uint8:
        raise PictureError(f"array: expected uint8, uint16 or float in [0, 1], got {array.dtype}")
    return Image.fromarray(np.ascontiguousarray(array, dtype=np.uint8))


def _decode_tensor(tensor: Tensor, max_pixels: int) -> Picture:
    shape = tuple(tensor.shape)
    if len(shape) == 4 and shape[0] == 1:
        tensor = tensor[0]
    if tensor.ndim != 3 or tensor.shape[0] != 3 or not tensor.is_floating_point():
        raise PictureError(f"tensor: expected float 3 x H x W or 1 x 3 x H x W, got {tensor.dtype} {shape}")
    _check_size((tensor.shape[2], tensor.shape[1]), "tensor", max_pixels)
    if not bool((tensor.detach().abs() <= 1).all()):  # false for NaN too
        raise PictureError("tensor: values must be finite and in [-1, 1]")
    return Picture(to_rgb(tensor))


# ---- tensors


def to_tensor(rgb: Image.Image) -> Tensor:
    """An RGB image to a 3 x H x W float32 tensor in [-1, 1]; :func:`to_rgb` gives the same image back.

    Raises:
        PictureError: the image has another mode (decode it first).
    """
    import torch

    if rgb.mode != "RGB":
        raise PictureError(f"picture: expected mode RGB, got {rgb.mode}; decode it first")
    pixels = torch.from_numpy(np.array(rgb))
    return pixels.permute(2, 0, 1).contiguous().float().div_(127.5).sub_(1)


def to_rgb(tensor: Tensor) -> Image.Image:
    """A 3 x H x W float tensor to an RGB image: [-1, 1] to 0..255, rounded; values outside are clamped.

    Raises:
        PictureError: the tensor has another shape, or values that are not finite.
    """
    import torch

    bytes_ = _levels(tensor).round_().clamp_(0, 255).to(torch.uint8)
    return Image.merge("RGB", [Image.fromarray(plane) for plane in bytes_.cpu().numpy()])  # faster than permuting


def to_levels(tensor: Tensor) -> np.ndarray[Any, np.dtype[np.float32]]:
    """A 3 x H x W float tensor in [-1, 1] to the values 0..255 that :func:`to_rgb` rounds: H x W x 3, float32.

    Raises:
        PictureError: the tensor has another shape, or values that are not finite.
    """
    return np.ascontiguousarray(_levels(tensor).cpu().permute(1, 2, 0).numpy())


def _levels(tensor: Tensor) -> Tensor:
    """New values from 0 to 255 for those from -1 to 1."""
    import torch

    if tensor.ndim != 3 or tensor.shape[0] != 3:
        raise PictureError(f"tensor: expected shape 3 x H x W, got {tuple(tensor.shape)}")
    values = tensor.detach().float()
    if not bool(torch.stack(values.aminmax()).isfinite().all()):  # with a NaN, both extremes are NaN
        half = tensor.dtype in (torch.float16, torch.bfloat16)
        hint = f": {tensor.dtype} is too narrow here, try dtype float32" if half else ""
        raise PictureError(f"tensor: holds values that are not finite{hint}")
    return values.add(1).mul_(127.5)


# ---- out


def assemble(picture: Picture, painted: Image.Image) -> Image.Image:
    """The painting of a picture, with the picture's transparency (mode RGBA) and ICC profile put back.

    Args:
        picture: what was painted.
        painted: mode RGB, same size; not modified, and returned as it is if there is nothing to put back.

    Raises:
        PictureError: the sizes differ.
    """
    if painted.size != picture.size:
        raise PictureError(f"picture: {_describe(picture.size)} became {_describe(painted.size)}")
    if picture.alpha is None and picture.icc is None:
        return painted
    result = painted.copy()
    if picture.alpha is not None:
        result.putalpha(picture.alpha)
    if picture.icc is not None:
        result.info["icc_profile"] = picture.icc
    return result


def check_writable(path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """Raise the :class:`PictureError` that :func:`encode` would raise, as far as that is known before painting."""
    _format_for_writing(Path(path))
    files.check_writable(Path(path), overwrite=overwrite, error=PictureError)


def encode(
    image: Image.Image, path: str | os.PathLike[str], *, overwrite: bool = False, quality: int | None = None
) -> None:
    """Write an image in the format given by the suffix, with the ICC profile in its ``info``.

    The write is atomic. If the format has no transparency, the image is composited onto white. JPEG is written without
    chroma subsampling, at quality 95 unless ``quality`` (1 to 100) is given.

    Raises:
        PictureError: the suffix is unknown, the file exists (and ``overwrite`` is False), or it cannot be written.
    """
    path = Path(path)
    check_writable(path, overwrite=overwrite)
    format_ = _format_for_writing(path)
    options = {**(format_.save or {}), "icc_profile": image.info.get("icc_profile")}
    if quality is not None and "quality" in options:
        options["quality"] = quality
    try:
        with files.atomic_write(path) as part:
            with part.open("wb") as file:
                _fit(image, format_).save(file, format_.name, **options)
            check_writable(path, overwrite=overwrite)  # another program may have created it meanwhile
    except PictureError:
        raise
    except Exception as error:  # Pillow's encoders raise almost anything
        raise PictureError(
            f"{path}: cannot be written as {format_.name}, {_describe(image.size)} ({_reason(error)})"
        ) from error


def _format_for_writing(path: Path) -> _Format:
    for row in _FORMATS:
        if row.save is not None and path.suffix.lower() in row.suffixes:
            return row
    raise PictureError(
        f"{path}: cannot write pictures with suffix '{path.suffix}'; known: {', '.join(sorted(WRITABLE))}"
    )


def _fit(image: Image.Image, format_: _Format) -> Image.Image:
    """The image as RGB, or as RGBA if both the image and the format have transparency."""
    if image.mode not in ("RGB", "RGBA"):
        picture = decode(image)
        image = assemble(picture, picture.rgb)
    if image.mode == "RGBA" and not format_.alpha:
        image = _over_white(image.convert("RGB"), image.getchannel("A"))
    return image
