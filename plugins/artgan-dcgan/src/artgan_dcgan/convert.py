"""Converts generators of PyTorch's DCGAN tutorial, which are recognized by their weights' names and shapes."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from artgan.plugin import WeightsError
from artgan.toolkit import Converted

_WEIGHT = re.compile(r"(\d+)\.weight")
_NORM_PARTS = ("weight", "bias", "running_mean", "running_var")
_SIDES = {4: 32, 5: 64, 6: 128}  # of the pictures, by the number of convolutions


def convert(state: Mapping[str, Tensor]) -> Converted | None:
    """Numbered layers (``0.weight`` ...): transposed 4x4 convolutions, with a batch norm behind all but the last.

    The tutorial's discriminator has the same names; its convolutions end in a single channel.

    Raises:
        WeightsError: the weights are a discriminator's, or of a generator for pictures of another size or kind.
    """
    convolutions = sorted(
        int(match[1]) for name, value in state.items() if value.ndim == 4 and (match := _WEIGHT.fullmatch(name))
    )
    kernels = [state[f"{number}.weight"] for number in convolutions]
    if len(kernels) < 3 or any(kernel.shape[2:] != (4, 4) for kernel in kernels):
        return None
    if kernels[-1].shape[0] == 1 and convolutions[:2] == [0, 2]:
        raise WeightsError("looks like a discriminator of DCGAN; convert the generator's weights")
    if convolutions != [3 * index for index in range(len(kernels))]:
        return None
    if any(f"{number + 1}.{part}" not in state for number in convolutions[:-1] for part in _NORM_PARTS):
        return None
    if len(kernels) not in _SIDES:
        side = 2 ** (len(kernels) + 1)
        raise WeightsError(f"looks like dcgan, for pictures of {side} px; artgan's makes 32, 64 or 128 px")
    last, channels = convolutions[-1], kernels[-1].shape[1]
    if channels not in (1, 3):
        raise WeightsError(f"looks like dcgan, for pictures of {channels} channels; artgan's have 3")
    ours = {f"{number}.weight": kernel for number, kernel in zip(convolutions, kernels, strict=True)}
    for number in convolutions[:-1]:
        norm = {part: state[f"{number + 1}.{part}"] for part in _NORM_PARTS}
        if f"{number}.bias" in state:  # ours have none: the norm subtracts the mean
            norm["running_mean"] = norm["running_mean"] - state[f"{number}.bias"]
        ours |= {f"{number + 1}.{part}": value for part, value in norm.items()}
        ours[f"{number + 1}.num_batches_tracked"] = torch.tensor(0)  # of no use in evaluation
    bias = state.get(f"{last}.bias", torch.zeros(channels))
    ours |= {
        f"{last}.weight": kernels[-1].repeat(1, 3 // channels, 1, 1),  # gray pictures have three equal channels
        f"{last}.bias": bias.repeat(3 // channels),
    }
    config = {
        "size": _SIDES[len(kernels)],
        "width": kernels[-1].shape[0],
        "noise": "normal(0,1)",
        "noise_size": kernels[0].shape[0],
    }
    return Converted("dcgan", config, {f"model.{name}": value for name, value in ours.items()})
