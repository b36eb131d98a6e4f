"""FastGAN's generator (Liu et al., 2021): resize-convolutions, gated linear units and skip-layer excitation.

It differs from the paper's in two ways. Most parameters of the paper's are in the convolutions at 4 to 16 pixels; here
these layers are narrower, so that the weights take 8 MB in half precision. And no noise is added to feature maps: a
picture is a function of its noise vector, the same on every machine.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

from artgan.toolkit import Generator, Noise, NoiseGenerator
from artgan_fastgan.config import FastGANConfig

_FIRST = 4  # side of the first feature map
_CHANNELS = {4: 224, 8: 224, 16: 160, 32: 128, 64: 96, 128: 64, 256: 32}
"""Channels by side of the feature map, for a width of 224."""
_EXCITED = 16  # a map is excited by the one that has this fraction of its side


class GLU(nn.Module):
    """Gated linear unit: N x 2C x H x W to N x C x H x W, the first half times the second half's sigmoid."""

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        values, gates = x.chunk(2, dim=1)  # unlike F.glu, this keeps the channels-last order in the backward pass
        return values * gates.sigmoid()


class SkipLayerExcitation(nn.Module):
    """Weights for the channels of a fine map, computed from a coarse map (Liu et al., 2021, section 3.1)."""

    def __init__(self, coarse: int, fine: int) -> None:
        super().__init__()
        hidden = max(fine // 2, 1)  # the paper: as many as the fine map has
        self.weigh = nn.Sequential(
            nn.AdaptiveAvgPool2d(4), nn.Conv2d(coarse, hidden, 4), nn.SiLU(), nn.Conv2d(hidden, fine, 1), nn.Sigmoid()
        )

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """N x C x h x w and N x C' x H x W to N x C' x H x W."""
        excited: Tensor = fine * self.weigh(coarse)
        return excited


def upsampled(before: int, after: int, convolutions: int = 1, mode: str = "nearest") -> nn.Sequential:
    """Twice the side, interpolated by ``mode``, then 3x3 convolutions, each with batch norm and gated linear units."""
    layers: list[nn.Module] = [nn.Upsample(scale_factor=2.0, mode=mode)]
    for _ in range(convolutions):
        layers += [nn.Conv2d(before, 2 * after, 3, padding=1, bias=False), nn.BatchNorm2d(2 * after), GLU()]
        before = after
    return nn.Sequential(*layers)


class FastGANGenerator(NoiseGenerator):
    """Noise through a dense layer to a feature map of 4 x 4 pixels, doubled until it has the picture's side."""

    def __init__(self, config: FastGANConfig) -> None:
        super().__init__(Noise.parse(config.noise), config.noise_size)
        share = config.width / _CHANNELS[_FIRST]
        channels = {side: max(2, int(share * most)) for side, most in _CHANNELS.items() if side <= config.size}
        first = channels[_FIRST]
        self.dense = nn.Sequential(
            nn.Linear(config.noise_size, first * _FIRST**2, bias=False),
            nn.Unflatten(1, (first, _FIRST, _FIRST)),
            nn.BatchNorm2d(first),
            nn.LeakyReLU(0.2),
        )
        # As in the paper, every other map has a second convolution; here these are those with fewer parameters.
        self.doublings = nn.ModuleDict()
        self.excitations = nn.ModuleDict()
        for side in itertools.islice(channels, 1, None):
            convolutions = 2 if side in (32, 128) else 1
            self.doublings[str(side)] = upsampled(channels[side // 2], channels[side], convolutions, config.upsample)
            if coarse := channels.get(side // _EXCITED):
                self.excitations[str(side)] = SkipLayerExcitation(coarse, channels[side])
        self.output = nn.Conv2d(channels[config.size], 3, 3, padding=1)
        self.size = config.size
        self.apply(initialize)

    def start_from(self, other: Generator) -> None:
        """See :meth:`Generator.start_from`; a generator of smaller pictures is the first part of this one.

        So the layout is learned where a step is cheap (after Karras et al., 2018, without their fading in).
        """
        if not isinstance(other, FastGANGenerator) or other.size >= self.size:
            super().start_from(other)
            return
        shared = {name: value for name, value in other.state_dict().items() if not name.startswith("output.")}
        self.load_state_dict({**self.state_dict(), **shared})

    def forward(self, x: Tensor) -> Tensor:
        """N x Z noise to N x 3 x S x S pictures in [-1, 1]."""
        maps = {_FIRST: self.dense(x)}
        features = maps[_FIRST]
        for name, double in self.doublings.items():
            side = int(name)
            features = double(features)
            if name in self.excitations:
                features = self.excitations[name](maps[side // _EXCITED], features)
            maps[side] = features
        # In mixed precision, the picture has the noise's precision again, as real pictures do.
        return torch.tanh(self.output(features).to(x.dtype))


def initialize(module: nn.Module) -> None:
    """As in the authors' code: weights from N(0, 0.02), biases 0; batch norms as they are."""
    if isinstance(module, (nn.Conv2d, nn.Linear)):
        nn.init.normal_(module.weight, 0.0, 0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
