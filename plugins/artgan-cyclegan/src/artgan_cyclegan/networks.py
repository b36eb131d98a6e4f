"""The networks of CycleGAN: ResNet, fast-style, U-Net and sub-pixel generators, PatchGAN and projected discriminators.

The ResNet is that of Johnson et al., 2016 (arXiv:1603.08155) as Zhu et al., 2017 use it, with the
reference implementation's state-dict layout (``model.1.weight`` ... ``model.26.bias`` with nine blocks). The
U-Net is that of Isola et al., 2017 (arXiv:1611.07004) in the shape that TensorFlow's CycleGAN tutorial gives it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from artgan.toolkit import VGG19, Discriminator, Generator, Networks, ResizeConv2d, load_vgg19
from artgan_cyclegan.config import CycleGANConfig
from artgan_cyclegan.style import STYLE_LAYERS, moments


class BlurPool2d(nn.Module):
    """Downsampling by 2 after a blur with (1 2 1): no aliasing (Zhang, 2019, arXiv:1904.11486)."""

    blur: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("blur", _square(1.0, 2.0, 1.0), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """N x C x 2H x 2W to N x C x H x W."""
        channels = x.shape[1]
        padded = F.pad(x, (1, 1, 1, 1), mode="reflect")
        return F.conv2d(padded, self.blur.expand(channels, 1, 3, 3), stride=2, groups=channels)


class BlurUpsample2d(nn.Module):
    """Upsampling by 2 with the blur (1 3 3 1) as a transposed convolution, the counterpart of :class:`BlurPool2d`."""

    blur: Tensor

    def __init__(self) -> None:
        super().__init__()
        # Each pixel becomes four.
        self.register_buffer("blur", 4 * _square(1.0, 3.0, 3.0, 1.0), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """N x C x H x W to N x C x 2H x 2W."""
        channels = x.shape[1]
        padded = F.pad(x, (1, 1, 1, 1), mode="replicate")
        # The padding of a transposed convolution crops: it removes the output of the replicated edge.
        return F.conv_transpose2d(padded, self.blur.expand(channels, 1, 4, 4), stride=2, padding=3, groups=channels)


def _square(*taps: float) -> Tensor:
    """A square blur kernel, 1 x 1 x K x K, with the sum 1."""
    row = torch.tensor(taps)
    return (row[:, None] * row / row.sum() ** 2)[None, None]


def _norm(kind: str, channels: int) -> nn.Module:
    """A norm: ``"instance"``, ``"affine"`` (the same with a learned scale and offset) or ``"none"``."""
    return nn.Identity() if kind == "none" else nn.InstanceNorm2d(channels, affine=kind == "affine")


class ResidualBlock(nn.Module):
    """Two reflection-padded 3x3 convolutions, each with a norm (see :func:`_norm`), added to their input."""

    def __init__(self, channels: int, norm: str = "instance") -> None:
        super().__init__()
        self.conv_block = nn.Sequential(
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3),
            _norm(norm, channels),
            nn.ReLU(inplace=True),
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3),
            _norm(norm, channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """N x C x H x W to the same."""
        return x + self.conv_block(x)  # type: ignore[no-any-return]  # nn.Module.__call__ is untyped


class ResNetGenerator(Generator):
    """Photo to painting or back: 7x7 convolution, downsampling to 1/4, residual blocks, upsampling, 7x7 convolution.

    Args:
        width: channels at full resolution; twice and four times as many at 1/2 and 1/4.
        blocks: number of residual blocks.
        upsample: ``"transposed"``, ``"resize"`` (nearest neighbor, with reflected edges), ``"bilinear"`` (the same with
            bilinear interpolation), ``"nearest"`` and ``"bilinear-zeros"`` (both with zeros at the edges) or
            ``"antialiased"``.
        downsample: ``"strided"`` or ``"antialiased"``.
        skip: the output is the input plus the network's result, clamped to [-1, 1]; in training, the gradient passes
            the clamp unchanged. Without it, the output goes through tanh.
        norm: ``"instance"``, ``"affine"`` (with a learned scale and offset) or ``"none"``.
    """

    thread_safe = True
    stride = 4
    minimum_size = 16  # reflection pads 3 at full size and 1 at a quarter; instance norm needs more than one value

    def __init__(
        self,
        width: int = 64,
        blocks: int = 9,
        upsample: str = "transposed",
        skip: bool = False,
        downsample: str = "strided",
        norm: str = "instance",
    ) -> None:
        super().__init__()

        def normed(channels: int) -> list[nn.Module]:
            return [_norm(norm, channels), nn.ReLU(inplace=True)]

        def down(channels: int) -> list[nn.Module]:
            if downsample == "antialiased":
                return [nn.Conv2d(channels, 2 * channels, 3, padding=1), *normed(2 * channels), BlurPool2d()]
            return [nn.Conv2d(channels, 2 * channels, 3, stride=2, padding=1), *normed(2 * channels)]

        def up(channels: int) -> list[nn.Module]:
            half = channels // 2
            if upsample in ("resize", "bilinear"):
                return [ResizeConv2d(channels, half, "nearest" if upsample == "resize" else upsample), *normed(half)]
            if upsample == "transposed":
                return [nn.ConvTranspose2d(channels, half, 3, stride=2, padding=1, output_padding=1), *normed(half)]
            mode = "bilinear" if upsample == "bilinear-zeros" else "nearest"
            doubled = BlurUpsample2d() if upsample == "antialiased" else nn.Upsample(scale_factor=2, mode=mode)
            return [doubled, nn.Conv2d(channels, half, 3, padding=1), *normed(half)]

        self.skip = skip
        self.memory_per_pixel = 33 * width  # measured: 9.7 GB for 12 megapixels at width 24
        self.reach = 8 * blocks + 32  # two 3x3 convolutions per block at a quarter of the size; the rest at both ends
        self.model = nn.Sequential(
            nn.ReflectionPad2d(3),
            nn.Conv2d(3, width, 7),
            *normed(width),
            *down(width),
            *down(2 * width),
            *(ResidualBlock(4 * width, norm) for _ in range(blocks)),
            *up(4 * width),
            *up(2 * width),
            nn.ReflectionPad2d(3),
            output := nn.Conv2d(width, 3, 7),
            nn.Identity() if skip else nn.Tanh(),
        )
        self.apply(_initialize)
        if skip:  # start close to the identity
            nn.init.normal_(output.weight, 0.0, 0.002)

    def forward(self, x: Tensor) -> Tensor:
        """N x 3 x H x W in [-1, 1] to the same; H and W multiples of 4, at least 16."""
        made: Tensor = self.model(x)
        return _added(x, made) if self.skip else made


class FastStyleGenerator(Generator):
    """The network of fast style transfer (Johnson et al., 2016) with instance norm (Ulyanov et al., 2016).

    It is :class:`ResNetGenerator`'s ancestor: 9x9 convolutions at both ends, reflected edges everywhere, norms with a
    learned scale and offset, upsampling by nearest neighbors, and an output that is clamped and not squashed.

    Args:
        width: channels at full resolution; twice and four times as many at 1/2 and 1/4.
        blocks: number of residual blocks (the paper: 5).
    """

    thread_safe = True
    stride = 4
    minimum_size = 8  # reflection pads 4 at full size and 1 at a quarter

    def __init__(self, width: int = 32, blocks: int = 5) -> None:
        super().__init__()

        def conv(channels: int, wider: int, kernel: int, stride: int = 1) -> nn.Conv2d:
            return nn.Conv2d(channels, wider, kernel, stride, padding=kernel // 2, padding_mode="reflect")

        def normed(channels: int) -> list[nn.Module]:
            return [_norm("affine", channels), nn.ReLU(inplace=True)]

        self.memory_per_pixel = 33 * width  # as ResNetGenerator
        self.reach = 8 * blocks + 32
        self.model = nn.Sequential(
            *(conv(3, width, 9), *normed(width)),
            *(conv(width, 2 * width, 3, stride=2), *normed(2 * width)),
            *(conv(2 * width, 4 * width, 3, stride=2), *normed(4 * width)),
            *(ResidualBlock(4 * width, "affine") for _ in range(blocks)),
            *(ResizeConv2d(4 * width, 2 * width), *normed(2 * width)),
            *(ResizeConv2d(2 * width, width), *normed(width)),
            conv(width, 3, 9),
        )
        self.apply(_initialize)

    def forward(self, x: Tensor) -> Tensor:
        """N x 3 x H x W in [-1, 1] to the same; H and W multiples of 4, at least 8."""
        return _clamped(self.model(x))


class PlainResidualBlock(nn.Module):
    """Two reflection-padded 3x3 convolutions without norm, added to their input; starts close to the identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1, padding_mode="reflect")
        self.second = nn.Conv2d(channels, channels, 3, padding=1, padding_mode="reflect")
        nn.init.kaiming_normal_(self.first.weight, nonlinearity="relu")
        nn.init.kaiming_normal_(self.second.weight, nonlinearity="relu")
        with torch.no_grad():
            self.second.weight *= 0.1

    def forward(self, x: Tensor) -> Tensor:
        """N x C x H x W to the same."""
        return x + self.second(F.relu(self.first(x), inplace=True))  # type: ignore[no-any-return]  # untyped call


_GRID_WINDOW = 9  # blocks per side of the window for the grid of a sub-pixel generator: much longer than a stroke


class SubpixelGenerator(Generator):
    """Photo to painting with all convolutions at a quarter of the size (sub-pixel: Shi et al., 2016, arXiv:1609.05158).

    The 4x4 pixels of a block are the channels of input and output: nothing runs at full size. Its only global
    information comes from one instance norm after the first convolution, whose output is concatenated with its input,
    so the statistics for tiles cost only one convolution. Meant to be trained by a larger network (``artgan distill``).

    Args:
        width: channels at a quarter of the size, an even number.
        blocks: number of residual blocks.
        skip: as for :class:`ResNetGenerator`.
        smooth_colors: whether the colors of the network's result, their difference from gray, are averaged over the 4
            pixels of a block, which leaves nothing that repeats from block to block.
        remove_grid: whether the pattern that repeats from block to block, over 9 x 9 blocks, is removed from the
            output. In plain areas all blocks look alike to the network, and any texture that it makes is such a grid.
    """

    thread_safe = True
    stride = 4
    minimum_size = 8  # reflection pads 1 at a quarter

    def __init__(
        self,
        width: int = 64,
        blocks: int = 6,
        skip: bool = True,
        smooth_colors: bool = False,
        remove_grid: bool = False,
    ) -> None:
        super().__init__()
        self.skip = skip
        self.smooth_colors = smooth_colors
        self.remove_grid = remove_grid
        self.reach = 4 * (2 * blocks + 2) + 3
        if smooth_colors:
            self.reach += 2
        if remove_grid:
            self.reach += 4 * (_GRID_WINDOW // 2) + 2
        self.memory_per_pixel = 3 * width  # measured: 105 to 140 bytes at width 64
        self.input = nn.Conv2d(48, width // 2, 3, padding=1, padding_mode="reflect")
        self.norm = nn.InstanceNorm2d(width // 2)
        self.blocks = nn.Sequential(*(PlainResidualBlock(width) for _ in range(blocks)))
        self.output = nn.Conv2d(width, 48, 3, padding=1, padding_mode="reflect")
        if skip:  # start close to the identity
            nn.init.normal_(self.output.weight, 0.0, 0.002)

    def forward(self, x: Tensor) -> Tensor:
        """N x 3 x H x W in [-1, 1] to the same; H and W multiples of 4, at least 8."""
        seen = self.input(F.pixel_unshuffle(x, 4))
        made = F.pixel_shuffle(self.output(self.blocks(torch.cat([seen, self.norm(seen)], dim=1))), 4)
        if self.smooth_colors:
            gray = made.mean(1, keepdim=True)
            made = gray + _block_means(made - gray)
        if self.remove_grid:
            fine = F.pixel_unshuffle(made - _block_means(made), 4)  # without ramps, which would become steps
            made = made - F.pixel_shuffle(_window_means(fine, _GRID_WINDOW), 4)
        return _added(x, made) if self.skip else made.tanh()


class HalfSizeGenerator(Generator):
    """Under-painting to painting, at half and at a quarter of the size, with resize-convolutions.

    Like :class:`SubpixelGenerator` it has one instance norm, plain residual blocks at a quarter of the size and adds a
    change to its input. But its output is enlarged by resizing, and only 2 x 2 pixels are put into channels on the way
    in: no pattern can repeat from block to block (Odena et al., 2016).

    Args:
        width: channels at a quarter of the size, a multiple of 4; half as many at half the size.
        blocks: number of residual blocks.
    """

    thread_safe = True
    stride = 4
    minimum_size = 8  # reflection pads 1 at a quarter

    def __init__(self, width: int = 64, blocks: int = 6) -> None:
        super().__init__()
        half = width // 2

        def conv(channels: int, wider: int, stride: int = 1) -> nn.Conv2d:
            return nn.Conv2d(channels, wider, 3, stride=stride, padding=1, padding_mode="reflect")

        # Two 3x3 convolutions per block at a quarter of the size; 15 pixels by the convolutions and resizings at both
        # ends.
        self.reach = 8 * blocks + 15
        self.memory_per_pixel = 4 * width
        self.input = conv(12, half)
        self.down = conv(half, half, stride=2)
        self.norm = nn.InstanceNorm2d(half)
        self.blocks = nn.Sequential(*(PlainResidualBlock(width) for _ in range(blocks)))
        self.up = conv(width, half)
        self.join = conv(width, half // 2)
        self.output = conv(half // 2, 3)
        for layer in (self.input, self.down, self.up, self.join):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        nn.init.normal_(self.output.weight, 0.0, 0.002)  # start close to the identity
        assert self.output.bias is not None
        nn.init.zeros_(self.output.bias)
        self.to(memory_format=torch.channels_last)  # a fifth faster on a CPU

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Load weights, and arrange them as new ones are: those that are assigned have their file's order."""
        keys = super().load_state_dict(state_dict, strict, assign)
        self.to(memory_format=torch.channels_last)
        return keys

    def forward(self, x: Tensor) -> Tensor:
        """N x 3 x H x W in [-1, 1] to the same; H and W multiples of 4, at least 8."""
        large = F.relu(self.input(F.pixel_unshuffle(x, 2)))
        seen = self.down(large)
        small = self.blocks(torch.cat([seen, self.norm(seen)], dim=1))
        grown = F.relu(self.up(_doubled(small)))
        fine = F.relu(self.join(torch.cat([grown, large], dim=1)))
        return _added(x, self.output(_doubled(fine)))


def _doubled(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)


class InstanceNorm(nn.Module):
    """Instance norm with a learned scale and offset, which also accepts maps of a single value (normalized to 0)."""

    def __init__(self, channels: int, epsilon: float = 1e-5) -> None:
        super().__init__()
        self.epsilon = epsilon
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """N x C x H x W to the same."""
        normalized = F.layer_norm(x, x.shape[2:], eps=self.epsilon)
        return normalized * self.weight[:, None, None] + self.bias[:, None, None]


class UNetGenerator(Generator):
    """Photo to painting through eight downsampling and eight upsampling layers with skip connections.

    TensorFlow's tutorial trains it at 256 px, where the innermost map is a single pixel.

    Args:
        width: channels after the first downsampling; they double up to eight times as many.
        epsilon: added to the variance in the norms.
    """

    thread_safe = True
    stride = 256
    minimum_size = 256

    def __init__(self, width: int = 64, epsilon: float = 1e-5) -> None:
        super().__init__()
        widths = [width * min(2**level, 8) for level in range(8)]

        def down(channels: int, wider: int, *, normalize: bool) -> nn.Module:
            norm = [InstanceNorm(wider, epsilon)] if normalize else []
            conv = nn.Conv2d(channels, wider, 4, stride=2, padding=1, bias=False)
            return nn.Sequential(conv, *norm, nn.LeakyReLU(0.3, inplace=True))

        def up(channels: int, narrower: int, *, dropout: bool) -> nn.Module:
            conv = nn.ConvTranspose2d(channels, narrower, 4, stride=2, padding=1, bias=False)
            drop = [nn.Dropout(0.5)] if dropout else []
            return nn.Sequential(conv, InstanceNorm(narrower, epsilon), *drop, nn.ReLU(inplace=True))

        self.memory_per_pixel = 7 * width  # measured in the same way
        # The modules and their parameters have the same order as the tutorial's in Keras.
        self.down = nn.ModuleList(
            down(channels, wider, normalize=level > 0)
            for level, (channels, wider) in enumerate(zip([3, *widths[:-1]], widths, strict=True))
        )
        self.up = nn.ModuleList(
            up(widths[-1] if level == 0 else 2 * widths[-1 - level], narrower, dropout=level < 3)
            for level, narrower in enumerate(reversed(widths[:-1]))
        )
        self.output = nn.ConvTranspose2d(2 * width, 3, 4, stride=2, padding=1)
        self.apply(_initialize)

    def forward(self, x: Tensor) -> Tensor:
        """N x 3 x H x W in [-1, 1] to the same; H and W multiples of 256."""
        seen = []
        for down in self.down:
            x = down(x)
            seen.append(x)
        x = seen.pop()
        for up in self.up:
            x = torch.cat([up(x), seen.pop()], dim=1)
        return torch.tanh(self.output(x))


class PatchDiscriminator(Discriminator):
    """PatchGAN (Isola et al., 2017): one logit for each overlapping patch, 70x70 pixels with three layers.

    Args:
        width: channels of the first layer.
        layers: number of stride-2 convolutions; two more with stride 1 follow.
        shrink: the pictures are first downsampled by this factor (a larger, coarser receptive field).
    """

    def __init__(self, width: int = 64, layers: int = 3, shrink: int = 1) -> None:
        super().__init__()
        self.shrink = shrink
        self.minimum_size = 3 * 2**layers * shrink  # 3 x 3 must remain: the last two layers take 1 each
        parts: list[nn.Module] = [
            nn.Conv2d(3, width, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2, inplace=True),
        ]
        channels = width
        for layer in range(1, layers + 1):
            wider = width * min(2**layer, 8)
            stride = 2 if layer < layers else 1
            parts += [
                nn.Conv2d(channels, wider, 4, stride=stride, padding=1),
                nn.InstanceNorm2d(wider),
                nn.LeakyReLU(0.2, inplace=True),
            ]
            channels = wider
        parts.append(nn.Conv2d(channels, 1, 4, padding=1))
        self.model = nn.Sequential(*parts)
        self.apply(_initialize)

    def judge(self, observed: Sequence[Tensor]) -> Sequence[Tensor]:
        """Pictures N x 3 x H x W to one N x 1 x h x w logit map."""
        (pictures,) = observed
        if self.shrink > 1:
            pictures = F.avg_pool2d(pictures, self.shrink)
        return (self.model(pictures),)


class ProjectedDiscriminator(Discriminator):
    """Small heads on frozen VGG-19 features, and PatchGANs on pixels (after Sauer et al., 2021, arXiv:2111.01007).

    Pretrained features distinguish strokes from photographs from the first step; the pixel parts see what the
    features miss: the finest grain at full size, the colors at a quarter of it.
    """

    layers = ("conv2_2", "conv3_1", "conv4_1")

    def __init__(self, features: VGG19, width: int = 64) -> None:
        super().__init__()
        self.features = features
        self.style_layers = STYLE_LAYERS if {*STYLE_LAYERS} <= {*features.layers} else ()
        channels = dict(zip(features.layers, features.channels, strict=True))
        self.heads = nn.ModuleList(
            nn.Sequential(
                spectral_norm(nn.Conv2d(channels[layer], width, 1)),
                nn.LeakyReLU(0.2, inplace=True),
                spectral_norm(nn.Conv2d(width, width, 3, padding=1)),
                nn.LeakyReLU(0.2, inplace=True),
                spectral_norm(nn.Conv2d(width, 1, 1)),
            )
            for layer in self.layers
        )
        pixels = [PatchDiscriminator(width // 2, layers=2), PatchDiscriminator(width // 2, layers=1, shrink=4)]
        self.pixels = nn.ModuleList(pixels)
        self.minimum_size = max(part.minimum_size for part in pixels)

    def observe(self, pictures: Tensor) -> Sequence[Tensor]:
        """Pictures N x 3 x H x W to themselves, their layer-normalized VGG-19 features and their moments.

        The features are N x C x h x w each. Moments (:func:`artgan_cyclegan.style.moments`) are computed for the style
        layers if the network has them all.
        """
        seen = dict(zip(self.features.layers, self.features(pictures), strict=True))
        normalized = [_layer_norm(seen[layer]) for layer in self.layers]
        return (pictures, *normalized, *chain.from_iterable(moments(seen[layer]) for layer in self.style_layers))

    def content(self, pictures: Tensor) -> Tensor:
        """Only the deepest of the features of :meth:`observe`."""
        return _layer_norm(self.features(pictures)[-1])

    def judge(self, observed: Sequence[Tensor]) -> Sequence[Tensor]:
        """One N x 1 x h x w logit map for each feature layer and each pixel part."""
        pictures, *features = observed[: 1 + len(self.layers)]
        logits = [head(f) for head, f in zip(self.heads, features, strict=True)]
        for part in self.pixels:
            logits.extend(part(pictures))
        return logits


def _layer_norm(features: Tensor) -> Tensor:
    """N x C x H x W with mean 0 and variance 1 over the channels of each position."""
    return F.layer_norm(features.movedim(1, -1), features.shape[1:2]).movedim(-1, 1)


def _block_means(x: Tensor) -> Tensor:
    """N x C x H x W to the same: means of 5 x 5 pixels with the outer ones halved: like 4 x 4, but centered.

    They contain nothing with a period of 4 (or 2) pixels.
    """
    padded = F.pad(x, (2, 2, 2, 2), mode="reflect")
    return _sums(_sums(padded, 4), 2) / 64


def _window_means(x: Tensor, length: int) -> Tensor:
    """N x C x H x W to the same: means of ``length`` x ``length`` pixels (odd), truncated at the borders."""
    half = length // 2
    total, there = (_sums(F.pad(y, (half,) * 4), length) for y in (x, torch.ones_like(x[:1, :1])))
    return total / there


def _sums(x: Tensor, length: int) -> Tensor:
    """Sums of ``length`` x ``length`` pixels; H and W shrink by ``length`` - 1; much faster than pooling."""

    def along(dim: int, x: Tensor, length: int) -> Tensor:
        if length == 1:
            return x
        half = length // 2
        halves = along(dim, x, half)
        fit = x.shape[dim] - 2 * half + 1
        both = halves.narrow(dim, 0, fit) + halves.narrow(dim, half, fit)
        return both.narrow(dim, 0, fit - 1) + x.narrow(dim, length - 1, fit - 1) if length % 2 else both

    return along(3, along(2, x, length), length)


def _added(x: Tensor, made: Tensor) -> Tensor:
    """The input plus a change, clamped to [-1, 1]."""
    return _clamped(x + made)


def _clamped(painting: Tensor) -> Tensor:
    clamped = painting.clamp(-1.0, 1.0)
    # Straight-through estimator: clamped pixels must still get a gradient.
    return painting + (clamped - painting).detach() if torch.is_grad_enabled() else clamped


def _initialize(module: nn.Module) -> None:
    """The paper's: weights from N(0, 0.02), biases 0."""
    if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
        nn.init.normal_(module.weight, 0.0, 0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def build_generator(
    config: CycleGANConfig,
) -> ResNetGenerator | SubpixelGenerator | HalfSizeGenerator | UNetGenerator | FastStyleGenerator:
    """One generator, newly initialized."""
    if config.architecture == "fast-style":
        return FastStyleGenerator(config.width, config.blocks)
    if config.architecture == "half":
        return HalfSizeGenerator(config.width, config.blocks)
    if config.architecture == "unet":
        return UNetGenerator(config.width, config.epsilon)
    if config.architecture == "subpixel":
        return SubpixelGenerator(config.width, config.blocks, config.skip, config.smooth_colors, config.remove_grid)
    return ResNetGenerator(config.width, config.blocks, config.upsample, config.skip, config.downsample, config.norm)


def build(config: CycleGANConfig) -> Networks:
    """New generators and discriminators of both directions, or only of paintings if there is no cycle loss.

    Raises:
        artgan.WeightsError: the projected discriminator's VGG-19 weights cannot be read or downloaded.
    """

    features = None
    if config.discriminator == "projected":
        layers = {*ProjectedDiscriminator.layers, *(STYLE_LAYERS if config.lambda_style else ())}
        features = load_vgg19([*layers], config.vgg19)

    def discriminator() -> Discriminator:
        if features is None:
            return PatchDiscriminator(config.discriminator_width)
        return ProjectedDiscriminator(features, config.discriminator_width)

    domains = ("paintings", "photos") if config.lambda_cycle else ("paintings",)
    return Networks(
        generators={domain: build_generator(config) for domain in domains},
        discriminators={domain: discriminator() for domain in domains},
    )
