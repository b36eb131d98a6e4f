"""Style pictures and masks as tensors, and their sizes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from artgan.toolkit import Style, to_tensor


def picture_of(style: Style) -> Tensor:
    """A style picture, 1 x 3 x H x W in [-1, 1].

    Raises:
        PictureError: it cannot be read.
    """
    return to_tensor(style.read()).unsqueeze(0)


def masks(regions: Mapping[int, NDArray[np.bool_]]) -> dict[int, Tensor]:
    """The regions of a mask by color, 1 x 1 x H x W each: 1 inside, 0 outside."""
    return {color: torch.from_numpy(inside).float()[None, None] for color, inside in regions.items()}


def resize(picture: Tensor, height: int, width: int) -> Tensor:
    """1 x C x H x W in [-1, 1] to another size, by an antialiased bicubic filter."""
    if picture.shape[-2:] == (height, width):
        return picture
    return F.interpolate(picture, (height, width), mode="bicubic", antialias=True, align_corners=False).clamp(-1, 1)


def fit(height: int, width: int, longer: float) -> tuple[int, int]:
    """Height and width with the same aspect ratio and the given longer side."""
    factor = longer / max(height, width)
    return max(1, round(height * factor)), max(1, round(width * factor))
