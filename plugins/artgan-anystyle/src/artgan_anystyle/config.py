"""The options of the network, of its training and of painting. Free of torch."""

from __future__ import annotations

from dataclasses import dataclass

from artgan.plugin import option


@dataclass(frozen=True)
class AnyStyleConfig:
    """The options for building and training the network."""

    width: int = option(64, "channels at a quarter of the size, a multiple of 4", least=8, most=512)
    blocks: int = option(6, "residual blocks at a quarter of the size", least=1, most=32)
    encoder_width: int = option(32, "channels of the style encoder's first layer", least=4, most=256)
    code: int = option(128, "numbers that describe a style", least=16, most=1024)
    lr: float = option(5e-4, "Adam's learning rate", above=0, resumable=True)
    beta1: float = option(0.9, "Adam's beta1", least=0, most=0.9999, resumable=True)
    beta2: float = option(0.99, "Adam's beta2", least=0, most=0.999999, resumable=True)
    lambda_content: float = option(
        1.0, "weight of the content loss: how far normalized features of conv4_1 move", least=0, resumable=True
    )
    lambda_gram: float = option(
        8.0, "weight of the relative distance of Gram matrices (Gatys et al., 2016)", least=0, resumable=True
    )
    lambda_moments: float = option(
        0.0,
        "weight of the relative distance of means and deviations (Huang and Belongie, 2017)",
        least=0,
        resumable=True,
    )
    lambda_sliced: float = option(
        0.0,
        "weight of the sliced Wasserstein distance of features (Heitz et al., 2021)",
        least=0,
        resumable=True,
    )
    scales: int = option(
        2, "sizes at which the styles are compared, each half the one before", least=1, most=3, resumable=True
    )
    made_up: float = option(
        0.2, "share of the styles that are random textures instead of pictures", least=0, most=1, resumable=True
    )
    recolored: float = option(
        0.5, "share of the styles whose colors are changed at random", least=0, most=1, resumable=True
    )
    magnified: float = option(
        0.5, "share of the styles that are magnified, up to 3 times", least=0, most=1, resumable=True
    )
    vgg19: str | None = option(
        None,
        "file of VGG-19's weights, for the losses [default: from the user's settings, or downloaded]",
        resumable=True,
    )

    def __post_init__(self) -> None:
        if self.width % 4:
            raise ValueError("width must be a multiple of 4")


@dataclass(frozen=True)
class AnyStyleOptions:
    """How a photo is painted."""

    style: tuple[str, ...] = option(
        (), "a style picture, or a folder of one artist's pictures; PATH:0.3 gives one of several a weight"
    )
    style_scale: float = option(1.0, "size of the style relative to the painting's", above=0, most=4)
    mask: str | None = option(None, "a picture of the photo's size, whose colors name regions")
    style_mask: tuple[str, ...] = option(
        (), "one for each style picture: marks each region's style in it, in the same colors"
    )
    seed: int = option(0, "seed of the noise that varies plain areas", least=0, most=2**63 - 1)

    def __post_init__(self) -> None:
        if bool(self.style_mask) != (self.mask is not None):
            raise ValueError("mask and style_mask go together: regions of the photo, and of each style picture")
