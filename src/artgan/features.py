"""Frozen feature networks from timm, for metrics and for projected-feature discriminators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from artgan.errors import WeightsError, one_line
from artgan.hub import RemoteFile, fetch
from artgan.settings import network_file

# Convolutions per block of VGG-19 (Simonyan and Zisserman, 2015), each followed by a ReLU; VGG19_LAYERS maps them to
# their index in timm's `features`.
_BLOCKS = (2, 2, 4, 4, 4)
VGG19_NAME, DINOV2_NAME = "vgg19.tv_in1k", "vit_large_patch14_dinov2.lvd142m"  # in timm
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def _vgg19_indices() -> dict[str, int]:
    indices, position = {}, 0
    for block, count in enumerate(_BLOCKS, start=1):
        for convolution in range(1, count + 1):
            indices[f"conv{block}_{convolution}"] = position
            position += 2
        position += 1  # the pooling between blocks
    return indices


VGG19_LAYERS = _vgg19_indices()


class VGG19(nn.Module):
    """VGG-19's features after the ReLU of chosen convolutions, frozen.

    Its weights are not part of its state dict: they come from their own file, not from a checkpoint.

    Args:
        state: weights and biases by timm's key below ``features`` ("0.weight", "0.bias", "2.weight" ...).
        layers: "conv1_1" ... "conv5_4"; the network ends after the last of them.

    Attributes:
        layers: in network order.
        channels: number of channels of each layer.
        source: a description of where the weights come from, if known.

    Raises:
        KeyError: a layer that VGG-19 does not have, or whose weights are not in ``state``.
    """

    source: str | None = None
    mean: Tensor
    std: Tensor

    def __init__(self, state: Mapping[str, Tensor], layers: Sequence[str]) -> None:
        super().__init__()
        self.layers = tuple(sorted(layers, key=VGG19_LAYERS.__getitem__))
        self.channels = tuple(len(state[f"{VGG19_LAYERS[layer]}.bias"]) for layer in self.layers)
        last = VGG19_LAYERS[self.layers[-1]]
        self._run = {layer: index for layer, index in VGG19_LAYERS.items() if index <= last}
        buffers = {
            f"{kind}{i}": state[f"{i}.{kind}"].float() for i in self._run.values() for kind in ("weight", "bias")
        }
        buffers["mean"] = torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1)
        buffers["std"] = torch.tensor(IMAGENET_STD).view(1, 3, 1, 1)
        for name, value in buffers.items():
            self.register_buffer(name, value, persistent=False)

    def forward(self, pictures: Tensor) -> list[Tensor]:
        """Map N x 3 x H x W pictures in [-1, 1], sides at least 16, to N x C x h x w features, one tensor per layer."""
        x = ((pictures + 1) / 2 - self.mean) / self.std
        features = []
        for layer, index in self._run.items():
            if index and layer.endswith("_1"):  # every block but the first begins with pooling
                x = F.max_pool2d(x, 2)
            x = F.relu(F.conv2d(x, getattr(self, f"weight{index}"), getattr(self, f"bias{index}"), padding=1))
            if layer in self.layers:
                features.append(x)
        return features


def load_vgg19(layers: Sequence[str], vgg19: str | Path | None = None) -> VGG19:
    """VGG-19 with ImageNet weights, truncated after the last of ``layers``.

    Args:
        layers: "conv1_1" ... "conv5_4"; the features after their ReLUs.
        vgg19: the file of weights; see :func:`weights_file`.

    Raises:
        ValueError: a layer that VGG-19 does not have.
        WeightsError: the file cannot be read, lacks a layer or is another network's; or the Hub cannot be reached.
        ConfigError: the user's settings name a file that does not exist.
    """
    unknown = [layer for layer in layers if layer not in VGG19_LAYERS]
    if unknown or not layers:
        raise ValueError(f"VGG-19 has the layers {', '.join(VGG19_LAYERS)}, not {', '.join(unknown) or 'none'}")
    file = weights_file(VGG19_NAME, vgg19)
    try:
        state = {key.removeprefix("features."): value for key, value in load_file(file).items()}
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"{file}: cannot read VGG-19's weights as safetensors ({one_line(error)})") from None
    channels = 3
    for layer, index in VGG19_LAYERS.items():
        wider = min(64 * 2 ** (int(layer[4]) - 1), 512)
        if index <= max(VGG19_LAYERS[name] for name in layers):
            for kind, shape in (("weight", (wider, channels, 3, 3)), ("bias", (wider,))):
                found = state.get(f"{index}.{kind}")
                if found is None or tuple(found.shape) != shape:
                    fault = "lacks" if found is None else f"has another shape ({tuple(found.shape)}) of"
                    raise WeightsError(f"{file}: {fault} features.{index}.{kind}, VGG-19's {layer}")
        channels = wider
    return VGG19(state, layers).eval()


_OPTIONS = {VGG19_NAME: "vgg19", DINOV2_NAME: "dinov2"}
"""The networks of timm whose file is an option of its own, and that option."""

_LIMIT = 8 * 2**30  # bytes of a file of weights


def weights_file(network: str, given: str | Path | None = None, *, option: str | None = None) -> Path:
    """The safetensors file, with timm's key names, of the weights of one of timm's networks.

    The first of these: ``given``; for VGG-19 and DINOv2 the user's settings (:func:`artgan.settings.network_file`); the
    Hub's file ``model.safetensors``, from the cache if it is there.

    Args:
        network: in timm, such as "vgg19.tv_in1k".
        given: a path, which is not checked.
        option: the command-line option that sets ``given``, for errors.

    Raises:
        WeightsError: the Hub has no such file, or cannot be reached.
        ConfigError: the user's settings cannot be used.
    """
    name = _OPTIONS.get(network)
    file = network_file(name, given) if name else given
    if file is not None:
        return Path(file)
    wanted = [RemoteFile("model.safetensors", _LIMIT)]
    repo_id = f"timm/{network}"
    try:
        with suppress(WeightsError):
            return fetch(repo_id, None, wanted, local_files_only=True) / wanted[0].path
        return fetch(repo_id, None, wanted, announce=False) / wanted[0].path
    except WeightsError as error:
        raise WeightsError(f"{error}, or give its {wanted[0].path}: --{option or name} FILE") from None
