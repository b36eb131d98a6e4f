"""Discriminators for small sets: on frozen features (Sauer et al., 2021), and self-supervised (Liu et al., 2021)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from artgan.toolkit import VGG19, Discriminator, Networks, load_vgg19
from artgan_fastgan.config import FastGANConfig
from artgan_fastgan.generator import FastGANGenerator, initialize, upsampled

LAYERS = ("conv2_2", "conv3_4", "conv4_4", "conv5_1")
"""The levels of VGG-19 that are judged; each has half the side of the one before, the first half of the picture's."""
_LAST = 8  # side to which heads halve their maps
_RECONSTRUCTED = 128  # pixels, the side of reconstructions


def _layer(before: int, after: int, *, stride: int = 2, norm: bool = True) -> list[nn.Module]:
    """A convolution that halves the side (4x4) or keeps it (3x3, with a stride of 1), batch norm, leaky ReLU."""
    convolution = nn.Conv2d(before, after, 2 + stride, stride=stride, padding=1, bias=not norm)
    return [convolution, *([nn.BatchNorm2d(after)] if norm else []), nn.LeakyReLU(0.2, inplace=True)]


def _head(channels: int, side: int, most: int) -> nn.Sequential:
    """N x C x side x side features to N x 1 x h x w logits: layers that halve the map to 8 x 8, and a 4x4 convolution.

    Each halving doubles the channels, up to ``most``. A map that is small already has one layer that keeps its side, so
    that no head is linear.
    """
    layers = _layer(channels, channels, stride=1) if side <= _LAST else []
    while side > _LAST:
        wider = min(2 * channels, most)
        layers += _layer(channels, wider)
        channels, side = wider, side // 2
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
                weights = torch.randn(after[level - 1], outside, 3, 3) / (9 * outside) ** 0.5
                self.register_buffer(f"scales{level}", weights)

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
    """A head on each level of VGG-19's randomly mixed features, and one on the pixels, for grain and colors.

    Features of VGG-19 differ in size by factors of hundreds, so that each position's are normalized before the mixing.

    Args:
        features: VGG-19 up to its levels of :data:`LAYERS`.
        size: side of the pictures in pixels.
        width: channels of the finest level's mixed features; each coarser level has twice as many.
    """

    def __init__(self, features: VGG19, size: int, width: int) -> None:
        super().__init__()
        self.minimum_size = size
        self.features = features
        channels = [width << level for level in range(len(LAYERS))]
        self.projection = RandomProjection(features.channels, channels)
        heads = [_head(own, size >> level, channels[-1]) for level, own in enumerate(channels, start=1)]
        half = max(width // 2, 1)  # the paper has no head on the pixels; this one judges patches of 46 px
        pixels = [*_layer(3, half, norm=False), *_layer(half, width), *_layer(width, 2 * width)]
        self.heads = nn.ModuleList([*heads, nn.Sequential(*pixels, nn.Conv2d(2 * width, 1, 4))])
        self.heads.apply(initialize)

    def observe(self, pictures: Tensor) -> Sequence[Tensor]:
        """Pictures N x 3 x S x S to the mixed features of each level, N x C x h x w, and the pictures themselves."""
        normalized = [_layer_norm(features) for features in self.features(pictures)]
        return (*self.projection(normalized), pictures)

    def judge(self, observed: Sequence[Tensor]) -> Sequence[Tensor]:
        """One N x 1 x h x w logit map for each level, and one for the pixels."""
        return [head(seen) for head, seen in zip(self.heads, observed, strict=True)]


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
        *fine, coarse = (width << min(level, 3) for level in range((size // 8).bit_length() - 1))
        layers = [_layer(before, after) for before, after in itertools.pairwise(fine)]
        self.to16 = nn.Sequential(*_layer(3, width, norm=False), *itertools.chain.from_iterable(layers))
        self.to8 = nn.Sequential(*_layer(fine[-1], coarse))
        self.logits16, self.logits8 = nn.Conv2d(fine[-1], 1, 4), nn.Conv2d(coarse, 1, 4)
        self.whole, self.part = self._decoder(coarse, width), self._decoder(fine[-1], width)
        self.apply(initialize)

    def _decoder(self, channels: int, width: int) -> nn.Sequential:
        layers: list[nn.Module] = []
        for _ in range((self.side // 8).bit_length() - 1):
            after = max(channels // 2, width // 2)
            layers.append(upsampled(channels, after))
            channels = after
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
    height, width = x.shape[2] // 2, x.shape[3] // 2
    return x[:, :, row * height : (row + 1) * height, column * width : (column + 1) * width]


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
        discriminator = ProjectedDiscriminator(features, config.size, config.discriminator_width)
    else:
        discriminator = SelfSupervisedDiscriminator(config.size, config.discriminator_width)
    return Networks(generators={"pictures": FastGANGenerator(config)}, discriminators={"pictures": discriminator})
