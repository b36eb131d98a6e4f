"""The example picture that a registry entry's ``check`` describes."""

from __future__ import annotations

from typing import Any

import torch
from PIL import Image
from torch.nn import functional

from artgan import images
from artgan.models.model import Model
from artgan.models.torch_model import TorchModel


def check_output(model: Model, seed: int, **options: Any) -> list[list[int]]:
    """The output in a registry entry's ``check``: a picture by a model, small enough to write down.

    A painting model gets a synthetic picture: 8 x 8 uniform random colors, drawn with ``seed`` and smoothly enlarged to
    64 x 64. A model that takes noise gets one noise vector drawn with ``seed``. The result is averaged to 4 x 4.

    Args:
        model: any model.
        seed: of the input.
        options: painting options of the model.

    Returns:
        16 colors as [red, green, blue] in 0..255, row by row.
    """
    source = torch.Generator().manual_seed(seed)
    if isinstance(model, TorchModel) and model.task == "noise-to-image":
        made = images.to_rgb(model.generator.generate(model.generator.noise(1, generator=source))[0])
    else:
        colours = torch.rand(1, 3, 8, 8, generator=source)
        picture = functional.interpolate(colours, size=(64, 64), mode="bilinear")[0] * 2 - 1
        made = model.paint(picture, **options)
    small = made.resize((4, 4), Image.Resampling.BOX)
    return [list(pixel) for pixel in zip(*(small.getchannel(band).tobytes() for band in "RGB"), strict=True)]
