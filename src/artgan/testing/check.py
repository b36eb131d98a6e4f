"""The example picture that a registry entry's ``check`` describes."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from PIL import Image
from torch.nn import functional

from artgan import images
from artgan.models.entry import STYLE
from artgan.models.model import Model
from artgan.models.torch_model import TorchModel


def check_output(model: Model, seed: int, **options: Any) -> list[list[int]]:
    """The output in a registry entry's ``check``: a picture by a model, small enough to write down.

    A painting model gets a synthetic picture: 8 x 8 uniform random colors, drawn with ``seed`` and smoothly enlarged to
    64 x 64; and, if it needs a style and ``options`` give none, another such picture as its style. A model that takes
    noise gets one noise vector drawn with ``seed``. The result is averaged to 4 x 4.

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
        picture = _colors(source)
        with TemporaryDirectory(prefix="artgan-") as folder:
            if model.needs_style and STYLE not in options:
                style = Path(folder, "style.png")
                images.encode(images.to_rgb(_colors(source)), style)
                options[STYLE] = (str(style),)
            made = model.paint(picture, **options)
    small = made.resize((4, 4), Image.Resampling.BOX)
    return [list(pixel) for pixel in zip(*(small.getchannel(band).tobytes() for band in "RGB"), strict=True)]


def _colors(source: torch.Generator) -> torch.Tensor:
    """Random colors that change smoothly, 3 x 64 x 64 in [-1, 1]."""
    colors = torch.rand(1, 3, 8, 8, generator=source)
    return functional.interpolate(colors, size=(64, 64), mode="bilinear")[0] * 2 - 1
