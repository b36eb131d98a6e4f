"""The networks: an encoder, style picture to code; and a painter, photo and code to painting.

As in AdaIN (Huang and Belongie, 2017), the photo loses its own means and deviations and gets the style's: those of its
colors at the entrance, and in place of features' the style scales and shifts every convolution's output (FiLM: Perez et
al., 2018). A single norm, of the photo's pixels, makes exact tiles cheap. The picture is enlarged by
resize-convolutions, so that no grid can repeat (Odena et al., 2016).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PERIOD = 256
"""The noise repeats after so many values at a quarter of the size, that is after 1,024 pixels."""

Styles: TypeAlias = "Sequence[tuple[Tensor, Tensor | None]]"
"""Codes of styles, N x D or 1 x D each, and where each applies: N x 1 x H x W shares that sum to 1, of the size of the
features that they change; None: all over."""

_OF_COLORS = 9  # numbers of a code that describe the distribution of colors

# Not a tensor: a plugin's modules may be imported where new tensors have no data.
_OPPONENT = ((3**-0.5,) * 3, (2**-0.5, -(2**-0.5), 0.0), (6**-0.5, 6**-0.5, -2 * 6**-0.5))

_LEAST = 32  # pixels that each side of a style picture has at least; smaller ones are enlarged


def conv(channels: int, wider: int, stride: int = 1) -> nn.Conv2d:
    """A 3x3 convolution that mirrors the picture at its edges."""
    layer = nn.Conv2d(channels, wider, 3, stride=stride, padding=1, padding_mode="reflect")
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    return layer


class StyleEncoder(nn.Module):
    """Style pictures to codes: moments of features of several depths, mixed by two dense layers.

    Moments forget where things are, and any number of them can be averaged: a picture of any size has a code, and the
    mean of several codes is a blend of their styles.

    Args:
        width: channels of the first layer.
        size: length D of a code.
    """

    def __init__(self, width: int, size: int) -> None:
        super().__init__()
        widths = [width, 2 * width, 3 * width, 4 * width]
        pairs = zip([3, *widths], widths, strict=False)
        self.stages = nn.ModuleList(
            nn.Sequential(conv(before, after), nn.ReLU(), conv(after, after, 2), nn.ReLU()) for before, after in pairs
        )
        moments = 2 * sum(widths)
        mixing = (nn.Linear(moments, 2 * size), nn.ReLU(), nn.Linear(2 * size, size - _OF_COLORS))
        self.dense = nn.Sequential(nn.LayerNorm(moments), *mixing)

    def forward(self, pictures: Tensor, weights: Tensor | None = None) -> Tensor:
        """Codes of styles, N x D: means, deviations and covariances of opponent colors, and what is learned.

        What is learned has mean 0 and variance 1.

        Args:
            pictures: N x 3 x H x W in [-1, 1], sides at least 32.
            weights: N x 1 x H x W, how much each pixel counts; all the same by default.
        """
        colors = opponent(pictures)
        of_colors = [*moments(colors, weights), _covariances(colors, weights)]
        found: list[Tensor] = []
        x = pictures
        for stage in self.stages:
            x = stage(x)
            found += moments(x, weights)
        code: Tensor = self.dense(torch.cat(found, dim=1))
        return torch.cat([*of_colors, F.layer_norm(code.to(of_colors[0].dtype), code.shape[1:])], dim=1)


def large_enough(picture: Tensor) -> Tensor:
    """N x C x H x W, enlarged if a side is too small for the encoder."""
    height, width = picture.shape[2:]
    if min(height, width) >= _LEAST:
        return picture
    return F.interpolate(picture, (max(height, _LEAST), max(width, _LEAST)), mode="bilinear", align_corners=False)


def moments(x: Tensor, weights: Tensor | None = None) -> list[Tensor]:
    """Means and deviations of the channels of N x C x H x W, N x C each, in float32 at least.

    Args:
        x: features or colors.
        weights: N x 1 x H' x W', how much each pixel counts; all the same by default.
    """
    x = x if x.dtype == torch.float64 else x.float()
    if weights is None:
        variance, mean = torch.var_mean(x, dim=(2, 3), correction=0)
        return [mean, (variance + 1e-5).sqrt()]
    share = _share(x, weights)
    mean = (x * share).sum((2, 3))
    variance = ((x - mean[:, :, None, None]).square() * share).sum((2, 3))
    return [mean, (variance + 1e-5).sqrt()]


def opponent(pictures: Tensor) -> Tensor:
    """N x 3 x H x W in red, green and blue to lightness, red against green, and yellow against blue.

    These are less correlated than red, green and blue. The matrix is orthonormal.
    """
    return F.conv2d(pictures, pictures.new_tensor(_OPPONENT)[:, :, None, None])


def _from_opponent(colors: Tensor) -> Tensor:
    return F.conv2d(colors, colors.new_tensor(_OPPONENT).T[:, :, None, None])


def _covariances(colors: Tensor, weights: Tensor | None) -> Tensor:
    """The covariances of the first and second, second and third, third and first of three channels, N x 3."""
    x = colors if colors.dtype == torch.float64 else colors.float()
    share = _share(x, weights)
    x = x - (x * share).sum((2, 3), keepdim=True)
    return (x * x.roll(-1, 1) * share).sum((2, 3))


def _share(x: Tensor, weights: Tensor | None) -> Tensor:
    if weights is None:
        return x.new_full((1, 1, 1, 1), 1 / (x.shape[2] * x.shape[3]))
    small = F.interpolate(weights.float(), x.shape[2:], mode="area") + 1e-6
    return small / small.sum((2, 3), keepdim=True)


class Modulation(nn.Module):
    """Scales and shifts channels as a style says: x (1 + g) + b, where g and b depend linearly on its code.

    Args:
        code: D.
        channels: C.
    """

    def __init__(self, code: int, channels: int) -> None:
        super().__init__()
        self.dense = nn.Linear(code, 2 * channels)
        nn.init.normal_(self.dense.weight, 0.0, 0.5 / code**0.5)
        nn.init.zeros_(self.dense.bias)

    def forward(self, x: Tensor, styles: Styles) -> Tensor:
        """N x C x H x W to the same."""
        scale, shift = _blended(self.dense, styles).chunk(2, dim=1)
        return torch.addcmul(shift, x, 1 + scale)


def _blended(of_code: Callable[[Tensor], Tensor], styles: Styles) -> Tensor:
    """What a function of codes, N x D to N x C, gives for styles, each where it applies: N x C x H x W, or x 1 x 1."""
    parts = []
    for code, where in styles:
        part = of_code(code)[:, :, None, None]
        parts.append(part if where is None else part * where)
    return sum(parts[1:], start=parts[0])


def _reduced(styles: Styles, by: int) -> Styles:
    """Styles whose masks are averaged down to features of H/by x W/by."""
    return [(code, None if where is None else F.avg_pool2d(where, by)) for code, where in styles]


class StyledBlock(nn.Module):
    """A residual block of two 3x3 convolutions whose outputs are modulated.

    Args:
        width: channels.
        code: length of a style's code.
    """

    def __init__(self, width: int, code: int) -> None:
        super().__init__()
        self.first, self.second = conv(width, width), conv(width, width)
        self.styled_first, self.styled_second = Modulation(code, width), Modulation(code, width)
        nn.init.zeros_(self.second.weight)  # the block begins as the identity

    def forward(self, x: Tensor, styles: Styles) -> Tensor:
        """N x C x H x W to the same."""
        inside = _active(self.styled_first(self.first(x), styles))
        change: Tensor = self.styled_second(self.second(inside), styles)
        return x + change


class Grain(nn.Module):
    """Adds noise, as strong in each channel as the style says (after Karras et al., 2019).

    Args:
        code: D.
        channels: C.
    """

    def __init__(self, code: int, channels: int) -> None:
        super().__init__()
        self.dense = nn.Linear(code, channels)
        nn.init.normal_(self.dense.weight, 0.0, 0.1 / code**0.5)
        nn.init.constant_(self.dense.bias, 0.1)

    def forward(self, x: Tensor, noise: Tensor, styles: Styles) -> Tensor:
        """N x C x H x W with N x 1 x H x W noise to the same."""
        return torch.addcmul(x, _blended(self.dense, styles), noise)


class Painter(nn.Module):
    """Photos and codes of styles to paintings.

    The network adds a change to the photo in the style's colors. That photo is blurred a little, so that its finest
    detail does not show beneath the painting.

    Args:
        width: channels at a quarter of the size; half as many at half of it, a quarter as many at full size.
        blocks: number of residual blocks.
        code: length D of a code.
    """

    def __init__(self, width: int, blocks: int, code: int) -> None:
        super().__init__()
        half, quarter = width // 2, width // 4
        self.reach = 8 * blocks + 24
        self.norm = nn.InstanceNorm2d(3)
        self.input = conv(12, half)
        self.down = conv(half, width, stride=2)
        self.styled = Modulation(code, width)
        self.styled_large = Modulation(code, half)
        self.grain = Grain(code, width)
        self.blocks = nn.ModuleList(StyledBlock(width, code) for _ in range(blocks))
        self.up = conv(width, half)
        self.styled_up = Modulation(code, half)
        self.grain_up = Grain(code, half)
        self.join = conv(2 * half, half)
        self.styled_join = Modulation(code, half)
        self.fine = conv(half, quarter)
        self.styled_fine = Modulation(code, quarter)
        self.output = conv(quarter, 3)
        nn.init.normal_(self.output.weight, 0.0, 0.02)  # begins close to the photo in the style's colors

    def forward(self, x: Tensor, styles: Styles, noise: tuple[Tensor, Tensor]) -> Tensor:
        """N x 3 x H x W in [-1, 1] to the same; H and W multiples of 4.

        Args:
            x: photos.
            styles: codes, and where each applies.
            noise: N x 1 x H/4 x W/4 and N x 1 x H/2 x W/2, of mean 0 and variance 1.
        """
        at_half, at_quarter = _reduced(styles, 2), _reduced(styles, 4)
        plain = self.norm(opponent(x))
        large = _active(self.input(F.pixel_unshuffle(plain, 2)))
        small = self.styled(self.down(large), at_quarter)
        small = _active(self.grain(small, noise[0], at_quarter))
        for block in self.blocks:
            small = block(small, at_quarter)
        grown = self.styled_up(self.up(_doubled(small)), at_half)
        grown = _active(self.grain_up(grown, noise[1], at_half))
        seen = _active(self.styled_large(large, at_half))
        joined = _active(self.styled_join(self.join(torch.cat([grown, seen], dim=1)), at_half))
        fine = _active(self.styled_fine(self.fine(_doubled(joined)), styles))
        painted: Tensor = in_colors_of(_doubled(F.avg_pool2d(plain, 2)), styles) + self.output(fine)
        bounded = painted.clamp(-1, 1)
        if not self.training:
            return bounded
        return painted + (bounded - painted).detach()  # the same, but with a gradient everywhere


def in_colors_of(plain: Tensor, styles: Styles) -> Tensor:
    """N x 3 x H x W opponent colors of mean 0 and deviation 1 to pictures with the means and deviations of styles."""
    distributions = _blended(lambda code: code[:, : 2 * plain.shape[1]].to(plain.dtype), styles)
    mean, deviation = distributions.chunk(2, dim=1)
    return _from_opponent(torch.addcmul(mean, plain, deviation))


def _active(x: Tensor) -> Tensor:
    """A leaky ReLU: with ReLUs, the last layers tended to die in the first steps, and the photo stayed as it was."""
    return F.leaky_relu(x, 0.2)


def _doubled(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
