"""Builds a generator from a plugin and a config, with or without weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from artgan import config as configs
from artgan.discovery import Plugin, resolve
from artgan.errors import PluginError, WeightsError
from artgan.interfaces import Generator


def build(
    plugin: Plugin,
    config: Mapping[str, Any],
    weights: bytes | None,
    *,
    where: str,
    file: str,
    base: Mapping[str, Tensor] | None = None,
) -> Generator:
    """Build a generator of the plugin.

    Args:
        plugin: its manifest.
        config: the values for the plugin's config class.
        weights: the content of its file, verified; None for a model without learned weights.
        where: the origin of the config, with which errors begin.
        file: the origin of the weights.
        base: the weights that are not in the file.

    Raises:
        ConfigError: an unknown option or an invalid value.
        WeightsError: the file is damaged, or is another network's.
        PluginError: the plugin is broken.
    """
    parsed = configs.parse(resolve(plugin, "config"), config, where=where)
    if weights is None:
        return new_generator(plugin, parsed).requires_grad_(False)
    return assemble(plugin, parsed, {**(base or {}), **read_weights(weights, file)}, file)


def read_weights(weights: bytes, file: str) -> dict[str, Tensor]:
    """The tensors of a safetensors file's content, those of floating point in float32.

    Raises:
        WeightsError: ``file``, where they are from, is damaged.
    """
    try:
        state = load_safetensors(weights)
    except SafetensorError as error:
        raise WeightsError(f"{file}: not a safetensors file, or damaged ({error})") from None
    return {key: value.float() if value.is_floating_point() else value for key, value in state.items()}


def assemble(plugin: Plugin, parsed: Any, state: Mapping[str, Tensor], file: str) -> Generator:
    """Build a generator from a validated config and load the weights ``state``, read from ``file``.

    Raises:
        WeightsError: the weights do not fit the network.
    """
    with torch.device("meta"), _NoDraws():  # spend no time or memory on weights that are replaced at once
        generator = new_generator(plugin, parsed)
    _check_state(generator, state, file)
    generator.load_state_dict(state, assign=True)
    if any(t.is_meta for t in (*generator.parameters(), *generator.buffers())):  # non-persistent buffers
        generator = new_generator(plugin, parsed)
        generator.load_state_dict(state)
    return generator.requires_grad_(False)


class _NoDraws(TorchFunctionMode):
    """Skips the initialization of meta tensors, which would have no effect but cost torch 2 seconds."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in (Tensor.normal_, Tensor.uniform_) or getattr(func, "__module__", None) == nn.init.__name__:
            tensor = kwargs["tensor"] if "tensor" in kwargs else args[0]
            if tensor.is_meta:
                return tensor
        return func(*args, **kwargs)


def new_generator(plugin: Plugin, config: Any) -> Generator:
    """The plugin's generator for a validated config, freshly initialized; the first if it has several.

    Raises:
        PluginError: the plugin is broken, or builds something else.
    """
    if plugin.generator is not None:
        generator = resolve(plugin, "generator")(config)
    else:
        generator = next(iter(resolve(plugin, "networks")(config).generators.values()))
    if not isinstance(generator, Generator):
        raise PluginError(f"plugin {plugin.name}: built a {type(generator).__name__}, which is not a Generator")
    return generator


def _check_state(generator: Generator, state: Mapping[str, Tensor], file: str) -> None:
    """Reject weights of another network before any are assigned."""
    wanted = generator.state_dict()
    missing, unexpected = wanted.keys() - state.keys(), state.keys() - wanted.keys()
    both = wanted.keys() & state.keys()
    faults = {
        "lacks": missing,
        "has the unknown": unexpected,
        "has another shape of": [k for k in both if wanted[k].shape != state[k].shape],
        "has another type of": [k for k in both if wanted[k].is_floating_point() != state[k].is_floating_point()],
    }
    parts = [
        f"{what} {', '.join(sorted(keys)[:3])}{' ...' if len(keys) > 3 else ''}"
        for what, keys in faults.items()
        if keys
    ]
    if parts:
        raise WeightsError(f"{file}: these are another network's weights: the file {'; '.join(parts)}")
