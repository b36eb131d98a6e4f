"""The generator: finds the codes of the styles that a user gives, and paints with them."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from artgan.plugin import ConfigError, PictureError
from artgan.toolkit import Generator, Networks, Style, find_styles, read_mask, to_tensor
from artgan_anystyle.config import AnyStyleConfig, AnyStyleOptions
from artgan_anystyle.networks import PERIOD, Painter, StyleEncoder, large_enough

Styles: TypeAlias = "Sequence[tuple[Tensor, Tensor | None]]"
"""Codes, and where each applies; see :class:`artgan_anystyle.networks.Modulation`."""

_SIDE = 256  # pixels that a style's shorter side has where it is looked at, as in training
_LONGEST = 1024  # pixels that its longer side has at most
_KEPT = 64  # codes and masks that are kept


class AnyStyleGenerator(Generator):
    """Photo and style to painting, in one pass.

    Attributes:
        style: the code of the style that it paints in if no other is given: that of a saved style, or the mean of the
            training.
    """

    thread_safe = True
    placed = True
    stride = 4
    minimum_size = 8
    style: Tensor

    def __init__(self, config: AnyStyleConfig) -> None:
        super().__init__()
        self.encoder = StyleEncoder(config.encoder_width, config.code)
        self.painter = Painter(config.width, config.blocks, config.code)
        self.register_buffer("style", torch.zeros(config.code))
        self.reach = self.painter.reach
        self.memory_per_pixel = 6 * config.width
        self._known: OrderedDict[tuple[Any, ...], Tensor] = OrderedDict()

    def forward(self, x: Tensor) -> Tensor:
        """N x 3 x H x W photos in [-1, 1] to their paintings in its own style; H and W multiples of 4, at least 8."""
        return self.paint(x, [(self.style[None], None)])

    def paint(
        self, x: Tensor, styles: Styles, *, seed: int | None = 0, places: Sequence[tuple[int, int]] | None = None
    ) -> Tensor:
        """N x 3 x H x W photos in [-1, 1] to their paintings.

        Args:
            x: photos.
            styles: codes, and where each applies.
            seed: of the noise; None draws it anew, from torch's global state.
            places: left and top of each row in its picture, in pixels: multiples of 4.
        """
        made: Tensor = self.painter(x, styles, self._noise(x, seed, places))
        return made

    @torch.inference_mode()
    def generate(self, x: Tensor, places: Sequence[tuple[int, int]] | None = None, **options: Any) -> Tensor:
        """N x 3 x H x W photos, or parts of them, in [-1, 1] to their paintings.

        Args:
            x: photos.
            places: as for :meth:`paint`.
            options: fields of :class:`artgan_anystyle.config.AnyStyleOptions`.

        Raises:
            ConfigError: the options are inconsistent.
            PictureError: a style or a mask cannot be read, or a mask has another size than its picture.
            TypeError: an option that there is not.
        """
        given = AnyStyleOptions(**options)
        return self.paint(x, self._styles(x, given, places), seed=given.seed, places=places)

    def encode(self, styles: Sequence[Style], scale: float = 1.0) -> Tensor:
        """The code of a blend of styles, 1 x D, on the CPU or wherever the network is.

        Args:
            styles: with their weights.
            scale: the size of the style relative to the painting's.

        Raises:
            PictureError: a picture cannot be read.
        """
        total = self.style.new_zeros(1, len(self.style))
        for style in styles:
            total += style.weight * self._code(style, scale)
        return total / sum(style.weight for style in styles)

    def _styles(self, x: Tensor, options: AnyStyleOptions, places: Sequence[tuple[int, int]] | None) -> Styles:
        if not options.style:
            if options.mask is not None:
                raise ConfigError("mask and style_mask need styles: --style PATH")
            return [(self.style[None], None)]
        styles = find_styles(options.style, options.style_mask)
        if options.mask is None:
            return [(self.encode(styles, options.style_scale), None)]
        ...
