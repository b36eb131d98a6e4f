"""Discriminators for small sets: on frozen features (Sauer et al., 2021), and self-supervised (Liu et al., 2021)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from artgan.toolkit import VGG19, Discriminator, Networks, load_vgg19
from artgan_fastgan.config import FastGANConfig
from artgan_fastgan.generator import build_generator, initialize, upsampled

LAYERS = ("conv2_2", "conv3_4", "conv4_4", "conv5_1")
"""The levels of VGG-19 that are judged; each has half the side of the one before, the first half of the picture's."""
_LAST = 8  # side to which heads halve their maps
_RECONSTRUCTED = 128  # pixels, the side of reconstructions


def _halved(before: int, after: int, *, norm: bool = True) -> list[nn.Module]:
    """Half the side: a strided 4x4 convolution, batch norm, leaky ReLU."""
    norms = [nn.BatchNorm2d(after)] if norm else []
    return [
        nn.Conv2d(before, after, 4, stride=2, padding=1, bias=not norm),
        *norms,
        nn.LeakyReLU(0.2, inplace=True),
    ]


def _head(channels: int, side: int, most: int) -> nn.Sequential:
    """N x C x side x side features to N x 1 x h x w logits: layers that halve the map to 8 x 8, and a 4x4 convolution.

    Args:
        channels: C; each halving doubles them.
        side: a map that is no larger than 8 x 8 has one layer that keeps its side, so that no head is linear.
        most: the most channels of a layer.
    """
    layers: list[nn.Module] = []
    if side <= _LAST:
        layers += [nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)]
        layers.append(nn.LeakyReLU(0.2, inplace=True))
    while side > _LAST:
        layers += _halved(channels, min(2 * channels, most))
        channels, side = min(2 * channels, most), side // 2
    return nn.Sequential(*layers, nn.Conv2d(channels, 1, 4))


class RandomProjection(nn.Module):
    """Features of several levels mixed by random convolutions, never trained (Sauer et al., 2021, section 3.2).

    Cross-channel mixing is a 1x1 convolution of each level; cross-scale mixing adds to each level the next coarser
    one's result after a 3x3 convolution, enlarged bilinearly. So a head cannot rely on a few features alone, and each
    sees the coarser levels too. All results have about the variance of the features.

    Args:
        before: channels of the levels, fine to coarse.
        after: channels of their results.
    """

    def __init__(self, before: Sequence[int], after: Sequence[int]) -> None:
        super().__init__()
        for level, (inside, outside) in enumerate(zip(before, after, strict=True)):
            self.register_buffer(f"channels{level}", torch.randn(outside, inside, 1, 1) / inside**0.5)
            if level:
                self.register_buffer(
                    f"scales{level}", torch.randn(after[level - 1], outside, 3, 3) / (9 * outside) ** 0.5
                )

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """N x C x h x w features, fine to coarse, each half the side of the one before, to N x C' x h x w each."""
        mixed: list[Tensor] = []
        for level in reversed(range(len(features))):
            own = F.conv2d(features[level], getattr(self, f"channels{level}"))
            if mixed:
                coarser = F.conv2d(mixed[0], getattr(self, f"scales{level + 1}"), padding=1)
                own = (own + F.interpolate(coarser, own.shape[2:], mode="bilinear", align_corners=False)) * 0.5**0.5
            mixed.insert(0, own)
        return mixed


class ProjectedDiscriminator(Discriminator):
    """A head on each level of VGG-19's randomly mixed features, and one on the pixels.

    Features of VGG-19 differ in size by factors of hundreds, so that each position's are normalized before the mixing.

    Args:
        features: VGG-19 up to its levels of :data:`LAYERS`.
        size: side of the pictures in pixels.
        width: channels of the finest level's mixed features; each coarser level has twice as many, at most 8 times.
        pixels: whether there is a head on the pixels; it sees grain and colors that the features miss.
    """

    def __init__(self, features: VGG19, size: int, width: int, *, pixels: bool = True) -> None:
        super().__init__()
        self.minimum_size = size
        self.features = features
        channels = [width << level for level in range(len(LAYERS))]
        self.projection = RandomProjection(features.channels, channels)
        self.heads = nn.ModuleList(
            _head(own, size >> level, channels[-1]) for level, own in enumerate(channels, start=1)
        )
        self.pixels: nn.Module | None = None
        if pixels:  # patches of 46 px
            half = max(width // 2, 1)
            layers = [*_halved(3, half, norm=False), *_halved(half, width), *_halved(width, 2 * width)]
            self.pixels = nn.Sequential(*layers, nn.Conv2d(2 * width, 1, 4))
        self.heads.apply(initialize)
        if self.pixels is not None:
            self.pixels.apply(initialize)

    def observe(self, pictures: Tensor) -> Sequence[Tensor]:
        """Pictures N x 3 x S x S to themselves and the mixed features of each level, N x C x h x w."""
        normalized = [_layer_norm(features) for features in self.features(pictures)]
        return (pictures, *self.projection(normalized))

    def judge(self, observed: Sequence[Tensor]) -> Sequence[Tensor]:
        """One N x 1 x h x w logit map for each level, and one for the pixels."""
        pictures, *levels = observed
        logits = [head(level) for head, level in zip(self.heads, levels, strict=True)]
        if self.pixels is not None:
            logits.append(self.pixels(pictures))
        return logits


class SelfSupervisedDiscriminator(Discriminator):
    """One encoder with two logit maps, and decoders that keep it from looking at a few details (Liu et al., 2021, 3.2).

    Of real pictures, one decoder reconstructs the whole from the map of 8 x 8, another a random quarter from that
    part of the map of 16 x 16. The paper's loss compares them by a pretrained network (LPIPS), ours by pixels.

    Args:
        size: side of the pictures in pixels.
        width: channels of the encoder's first layer.
    """

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        self.minimum_size = size
        self.side = min(size, _RECONSTRUCTED)
        halvings = (size // 16).bit_length() - 1
        channels = [width << min(level, 3) for level in range(halvings + 1)]
        layers = _halved(3, channels[0], norm=False)
        for before, after in itertools.pairwise(channels[:-1]):
            layers += _halved(before, after)
        self.to16 = nn.Sequential(*layers)
        self.to8 = nn.Sequential(*_halved(channels[halvings - 1], channels[halvings]))
        self.logits16 = nn.Conv2d(channels[halvings - 1], 1, 4)
        self.logits8 = nn.Conv2d(channels[halvings], 1, 4)
        self.whole = self._decoder(channels[halvings], 8, width)
        self.part = self._decoder(channels[halvings - 1], 8, width)
        self.apply(initialize)

    def _decoder(self, channels: int, side: int, width: int) -> nn.Sequential:
        layers: list[nn.Module] = []
        while side < self.side:
            after = max(channels // 2, width // 2)
            layers.append(upsampled(channels, after))
            channels, side = after, 2 * side
        return nn.Sequential(*layers, nn.Conv2d(channels, 3, 3, padding=1), nn.Tanh())

    def judge(self, observed: Sequence[Tensor]) -> Sequence[Tensor]:
        """Pictures N x 3 x S x S to N x 1 x 13 x 13 and N x 1 x 5 x 5 logits."""
        fine = self.to16(observed[0])
        return (self.logits16(fine), self.logits8(self.to8(fine)))

    def auxiliary_loss(self, observed: Sequence[Tensor]) -> Tensor:
        """The mean absolute differences of real pictures and their quarters from their reconstructions, added."""
        (pictures,) = observed
        fine = self.to16(pictures)
        row, column = (int(half) for half in torch.randint(2, (2,)))
        whole, part = self.whole(self.to8(fine)), self.part(_quarter(fine, row, column))
        return self._apart(whole, pictures) + self._apart(part, _quarter(pictures, row, column))

    def _apart(self, made: Tensor, pictures: Tensor) -> Tensor:
        return F.l1_loss(made, F.interpolate(pictures, self.side, mode="bilinear", antialias=True))


def _quarter(x: Tensor, row: int, column: int) -> Tensor:
    """The upper or lower, left or right quarter of N x C x H x W."""
    return x.unflatten(2, (2, -1))[:, :, row].unflatten(3, (2, -1))[:, :, :, column]


def _layer_norm(features: Tensor) -> Tensor:
    """N x C x H x W with mean 0 and variance 1 over the channels of each position."""
    return F.layer_norm(features.movedim(1, -1), features.shape[1:2]).movedim(-1, 1)


def build(config: FastGANConfig) -> Networks:
    """Generator and discriminator, newly initialized.

    Raises:
        artgan.WeightsError: VGG-19's weights cannot be read or downloaded.
    """
    discriminator: Discriminator
    if config.discriminator == "projected":
        features = load_vgg19(LAYERS, config.vgg19)
        discriminator = ProjectedDiscriminator(
            features, config.size, config.discriminator_width, pixels=config.pixel_head
        )
    else:
        discriminator = SelfSupervisedDiscriminator(config.size, config.discriminator_width)
    return Networks(generators={"pictures": build_generator(config)}, discriminators={"pictures": discriminator})
