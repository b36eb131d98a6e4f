"""Features of any convolutional network of timm, by layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Size, Tensor, nn
from torch.func import functional_call

from artgan.plugin import ConfigError, PictureError, WeightsError
from artgan.toolkit import one_line, weights_file


class FeatureNetwork(nn.Module):
    """A frozen network that returns the features of some of its layers, and stops after the last of them.

    Args:
        network: accepts N x 3 x H x W pictures, normalized by ``mean`` and ``std`` of the range 0 to 1.
        layers: by name of the layer, the module of ``network`` whose output it is.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, network: nn.Module, layers: Mapping[str, nn.Module], mean: Sequence[float], std: Sequence[float]
    ) -> None:
        super().__init__()
        self.network = network
        self.layers = dict(layers)
        for name, values in (("mean", mean), ("std", std)):
            self.register_buffer(name, torch.tensor(values).view(1, 3, 1, 1), persistent=False)

    def forward(self, pictures: Tensor, wanted: Sequence[str]) -> dict[str, Tensor]:
        """Pictures N x 3 x H x W in [-1, 1] to the N x C x h x w features of the wanted layers."""
        features: dict[str, Tensor] = {}

        def keep(name: str) -> Callable[..., None]:
            def hook(module: nn.Module, inputs: Any, output: Tensor) -> None:
                features[name] = output
                if len(features) == len(set(wanted)):
                    raise _Done

            return hook

        hooks = [self.layers[name].register_forward_hook(keep(name)) for name in dict.fromkeys(wanted)]
        try:
            self.network(((pictures + 1) / 2 - self.mean) / self.std)
        except _Done:
            pass
        finally:
            for hook in hooks:
                hook.remove()
        return features


class _Done(Exception):
    """All features are computed."""


def build_network(
    name: str, wanted: Sequence[str], *, pooling: str = "max", weights: str | Path | None = None
) -> FeatureNetwork:
    """A network of timm with ImageNet weights, up to the last wanted layer.

    VGG's layers have their usual names: ``conv4_2`` is the second convolution of the fourth block, ``relu4_2`` the
    ReLU after it, ``pool4`` the pooling at the end of the block. Layers of other networks have the names of their
    modules: ``layer2.0.act1``.

    Args:
        name: in timm.
        wanted: names of layers.
        pooling: ``"max"``, or ``"avg"`` to replace maxima by means, as Gatys et al. suggest.
        weights: a safetensors file with timm's key names; layers after the wanted ones may be missing. By default
            that of the user's settings, or from the Hub.

    Raises:
        ConfigError: timm has no such network, or the network has no such layer.
        WeightsError: the file cannot be read, lacks a layer or belongs to another network; or the Hub cannot be
            reached.
    """
    import timm  # takes longer than to tell that a style is missing

    if ":" in name:  # timm would load code and weights from there; a model card must not choose that
        raise ConfigError(f"network {name!r}: must be the name of one of timm's networks")
    try:
        with torch.device("meta"):
            network = timm.create_model(name, pretrained=False)
    except Exception as error:  # whatever timm raises for a name or a network
        raise ConfigError(f"network {name!r}: timm cannot build it ({one_line(error)})") from None
    for module in network.modules():
        if hasattr(module, "inplace"):
            # It would overwrite the previous features.
            setattr(module, "inplace", False)  # noqa: B010  # to mypy, attributes of modules are tensors
        for key, child in module.named_children():
            if pooling == "avg" and isinstance(child, nn.MaxPool2d):
                setattr(module, key, nn.AvgPool2d(child.kernel_size, child.stride, child.padding, child.ceil_mode))
    paths = _paths(network)
    unknown = [layer for layer in wanted if layer not in paths]
    if unknown:
        raise ConfigError(f"{name} has no layer {unknown[0]!r}; it has {', '.join(paths)}")
    layers = {layer: network.get_submodule(path) for layer, path in paths.items()}
    trained: Any = network.pretrained_cfg  # nn.Module's attributes are tensors to a type checker
    made = FeatureNetwork(network, layers, trained["mean"], trained["std"])
    _fill(made, wanted, _state(f"{trained['architecture']}.{trained['tag']}", weights), str(weights or name))
    return made.requires_grad_(False).eval()


@torch.enable_grad()
def trace(network: FeatureNetwork, wanted: Sequence[str], height: int, width: int) -> tuple[dict[str, Size], int, int]:
    """The shapes and memory use for a picture of that size; nothing is computed.

    Returns:
        The shape of each wanted layer's features; the bytes, in float32, of all tensors kept for the gradient, and of
        the largest of them.

    Raises:
        PictureError: the picture is too small for the layers.
        ConfigError: a layer's output has no positions.
    """
    state = {key: value.to("meta") for key, value in network.state_dict(keep_vars=True).items()}
    state |= {"mean": network.mean.to("meta"), "std": network.std.to("meta")}
    weights = {value.untyped_storage()._cdata for value in state.values()}
    kept: dict[int, int] = {}

    def count(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in weights:
            kept[storage._cdata] = storage.nbytes()
        return tensor

    picture = torch.empty(1, 3, height, width, device="meta", requires_grad=True)
    features: dict[str, Tensor] = {}
    with suppress(RuntimeError), torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        features = functional_call(network, state, (picture, wanted))
    flat = next((layer for layer, found in features.items() if found.ndim != 4), None)
    if flat is not None:
        raise ConfigError(f"the layer {flat} has no positions; use an earlier one")
    small = [layer for layer, found in features.items() if min(found.shape[2:]) < 2]
    missing = next(iter(small or (() if features else wanted[-1:])), None)
    if missing is not None:
        raise PictureError(f"{width} x {height} pixels are too few for the layer {missing}")
    return {layer: found.shape for layer, found in features.items()}, sum(kept.values()), max(kept.values())


def _paths(network: nn.Module) -> dict[str, str]:
    """The names of a network's layers, and the paths of their modules."""
    from timm.models.vgg import VGG

    if not isinstance(network, VGG):
        leaves = {name: name for name, module in network.named_modules() if name and not list(module.children())}
        blocks = {name: name for name, module in network.named_modules() if name and name not in leaves}
        return leaves | blocks
    paths, block, number = {}, 1, 0
    for index, module in enumerate(network.features):
        kind = next(kind for cls, kind in _VGG.items() if isinstance(module, cls))
        number += kind == "conv"
        paths[f"pool{block}" if kind == "pool" else f"{kind}{block}_{number}"] = f"features.{index}"
        if kind == "pool":
            block, number = block + 1, 0
    return paths


_VGG = {nn.Conv2d: "conv", nn.BatchNorm2d: "norm", nn.ReLU: "relu", nn.MaxPool2d: "pool", nn.AvgPool2d: "pool"}


def _state(name: str, weights: str | Path | None) -> dict[str, Tensor]:
    option = "vgg19" if name.split(".")[0] == "vgg19" else "network-file"
    weights = weights_file(name, weights, option=option)
    try:
        return load_file(weights)
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"{weights}: cannot be read as safetensors ({one_line(error)})") from None


def _fill(network: FeatureNetwork, wanted: Sequence[str], state: Mapping[str, Tensor], where: str) -> None:
    """Load weights into the modules that the wanted layers need; the others are emptied."""
    used: set[nn.Module] = set()
    hooks = [m.register_forward_pre_hook(lambda module, inputs: used.add(module)) for m in network.network.modules()]
    with torch.device("meta"):
        functional_call(
            network, {k: getattr(network, k).to("meta") for k in ("mean", "std")}, (torch.empty(1, 3, 224, 224), wanted)
        )
    for hook in hooks:
        hook.remove()
    for path, module in network.network.named_modules():
        own = {**module._parameters, **module._buffers}
        for key, tensor in own.items():
            if tensor is None:
                continue
            name = f"{path}.{key}" if path else key
            found = state.get(name) if module in used else torch.empty(0)
            if found is None:
                raise WeightsError(f"{where}: lacks {name}; are these the weights of another network?")
            if module in used and found.shape != tensor.shape:
                raise WeightsError(
                    f"{where}: {name} has the shape {tuple(found.shape)}, not {tuple(tensor.shape)}: "
                    "these are another network's weights"
                )
            value = found.float() if found.is_floating_point() else found
            if key in module._parameters:
                module._parameters[key] = nn.Parameter(value, requires_grad=False)
            else:
                module._buffers[key] = value
