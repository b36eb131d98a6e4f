"""The options of CycleGAN; the defaults are the paper's."""

from __future__ import annotations

from dataclasses import dataclass

from artgan.config import option
from artgan.training.options import AdversarialOptions


@dataclass(frozen=True)
class CycleGANConfig(AdversarialOptions):
    """What builds and trains the networks of Zhu et al., 2017 (arXiv:1703.10593), and what we added."""

    # The generators.
    width: int = option(64, "channels of a generator's first layer", least=1, most=512)
    blocks: int = option(9, "residual blocks of a generator (the paper: 6 below 256 px, else 9)", least=0, most=64)
    upsample: str = option(
        "transposed",
        "transposed convolutions (the paper's; they can leave a checkerboard) or resize, then convolve",
        choices=("transposed", "resize"),
    )
    skip: bool = option(False, "generators add a change to the picture instead of painting it anew")
    # The discriminators.
    discriminator: str = option(
        "patch",
        "patch (the paper's 70x70 PatchGAN) or projected (heads on frozen VGG-19 features, and a small PatchGAN)",
        choices=("patch", "projected"),
    )
    discriminator_width: int = option(64, "channels of a discriminator's first layer or of a head", least=1, most=512)
    features: str | None = option(
        None,
        "safetensors file with VGG-19's convolutions for the projected discriminator; default: from the Hub, by timm",
    )
    # The losses.
    loss: str = option(
        "lsgan",
        "adversarial loss: lsgan (least squares, the paper's), hinge or nonsaturating (cross-entropy)",
        choices=("lsgan", "hinge", "nonsaturating"),
    )
    lambda_cycle: float = option(10.0, "weight of the cycle loss", least=0)
    lambda_identity: float = option(5.0, "weight of the identity loss (the paper: half of the cycle's)", least=0)
    identity_every: int = option(1, "the identity loss counts on every so many steps", least=1)
    pool: int = option(50, "history of generated pictures that the discriminators see; 0 for none", least=0)
