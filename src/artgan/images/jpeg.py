"""The quality that a JPEG file was written with, estimated from its quantization tables."""

from __future__ import annotations

import numpy as np
from PIL import Image, JpegImagePlugin

# The table for lightness of ITU-T T.81, annex K, row by row; encoders scale it by the quality.
_STANDARD = np.array(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ]
).ravel()
_QUALITIES = np.arange(1, 101)
_SCALES = np.where(_QUALITIES < 50, 5000 // _QUALITIES, 200 - 2 * _QUALITIES)
_TABLES = ((_STANDARD * _SCALES[:, None] + 50) // 100).clip(1, 255)  # as the Independent JPEG Group's library scales
_SUBSAMPLING = {0: "4:4:4", 1: "4:2:2", 2: "4:2:0"}


def jpeg_quality(image: Image.Image) -> tuple[int | None, str | None]:
    """About the quality that a JPEG file was written with, 1 to 100, and its subsampling; None for other images."""
    table = getattr(image, "quantization", {}).get(0)
    if table is None or len(table) != 64:
        return None, None
    quality = int(_QUALITIES[np.abs(_TABLES - np.array(table)).sum(axis=1).argmin()])
    return quality, _SUBSAMPLING.get(JpegImagePlugin.get_sampling(image))
