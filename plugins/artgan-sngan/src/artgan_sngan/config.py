"""The options of SN-GAN; the defaults are the paper's."""

from __future__ import annotations

from dataclasses import dataclass

from artgan.plugin import MultiscaleOptions, option

SIZES = {
    "cnn": (32, 48, 64, 96, 128, 256),
    "resnet": (32, 48, 64, 96, 128, 256),
    "joy-of-painting": (32, 64, 128, 256),
}
"""The picture sizes that each architecture supports, in pixels."""


@dataclass(frozen=True)
class SNGANConfig(MultiscaleOptions):
    """The options for the networks of Miyato et al., 2018 (arXiv:1802.05957), and those of the Bob Ross project."""

    size: int = option(64, "side of the pictures, in pixels: 32, 48, 64, 96, 128 or 256", least=32, most=256)
    architecture: str = option(
        "cnn",
        "cnn or resnet (the paper's tables 3 and 4 to 6), or joy-of-painting (the Bob Ross project's)",
        choices=tuple(SIZES),
    )
    width: int | None = option(
        None,
        "channels of the generator's first feature map [default: the paper's for the size; joy-of-painting: 256]",
        least=8,
        most=2048,
    )
    discriminator_width: int | None = option(
        None,
        "channels of the discriminator's first block [default: the paper's for the size; joy-of-painting: 16]",
        least=4,
        most=512,
    )
    upsample: str | None = option(
        None,
        "how a cnn or joy-of-painting generator doubles: transposed convolutions; resize, then convolve (bilinear: the "
        "same with bilinear interpolation; nearest: with zeros at the edges) "
        "[default: the architecture's: cnn transposed, joy-of-painting nearest]",
        choices=("transposed", "resize", "bilinear", "nearest"),
    )
    dense: int = option(
        1024,
        "units of a joy-of-painting discriminator's dense layer before its logit; 0 for none",
        least=0,
        most=8192,
    )
    noise_size: int = option(128, "length of a picture's noise vector", least=1, most=4096)
    loss: str = option(
        "hinge",
        "adversarial loss: hinge or nonsaturating (cross-entropy), the paper's two, or lsgan (least squares)",
        choices=("hinge", "nonsaturating", "lsgan"),
    )
    beta1: float = option(0.0, "Adam's beta1", least=0, most=0.9999)
    beta2: float = option(0.9, "Adam's beta2", least=0, most=0.999999)
    discriminator_steps: int = option(5, "discriminator updates per generator update", least=1, most=100)
    spectral_norm: bool = option(True, "spectral normalization of the discriminator's layers")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.size not in SIZES[self.architecture]:
            sizes = ", ".join(map(str, SIZES[self.architecture]))
            raise ValueError(f"size must be one of {sizes} for {self.architecture}, not {self.size}")
        if self.upsample is not None and self.architecture == "resnet":
            raise ValueError("upsample: a resnet's blocks double by nearest neighbors; omit it")
