"""Pictures too large for memory: read and written in strips with libvips, painted in tiles from file to file."""

from __future__ import annotations

import logging
import os
import shutil
import struct
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from artgan import images
from artgan.errors import PictureError, one_line
from artgan.files import replace_durably, temporary_folder
from artgan.painting.manner import PLAIN, Manner
from artgan.painting.network import Network
from artgan.painting.painter import WHERE_NEEDED, paint_parts, telling_what_did_not_fit
from artgan.painting.tiles import Tiling
from artgan.painting.underpainting import Study

MAX_PIXELS = 1_000_000_000
"""The largest picture that :func:`paint_large` accepts, in pixels."""

# Formats that can be read and written in strips: libvips' loader and saver, and the saver's options. libvips has many
# more loaders; none of them is ever used.
_FORMATS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "JPEG": ("jpegload", "jpegsave", {}),
    "PNG": ("pngload", "pngsave", {}),
    "TIFF": ("tiffload", "tiffsave", {"compression": "deflate", "predictor": "horizontal", "bigtiff": True}),
}
_TRANSPARENT = ("PNG", "TIFF")
_JPEG_SIDE = 65_535
_STRIP = 512  # rows that are transposed at once
_COLORS = ("srgb", "rgb", "rgb16", "b-w", "grey16", "cmyk")  # libvips' interpretations that it can convert to sRGB

logging.getLogger("pyvips").addHandler(logging.NullHandler())  # else Python prints its log to standard error


def paint_large(
    network: Network,
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    tiling: Tiling = WHERE_NEEDED,
    manner: Manner = PLAIN,
    overwrite: bool = False,
    quality: int | None = None,
    subsampling: str | None = None,
    metadata: images.Metadata | None = None,
    **options: Any,
) -> tuple[int, int]:
    """Paint a file of up to :data:`MAX_PIXELS` pixels into another file, using a constant amount of memory.

    Meanwhile, the pixels are stored in a hidden folder next to the target: 6 bytes per pixel, 8 with transparency. The
    picture is turned upright; an RGB color profile is kept, as is transparency if the target format supports it.
    Progressive JPEGs and interlaced PNGs cannot be read in strips and are held in memory.

    Args:
        network: without a brush, one with a ``reach``.
        source: JPEG, PNG or TIFF (the first page), with 8 or 16 bits per channel.
        target: a name with the suffix of one of these formats; written atomically.
        tiling: how to divide the picture.
        manner: brush, palette and strength.
        overwrite: whether an existing file may be replaced.
        quality: of JPEG, 1 to 100; 95 by default.
        subsampling: of JPEG, "4:4:4" by default.
        metadata: what the painting's file says about the photo.
        options: the model's own, which reach the network as they are.

    Returns:
        Width and height of the painting.

    Raises:
        PictureError: the picture cannot be read, painted or written, the disk is too full, the model cannot paint in
            tiles, or libvips is not installed.
        TooLargeError: a tile does not fit in memory.
    """
    source, target = Path(source), Path(target)
    images.check_writable(target, overwrite=overwrite)
    size = images.measure(source)
    if size[0] * size[1] > MAX_PIXELS:
        raise PictureError(
            f"{source}: {size[0]} x {size[1]} pixels are over the limit of {MAX_PIXELS / 1e6:g} megapixels; "
            "make it smaller"
        )
    if network.reach is None and manner.brush is None:
        raise PictureError(f"{source}: this model cannot paint in tiles, as so large a picture needs; make it smaller")
    reader, writer = _format(source, _format_of(source)), _format(target, _format_to_write(target))
    if writer == "JPEG" and max(size) > _JPEG_SIDE:
        raise PictureError(f"{target}: a JPEG has at most {_JPEG_SIDE} pixels a side; write PNG or TIFF")
    vips = _import_vips(source, size)
    _check_disk(target.parent, 8 * size[0] * size[1])
    try:
        with temporary_folder(target.parent) as folder:
            try:
                photo, icc = _decode(vips, source, reader, Path(folder))
            except vips.Error as error:
                raise PictureError(
                    f"{source}: cannot be read: damaged, or no picture of its size ({one_line(error)})"
                ) from None
            header = _tiff_header(photo.size, photo.bands)
            painting = _RawPixels(Path(folder, "painting"), photo.size, photo.bands, header)

            def lay(rgb: Image.Image, place: tuple[int, int]) -> None:
                if photo.bands == 4:
                    (left, top), (width, height) = place, rgb.size
                    rgb.putalpha(photo.read((left, top, left + width, top + height)).getchannel("A"))
                painting.paste(rgb, place)

            with telling_what_did_not_fit(1, photo.size, network.device):
                study = None if manner.is_plain else Study.of(photo, manner)
                paint_parts(network, photo, lay, tiling, study, options)
            finished = Path(folder, f"written{target.suffix}")
            saved = {"Q": quality or 95, "subsample_mode": "off" if subsampling in (None, "4:4:4") else "on"}
            _encode(vips, painting, icc, finished, writer, saved if writer == "JPEG" else {}, metadata)
            images.check_writable(target, overwrite=overwrite)
            replace_durably(finished, target)
    except (vips.Error, OSError) as error:
        raise PictureError(f"{target}: cannot be written ({one_line(error)})") from None
    return photo.size


class _RawPixels:
    """A file of raw 8-bit pixels, RGB or RGBA, row by row.

    Args:
        path: the file.
        size: width and height.
        bands: 3, or 4 with transparency.
        header: bytes before the pixels.
    """

    def __init__(self, path: Path, size: tuple[int, int], bands: int, header: bytes = b"") -> None:
        self.path = path
        self.size = size
        self.bands = bands
        self._header = header

    def crop(self, box: tuple[int, int, int, int]) -> Image.Image:
        """The pixels in the box (left, top, right, bottom), composited onto white."""
        return images.decode(self.read(box)).rgb

    def read(self, box: tuple[int, int, int, int]) -> Image.Image:
        """The pixels in the box, unchanged: RGB or RGBA."""
        left, top, right, bottom = box
        width = self.size[0]
        # Mapped anew each time: accessed pages count as memory of the process until they are unmapped.
        shape = (bottom - top, width, self.bands)
        rows = np.memmap(self.path, np.uint8, "r", offset=self._offset(0, top), shape=shape)
        return Image.fromarray(np.array(rows[:, left:right]))

    def paste(self, part: Image.Image, place: tuple[int, int]) -> None:
        """Write a part, which must have the file's mode, at (left, top)."""
        left, top = place
        # Written, not mapped: on a full disk that is an error, where a mapping would kill the process.
        new = not self.path.exists()
        with self.path.open("wb" if new else "r+b", buffering=0) as file:
            if new:
                file.write(self._header)
            for row, pixels in enumerate(np.asarray(part), start=top):
                file.seek(self._offset(left, row))
                file.write(pixels.tobytes())

    def _offset(self, column: int, row: int) -> int:
        return len(self._header) + (row * self.size[0] + column) * self.bands


def _tiff_header(size: tuple[int, int], bands: int) -> bytes:
    """The header that turns the raw pixels following it into an uncompressed TIFF (revision 6.0, section 4).

    libvips reads a TIFF in strips, whereas it would map a raw file into memory as a whole.
    """
    short, long = 3, 4
    width, height = size
    entries = [
        (256, long, 1, width),
        (257, long, 1, height),
        (258, short, bands, 0),  # bits per sample; stored after the entries
        (259, short, 1, 1),  # no compression
        (262, short, 1, 2),  # RGB
        (273, long, 1, 0),  # offset of the pixels
        (277, short, 1, bands),
        (278, long, 1, height),  # all rows are one strip
        (279, long, 1, width * height * bands),
    ]
    if bands == 4:
        entries.append((338, short, 1, 2))  # the fourth sample is unassociated (not premultiplied) alpha
    behind = 8 + 2 + 12 * len(entries) + 4
    places = {258: behind, 273: behind + 2 * bands}
    packed = [struct.pack("<HHII", tag, kind, count, places.get(tag, value)) for tag, kind, count, value in entries]
    return b"".join(
        [struct.pack("<2sHIH", b"II", 42, 8, len(entries)), *packed, bytes(4), struct.pack("<H", 8) * bands]
    )


def _import_vips(source: Path, size: tuple[int, int]) -> Any:
    try:
        return import_module("pyvips")
    except (ImportError, OSError):  # the module, or the shared library that it loads
        raise PictureError(
            f"{source}: {size[0]} x {size[1]} pixels are over the limit of {images.MAX_PIXELS / 1e6:g} megapixels; "
            'make it smaller, or install what reads it by strips: pip install "artgan[large]"'
        ) from None


def _format_of(path: Path) -> str:
    with path.open("rb") as file, images.open_image(file) as image:
        return image.format or ""


def _format_to_write(path: Path) -> str:
    return Image.registered_extensions()[path.suffix.lower()]


def _format(path: Path, name: str) -> str:
    if name not in _FORMATS:
        known = ", ".join(_FORMATS)
        raise PictureError(f"{path}: {name} pictures of this size are neither read nor written; known: {known}")
    return name


def _check_disk(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise PictureError(
            f"{folder}: {needed / 1e9:.1f} GB of disk space are needed while painting, {free / 1e9:.1f} GB are free"
        )


def _decode(vips: Any, path: Path, format_: str, folder: Path) -> tuple[_RawPixels, bytes | None]:
    """Decode to a file of upright 8-bit RGB pixels; returns it with its RGB profile (None means sRGB)."""
    load = getattr(vips.Image, _FORMATS[format_][0])
    image = load(str(path), access="sequential", fail_on="error")
    if image.interpretation not in _COLORS or image.format not in ("uchar", "ushort"):
        raise PictureError(f"{path}: a picture of {image.interpretation} in {image.format} of this size is not read")
    icc = image.get("icc-profile-data") if image.get_typeof("icc-profile-data") else None
    orientation = image.get("orientation") if image.get_typeof("orientation") else 1
    if icc is not None and image.interpretation in ("b-w", "grey16", "cmyk"):  # not an RGB profile
        image, icc = image.icc_transform("srgb", embedded=True), None
    image = image.colourspace("srgb")
    pixels = _RawPixels(folder / "photo", (image.width, image.height), image.bands)
    image.rawsave(str(pixels.path))
    return (_turn(pixels, orientation) if orientation in images.UPRIGHT else pixels), icc


def _turn(pixels: _RawPixels, orientation: int) -> _RawPixels:
    """Turn the pixels upright into a new file; the old file is removed."""
    width, height = pixels.size
    turned = _RawPixels(
        pixels.path.with_name("upright"), (height, width) if orientation > 4 else (width, height), pixels.bands
    )
    for top in range(0, height, _STRIP):
        bottom = min(top + _STRIP, height)
        strip = pixels.read((0, top, width, bottom)).transpose(images.UPRIGHT[orientation])
        along = height - bottom if orientation in (3, 4, 6, 7) else top  # position of the strip
        turned.paste(strip, (along, 0) if orientation > 4 else (0, along))
    pixels.path.unlink()
    return turned


def _encode(
    vips: Any,
    painting: _RawPixels,
    icc: bytes | None,
    path: Path,
    format_: str,
    saved: dict[str, Any],
    metadata: images.Metadata | None,
) -> None:
    """Write the painting with the photo's profile and metadata."""
    image = vips.Image.tiffload(str(painting.path), access="sequential")
    if painting.bands == 4 and format_ not in _TRANSPARENT:
        image = image.flatten(background=255)
    image = image.copy()  # metadata of a shared image must not be modified
    known = {"icc-profile-data": icc}
    if metadata is not None:
        known |= {"exif-data": metadata.exif, "xmp-data": metadata.xmp}
        if metadata.dpi is not None:
            image = image.copy(xres=metadata.dpi[0] / 25.4, yres=metadata.dpi[1] / 25.4)  # dots per millimeter
    for name, data in known.items():
        if data is not None:
            image.set_type(vips.GValue.blob_type, name, data)
    _, save, options = _FORMATS[format_]
    getattr(image, save)(str(path), keep="icc|exif|xmp", **options, **saved)
