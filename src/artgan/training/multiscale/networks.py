"""Generators and discriminators with a picture at each resolution, built from a plugin's own blocks.

A resolution is a number from 0, for the smallest; each has twice the side of the one before it. ``channels`` holds the
number of channels of the features at each resolution. Layers have equalized learning rates.
"""

from __future__ import annotations

import itertools
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from artgan.errors import ConfigError
from artgan.interfaces import Discriminator
from artgan.sampling.generator import NoiseGenerator
from artgan.sampling.noise import Noise
from artgan.training.multiscale.growth import placed
from artgan.training.multiscale.layers import MinibatchDeviation, PixelNorm, equalize

_SLOPE = 0.2  # of the papers' leaky ReLUs


class MultiscaleGenerator(NoiseGenerator):
    """A generator with a layer to RGB at each resolution (Karras et al., 2018; Karnewar and Wang, 2020).

    It may have grown only to some resolution: its pictures are then enlarged. How far is part of its weights.

    Args:
        noise: distribution of the noise, whose vectors are normalized.
        noise_size: its length Z.
        channels: of the features at each resolution, from the smallest pictures to the largest, whose sides double.
        side: of the smallest pictures, in pixels.
        block: from the numbers of channels before and after, a module N x C x H x W to N x C' x 2H x 2W.

    Attributes:
        level: how far it has grown, a scalar buffer; at first all the way.
        sides: of the pictures at each resolution, in pixels.
    """

    level: Tensor

    def __init__(
        self, noise: Noise, noise_size: int, channels: Sequence[int], side: int, block: Callable[[int, int], nn.Module]
    ) -> None:
        super().__init__(noise, noise_size)
        first = nn.Sequential(
            PixelNorm(),
            nn.Linear(noise_size, channels[0] * side**2),
            nn.Unflatten(1, (channels[0], side, side)),
            nn.LeakyReLU(_SLOPE),
            PixelNorm(),
        )
        self.sides = [side << resolution for resolution in range(len(channels))]
        self.stages = nn.ModuleList([first, *(block(before, after) for before, after in itertools.pairwise(channels))])
        self.to_rgb = nn.ModuleList(nn.Sequential(nn.Conv2d(count, 3, 1), nn.Tanh()) for count in channels)
        equalize(self.stages)
        equalize(self.to_rgb, gain=1.0)
        self.register_buffer("level", torch.zeros(()))
        self.grow(len(channels) - 1)

    def grow(self, level: float) -> None:
        """Grow to a level; layers that it does not use freeze.

        Args:
            level: from 0, the smallest resolution alone, to the number of resolutions less 1, the largest; 2.25 is a
                quarter of the resolution after number 2, counted from 0, and three quarters of number 2, enlarged.
        """
        self.level.fill_(level)
        top, share = placed(level)
        for resolution, (stage, to_rgb) in enumerate(zip(self.stages, self.to_rgb, strict=True)):
            stage.requires_grad_(resolution <= top)
            to_rgb.requires_grad_(_in_use(resolution, top, share))

    def pictures(self, x: Tensor) -> list[Tensor]:
        """N x Z noise to N x 3 x s x s pictures in [-1, 1] at each resolution up to the level, the last faded in."""
        return self._drawn(x, *placed(float(self.level)))

    def _drawn(self, x: Tensor, top: int, share: float) -> list[Tensor]:
        made = []
        for stage, to_rgb in zip(self.stages[: top + 1], self.to_rgb, strict=False):
            x = stage(x)
            made.append(to_rgb(x))
        if share < 1:
            made[-1] = torch.lerp(_doubled(made[-2]), made[-1], share)
        return made

    def forward(self, x: Tensor) -> Tensor:
        """N x Z noise to N x 3 x S x S pictures in [-1, 1], enlarged to the last resolution if it has grown less."""
        return enlarged(self.pictures(x)[-1], self.sides[-1])

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Compile what :meth:`pictures` and :meth:`forward` share, in place."""
        self._drawn = torch.compile(self._drawn, *args, **kwargs)  # type: ignore[method-assign]  # by its compiled self


class MultiscaleDiscriminator(Discriminator):
    """A discriminator with a layer from RGB at each resolution, and the batch's deviation before its last layers.

    Args:
        channels: of the features at each resolution, as of the generator.
        side: of the smallest pictures, in pixels.
        block: from the numbers of channels before and after, a module N x C x H x W to N x C' x H/2 x W/2.
        head: from a number of channels, a module N x C x side x side to N x 1 logits.

    Attributes:
        joined: whether the features from RGB are concatenated with those of the resolution above it.
    """

    joined: ClassVar[bool]

    def __init__(
        self,
        channels: Sequence[int],
        side: int,
        block: Callable[[int, int], nn.Module],
        head: Callable[[int], nn.Module],
    ) -> None:
        super().__init__()
        self.sides = [side << resolution for resolution in range(len(channels))]
        self.minimum_size = self.sides[-1]
        inputs = [(1 + self.joined) * count for count in channels[:-1]] + [channels[-1]]
        self.from_rgb = nn.ModuleList(nn.Sequential(nn.Conv2d(3, count, 1), nn.LeakyReLU(_SLOPE)) for count in channels)
        self.blocks = nn.ModuleList(block(above, below) for below, above in zip(channels, inputs[1:], strict=False))
        self.head = nn.Sequential(MinibatchDeviation(), head(inputs[0] + 1))
        equalize(self)
        self.grow(len(channels) - 1)

    def grow(self, level: float) -> None:  # not abstract: only one of the two kinds grows
        """Grow to a level, if it does grow, as the generator does."""

    @abstractmethod
    def shown(self, pictures: Sequence[Tensor]) -> Sequence[Tensor]:
        """Of a generator's pictures at each resolution those that :meth:`judge` takes."""


class ProgressiveDiscriminator(MultiscaleDiscriminator):
    """Sees one resolution, and grows with its generator (Karras et al., 2018).

    Args:
        channels: of the features at each resolution, as of the generator.
        side: of the smallest pictures, in pixels.
        block: from the numbers of channels before and after, a module N x C x H x W to N x C' x H/2 x W/2.
        head: from a number of channels, a module N x C x side x side to N x 1 logits.
    """

    joined = False

    def grow(self, level: float) -> None:
        """Grow to a level, as the generator does."""
        self.top, self.share = placed(level)
        for resolution, from_rgb in enumerate(self.from_rgb):
            from_rgb.requires_grad_(_in_use(resolution, self.top, self.share))
        for resolution, block in enumerate(self.blocks, 1):
            block.requires_grad_(resolution <= self.top)

    def shown(self, pictures: Sequence[Tensor]) -> Sequence[Tensor]:
        """The largest pictures."""
        return pictures[-1:]

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Refuse to compile: each step of a fade-in would take as long as the first.

        Raises:
            ConfigError: always.
        """
        raise ConfigError("--compile: growing networks would be recompiled in most steps; leave it out")

    def observe(self, pictures: Tensor) -> Sequence[Tensor]:
        """N x 3 x S x S pictures at the resolution of the level, blended with the one below as generated ones are."""
        seen = averaged(pictures, self.sides[self.top])
        if self.share < 1:
            seen = torch.lerp(_doubled(_halved(seen)), seen, self.share)
        return (seen,)

    def judge(self, observed: Sequence[Tensor]) -> Sequence[Tensor]:
        """N x 3 x s x s pictures at the resolution of the level to N x 1 logits."""
        [pictures] = observed
        x = self.from_rgb[self.top](pictures)
        for resolution in range(self.top, 0, -1):
            x = self.blocks[resolution - 1](x)
            if resolution == self.top and self.share < 1:
                x = torch.lerp(self.from_rgb[resolution - 1](_halved(pictures)), x, self.share)
        return (self.head(x),)


class MultiscaleGradientDiscriminator(MultiscaleDiscriminator):
    """Sees all resolutions at once, so that its gradients reach each of the generator (Karnewar and Wang, 2020).

    The pictures of a resolution pass through 1x1 convolutions, and are concatenated with the features that the block
    above them makes (the paper's combination "lin_cat").

    Args:
        channels: of the features at each resolution, as of the generator.
        side: of the smallest pictures, in pixels.
        block: from the numbers of channels before and after, a module N x C x H x W to N x C' x H/2 x W/2. C is
            twice the number in ``channels`` except for the largest pictures, for which nothing is concatenated.
        head: from a number of channels, a module N x C x side x side to N x 1 logits.
    """

    joined = True

    def shown(self, pictures: Sequence[Tensor]) -> Sequence[Tensor]:
        """All pictures."""
        return pictures

    def observe(self, pictures: Tensor) -> Sequence[Tensor]:
        """N x 3 x S x S pictures, averaged down to each resolution."""
        return [averaged(pictures, side) for side in self.sides]

    def judge(self, observed: Sequence[Tensor]) -> Sequence[Tensor]:
        """N x 3 x s x s pictures at each resolution, from the smallest, to N x 1 logits."""
        *smaller, x = [from_rgb(pictures) for from_rgb, pictures in zip(self.from_rgb, observed, strict=True)]
        for block, features in zip(reversed(self.blocks), reversed(smaller), strict=True):
            x = torch.cat([features, block(x)], 1)
        return (self.head(x),)


def averaged(pictures: Tensor, side: int) -> Tensor:
    """N x C x S x S pictures to N x C x s x s ones, each pixel the mean of a square; s divides S."""
    return F.avg_pool2d(pictures, pictures.shape[-1] // side)


def enlarged(pictures: Tensor, side: int) -> Tensor:
    """N x C x s x s pictures to N x C x S x S ones, each pixel repeated; s divides S."""
    return F.interpolate(pictures, side, mode="nearest")


def _doubled(x: Tensor) -> Tensor:
    return enlarged(x, 2 * x.shape[-1])


def _halved(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 2)


def _in_use(resolution: int, top: int, share: float) -> bool:
    """Whether the pictures at a resolution take part: the highest, and while it is faded in the one below it."""
    return resolution == top or (share < 1 and resolution == top - 1)
