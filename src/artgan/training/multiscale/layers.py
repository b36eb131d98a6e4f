"""Layers of Progressive growing of GANs (Karras et al., 2018, sections 3 and 4)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import register_parametrization

_SMALL = 1e-8  # the paper's epsilon; less than float16 can hold, hence float32 below


class PixelNorm(nn.Module):
    """Divide each feature vector by its root mean square over the channels (section 4.2): N x C x ... to the same."""

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        wide = _wide(x)
        return (wide * (wide.square().mean(1, keepdim=True) + _SMALL).rsqrt()).to(x.dtype)


class MinibatchDeviation(nn.Module):
    """Append a channel with the batch's mean standard deviation (section 3): N x C x H x W to N x (C + 1) x H x W.

    The standard deviation over the batch, of each channel at each pixel, is averaged to one number. In evaluation
    mode, where rows must not depend on each other, the running mean of that number takes its place.

    Args:
        momentum: weight of the newest batch in the running mean.

    Attributes:
        mean: the running mean, a scalar buffer.
    """

    mean: Tensor

    def __init__(self, momentum: float = 0.1) -> None:
        super().__init__()
        self.momentum = momentum
        self.register_buffer("mean", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        deviation = self.mean
        if self.training:
            wide = _wide(x)
            deviation = ((wide - wide.mean(0)).square().mean(0) + _SMALL).sqrt().mean()
            with torch.no_grad():
                self.mean.lerp_(deviation.to(self.mean.dtype), self.momentum)
        return torch.cat([x, deviation.to(x.dtype).expand(len(x), 1, *x.shape[2:])], 1)


class HeScale(nn.Module):
    """Multiply a weight by He's constant, which is its initial standard deviation elsewhere (section 4.1)."""

    def __init__(self, constant: float) -> None:
        super().__init__()
        self.constant = constant

    def forward(self, weight: Tensor) -> Tensor:
        """See the class."""
        return weight * self.constant


def equalize(module: nn.Module, gain: float = math.sqrt(2)) -> None:
    """Equalize the learning rates of all convolutions and linear layers (section 4.1), in place.

    Their weights are drawn from N(0, 1), and multiplied whenever they are used by He's constant, ``gain`` divided by
    the square root of the number of inputs that one output sums up. Adam then moves all weights at one relative speed.
    Biases become 0. The constant is a parametrization of ``weight``: call this once for each layer.

    Args:
        module: its ``nn.Conv2d``, ``nn.ConvTranspose2d`` and ``nn.Linear`` layers are changed, at any depth.
        gain: what the activation after a layer asks for: sqrt(2) for ReLUs, 1 where none follows.
    """
    for part in list(module.modules()):
        if isinstance(part, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
            nn.init.normal_(part.weight)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
            register_parametrization(part, "weight", HeScale(gain / math.sqrt(_fan_in(part))), unsafe=True)


def _fan_in(layer: nn.Conv2d | nn.ConvTranspose2d | nn.Linear) -> float:
    """How many inputs one output sums up; of a transposed convolution, inside of the picture."""
    if isinstance(layer, nn.ConvTranspose2d):
        return layer.in_channels / layer.groups * math.prod(layer.kernel_size) / math.prod(layer.stride)
    return layer.weight[0].numel()


def _wide(x: Tensor) -> Tensor:
    """The tensor in float32, or in float64 if it is."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
