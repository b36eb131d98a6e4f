"""The options of style transfer, and the published recipes that they can start from. Free of torch."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from artgan.plugin import option

STARTS = ("content", "noise")
_FIVE = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")


@dataclass(frozen=True)
class GatysConfig:
    """The network whose features the losses compare."""

    network: str = option("vgg19.tv_in1k", "a convolutional network of timm, by name")


@dataclass(frozen=True)
class Recipe:
    """The settings of a published implementation; :class:`GatysOptions` can override each.

    Attributes:
        formula: how losses are normalized; see :mod:`artgan_gatys.losses`.
        content_layers: layers whose features should match the photo's.
        style_layers: layers whose Gram matrices should match the style's.
        layer_weights: of the style layers: "mean", 1 / their number each; "sum", 1 each; "channels", 1000 / N^2 for N
            channels.
        content_weight: of the content loss.
        style_weight: of the style loss; with the formula "relative", of its ratio to the photo's own.
        tv_weight: of the squared differences between neighboring pixels.
        tv1_weight: of the absolute ones.
        pooling: max or avg.
        start: content, noise, or a picture's path.
        noise: standard deviation of the noise around the network's mean color, with pixels in [-1, 1].
        size: longer side of the working size, in pixels.
        iterations: at each scale.
        scales: number of scales of the pyramid, None for as many as the size allows.
    """

    formula: str
    content_layers: tuple[str, ...] = ("relu4_2",)
    style_layers: tuple[str, ...] = _FIVE
    layer_weights: str = "mean"
    content_weight: float = 1.0
    style_weight: float = 1.0
    tv_weight: float = 0.0
    tv1_weight: float = 0.0
    pooling: str = "max"
    start: str = "content"
    noise: float = 0.3
    size: int = 512
    iterations: int = 500
    scales: int | None = 1

    @property
    def layers(self) -> tuple[str, ...]:
        """All layers whose features are compared."""
        content = self.content_layers if self.content_weight else ()
        style = self.style_layers if self.style_weight else ()
        return tuple(dict.fromkeys((*content, *style)))


RECIPES = {
    "artgan": Recipe("relative", style_weight=15.0, iterations=100, scales=None),
    # The paper: alpha / beta of 1e-3, average pooling, from noise.
    "gatys2016": Recipe("gatys2016", style_weight=1e3, pooling="avg", start="noise"),
    # Its first author's PyTorch code: means instead of sums, each layer's weight divided by its channels squared.
    "gatys-code": Recipe("mean", layer_weights="channels"),
    # Johnson's neural-style: the Gram matrix divided by all its features.
    "neural-style": Recipe(
        "neural-style",
        layer_weights="sum",
        content_weight=5.0,
        style_weight=100.0,
        tv_weight=1e-3,
        start="noise",
        noise=0.001 / 127.5,
        iterations=1000,
    ),
    # A student project on VGG-16 (the model gatys.vgg16).
    "student": Recipe("gatys2016", style_layers=_FIVE[:4], style_weight=1e4, start="noise"),
}


@dataclass(frozen=True)
class GatysOptions:
    """How a photo is painted. If an option is None, the recipe's value is used."""

    style: tuple[str, ...] = option(
        (), "a style picture, or a folder of one artist's pictures; PATH:0.3 gives one of several a weight"
    )
    recipe: str = option(
        "artgan",
        "losses, layers and start as published: gatys2016, gatys-code, neural-style, student; or artgan's own",
        choices=tuple(RECIPES),
    )
    size: int | None = option(
        None, "longer side of the working size, in pixels; the painting has the photo's size [default: 512]", least=16
    )
    iterations: int | None = option(None, "iterations at each scale [default: the recipe's]", least=1)
    scales: int | None = option(
        None,
        "number of working sizes, each twice the previous one [default: the recipe's; artgan: from 128 px up]",
        least=1,
    )
    final_iterations: int = option(
        10, "iterations at the photo's full size after enlarging, if that fits in memory; 0 only enlarges", least=0
    )
    start: str | None = option(None, "content, noise or a picture's path [default: the recipe's]")
    optimizer: str = option("lbfgs", "lbfgs or adam", choices=("lbfgs", "adam"))
    lr: float = option(0.02, "Adam's learning rate", above=0)
    content_weight: float | None = option(
        None, "weight of the content loss; 0 makes a texture from the style alone", least=0
    )
    style_weight: float | None = option(None, "weight of the style loss [default: the recipe's]", least=0)
    tv_weight: float | None = option(
        None, "weight of squared differences between neighbors [default: the recipe's]", least=0
    )
    tv1_weight: float | None = option(
        None, "weight of absolute differences between neighbors [default: the recipe's]", least=0
    )
    content_layers: tuple[str, ...] = option((), "such as relu4_2; conv4_2 is before the ReLU [default: the recipe's]")
    style_layers: tuple[str, ...] = option((), "the same for the style [default: the recipe's]")
    pooling: str | None = option(None, "max or avg [default: the recipe's]", choices=("max", "avg"))
    style_scale: float = option(1.0, "size of the style relative to the painting's", above=0, most=4)
    color: str = option(
        "style",
        "whose colors: the style's; photo: the photo's are restored; match: the style gets the photo's colors first",
        choices=("style", "photo", "match"),
    )
    mask: str | None = option(None, "a picture of the photo's size, whose colors name regions")
    style_mask: tuple[str, ...] = option(
        (), "one for each style picture: marks each region's style in it, in the same colors"
    )
    vgg19: str | None = option(None, "file of VGG-19's weights [default: from the user's settings, or downloaded]")
    network_file: str | None = option(None, "file of the weights of a network other than VGG-19 [default: downloaded]")
    seed: int = option(0, "seed of the noise to start from", least=0, most=2**63 - 1)
    preview: str | None = option(None, "a new picture file, updated repeatedly during the work")
    preview_every: int = option(10, "iterations between previews", least=1)
    resume: bool = option(False, "resume the same work where it was interrupted")

    def __post_init__(self) -> None:
        if bool(self.style_mask) != (self.mask is not None):
            raise ValueError("mask and style_mask go together: regions of the photo, and of each style picture")

    def resolved(self) -> Recipe:
        """The recipe with the options that override it.

        Raises:
            ValueError: all loss weights are 0.
        """
        recipe = RECIPES[self.recipe]
        own: dict[str, Any] = {
            field.name: value
            for field in dataclasses.fields(Recipe)
            if (value := getattr(self, field.name, None)) is not None
        }
        own["content_layers"] = _names(self.content_layers) or recipe.content_layers
        own["style_layers"] = _names(self.style_layers) or recipe.style_layers
        recipe = dataclasses.replace(recipe, **own)
        if recipe.content_weight == recipe.style_weight == 0:
            raise ValueError("content_weight and style_weight are both 0: there is nothing to optimize")
        return recipe


def _names(texts: tuple[str, ...]) -> tuple[str, ...]:
    """The names in some strings, each of which may hold several, separated by commas."""
    return tuple(dict.fromkeys(name.strip() for text in texts for name in text.split(",") if name.strip()))
