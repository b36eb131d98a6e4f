"""The networks of DCGAN (Radford et al., 2016, figure 1 and section 3), for pictures of 32, 64 or 128 pixels."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from torch import Tensor, nn

from artgan.toolkit import (
    Discriminator,
    MultiscaleGenerator,
    MultiscaleGradientDiscriminator,
    Networks,
    Noise,
    NoiseGenerator,
    PixelNorm,
    ProgressiveDiscriminator,
    ResizeConv2d,
)
from artgan_dcgan.config import DCGANConfig


class DCGANGenerator(NoiseGenerator):
    """Noise to 4x4, then upsampling by transposed convolutions with batch norm and ReLU, the last with tanh.

    Resize-convolutions all have batch norm and ReLU, and a 3x3 convolution at full size makes the picture.

    Args:
        size: side of the pictures, in pixels.
        width: channels before the last layer; doubled at each lower resolution.
        kernel: 4 or 5.
        noise: distribution of the noise.
        noise_size: its length Z.
        upsample: ``"transposed"``, ``"resize"`` (nearest neighbor, then a convolution) or ``"bilinear"``.
    """

    def __init__(
        self, size: int, width: int, kernel: int, noise: Noise, noise_size: int, upsample: str = "transposed"
    ) -> None:
        super().__init__(noise, noise_size)
        channels = _channels(size, width)[::-1]
        parts: list[nn.Module] = [
            nn.ConvTranspose2d(noise_size, channels[0], 4, bias=False),
            nn.BatchNorm2d(channels[0]),
            nn.ReLU(inplace=True),
        ]
        if upsample == "transposed":
            last = _doubling(channels[-1], 3, kernel, upsample, bias=True)
        else:
            channels.append(max(1, width // 2))
            last = nn.Conv2d(channels[-1], 3, 3, padding=1, padding_mode="reflect")
        for before, after in itertools.pairwise(channels):
            doubling = _doubling(before, after, kernel, upsample, bias=False)
            parts += [doubling, nn.BatchNorm2d(after), nn.ReLU(inplace=True)]
        self.model = nn.Sequential(*parts, last, nn.Tanh())
        self.apply(_initialize)

    def forward(self, x: Tensor) -> Tensor:
        """N x Z noise to N x 3 x S x S pictures in [-1, 1]."""
        made: Tensor = self.model(x[:, :, None, None])
        return made


class DCGANDiscriminator(Discriminator):
    """Strided convolutions with batch norm (except the first) and leaky ReLU, then one logit from 4x4."""

    def __init__(self, size: int, width: int, kernel: int) -> None:
        super().__init__()
        self.minimum_size = size
        channels = _channels(size, width)
        parts: list[nn.Module] = [_halving(3, channels[0], kernel, bias=True), nn.LeakyReLU(0.2, inplace=True)]
        for before, after in itertools.pairwise(channels):
            parts += [
                _halving(before, after, kernel, bias=False),
                nn.BatchNorm2d(after),
                nn.LeakyReLU(0.2, inplace=True),
            ]
        parts.append(nn.Conv2d(channels[-1], 1, 4))
        self.model = nn.Sequential(*parts)
        self.apply(_initialize)

    def judge(self, observed: Sequence[Tensor]) -> Sequence[Tensor]:
        """Pictures N x 3 x S x S to N x 1 x 1 x 1 logits."""
        return (self.model(observed[0]),)


def _channels(size: int, width: int) -> list[int]:
    """The channels of the layers from the picture's side down to 4x4."""
    halvings = (size // 4).bit_length() - 1
    return [width * 2**i for i in range(halvings)]


def _doubling(before: int, after: int, kernel: int, upsample: str, *, bias: bool) -> nn.Module:
    if upsample != "transposed":
        return ResizeConv2d(before, after, "nearest" if upsample == "resize" else upsample, bias=bias)
    odd = kernel % 2
    return nn.ConvTranspose2d(before, after, kernel, stride=2, padding=1 + odd, output_padding=odd, bias=bias)


def _halving(before: int, after: int, kernel: int, *, bias: bool) -> nn.Module:
    return nn.Conv2d(before, after, kernel, stride=2, padding=1 + kernel % 2, bias=bias)


def _initialize(module: nn.Module) -> None:
    """Weights from N(0, 0.02), as in the paper; batch norm's gains from N(1, 0.02), as in its authors' code."""
    if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
        nn.init.normal_(module.weight, 0.0, 0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)


def _multiscale_channels(config: DCGANConfig) -> list[int]:
    """The channels at each resolution from 4x4 up: those of the layers above, and half as many at the full size."""
    return [*_channels(config.size, config.width)[::-1], max(config.width // 2, 1)]


def _multiscale_generator(config: DCGANConfig) -> MultiscaleGenerator:
    """The same doublings, with pixel norm instead of batch norm."""

    def block(before: int, after: int) -> nn.Module:
        doubling = _doubling(before, after, config.kernel, config.upsample, bias=True)
        return nn.Sequential(doubling, nn.LeakyReLU(0.2), PixelNorm())

    noise = Noise.parse(config.noise)
    return MultiscaleGenerator(noise, config.noise_size, _multiscale_channels(config), 4, block)


def _multiscale_discriminator(config: DCGANConfig) -> Discriminator:
    """The same strided convolutions without batch norm; at 4x4, one 3x3 convolution more."""

    def block(before: int, after: int) -> nn.Module:
        return nn.Sequential(_halving(before, after, config.kernel, bias=True), nn.LeakyReLU(0.2))

    channels = _multiscale_channels(config)

    def head(before: int) -> nn.Module:
        layers = nn.Conv2d(before, channels[0], 3, padding=1), nn.LeakyReLU(0.2), nn.Conv2d(channels[0], 1, 4)
        return nn.Sequential(*layers, nn.Flatten())

    kind = ProgressiveDiscriminator if config.multiscale == "progressive" else MultiscaleGradientDiscriminator
    return kind(channels, 4, block, head)


def build_generator(config: DCGANConfig) -> NoiseGenerator:
    """A generator, newly initialized."""
    if config.multiscale != "none":
        return _multiscale_generator(config)
    noise = Noise.parse(config.noise)
    return DCGANGenerator(config.size, config.width, config.kernel, noise, config.noise_size, config.upsample)


def build(config: DCGANConfig) -> Networks:
    """Generator and discriminator, newly initialized."""
    generator = build_generator(config)
    discriminator = (
        DCGANDiscriminator(config.size, config.width, config.kernel)
        if config.multiscale == "none"
        else _multiscale_discriminator(config)
    )
    return Networks(generators={"pictures": generator}, discriminators={"pictures": discriminator})
