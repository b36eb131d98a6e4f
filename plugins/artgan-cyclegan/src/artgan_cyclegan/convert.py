"""Converts other projects' generators, which are recognized by their weights' names and shapes.

The ResNets are one network under several names, with its convolutions always in the same order. Their positions among
the numbered layers determine how the network downsamples and upsamples. All that is folded into convolutions computes
the same: batch norm in evaluation, gray pictures, and ranges of values other than [-1, 1].
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from artgan.plugin import WeightsError
from artgan.toolkit import Converted
from artgan_cyclegan.config import CycleGANConfig
from artgan_cyclegan.networks import BlurPool2d, BlurUpsample2d, build_generator

# A ResNet's convolution: its number; in a block, its number there; and MMGeneration's, which shares it with a norm.
_CONVOLUTION = re.compile(r"model\.(\d+)(?:\.((?:conv_)?block)\.(\d+))?(\.conv)?\.weight")
_NORM_PARTS = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
_MMGENERATION_NORMS = ("bn", "in", "norm")

# The numbers of the first three convolutions and of the first block, and those of the last three convolutions after
# the last block, to the layout and the kinds of downsampling and upsampling.
_RESNETS = {
    ((1, 4, 7, 10), (1, 4, 8)): ("cyclegan", "strided", "transposed"),
    ((1, 4, 7, 10), (2, 6, 10)): ("pytorch-gan", "strided", "nearest"),
    ((1, 4, 7, 10), (3, 8, 12)): ("cyclegan", "strided", "bilinear"),
    ((1, 4, 8, 12), (2, 6, 10)): ("cut", "antialiased", "antialiased"),
    ((1, 4, 8, 12), (1, 4, 8)): ("cut", "antialiased", "transposed"),
    ((0, 1, 2, 3), (1, 2, 3)): ("mmgeneration", "strided", "transposed"),
}
# The numbers of a block's convolutions, without and with dropout between them.
_BLOCK = {(1, 5), (1, 6)}
_MMGENERATION_BLOCK = {(0, 1), (0, 2)}

# Keras' names of weights. The tutorial's norm has scale and offset; TensorFlow Addons' has gamma and beta.
_ROLES = {"kernel": "kernel", "scale": "scale", "gamma": "scale", "offset": "offset", "beta": "offset", "bias": "bias"}
_EPSILON, _ADDONS_EPSILON = 1e-5, 1e-3  # the first is PyTorch's for all norms too
_LUMA = (0.299, 0.587, 0.114)  # how Pillow turns RGB to gray


def convert(state: Mapping[str, Tensor]) -> Converted | None:
    """Another project's generator as ours; see :class:`artgan.models.converting.Converted`.

    Raises:
        WeightsError: the weights are a discriminator's, or those of a generator that none of our networks can hold.
    """
    if _is_discriminator(state):
        raise WeightsError("these are a discriminator's weights; convert the generator's")
    if "model.model.0.weight" in state and any(name.startswith("model.model.1.model.") for name in state):
        raise WeightsError(
            "looks like a U-Net of pytorch-CycleGAN-and-pix2pix (--netG unet_256), for which artgan has no "
            "network; its ResNets (--netG resnet_9blocks, the default of CycleGAN) can be converted"
        )
    return _resnet(state) or _fast_style(state) or _unet(state)


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
    found = _recognize(state)
    if found is None:
        return None
    layers = [_Layer.read(state, name, found.layout == "mmgeneration") for name in found.convolutions]
    if found.upsample == "transposed":
        if _is_no_transposed(layers[-3].weight):
            return None
        layers[-3:-1] = [replace(layer, outputs=1) for layer in layers[-3:-1]]
    _check_filters(found.filters)
    used = {name for layer in layers for name in layer.names} | found.filters.keys()
    foreign = [name for name in state if name not in used]
    if foreign or layers[-1].norm:
        odd = foreign[0] if foreign else "a norm behind the last convolution"
        raise WeightsError(f"looks like {found.layout}, but with {odd}, which belongs to none of its layers")
    if found.layout == "cyclegan" and not any("weight" in layer.norm for layer in layers):
        # Statistics in files from before PyTorch 0.4, which the authors' code ignores.
        layers = [replace(layer, norm={}) for layer in layers]
    norm = _norm_of(layers[:-1], found.layout)
    values = [value for layer in layers[:-1] for value in layer.values(norm)] + layers[-1].values("instance")
    values = _for_rgb(values, found.layout)
    config = {
        "architecture": "resnet",
        "width": values[0].shape[0],
        "blocks": found.blocks,
        "downsample": found.downsample,
        "upsample": found.upsample,
        **({"norm": norm} if norm != "instance" else {}),
    }
    return _converted(found.layout, config, values, found.assumed)


@dataclass(frozen=True)
class _ResNet:
    """What the names in a file show of a ResNet.

    Attributes:
        layout: its name.
        downsample: as our option.
        upsample: as our option.
        convolutions: their names without ``.weight``, in the order in which they are applied.
        blocks: the number of residual blocks.
        filters: stored blurs.
        assumed: see :class:`artgan.models.converting.Converted`.
    """

    layout: str
    downsample: str
    upsample: str
    convolutions: Sequence[str]
    blocks: int
    filters: Mapping[str, Tensor]
    assumed: str


def _recognize(state: Mapping[str, Tensor]) -> _ResNet | None:
    """The ResNet whose convolutions have these numbers; None if there is none."""
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
    named_as_block = {match[2] for match in matches} - {None} == {"block"}
    layout, upsample, assumed = _origin(layout, upsample, filters=bool(filters), named_as_block=named_as_block)
    names = [match[0].removesuffix(".weight") for match in matches]
    return _ResNet(layout, downsample, upsample, names, len(inner), filters, assumed)


def _origin(layout: str, upsample: str, *, filters: bool, named_as_block: bool) -> tuple[str, str, str]:
    """Layout, upsampling and what is assumed of it, among projects whose convolutions have the same numbers.

    Args:
        layout: that of the first such project.
        upsample: that of the first such project.
        filters: whether the file holds filters for antialiasing.
        named_as_block: whether the modules within residual blocks are named "block".
    """
    if layout == "pytorch-gan" and filters:  # CUT with --no_antialias, which still upsamples with antialiasing
        return "cut", "antialiased", ""
    if layout == "pytorch-gan" and not named_as_block:
        return (
            "cyclegan",
            upsample,
            _assumed("nearest", "bilinear-zeros if it is by bilinear interpolation, antialiased if it is CUT's"),
        )
    if layout == "cyclegan" and named_as_block:
        layout = "pytorch-gan"  # as changed by some projects
    if upsample == "bilinear":
        return layout, upsample, _assumed("bilinear", "resize if it is by nearest neighbors")
    return layout, upsample, ""


def _assumed(mode: str, otherwise: str) -> str:
    return f"weights do not show how a network upsamples; {mode} is assumed: --set upsample={otherwise}"


@dataclass(frozen=True)
class _Layer:
    """A convolution and the norm behind it.

    Attributes:
        weight: as in the file.
        bias: None if it has none.
        norm: what the file holds of its norm, by :data:`_NORM_PARTS`.
        names: the names that all these may have in the file.
        outputs: the dimension of the weight that counts output channels.
    """

    weight: Tensor
    bias: Tensor | None
    norm: Mapping[str, Tensor]
    names: frozenset[str]
    outputs: int = 0

    @classmethod
    def read(cls, state: Mapping[str, Tensor], name: str, joined: bool) -> _Layer:
        """The layer of a convolution; ``joined`` if it shares its number with its norm."""
        before, _, own = name.rpartition(".")
        norms = [f"{before}.{kind}" for kind in _MMGENERATION_NORMS] if joined else [f"{before}.{int(own) + 1}"]
        parts = {f"{norm}.{part}": part for norm in norms for part in _NORM_PARTS if f"{norm}.{part}" in state}
        found = {part: state[key] for key, part in parts.items()}
        names = frozenset({f"{name}.weight", f"{name}.bias", *parts})
        return cls(state[f"{name}.weight"], state.get(f"{name}.bias"), found, names)

    @property
    def channels(self) -> int:
        """Number of outputs."""
        return self.weight.shape[self.outputs]

    def values(self, norm: str) -> list[Tensor]:
        """The values of our layer with a norm of this kind, in the order of its state dict."""
        # Before an instance norm a bias has no effect, so none is as good as 0.
        bias = self.weight.new_zeros(self.channels) if self.bias is None else self.bias
        if norm == "none":
            return self._folded(bias)
        return [self.weight, bias, *([self.norm["weight"], self.norm["bias"]] if norm == "affine" else [])]

    def _folded(self, bias: Tensor) -> list[Tensor]:
        """Convolution and norm, in evaluation with the norm's statistics, as one convolution."""
        mean, variance = self.norm["running_mean"].double(), self.norm["running_var"].double()
        scale = (variance + _EPSILON).rsqrt()
        if "weight" in self.norm:
            scale = scale * self.norm["weight"].double()
        offset = self.norm["bias"].double() if "bias" in self.norm else torch.zeros_like(mean)
        shape = [-1 if dim == self.outputs else 1 for dim in range(self.weight.ndim)]
        return [self.weight.double() * scale.view(shape), (bias.double() - mean) * scale + offset]


def _norm_of(layers: Sequence[_Layer], layout: str) -> str:
    """The norm that computes what these layers' norms do in evaluation, by the name of our option.

    A norm with statistics uses them in evaluation, be it a batch norm or an instance norm that tracks them. That is a
    scale and an offset for each channel, and belongs to the convolution. Without statistics, an instance norm's own
    scale and offset stay: it normalizes what comes before, and a ReLU or a sum comes next.
    """
    kinds = {(layer.bias is not None, tuple(sorted(layer.norm))) for layer in layers}
    if len(kinds) > 1:
        raise WeightsError(f"looks like {layout}, but its layers differ in bias or norm, and artgan's do not")
    [(biased, parts)] = kinds
    if any(len({*pair} & {*parts}) == 1 for pair in (("weight", "bias"), ("running_mean", "running_var"))):
        raise WeightsError(f"looks like {layout}, but with half a norm: {', '.join(parts)}")
    for layer in layers:
        if any(value.ndim and value.shape != (layer.channels,) for value in layer.norm.values()):
            raise WeightsError(f"looks like {layout}, but a norm has another number of channels than its convolution")
    learned, statistics = "weight" in parts, "running_mean" in parts
    if not statistics:
        return "affine" if learned else "instance"
    if "num_batches_tracked" not in parts and (biased or not learned):
        raise WeightsError(
            f"looks like {layout}, saved by PyTorch before 0.4.1, with statistics of norms that may or may not be used"
        )
    return "none"


def _for_rgb(values: Sequence[Tensor], layout: str) -> list[Tensor]:
    """The values with a first and a last convolution for RGB.

    A network of gray pictures sees a picture's luma, and paints three equal channels.
    """
    first, *others, last, bias = values
    inputs, outputs = first.shape[1], last.shape[0]
    if not {inputs, outputs} <= {1, 3}:
        why = " (red, green and blue: transparency is kept outside the network)" if 4 in (inputs, outputs) else ""
        raise WeightsError(
            f"looks like {layout}, for pictures of {inputs} channels in and {outputs} out; artgan's have 3{why}"
        )
    if inputs == 1:
        first = first * first.new_tensor(_LUMA)[:, None, None]
    if outputs == 1:
        last, bias = last.repeat(3, 1, 1, 1), bias.repeat(3)
    return [first, *others, last, bias]


def _is_no_transposed(weight: Tensor) -> bool:
    """Transposed convolutions have the input channels first; artgan's own resize-convolutions have none of these."""
    return weight.shape[0] != 2 * weight.shape[1]


def _check_filters(filters: Mapping[str, Tensor]) -> None:
    for name, value in filters.items():
        wanted = BlurPool2d().blur if value.shape[1:] == (1, 3, 3) else BlurUpsample2d().blur
        if value.shape[1:] != wanted.shape[1:] or not torch.allclose(value.float(), wanted, atol=1e-3):
            raise WeightsError(f"looks like cut, but {name} is not the filter that CUT blurs with by default")


def _fast_style(state: Mapping[str, Tensor]) -> Converted | None:
    """PyTorch's example of fast neural style: a network from 0..255 to 0..255, which ours computes from -1..1 to -1..1.

    Old files hold statistics of the norms, which its code ignores.
    """
    if "conv1.conv2d.weight" not in state or "deconv1.conv2d.weight" not in state:
        return None
    blocks = sum(re.fullmatch(r"res\d+\.conv1\.conv2d\.weight", name) is not None for name in state)
    convs = ["conv1", "conv2", "conv3", *(f"res{i + 1}.conv{j}" for i in range(blocks) for j in (1, 2))]
    convs += ["deconv1", "deconv2", "deconv3"]
    names = []
    for index, conv in enumerate(convs):
        names += [f"{conv}.conv2d.weight", f"{conv}.conv2d.bias"]
        norm = {"deconv1": "in4", "deconv2": "in5"}.get(conv, conv.replace("conv", "in"))
        names += [f"{norm}.weight", f"{norm}.bias"] if index < len(convs) - 1 else []
    statistics = tuple(f".{part}" for part in _NORM_PARTS[2:])
    odd = [name for name in names if name not in state]
    odd += [name for name in state if name not in names and not name.endswith(statistics)]
    if odd:
        missing = "without" if odd[0] in names else "with"
        raise WeightsError(f"looks like fast-neural-style, but {missing} {odd[0]}, which artgan's network differs in")
    values = [state[name].double() for name in names]
    first, last = values[0], values[-2]
    if first.ndim != 4 or last.ndim != 4:
        raise WeightsError("looks like fast-neural-style, but its first or last layer is no convolution")
    # x = 127.5 (y + 1), for what goes in and for what comes out.
    values[:2] = [127.5 * first, values[1] + 127.5 * first.sum((1, 2, 3))]
    values[-2:] = [last / 127.5, values[-1] / 127.5 - 1]
    values = _for_rgb(values, "fast-neural-style")
    config = {"architecture": "fast-style", "width": first.shape[0], "blocks": blocks}
    return _converted("fast-neural-style", config, values)


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


def _converted(layout: str, config: Mapping[str, Any], values: Sequence[Tensor], assumed: str = "") -> Converted | None:
    """The values under the names of our generator, which has them in the same order."""
    if config["width"] < 1:
        return None
    with torch.device("meta"):
        names = build_generator(CycleGANConfig(**config)).state_dict()
    return Converted(layout, config, dict(zip(names, values, strict=True)), assumed)
