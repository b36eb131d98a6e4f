"""8-bit pictures as the numbers that networks take, and back."""

from __future__ import annotations

import numpy as np
from PIL import Image

from artgan.errors import PictureError
from artgan.painting.canvas import Floats


def to_floats(rgb: Image.Image) -> Floats:
    """An RGB image as 3 x H x W, float32 in [-1, 1]; :func:`to_image` gives the same image back.

    Raises:
        PictureError: the image has another mode (decode it first).
    """
    if rgb.mode != "RGB":
        raise PictureError(f"picture: expected mode RGB, got {rgb.mode}; decode it first")
    values = np.array(np.asarray(rgb).transpose(2, 0, 1), np.float32, order="C")
    values /= np.float32(127.5)
    values -= np.float32(1)
    return values


def to_levels(values: Floats) -> Floats:
    """3 x H x W in [-1, 1] as the values 0 to 255 that :func:`to_image` rounds: H x W x 3, float32.

    Raises:
        PictureError: there are values that are not finite.
    """
    return np.ascontiguousarray(_levels(values).transpose(1, 2, 0))


def to_image(values: Floats) -> Image.Image:
    """3 x H x W as an RGB image: [-1, 1] to 0..255, rounded; values outside are clamped.

    Raises:
        PictureError: there are values that are not finite.
    """
    levels = _levels(values)
    np.rint(levels, out=levels)
    planes = np.clip(levels, 0, 255, out=levels).astype(np.uint8)
    return Image.merge("RGB", [Image.fromarray(plane) for plane in planes])  # faster than moving the axis


def _levels(values: Floats) -> Floats:
    """New values from 0 to 255 for those from -1 to 1."""
    if not (np.isfinite(values.min()) and np.isfinite(values.max())):  # with a NaN, both are NaN
        raise PictureError("the model made values that are not finite")
    levels = values.astype(np.float32)
    levels += np.float32(1)
    levels *= np.float32(127.5)
    return levels
