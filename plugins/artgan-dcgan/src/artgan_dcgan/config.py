"""The options of DCGAN."""

from __future__ import annotations

from dataclasses import dataclass

from artgan.plugin import MultiscaleOptions, option


@dataclass(frozen=True)
class DCGANConfig(MultiscaleOptions):
    """The options for building and training the networks of Radford et al., 2016 (arXiv:1511.06434)."""

    size: int = option(64, "side of the pictures, in pixels: 32, 64 or 128", least=32, most=128)
    width: int = option(
        64, "channels of the layer next to the picture, doubled with each halving (the paper: 128)", least=1, most=256
    )
    kernel: int = option(4, "side of the kernels: 4, or the paper's 5", least=4, most=5)
    upsample: str = option(
        "transposed",
        "how the generator doubles: transposed convolutions (the paper's; they leave a checkerboard); resize, then "
        "convolve, 3x3 (bilinear: the same with bilinear interpolation)",
        choices=("transposed", "resize", "bilinear"),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.size not in (32, 64, 128):
            raise ValueError(f"size must be 32, 64 or 128, not {self.size}")
