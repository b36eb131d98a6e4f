"""The options of FastGAN; the defaults are those of projected GANs, with a generator of at most 8 MB."""

from __future__ import annotations

from dataclasses import dataclass

from artgan.plugin import NoiseOptions, option


@dataclass(frozen=True)
class FastGANConfig(NoiseOptions):
    """The options for the generator of Liu et al., 2021 (arXiv:2101.04775), and for the discriminators of theirs and of
    Sauer et al., 2021 (arXiv:2111.01007)."""

    size: int = option(128, "side of the pictures, in pixels: 64, 128 or 256", least=64, most=256)
    width: int = option(
        224, "channels of the generator's first feature map; the others are in proportion", least=8, most=2048
    )
    upsample: str = option(
        "nearest",
        "how the generator doubles a map before it convolves it: nearest (the paper's) or bilinear (smoother; slower "
        "to learn texture)",
        choices=("nearest", "bilinear"),
    )
    noise_size: int = option(256, "length of a picture's noise vector", least=1, most=4096)
    discriminator: str = option(
        "projected",
        "projected (a head on each of four levels of frozen VGG-19 features: Sauer et al., 2021) or self-supervised "
        "(one network that also learns to reconstruct real pictures: Liu et al., 2021)",
        choices=("projected", "self-supervised"),
    )
    discriminator_width: int = option(64, "channels of a discriminator's finest layer", least=4, most=512)
    vgg19: str | None = option(
        None,
        "file of VGG-19's weights, for projected discriminators [default: from the user's settings, or downloaded]",
        resumable=True,
    )
    loss: str = option(
        "hinge",
        "adversarial loss: hinge (both papers'), nonsaturating (cross-entropy) or lsgan (least squares)",
        choices=("hinge", "nonsaturating", "lsgan"),
        resumable=True,
    )
    beta1: float = option(0.0, "Adam's beta1", least=0, most=0.9999, resumable=True)
    beta2: float = option(0.99, "Adam's beta2", least=0, most=0.999999, resumable=True)
    diffaugment: str = option(
        "color,translation,cutout",
        "augmentations of everything the discriminators see: color,translation,cutout or some of them",
        resumable=True,
    )
    spectral_norm: bool = option(True, "spectral normalization of the discriminators' layers")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.size not in (64, 128, 256):
            raise ValueError(f"size must be 64, 128 or 256, not {self.size}")
