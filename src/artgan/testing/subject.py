"""The plugin under test: its parts, small networks and synthetic pictures; and how a test fails.

If a test's precondition (that the networks can be built, say) has its own test and fails, the test is skipped, so that
each fault is reported once.
"""

from __future__ import annotations

import dataclasses
import math
import os
import subprocess
import sys
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache, cached_property
from importlib.util import find_spec
from pathlib import Path
from traceback import extract_tb, format_list
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from artgan.config import parse, to_dict
from artgan.discovery import FoundPlugin, Plugin, find_plugins, load_plugin, resolve
from artgan.errors import ArtganError, PluginError, one_line
from artgan.interfaces import Discriminator, Generator, Networks
from artgan.training.options import TrainingOptions


def demand(condition: object, message: str) -> None:
    """Fail with only the message if the condition does not hold: a traceback in this kit does not help an author."""
    __tracebackhide__ = True
    if not condition:
        pytest.fail(message, pytrace=False)


@contextmanager
def explained(wrong: str, advice: str) -> Iterator[None]:
    """Turn an exception into a failure with an explanation and the traceback through the plugin's code."""
    try:
        yield
    except Exception as error:
        frames = [f for f in extract_tb(error.__traceback__) if Path(f.filename).parent != Path(__file__).parent]
        message = f"{wrong} ({one_line(error, kind=True)}). {advice}\n\n{''.join(format_list(frames))}"
        raise pytest.fail.Exception(message.rstrip(), pytrace=False) from None


def refusal(call: Callable[..., Any], *arguments: Any, **options: Any) -> str | None:
    """The message with which artgan rejects a call; None if it does not."""
    try:
        call(*arguments, **options)
    except ArtganError as error:
        return str(error)
    return None


def skip_after(test: str) -> Any:
    """Skip a test that depends on another one, which fails."""
    pytest.skip(f"cannot be tested, see {test}")


def difference(one: Tensor, other: Tensor) -> float:
    """The largest difference of two tensors of one shape; equal non-finite values count 0, different ones infinite."""
    one, other = one.detach().double(), other.detach().double()
    same = (one == other) | (one.isnan() & other.isnan())
    gap = torch.where(same, 0.0, (one - other).abs().nan_to_num(nan=math.inf))
    return float(gap.max()) if gap.numel() else 0.0


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a new Python process that finds the same packages as this one."""
    path = os.pathsep.join(entry for entry in sys.path if entry)
    wide = {"COLUMNS": "300", "TERMINAL_WIDTH": "300", "NO_COLOR": "1"}  # so that help texts truncate no option
    return subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, **wide, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=300,
    )


@cache
def _manifest_for(tests: Hashable, plugin: str) -> Plugin:
    """Cached for all tests of a class, since there may be many packages to search."""
    return load_plugin(plugin)


class Subject:
    """The plugin as seen by all parts of the kit; see :class:`artgan.testing.PluginTests` for the attributes."""

    plugin: ClassVar[str]
    config: ClassVar[Mapping[str, Any]] = {}
    options: ClassVar[Mapping[str, Any]] = {}
    training: ClassVar[Mapping[str, Any]] = {}

    @cached_property
    def _manifest(self) -> Plugin:
        try:
            return _manifest_for(type(self), self.plugin)  # type: ignore[arg-type]  # classes are hashable
        except PluginError:
            return skip_after("test_the_plugin_is_installed")  # type: ignore[no-any-return]  # it never returns

    @cached_property
    def _found(self) -> FoundPlugin:
        """The plugin as installed."""
        return find_plugins()[self._manifest.name]

    @cached_property
    def _package(self) -> Path:
        """The folder of its top-level package."""
        spec = find_spec(self._found.package)
        folders = list(spec.submodule_search_locations or []) if spec else []
        return Path(folders[0]) if folders else pytest.skip("the plugin is a module, not a package, and holds no files")

    def _field_names(self) -> set[str]:
        """The options of its config."""
        cls = self._part("config")
        return {field.name for field in dataclasses.fields(cls)} if dataclasses.is_dataclass(cls) else set()

    def _part(self, part: str) -> Any:
        """A part that the manifest names; skips if it names none."""
        manifest = self._manifest
        if getattr(manifest, part) is None:
            pytest.skip(f"the plugin {self.plugin} has no {part}")
        try:
            return resolve(manifest, part)
        except PluginError:
            return skip_after("test_import_strings_lead_to_the_right_things")

    @cached_property
    def _values(self) -> Mapping[str, Any]:
        """``config``, with the values of ``training`` for options that belong to both, as ``--size`` may."""
        names = self._field_names()
        return {**{name: value for name, value in self.training.items() if name in names}, **self.config}

    def _refusal(self, values: Mapping[str, Any], where: str) -> str | None:
        """Why the config rejects some values, or None."""
        cls = self._part("config")
        try:
            return refusal(parse, cls, values, where=where)
        except TypeError:  # no dataclass, or without defaults
            return skip_after("test_defaults_are_valid")  # type: ignore[no-any-return]  # it never returns

    @cached_property
    def _settings(self) -> Any:
        """The config that the tests use."""
        if self._refusal(self._values, "config"):
            skip_after("test_the_settings_of_these_tests_are_valid")
        settings = parse(self._part("config"), self._values, where="config")
        if self._refusal(to_dict(settings), "defaults"):
            skip_after("test_defaults_are_valid")
        return settings

    def _refusal_of_options(self) -> str | None:
        """Why the painting options reject the test class's values, or None."""
        if self._manifest.options is None:
            return "the plugin has none" if self.options else None
        cls = self._part("options")
        try:
            return refusal(parse, cls, self.options, where="options")
        except TypeError:  # no dataclass, or without defaults
            return skip_after("test_defaults_are_valid")  # type: ignore[no-any-return]  # it never returns

    @cached_property
    def _options(self) -> dict[str, Any]:
        """The options of ``generate``: all painting options of the plugin, with the values of the tests."""
        if self._refusal_of_options():
            skip_after("test_the_settings_of_these_tests_are_valid")
        if self._manifest.options is None:
            return {}
        return dataclasses.asdict(parse(self._part("options"), self.options, where="options"))

    def _networks(self) -> Networks:
        """All networks, newly initialized, as training builds them."""
        build, config = self._part("networks"), self._settings
        torch.manual_seed(0)
        try:
            networks = build(config)
        except Exception:
            networks = None
        if not _well_formed(networks):
            skip_after("test_the_networks_are_built_as_the_interface_says")
        return networks  # type: ignore[no-any-return]  # it is one

    def _generator(self) -> Generator:
        """The generator of a loaded model, in evaluation mode."""
        manifest = self._manifest
        if manifest.generator is None:
            if manifest.networks is None:
                pytest.skip(f"the plugin {self.plugin} brings no model")
            return next(iter(self._networks().generators.values())).eval()
        build, config = self._part("generator"), self._settings
        torch.manual_seed(0)
        try:
            generator = build(config)
        except Exception:
            generator = None
        if not isinstance(generator, Generator):
            skip_after("test_the_networks_are_built_as_the_interface_says")
        return generator.eval()  # type: ignore[no-any-return]  # it is one

    def _needs_weights(self, generator: Generator) -> None:
        """Skip a test of saved weights if the generator has none."""
        if not generator.state_dict():
            pytest.skip("the generator has no weights of its own")

    def _build_on_meta(self) -> None:
        """Build the generator of a model on torch's meta device, as loading does."""
        part = "networks" if self._manifest.generator is None else "generator"
        build, config = self._part(part), self._settings
        with torch.device("meta"):
            build(config)

    def _needs_building_on_meta(self) -> None:
        """Skip a test that loads a model if it cannot be built on the meta device."""
        try:
            self._build_on_meta()
        except Exception:
            skip_after("test_the_generator_is_built_without_memory")

    def _generators(self) -> dict[str, Generator]:
        """Every generator, in evaluation mode, by its name in messages."""
        manifest = self._manifest
        found: dict[str, Generator] = {}
        if manifest.networks is not None:
            for name, generator in self._networks().generators.items():
                found[f"generator {name!r}"] = generator.eval()
        if manifest.generator is not None:
            found["the manifest's generator"] = self._generator()
        return found or pytest.skip(f"the plugin {self.plugin} brings no model")

    def _discriminators(self) -> dict[str, Discriminator]:
        """Every discriminator, in evaluation mode, by its name in messages."""
        found = self._networks().discriminators
        if not found:
            pytest.skip(f"the plugin {self.plugin} has no discriminators")
        return {f"discriminator {name!r}": discriminator.eval() for name, discriminator in found.items()}

    @cached_property
    def _size(self) -> int:
        """Side of the pictures: as in ``training``, otherwise the least that the networks allow, at least 32."""
        if refusal(parse, TrainingOptions, self.training, where="training"):
            skip_after("test_the_settings_of_these_tests_are_valid")
        if "size" in self.training:
            return int(self.training["size"])
        if hasattr(self._settings, "size"):  # networks made for one size
            return int(self._settings.size)
        if self._manifest.networks is None:
            return fitting(self._generator(), 32)
        networks = self._networks()
        for generator in networks.generators.values():
            if generator.task == "noise-to-image":
                try:
                    return int(generator.eval().generate(some_input(generator, 1)).shape[-1])
                except Exception:
                    skip_after("test_pictures_have_the_right_shape")
        least = max([32, *(d.minimum_size for d in networks.discriminators.values())])
        stride = math.lcm(*(generator.stride for generator in networks.generators.values()))
        return max(-(-max(least, g.minimum_size) // stride) * stride for g in networks.generators.values())

    def _training(self, **values: Any) -> TrainingOptions:
        """Options of a run, with ``values`` of the test."""
        mine = {"size": self._size, "batch": 2, "device": "cpu", "workers": 0, "log_every": 1}
        return parse(TrainingOptions, {**self._manifest.training, **mine, **self.training, **values}, where="training")


def _well_formed(networks: Any) -> bool:
    """Whether there is something that can be tested."""
    return (
        isinstance(networks, Networks)
        and bool(networks.generators)
        and all(isinstance(generator, Generator) for generator in networks.generators.values())
        and all(isinstance(discriminator, Discriminator) for discriminator in networks.discriminators.values())
    )


def fitting(generator: Generator, size: int) -> int:
    """The smallest side, at least ``size``, that an image-to-image generator accepts."""
    return -(-max(size, generator.minimum_size) // generator.stride) * generator.stride


def some_pictures(count: int, height: int, width: int | None = None, *, seed: int = 0) -> Tensor:
    """``count`` x 3 x H x W synthetic pictures with values over all of [-1, 1]."""
    source = torch.Generator().manual_seed(seed)
    return torch.rand(count, 3, height, width or height, generator=source) * 2 - 1


def some_input(generator: Generator, count: int, *, size: int = 32, seed: int = 0) -> Tensor:
    """``count`` synthetic pictures or noise vectors, depending on the generator."""
    if generator.task == "noise-to-image":
        return generator.noise(count, generator=torch.Generator().manual_seed(seed))
    return some_pictures(count, fitting(generator, size), seed=seed)


def trainable(module: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that training may change."""
    return {name: parameter for name, parameter in module.named_parameters() if parameter.requires_grad}


def listed(names: Any) -> str:
    """A few names for a message."""
    names = [str(name) for name in names]
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
