"""What checks models and, in time, the plugins of others."""

from __future__ import annotations

import torch
from PIL import Image
from torch.nn import functional

from artgan.loading import Model


def check_output(model: Model, seed: int) -> list[list[int]]:
    """What a registry entry's ``check`` holds: a model's painting of a made-up picture, small enough to write down.

    The picture is 64 x 64: 8 x 8 colours, uniform by ``seed``, enlarged smoothly. The painting is averaged to 4 x 4.

    Returns:
        16 colours as [red, green, blue] in 0..255, row by row.
    """
    colours = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(seed))
    picture = functional.interpolate(colours, size=(64, 64), mode="bilinear")[0] * 2 - 1
    small = model.paint(picture).resize((4, 4), Image.Resampling.BOX)
    return [list(pixel) for pixel in zip(*(small.getchannel(band).tobytes() for band in "RGB"), strict=True)]
