"""VGG for tests: weights drawn from a seed, and the network written anew in plain functions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

CONVOLUTIONS = {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}
"""How many each block has (Simonyan and Zisserman, 2015, table 1, D and E)."""

CHANNELS = (64, 128, 256, 512, 512)


def layers(name: str) -> list[str]:
    """The names of all layers, in order: a layer's place is the number in timm's key."""
    return [
        layer
        for block, count in enumerate(CONVOLUTIONS[name], 1)
        for layer in (*(f"{kind}{block}_{i}" for i in range(1, count + 1) for kind in ("conv", "relu")), f"pool{block}")
    ]


def draw(name: str, last: str, *, seed: int = 0) -> dict[str, Tensor]:
    """Weights up to a layer by timm's keys; by He's variance, so that features neither vanish nor explode."""
    source = torch.Generator().manual_seed(seed)
    state, before = {}, 3
    for index, layer in enumerate(layers(name)):
        if layer.startswith("conv"):
            channels = CHANNELS[int(layer[4]) - 1]
            weight = torch.randn(channels, before, 3, 3, generator=source) * math.sqrt(2 / (9 * before))
            state[f"features.{index}.weight"] = weight
            state[f"features.{index}.bias"] = torch.randn(channels, generator=source) * 0.1
            before = channels
        if layer == last:
            break
    return state


def write(path: Path, name: str, last: str, *, seed: int = 0) -> Path:
    """A file of such weights."""
    save_file(draw(name, last, seed=seed), path)
    return path


def features(
    state: Mapping[str, Tensor], name: str, pictures: Tensor, wanted: Sequence[str], *, pooling: str = "max"
) -> dict[str, Tensor]:
    """The features of some layers, for pictures in [-1, 1], in the precision of the pictures."""
    # ImageNet's mean and deviation, rounded as float32 keeps them.
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    x = ((pictures + 1) / 2 - mean.to(pictures)) / std.to(pictures)
    found = {}
    for index, layer in enumerate(layers(name)):
        if layer.startswith("conv"):
            weight, bias = (state[f"features.{index}.{kind}"].to(pictures) for kind in ("weight", "bias"))
            x = F.conv2d(x, weight, bias, padding=1)
        elif layer.startswith("relu"):
            x = F.relu(x)
        else:
            x = F.avg_pool2d(x, 2) if pooling == "avg" else F.max_pool2d(x, 2)
        if layer in wanted:
            found[layer] = x
        if len(found) == len(set(wanted)):
            break
    return found
