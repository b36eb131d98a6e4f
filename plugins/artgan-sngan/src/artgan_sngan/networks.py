"""The networks of SN-GAN (Miyato et al., 2018, appendix B.4), and those of the Bob Ross project.

A generator begins with a dense layer; the side of its first feature map is the picture's divided by the total
upsampling factor. Spectral normalization of the discriminators is a training option in the config.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch.nn.functional as F
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
from artgan_sngan.config import SNGANConfig

_SLOPE = 0.1  # of the paper's leaky ReLUs


class SNGANGenerator(NoiseGenerator):
    """Noise through a dense layer to a feature map C x s x s, and through ``layers`` to a picture.

    Args:
        noise: distribution of the noise.
        noise_size: its length Z.
        channels: C.
        side: s, in pixels.
        layers: C x s x s to 3 x S x S in [-1, 1].
    """

    def __init__(self, noise: Noise, noise_size: int, channels: int, side: int, layers: Sequence[nn.Module]) -> None:
        super().__init__(noise, noise_size)
        self.dense = nn.Linear(noise_size, channels * side**2)
        self.shape = (channels, side, side)
        self.layers = nn.Sequential(*layers)
        self.apply(_initialize)

    def forward(self, x: Tensor) -> Tensor:
        """N x Z noise to N x 3 x S x S pictures in [-1, 1]."""
        made: Tensor = self.layers(self.dense(x).unflatten(1, self.shape))
        return made


class LayeredDiscriminator(Discriminator):
    """One logit per picture from sequential layers.

    Args:
        size: side of the pictures that the layers are made for, in pixels.
        layers: N x 3 x S x S pictures to N x 1 logits.
    """

    def __init__(self, size: int, layers: Sequence[nn.Module]) -> None:
        super().__init__()
        self.minimum_size = size
        self.layers = nn.Sequential(*layers)
        self.apply(_initialize)

    def judge(self, observed: Sequence[Tensor]) -> Sequence[Tensor]:
        """Pictures N x 3 x S x S to N x 1 logits."""
        return (self.layers(observed[0]),)


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut, 1x1 if the shape changes (Gulrajani et al., 2017; figures 8 and 9).

    Args:
        before: channels in.
        after: channels out.
        resample: ``"up"`` (nearest, before the convolutions), ``"down"`` (2x2 means, after them) or ``""``.
        norm: for a generator: batch norm before each ReLU, and ``after`` channels between the convolutions, where a
            discriminator has ``before``.
        first: for a discriminator's first block: no ReLU before the first convolution, ``after`` channels between the
            convolutions, and a shortcut that downsamples before its convolution.
    """

    def __init__(self, before: int, after: int, resample: str = "", *, norm: bool = False, first: bool = False) -> None:
        super().__init__()
        self.resample = resample
        self.first = first
        hidden = after if norm or first else before
        self.norm1 = nn.BatchNorm2d(before) if norm else nn.Identity()
        self.norm2 = nn.BatchNorm2d(hidden) if norm else nn.Identity()
        self.conv1 = nn.Conv2d(before, hidden, 3, padding=1)
        self.conv2 = nn.Conv2d(hidden, after, 3, padding=1)
        self.shortcut = nn.Conv2d(before, after, 1) if resample or before != after else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """N x C x H x W to N x C' x H' x W', where H' is 2H, H / 2 or H."""
        inside: Tensor = x if self.first else F.relu(self.norm1(x))
        inside = self.conv1(_doubled(inside) if self.resample == "up" else inside)
        inside = self.conv2(F.relu(self.norm2(inside)))
        if self.resample == "up":
            shortcut: Tensor = self.shortcut(_doubled(x))
        elif self.resample == "down":
            inside = _halved(inside)
            shortcut = self.shortcut(_halved(x)) if self.first else _halved(self.shortcut(x))
        else:
            shortcut = self.shortcut(x)
        return inside + shortcut


class SumPool(nn.Module):
    """N x C x H x W to N x C, after a ReLU: the sum over each channel."""

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        return F.relu(x).sum((2, 3))


def _initialize(module: nn.Module) -> None:
    """As in the authors' code: Glorot uniform within residual blocks, otherwise N(0, 0.02); biases 0."""
    if isinstance(module, ResidualBlock):
        for convolution in (module.conv1, module.conv2):
            nn.init.xavier_uniform_(convolution.weight, 2**0.5)
        if isinstance(module.shortcut, nn.Conv2d):
            nn.init.xavier_uniform_(module.shortcut.weight)
    elif isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
        nn.init.normal_(module.weight, 0.0, 0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def _doubled(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="nearest")


def _halved(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 2)


def _norm(channels: int) -> list[nn.Module]:
    return [nn.BatchNorm2d(channels), nn.ReLU(inplace=True)]


def _doubling(before: int, after: int, upsample: str) -> list[nn.Module]:
    """Upsampling by 2 as the option ``upsample`` says."""
    if upsample == "transposed":
        return [nn.ConvTranspose2d(before, after, 4, stride=2, padding=1)]
    if upsample == "nearest":
        return [nn.Upsample(scale_factor=2.0, mode="nearest"), nn.Conv2d(before, after, 3, padding=1)]
    return [ResizeConv2d(before, after, "nearest" if upsample == "resize" else upsample)]


def _last(channels: int, upsample: str) -> list[nn.Module]:
    """The convolution that makes the picture, with the same edges as the others."""
    reflected = upsample in ("resize", "bilinear")
    return [nn.Conv2d(channels, 3, 3, padding=1, padding_mode="reflect" if reflected else "zeros"), nn.Tanh()]


def _cnn_generator(config: SNGANConfig) -> tuple[int, int, list[nn.Module]]:
    """Table 3: upsampling by three transposed convolutions."""
    upsample = config.upsample or _UPSAMPLE["cnn"]
    width = config.width or 512
    layers = _norm(width)
    for index in range(3):
        before, after = width >> index, width >> index + 1
        layers += [*_doubling(before, after, upsample), *_norm(after)]
    return width, config.size // 8, [*layers, *_last(width >> 3, upsample)]


def _cnn_discriminator(config: SNGANConfig) -> list[nn.Module]:
    """Table 3: pairs of a 3x3 convolution and a 4x4 one with stride 2, then 3x3, then dense."""
    width = config.discriminator_width or 64
    layers: list[nn.Module] = []
    before = 3
    for after in (width, 2 * width, 4 * width):
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.LeakyReLU(_SLOPE, inplace=True)]
        layers += [nn.Conv2d(after, after, 4, stride=2, padding=1), nn.LeakyReLU(_SLOPE, inplace=True)]
        before = after
    layers += [nn.Conv2d(before, 8 * width, 3, padding=1), nn.LeakyReLU(_SLOPE, inplace=True), nn.Flatten()]
    return [*layers, nn.Linear(8 * width * (config.size // 8) ** 2, 1)]


def _resnet_generator(config: SNGANConfig) -> tuple[int, int, list[nn.Module]]:
    """Table 4 (32 px: 256 channels throughout), 5 (48 px) and 6 (128 px); other sizes follow table 6."""
    if config.size == 32:
        width = config.width or 256
        channels = [width] * 4
    else:
        width = config.width or (512 if config.size == 48 else 1024)
        doublings = (config.size // (6 if config.size in (48, 96) else 4)).bit_length() - 1
        # The last map has 64 channels, and each one before it twice as many, but never more than the first.
        last = max(1, width // (8 if config.size == 48 else 16))
        channels = [width, *(min(width, last << doublings - 1 - i) for i in range(doublings))]
    blocks = [ResidualBlock(b, a, "up", norm=True) for b, a in itertools.pairwise(channels)]
    side = config.size >> len(blocks)
    return width, side, [*blocks, *_norm(channels[-1]), nn.Conv2d(channels[-1], 3, 3, padding=1), nn.Tanh()]


def _resnet_discriminator(config: SNGANConfig) -> list[nn.Module]:
    """The same tables: at 32 px two "down" blocks and two more of 128; else "down" blocks to 4 or 3 px and one more."""
    if config.size == 32:
        width = config.discriminator_width or 128
        blocks = [ResidualBlock(3, width, "down", first=True), ResidualBlock(width, width, "down")]
        blocks += [ResidualBlock(width, width), ResidualBlock(width, width)]
        return [*blocks, SumPool(), nn.Linear(width, 1)]
    width = config.discriminator_width or 64
    halvings = (config.size // (3 if config.size in (48, 96) else 4)).bit_length() - 1
    channels = [width * min(2**i, 16) for i in range(halvings)]
    blocks = [ResidualBlock(3, width, "down", first=True)]
    blocks += [ResidualBlock(b, a, "down") for b, a in itertools.pairwise(channels)]
    last = min(2 * channels[-1], 16 * width)
    return [*blocks, ResidualBlock(channels[-1], last), SumPool(), nn.Linear(last, 1)]


def _joy_generator(config: SNGANConfig) -> tuple[int, int, list[nn.Module]]:
    """Nearest-neighbor upsampling, then a convolution; four times, from 4x4, for 64 px."""
    upsample = config.upsample or _UPSAMPLE["joy-of-painting"]
    width = config.width or 256
    layers: list[nn.Module] = _norm(width)
    before = width
    for _ in range((config.size // 4).bit_length() - 1):
        after = max(before // 2, 16)
        layers += [*_doubling(before, after, upsample), *_norm(after)]
        before = after
    return width, 4, [*layers, *_last(before, upsample)]


def _joy_discriminator(config: SNGANConfig) -> list[nn.Module]:
    """Strided convolutions, each with leaky ReLU, dropout and (except the first) batch norm; then dense."""
    width = config.discriminator_width or 16
    layers: list[nn.Module] = []
    before = 3
    for index in range((config.size // 4).bit_length() - 1):
        after = width << index
        layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.LeakyReLU(0.2, inplace=True)]
        layers.append(nn.Dropout2d(0.25))
        if index:
            layers.append(nn.BatchNorm2d(after))
        before = after
    return [*layers, *_joy_head(config, before * 4**2)]


def _joy_head(config: SNGANConfig, values: int) -> list[nn.Module]:
    """Dense layers, the first of which may be left out."""
    dense = [nn.Linear(values, config.dense), nn.LeakyReLU(0.2, inplace=True)] if config.dense else []
    return [nn.Flatten(), *dense, nn.Linear(config.dense or values, 1)]


_GENERATORS = {"cnn": _cnn_generator, "resnet": _resnet_generator, "joy-of-painting": _joy_generator}
_DISCRIMINATORS = {"cnn": _cnn_discriminator, "resnet": _resnet_discriminator, "joy-of-painting": _joy_discriminator}

_UPSAMPLE = {"cnn": "transposed", "joy-of-painting": "nearest"}
"""How an architecture's generator doubles unless ``upsample`` says so."""

_WIDTHS = {"cnn": (512, 64), "resnet": (1024, 64), "joy-of-painting": (256, 16)}
"""The usual widths of generator and discriminator for several resolutions."""


def _up(config: SNGANConfig, before: int, after: int) -> list[nn.Module]:
    """The layers of a generator's block for several resolutions, without batch norm."""
    if config.architecture == "resnet":
        return [ResidualBlock(before, after, "up")]
    return [*_doubling(before, after, config.upsample or _UPSAMPLE[config.architecture]), nn.ReLU()]


def _down(config: SNGANConfig, before: int, after: int) -> list[nn.Module]:
    """The same of a discriminator's."""
    if config.architecture == "resnet":
        return [ResidualBlock(before, after, "down")]
    if config.architecture == "joy-of-painting":
        return [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.LeakyReLU(0.2), nn.Dropout2d(0.25)]
    first = nn.Conv2d(before, after, 3, padding=1), nn.LeakyReLU(_SLOPE)
    return [*first, nn.Conv2d(after, after, 4, stride=2, padding=1), nn.LeakyReLU(_SLOPE)]


def _head(config: SNGANConfig, before: int, side: int) -> list[nn.Module]:
    """What comes after a discriminator's last block."""
    if config.architecture == "resnet":
        return [ResidualBlock(before, before), SumPool(), nn.Linear(before, 1)]
    if config.architecture == "joy-of-painting":
        return _joy_head(config, before * side**2)
    convolution = nn.Conv2d(before, before, 3, padding=1)
    return [convolution, nn.LeakyReLU(_SLOPE), nn.Flatten(), nn.Linear(before * side**2, 1)]


def _first_side(config: SNGANConfig) -> int:
    """The side of the smallest pictures."""
    return 6 if config.size in (48, 96) else 4


def _multiscale_generator(config: SNGANConfig) -> MultiscaleGenerator:
    side, width = _first_side(config), config.width or _WIDTHS[config.architecture][0]
    channels = [max(width >> i, 1) for i in range((config.size // side).bit_length())]

    def block(before: int, after: int) -> nn.Module:
        return nn.Sequential(*_up(config, before, after), PixelNorm())

    return MultiscaleGenerator(Noise.parse(config.noise), config.noise_size, channels, side, block)


def _multiscale_discriminator(config: SNGANConfig) -> Discriminator:
    side, width = _first_side(config), config.discriminator_width or _WIDTHS[config.architecture][1]
    channels = [width * min(2**i, 8) for i in range((config.size // side).bit_length())][::-1]
    kind = ProgressiveDiscriminator if config.multiscale == "progressive" else MultiscaleGradientDiscriminator
    return kind(
        channels,
        side,
        lambda before, after: nn.Sequential(*_down(config, before, after)),
        lambda before: nn.Sequential(*_head(config, before, side)),
    )


def build_generator(config: SNGANConfig) -> NoiseGenerator:
    """A generator, newly initialized."""
    if config.multiscale != "none":
        return _multiscale_generator(config)
    channels, side, layers = _GENERATORS[config.architecture](config)
    return SNGANGenerator(Noise.parse(config.noise), config.noise_size, channels, side, layers)


def build(config: SNGANConfig) -> Networks:
    """Generator and discriminator, newly initialized."""
    discriminator = (
        LayeredDiscriminator(config.size, _DISCRIMINATORS[config.architecture](config))
        if config.multiscale == "none"
        else _multiscale_discriminator(config)
    )
    return Networks(generators={"pictures": build_generator(config)}, discriminators={"pictures": discriminator})
