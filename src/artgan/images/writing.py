"""Writing pictures: transparency and profile put back, one atomic write per file."""

from __future__ import annotations

import os
from pathlib import Path

from PIL import Image

from artgan import files
from artgan.errors import PictureError
from artgan.images.color import over_white
from artgan.images.formats import Format, format_for_writing
from artgan.images.picture import Picture, describe, reason
from artgan.images.reading import decode


def assemble(picture: Picture, painted: Image.Image) -> Image.Image:
    """The painting of a picture, with the picture's transparency (mode RGBA) and ICC profile put back.

    Args:
        picture: what was painted.
        painted: mode RGB, same size; not modified, and returned as it is if there is nothing to put back.

    Raises:
        PictureError: the sizes differ.
    """
    if painted.size != picture.size:
        raise PictureError(f"picture: {describe(picture.size)} became {describe(painted.size)}")
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
    format_for_writing(Path(path))
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
    format_ = format_for_writing(path)
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
            f"{path}: cannot be written as {format_.name}, {describe(image.size)} ({reason(error)})"
        ) from error


def _fit(image: Image.Image, format_: Format) -> Image.Image:
    """The image as RGB, or as RGBA if both the image and the format have transparency."""
    if image.mode not in ("RGB", "RGBA"):
        picture = decode(image)
        image = assemble(picture, picture.rgb)
    if image.mode == "RGBA" and not format_.alpha:
        image = over_white(image.convert("RGB"), image.getchannel("A"))
    return image
