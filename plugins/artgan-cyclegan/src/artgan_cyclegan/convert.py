"""Converts other projects' CycleGAN generators, which are recognized by their weights' names and shapes.

The ResNets are one network under several names, with its convolutions always in the same order. Their positions among
the numbered layers determine how the network downsamples and upsamples.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from artgan.plugin import WeightsError
from artgan.toolkit import Converted
from artgan_cyclegan.config import CycleGANConfig
from artgan_cyclegan.networks import BlurPool2d, BlurUpsample2d, build_generator

# A ResNet's convolution: its number; in a block, its number there; and MMGeneration's, which shares it with a norm.
_CONVOLUTION = re.compile(r"model\.(\d+)(?:\.((?:conv_)?block)\.(\d+))?(\.conv)?\.weight")
_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")

# The numbers of the first three convolutions and of the first block, and those of the last three convolutions after
# the last block, to the layout and the kinds of downsampling and upsampling.
_RESNETS = {
    ((1, 4, 7, 10), (1, 4, 8)): ("cyclegan", "strided", "transposed"),
    ((1, 4, 7, 10), (2, 6, 10)): ("pytorch-gan", "strided", "nearest"),
    ((1, 4, 8, 12), (2, 6, 10)): ("cut", "antialiased", "antialiased"),
    ((1, 4, 8, 12), (1, 4, 8)): ("cut", "antialiased", "transposed"),
    ((0, 1, 2, 3), (1, 2, 3)): ("mmgeneration", "strided", "transposed"),
}
# The numbers of a block's convolutions, without and with dropout between them.
_BLOCK = {(1, 5), (1, 6)}
_MMGENERATION_BLOCK = {(0, 1), (0, 2)}

# Keras' names of weights. The tutorial's norm has scale and offset; TensorFlow Addons' has gamma and beta.
_ROLES = {"kernel": "kernel", "scale": "scale", "gamma": "scale", "offset": "offset", "beta": "offset", "bias": "bias"}
_EPSILON, _ADDONS_EPSILON = 1e-5, 1e-3


def convert(state: Mapping[str, Tensor]) -> Converted | None:
    """Another project's generator as ours; see :class:`artgan.models.converting.Converted`.

    Raises:
        WeightsError: the weights are a discriminator's, or a generator's with other norms or filters, or not for RGB.
    """
    if _is_discriminator(state):
        raise WeightsError("these are a discriminator's weights; convert the generator's")
    return _resnet(state) or _unet(state)


def _is_discriminator(state: Mapping[str, Tensor]) -> bool:
    """A PatchGAN has 4x4 convolutions, the last of which outputs one channel."""
    kernels = {name: value for name, value in state.items() if value.ndim == 4 and not name.endswith(".filt")}
    if not 3 <= len(kernels) <= 9:  # more would be a whole checkpoint
        return False
    last = [*kernels.values()][-1]
    if all(name.startswith("model.") for name in kernels):
        return all(kernel.shape[2:] == (4, 4) for kernel in kernels.values()) and last.shape[0] == 1
    return all(kernel.shape[:2] == (4, 4) for kernel in kernels.values()) and last.shape[3] == 1


def _resnet(state: Mapping[str, Tensor]) -> Converted | None:
    matches = [match for name, value in state.items() if value.ndim == 4 and (match := _CONVOLUTION.fullmatch(name))]
    matches.sort(key=lambda match: (int(match[1]), int(match[3] or 0)))
    outer = [int(match[1]) for match in matches if match[2] is None]
    inner: dict[int, tuple[int, ...]] = {}
    for match in matches:
        if match[2] is not None:
            inner[int(match[1])] = (*inner.get(int(match[1]), ()), int(match[3]))
    if len(outer) != 6 or not inner or max(inner) - min(inner) + 1 != len(inner):  # a gap between the blocks
        return None
    numbers = (*outer[:3], min(inner)), tuple(number - max(inner) for number in outer[3:])
    if numbers not in _RESNETS:
        return None
    layout, downsample, upsample = _RESNETS[numbers]
    joined = layout == "mmgeneration"
    if any(bool(match[4]) != joined for match in matches):
        return None
    if not set(inner.values()) <= (_MMGENERATION_BLOCK if joined else _BLOCK):
        return None
    filters = {name: value for name, value in state.items() if name.endswith(".filt")}
    blocks = {match[2] for match in matches} - {None}
    if layout == "pytorch-gan" and filters:  # CUT with --no_antialias, which still upsamples with antialiasing
        layout, upsample = "cut", "antialiased"
    elif layout == "pytorch-gan" and blocks != {"block"}:  # nothing shows how it upsamples
        return None
    elif layout == "cyclegan" and blocks == {"block"}:
        layout = "pytorch-gan"  # as changed by some projects
    convolutions = [match[0].removesuffix(".weight") for match in matches]
    used = {f"{name}.{part}": state.get(f"{name}.{part}") for name in convolutions for part in ("weight", "bias")}
    _refuse_other_layers([name for name in state if name not in used and name not in filters], layout)
    _check_filters(filters)
    values = [value for value in used.values() if value is not None]
    if len(values) != len(used):
        raise WeightsError(f"looks like {layout}, but some convolutions have no bias, as before a batch norm")
    first, last = values[0], values[-2]
    if upsample == "transposed" and _is_no_transposed(values[-6]):
        return None
    if (first.shape[1], last.shape[0]) != (3, 3):
        raise WeightsError(
            f"looks like {layout}, for pictures of {first.shape[1]} channels in and {last.shape[0]} out; "
            "artgan's have 3"
        )
    config = {
        "architecture": "resnet",
        "width": first.shape[0],
        "blocks": len(inner),
        "downsample": downsample,
        "upsample": upsample,
    }
    return _converted(layout, config, values)


def _is_no_transposed(weight: Tensor) -> bool:
    """Transposed convolutions have the input channels first; artgan's own resize-convolutions have none of these."""
    return weight.shape[0] != 2 * weight.shape[1]


def _refuse_other_layers(names: Sequence[str], layout: str) -> None:
    """No names may remain, except for those in the authors' files from before 2018, which their code ignores."""
    if layout == "cyclegan" and all(name.endswith(_STATISTICS) for name in names):
        return
    if names:
        raise WeightsError(
            f"looks like {layout}, but with {names[0]}, which belongs to none of its layers; learned norms and batch "
            "norms are not converted"
        )


def _check_filters(filters: Mapping[str, Tensor]) -> None:
    for name, value in filters.items():
        wanted = BlurPool2d().blur if value.shape[1:] == (1, 3, 3) else BlurUpsample2d().blur
        if value.shape[1:] != wanted.shape[1:] or not torch.allclose(value.float(), wanted, atol=1e-3):
            raise WeightsError(f"looks like cut, but {name} is not the filter that CUT blurs with by default")


def _unet(state: Mapping[str, Tensor]) -> Converted | None:
    """The arrays of TensorFlow's tutorial in the order of ``model.get_weights()``, whatever their names.

    Kernels are H x W x in x out, those of transposed convolutions H x W x out x in; the same permutation turns both
    into PyTorch's. "Same" padding of a 4x4 kernel with stride 2 is 1 pixel on each side if the sides are even.
    """
    values = [*state.values()]
    if not values or values[0].ndim != 4 or values[0].shape[2] != 3:
        return None
    config = {"architecture": "unet", "width": values[0].shape[3], "epsilon": _EPSILON}
    wanted = {"kernel": 4, "scale": 1, "offset": 1, "bias": 1}
    roles = ["kernel"] + ["kernel", "scale", "offset"] * 14 + ["kernel", "bias"]
    if [value.ndim for value in values] != [wanted[role] for role in roles]:
        return None
    names = [re.split(r"[/.]", name)[-1].split(":")[0] for name in state]
    for name, own, role in zip(state, names, roles, strict=True):
        if _ROLES.get(own, role) != role:
            raise WeightsError(f"looks like tensorflow, but {name} is in the place of a {role}; keep Keras' order")
    if "gamma" in names:
        config["epsilon"] = _ADDONS_EPSILON
    turned = [value.permute(3, 2, 0, 1) if value.ndim == 4 else value for value in values]
    return _converted("tensorflow", config, turned)


def _converted(layout: str, config: Mapping[str, Any], values: Sequence[Tensor]) -> Converted | None:
    """The values under the names of our generator, which has them in the same order."""
    if config["width"] < 1:
        return None
    with torch.device("meta"):
        names = build_generator(CycleGANConfig(**config)).state_dict()
    return Converted(layout, config, dict(zip(names, values, strict=True)))
