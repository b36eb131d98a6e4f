"""From a plugin and a config to a generator, with or without weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from artgan import config as configs
from artgan.discovery import load_plugin, resolve
from artgan.errors import PluginError, WeightsError
from artgan.interfaces import Generator


def build(plugin_name: str, config: Mapping[str, Any], data: bytes, file: str, *, where: str) -> Generator:
    """A generator of the plugin with the weights that ``data`` holds."""
    plugin = load_plugin(plugin_name)
    parsed = configs.parse(resolve(plugin, "config"), config, where=where)
    try:
        state = load_safetensors(data)
    except SafetensorError as error:
        raise WeightsError(f"{file}: not a safetensors file, or damaged ({error})") from None
    state = {key: value.float() if value.is_floating_point() else value for key, value in state.items()}
    return assemble(plugin_name, parsed, state, file)


def assemble(plugin_name: str, parsed: Any, state: Mapping[str, Tensor], file: str) -> Generator:
    """A generator built by a checked config of the plugin, with the weights of ``state``, which came from ``file``.

    Raises:
        WeightsError: these are not the weights of that network.
    """
    with torch.device("meta"), _NoDraws():  # no time or memory for weights that are replaced at once
        generator = new_generator(plugin_name, parsed)
    _check_state(generator, state, file)
    generator.load_state_dict(state, assign=True)
    if any(t.is_meta for t in (*generator.parameters(), *generator.buffers())):  # buffers that no file holds
        generator = new_generator(plugin_name, parsed)
        generator.load_state_dict(state)
    return generator.requires_grad_(False)


class _NoDraws(TorchFunctionMode):
    """Leaves meta tensors as they are made: torch would take 2 seconds to find out how to fill them with nothing."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in (Tensor.normal_, Tensor.uniform_) or getattr(func, "__module__", None) == nn.init.__name__:
            tensor = kwargs["tensor"] if "tensor" in kwargs else args[0]
            if tensor.is_meta:
                return tensor
        return func(*args, **kwargs)


def new_generator(plugin_name: str, config: Any) -> Generator:
    """The plugin's generator for a checked config, freshly initialised; the first, where it has several.

    Raises:
        PluginError: the plugin is missing or broken, or builds something else.
    """
    plugin = load_plugin(plugin_name)
    if plugin.generator is not None:
        generator = resolve(plugin, "generator")(config)
    else:
        generator = next(iter(resolve(plugin, "networks")(config).generators.values()))
    if not isinstance(generator, Generator):
        raise PluginError(f"plugin {plugin_name}: built a {type(generator).__name__}, which is not a Generator")
    return generator


def _check_state(generator: Generator, state: Mapping[str, Tensor], file: str) -> None:
    """Refuse weights of another network before any is assigned."""
    wanted = generator.state_dict()
    missing, unexpected = wanted.keys() - state.keys(), state.keys() - wanted.keys()
    both = wanted.keys() & state.keys()
    faults = {
        "lacks": missing,
        "has the unknown": unexpected,
        "has another shape of": [k for k in both if wanted[k].shape != state[k].shape],
        "has another type of": [k for k in both if wanted[k].is_floating_point() != state[k].is_floating_point()],
    }
    told = [
        f"{what} {', '.join(sorted(keys)[:3])}{' ...' if len(keys) > 3 else ''}"
        for what, keys in faults.items()
        if keys
    ]
    if told:
        raise WeightsError(f"{file}: these are another network's weights: the file {'; '.join(told)}")
