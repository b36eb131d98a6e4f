"""Generated pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

BROKEN = b"\x89PNG\r\n\x1a\n"
"""A file that begins as a picture does, and is none."""


def write_pictures(folder: Path, count: int, *, size: tuple[int, int] = (64, 48), suffix: str = ".png") -> Path:
    """Write pictures of smooth random colors, each another; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        pixels = np.random.default_rng(number).integers(0, 256, (6, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC).save(folder / f"{number:04d}{suffix}")
    return folder
