"""Writing pictures: transparency, profile and metadata put back, one atomic write per file."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import IO, Any

from PIL import Image, PngImagePlugin

from artgan import files
from artgan.errors import ArtganError, PictureError
from artgan.images.color import over_white
from artgan.images.formats import Format, format_for_writing
from artgan.images.picture import Picture, describe, reason
from artgan.images.reading import decode

_KEPT = ("icc_profile", "exif", "xmp", "dpi")
_XMP = 700  # its tag in a TIFF file


class Painting(Image.Image):
    """A Pillow image whose ``save`` writes the profile and the metadata in its ``info``, which Pillow leaves out.

    Args:
        image: its pixels; they are shared.
        info: ``icc_profile``, ``exif``, ``xmp`` and ``dpi``.
    """

    def __init__(self, image: Image.Image, info: Mapping[str, Any]) -> None:
        super().__init__()
        self.im = image.im
        self._mode = image.mode
        self._size = image.size
        self.info.update(info)

    def save(self, fp: Any, format: str | None = None, **params: Any) -> None:
        """Save as Pillow does, with what ``info`` holds unless it is given here."""
        kept = {key: self.info[key] for key in _KEPT if key in self.info}
        super().save(fp, format, **{**kept, **params})


def assemble(picture: Picture, painted: Image.Image) -> Image.Image:
    """The painting of a picture, with the picture's transparency (mode RGBA), ICC profile and metadata put back.

    Args:
        picture: what was painted.
        painted: mode RGB, same size; not modified, and returned as it is if there is nothing to put back.

    Returns:
        The painting; its ``info`` has ``icc_profile``, ``exif``, ``xmp`` and ``dpi`` if the picture has them, and
        its ``save`` writes them.

    Raises:
        PictureError: the sizes differ.
    """
    if painted.size != picture.size:
        raise PictureError(f"picture: {describe(picture.size)} became {describe(painted.size)}")
    known = picture.metadata
    info = {"icc_profile": picture.icc, "exif": known.exif, "xmp": known.xmp, "dpi": known.dpi}
    info = {key: value for key, value in info.items() if value is not None}
    if picture.alpha is None and not info:
        return painted
    result = painted.copy()
    if picture.alpha is not None:
        result.putalpha(picture.alpha)
    return Painting(result, info)


def check_writable(path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """Check, before painting, what can be known of whether :func:`encode` will be able to write a file.

    Args:
        path: the file.
        overwrite: whether it may exist.

    Raises:
        PictureError: the suffix is unknown, or of a format whose library is not installed; the file exists and
            ``overwrite`` is False; or its folder does not exist or may not be written.
    """
    format_for_writing(path)
    files.check_writable(Path(path), overwrite=overwrite, error=PictureError)


def encode(
    image: Image.Image,
    path: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    quality: int | None = None,
    subsampling: str | None = None,
) -> None:
    """Write an image in the format given by the suffix, with what its ``info`` holds of :func:`assemble`'s.

    The write is atomic. If the format has no transparency, the image is composited onto white. Metadata that the format
    cannot hold is left out.

    Args:
        image: mode RGB or RGBA; others are converted.
        path: the file.
        overwrite: whether it may exist.
        quality: 1 to 100, for formats with lossy compression; by default 95 for JPEG and WebP, 90 for AVIF and JPEG
            XL, 65 for HEIC, whose scale is another.
        subsampling: of JPEG, "4:4:4" (the default), "4:2:2" or "4:2:0"; not used for other formats.

    Raises:
        PictureError: as of :func:`check_writable`; or the quality is out of its range, or the file cannot be written.
    """
    path = Path(path)
    if quality is not None and not 1 <= quality <= 100:
        raise PictureError(f"{path}: the quality must be from 1 to 100, not {quality}")
    format_ = format_for_writing(path)

    def save(file: IO[bytes]) -> None:
        fitted = _fit(image, format_)
        options = options_of(format_, image.info, quality, subsampling)
        if format_.name == "HEIF":
            import_module("pillow_heif").from_pillow(fitted).save(file, **options)
            return
        if format_.name == "JXL":
            import_module("pillow_jxl")
        Image.Image.save(fitted, file, format_.name, **options)  # not what a Painting adds
        finish(file, format_, image.info)

    write(save, path, format_, image.size, overwrite=overwrite)


def write(
    save: Callable[[IO[bytes]], None], path: Path, format_: Format, size: tuple[int, int], *, overwrite: bool
) -> None:
    """Call ``save`` with a new file, which becomes ``path`` when it is complete.

    Raises:
        PictureError: the file exists (and ``overwrite`` is False), or it cannot be written.
    """
    check_writable(path, overwrite=overwrite)
    try:
        with files.atomic_write(path) as part:
            with part.open("w+b") as file:
                save(file)
            check_writable(path, overwrite=overwrite)  # another program may have created it meanwhile
    except ArtganError:
        raise
    except Exception as error:  # Pillow's encoders raise almost anything
        raise PictureError(
            f"{path}: cannot be written as {format_.name}, {describe(size)} ({reason(error)})"
        ) from error


def options_of(
    format_: Format, info: dict[Any, Any], quality: int | None, subsampling: str | None = None
) -> dict[str, Any]:
    """The options for Pillow's ``save``: those of the format, quality, profile and metadata."""
    options = {**(format_.save or {}), "icc_profile": info.get("icc_profile")}
    if quality is not None and "quality" in options:
        options["quality"] = quality
    if subsampling is not None and format_.name == "JPEG":
        options["subsampling"] = subsampling
    if info.get("dpi") is not None and format_.name in ("JPEG", "PNG", "TIFF", "BMP"):
        options["dpi"] = info["dpi"]
    if info.get("exif") and format_.name in ("JPEG", "PNG", "WEBP", "AVIF", "HEIF", "JXL"):
        options["exif"] = info["exif"]
    xmp = info.get("xmp")
    if xmp and format_.name in ("JPEG", "WEBP", "AVIF", "HEIF", "JXL"):
        options["xmp"] = xmp
    elif xmp and format_.name == "PNG":
        options["pnginfo"] = PngImagePlugin.PngInfo()
        options["pnginfo"].add_itxt("XML:com.adobe.xmp", xmp.decode("utf-8", "replace"))
    return options


def finish(file: IO[bytes], format_: Format, info: dict[Any, Any]) -> None:
    """Add EXIF and XMP to a TIFF file, which Pillow cannot do where pixels are compressed.

    A new first directory is written to the end: the entries of the old one, which stay where they point, and more.
    """
    if format_.name != "TIFF" or not (info.get("exif") or info.get("xmp")):
        return
    known = Image.Exif()
    known.load(info.get("exif") or b"")
    if info.get("xmp"):
        known[_XMP] = info["xmp"]
    file.seek(0)
    known.endian = "<" if file.read(2) == b"II" else ">"
    more = file.seek(0, 2) + 1 & ~1  # directories begin on a word
    file.seek(more)
    file.write(known.tobytes(more)[14:])  # without the header
    entries, _ = _entries(file, more, known.endian)
    file.seek(4)
    old, following = _entries(file, struct.unpack(f"{known.endian}L", file.read(4))[0], known.endian)
    entries = {**entries, **old}
    start = file.seek(0, 2) + 1 & ~1
    file.seek(start)
    file.write(struct.pack(f"{known.endian}H", len(entries)))
    file.write(b"".join(entries[tag] for tag in sorted(entries)) + following)
    file.seek(4)
    file.write(struct.pack(f"{known.endian}L", start))


def _entries(file: IO[bytes], start: int, order: str) -> tuple[dict[int, bytes], bytes]:
    """The entries of a directory of a TIFF file by their tags, and where the next directory is, as in the file."""
    file.seek(start)
    [count] = struct.unpack(f"{order}H", file.read(2))
    entries = [file.read(12) for _ in range(count)]
    return {struct.unpack(f"{order}H", entry[:2])[0]: entry for entry in entries}, file.read(4)


def _fit(image: Image.Image, format_: Format) -> Image.Image:
    """The image as RGB, or as RGBA if both the image and the format have transparency."""
    if image.mode not in ("RGB", "RGBA"):
        picture = decode(image)
        image = assemble(picture, picture.rgb)
    if image.mode == "RGBA" and not format_.alpha:
        return over_white(image.convert("RGB"), image.getchannel("A"))
    return image
