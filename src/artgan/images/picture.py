"""A decoded picture, and the limit on its size."""

from __future__ import annotations

from dataclasses import dataclass, field

from PIL import Image

from artgan.errors import PictureError, one_line
from artgan.images.metadata import NOTHING, Metadata

MAX_PIXELS = 100_000_000
"""The largest picture that :func:`decode` accepts by default, in pixels."""


@dataclass(frozen=True)
class Picture:
    """A decoded picture.

    Attributes:
        rgb: upright, mode RGB, without metadata; transparent parts are composited onto white, so that invisible colors
            do not bleed into the painting.
        alpha: mode L, same size, 0 (transparent) to 255 (opaque); None if the picture is fully opaque.
        icc: the ICC profile of ``rgb``; None means sRGB.
        metadata: what the file says about the picture.
        quality: of a JPEG file, about the quality that it was written with, 1 to 100; else None.
        subsampling: of a JPEG file in color, "4:4:4", "4:2:2" or "4:2:0"; else None.
    """

    rgb: Image.Image
    alpha: Image.Image | None = field(default=None)
    icc: bytes | None = field(default=None, repr=False)
    metadata: Metadata = field(default=NOTHING, repr=False)
    quality: int | None = None
    subsampling: str | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.rgb.size


def check_size(size: tuple[int, int], name: str, max_pixels: int) -> None:
    """Raise a :class:`PictureError` if a picture has no pixels, or more than ``max_pixels``."""
    width, height = size
    if width < 1 or height < 1:
        raise PictureError(f"{name}: has no pixels ({width} x {height})")
    if width * height > max_pixels:
        raise PictureError(
            f"{name}: {describe(size)} are over the limit of {max_pixels / 1e6:g} megapixels; make it smaller"
        )


def describe(size: tuple[int, int]) -> str:
    """A size in words."""
    return f"{size[0]} x {size[1]} pixels"


def reason(error: BaseException) -> str:
    """What Pillow complains about, on one line."""
    too_large = isinstance(error, Image.DecompressionBombError)
    return "more pixels than the limit allows" if too_large else one_line(error)
