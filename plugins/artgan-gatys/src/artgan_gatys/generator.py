"""A generator that optimizes a painting until its content features match the photo's and its style the style's."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from artgan.plugin import ConfigError
from artgan.toolkit import Generator, Interrupted, check_writable, find_styles, read_mask
from artgan_gatys.config import GatysConfig, GatysOptions, Recipe
from artgan_gatys.networks import FeatureNetwork, build_network
from artgan_gatys.styles import masks
from artgan_gatys.synthesis import Synthesis


class GatysGenerator(Generator):
    """Gatys, Ecker and Bethge, 2016 (CVPR, "Image style transfer using convolutional neural networks").

    It has no weights of its own: those of its feature network are downloaded by timm, or read from a file, when it
    paints.
    """

    minimum_size = 32  # the recipes' deepest layer has a position every 16 pixels, and a Gram matrix needs two of them

    one_at_a_time = True

    def __init__(self, config: GatysConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("place", torch.empty(0), persistent=False)  # holds the device
        self._networks: dict[tuple[Any, ...], FeatureNetwork] = {}
        self._previews: set[str] = set()  # files that it wrote itself may be overwritten

    def forward(self, x: Tensor) -> Tensor:
        """Not available, since painting needs options.

        Raises:
            TypeError: always; use :meth:`generate`.
        """
        raise TypeError("style transfer needs a style: use generate(), or paint() of the loaded model")

    @torch.inference_mode(False)  # it needs gradients, whatever the caller does
    def generate(self, x: Tensor, **options: Any) -> Tensor:
        """N x 3 x H x W photos in [-1, 1] to their paintings, one after the other, in float32.

        Args:
            x: photos.
            options: fields of :class:`artgan_gatys.config.GatysOptions`.

        Raises:
            ConfigError: the options are inconsistent, or the network does not have a layer.
            PictureError: a style or a mask cannot be read; a photo is too small for the layers, too large for the
                memory, or differs in size from its mask.
            WeightsError: the network's weights cannot be downloaded or read.
            Interrupted: by Ctrl-C; it holds the paintings so far.
        """
        given = GatysOptions(**options)
        try:
            recipe = given.resolved()
        except ValueError as error:
            raise ConfigError(str(error)) from None
        styles = find_styles(given.style, given.style_mask) if recipe.style_weight else []
        self._check_preview(given)
        size = (x.shape[3], x.shape[2])
        regions = masks(read_mask(given.mask, size, "the photo")) if given.mask is not None and styles else {}
        network = self._network(recipe, self._file(given)).to(x.device)
        paintings: list[Tensor] = []
        for photo in torch.split(x.float(), 1):
            synthesis = Synthesis(network, self.config.network, photo, given, recipe, styles, regions)
            try:
                paintings.append(synthesis.run())
            except Interrupted as stop:
                raise Interrupted(torch.cat([*paintings, stop.made]).to(x.dtype)) from None
        return torch.cat(paintings).to(x.dtype)

    def _check_preview(self, options: GatysOptions) -> None:
        """Make sure that a preview replaces no other file, which might be a photo."""
        if options.preview is not None:
            known = options.resume or options.preview in self._previews
            check_writable(options.preview, overwrite=known)
            self._previews.add(options.preview)

    def _file(self, options: GatysOptions) -> str | None:
        """The file of weights that is given for this network."""
        own, other = (
            ("vgg19", "network_file") if self.config.network.split(".")[0] == "vgg19" else ("network_file", "vgg19")
        )
        if getattr(options, other) is not None:
            flags = [name.replace("_", "-") for name in (other, own)]
            raise ConfigError(f"--{flags[0]}: this model's network is {self.config.network}; give --{flags[1]} FILE")
        return options.vgg19 if own == "vgg19" else options.network_file

    def _network(self, recipe: Recipe, weights: str | None) -> FeatureNetwork:
        """The feature network for a recipe; the last one is cached."""
        key = (recipe.layers, recipe.pooling, weights)
        if key not in self._networks:
            self._networks.clear()
            self._networks[key] = build_network(
                self.config.network, recipe.layers, pooling=recipe.pooling, weights=weights
            )
        return self._networks[key]


def build_generator(config: GatysConfig) -> GatysGenerator:
    """A generator; nothing is loaded yet."""
    return GatysGenerator(config)
