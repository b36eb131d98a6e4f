"""Frozen feature networks from timm: what metrics measure with and what projected discriminators look through."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from artgan.errors import WeightsError

# Convolutions of VGG-19 (Simonyan and Zisserman, 2015) and their index in timm's `features`; ReLU follows each.
_BLOCKS = (2, 2, 4, 4, 4)
_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)


def _vgg19_indices() -> dict[str, int]:
    indices, position = {}, 0
    for block, count in enumerate(_BLOCKS, start=1):
        for convolution in range(1, count + 1):
            indices[f"conv{block}_{convolution}"] = position
            position += 2
        position += 1  # the pooling between blocks
    return indices


_VGG19 = _vgg19_indices()


class VGG19(nn.Module):
    """VGG-19's features after the ReLU of chosen convolutions, frozen.

    Attributes:
        layers: the names asked for, in the network's order ("conv1_1" ... "conv5_4").
        channels: how many channels each has.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, convolutions: nn.Sequential, layers: Sequence[str]) -> None:
        super().__init__()
        self.layers = tuple(sorted(layers, key=_VGG19.__getitem__))
        self.taps = [_VGG19[layer] + 1 for layer in self.layers]
        self.convolutions = convolutions
        self.channels = tuple(convolutions[tap - 1].out_channels for tap in self.taps)
        self.register_buffer("mean", torch.tensor(_IMAGENET_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(_IMAGENET_STD).view(1, 3, 1, 1), persistent=False)
        self.requires_grad_(False)

    def forward(self, pictures: Tensor) -> list[Tensor]:
        """Pictures N x 3 x H x W in [-1, 1], sides at least 16, to N x C x h x w features, one a layer."""
        x = ((pictures + 1) / 2 - self.mean) / self.std
        features = []
        for index, layer in enumerate(self.convolutions):
            # timm's ReLUs work in place, which would overwrite what a tap before them holds.
            x = F.relu(x) if isinstance(layer, nn.ReLU) else layer(x)
            if index in self.taps:
                features.append(x)
        return features


def load_vgg19(layers: Sequence[str], weights: str | Path | None = None) -> VGG19:
    """VGG-19 cut after the last of ``layers``, with ImageNet weights.

    Args:
        layers: "conv1_1" ... "conv5_4"; the features after their ReLUs.
        weights: a safetensors file with timm's key names (``features.N.weight``); by default timm fetches
            ``vgg19.tv_in1k`` from the Hub.

    Raises:
        ValueError: a layer that VGG-19 does not have.
        WeightsError: the file cannot be read or lacks a layer, or the Hub cannot be reached.
    """
    unknown = [layer for layer in layers if layer not in _VGG19]
    if unknown or not layers:
        raise ValueError(f"VGG-19 has the layers {', '.join(_VGG19)}, not {', '.join(unknown) or 'none'}")
    import timm

    depth = max(_VGG19[layer] for layer in layers) + 2
    with torch.device("meta"):  # most of the network is cut off: never allocate it
        convolutions = timm.create_model("vgg19").features[:depth]
    state = _vgg19_state(weights)
    needed = list(convolutions.state_dict())
    missing = [key for key in needed if key not in state]
    if missing:
        raise WeightsError(f"{weights}: lacks VGG-19's features.{missing[0]}, needed for {', '.join(layers)}")
    try:
        convolutions.load_state_dict({key: state[key].float() for key in needed}, assign=True)
    except RuntimeError as error:
        raise WeightsError(f"{weights}: not VGG-19's weights: {str(error).splitlines()[-1].strip()}") from None
    return VGG19(convolutions, layers).eval()


def _vgg19_state(weights: str | Path | None) -> dict[str, Tensor]:
    """Weights by their key below ``features``."""
    if weights is None:
        import timm

        try:
            state = timm.create_model("vgg19.tv_in1k", pretrained=True).state_dict()
        except Exception as error:  # whatever the Hub client, its transport or the system raises
            raise WeightsError(
                "cannot fetch VGG-19's weights (vgg19.tv_in1k) from the Hub "
                f"({type(error).__name__}); give a safetensors file with them instead"
            ) from error
    else:
        try:
            state = load_file(weights)
        except (OSError, SafetensorError) as error:
            raise WeightsError(f"{weights}: cannot read VGG-19's weights as safetensors ({error})") from None
    return {key.removeprefix("features."): value for key, value in state.items()}
