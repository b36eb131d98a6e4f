"""Plugins: the manifest, and the discovery of installed ones. Does not import torch and is quick to import.

Plugin authors import the manifest from :mod:`artgan.plugin`; the core imports it from here.
"""

from __future__ import annotations

import importlib
import os
import re
import shlex
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.metadata import EntryPoint, PackageNotFoundError, entry_points, requires
from pathlib import Path
from typing import Any

from artgan.errors import PluginError, did_you_mean, one_line

GROUP = "artgan.plugins"
API = 1
"""The manifest version that this artgan reads."""

PARTS = ("config", "networks", "generator", "trainer", "convert", "options", "encode_style")
"""The fields of the manifest that are import strings."""

_DISABLED = "disabled by ARTGAN_DISABLE_PLUGINS"
_NAME = re.compile(r"[a-z][a-z0-9_-]*")
_EXTRA = re.compile(r"artgan-([a-z0-9-]+)")  # a plugin that an extra of artgan's own distribution brings
_CHECKOUT = Path(__file__).parents[2]
_IMPORT_STRING = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


@dataclass(frozen=True)
class Plugin:
    """A plugin's manifest. Heavy parts are import strings ("package.module:attribute"), imported when needed.

    Attributes:
        name: must equal the entry point's name; lower-case letters, digits, "-" and "_".
        summary: a one-line description.
        config: a frozen dataclass whose fields are made with :func:`artgan.plugin.option`.
        networks: config -> :class:`artgan.toolkit.Networks`; None if nothing is trained.
        generator: config -> :class:`artgan.toolkit.Generator`, which is all that a loaded model needs; None: the first
            generator of ``networks``.
        trainer: (networks, config, run) -> :class:`artgan.toolkit.Trainer`.
        domains: the data sets that make up the trainer's batches: name -> help text. Each becomes an option of
            ``artgan train`` ("photos" is ``--photos DIR``).
        target: the domain that the model's output belongs to; None: the last one. ``artgan study`` compares the output
            with the pictures of this domain. An image-to-image model gets its input from the first other domain.
        convert: another project's state dict -> :class:`artgan.toolkit.Converted`, or None if the plugin does not know
            its layout.
        layouts: the layouts that ``convert`` recognizes: name -> one-line description.
        options: a dataclass, declared like the config, with the plugin's own options for painting. They are keywords of
            ``Model.paint`` and of ``Generator.generate``, and options of ``artgan paint --model M``.
        metrics: import strings of :class:`artgan.toolkit.Metric` classes, by name.
        training: training options (:class:`artgan.training.options.TrainingOptions`) that suit the plugin better
            than the defaults.
        presets: named sets of values for config and training options.
        student: the preset that ``artgan distill`` trains by default.
        studies: what ``artgan study NAME`` varies: name -> a config or training option and its values, such as
            ``"lr=1e-4,2e-4"``.
        remedies: what to try if training goes wrong: kind of alarm -> advice, for kinds where the plugin's own options
            help more than artgan's general advice. A kind is "non-finite", "discriminator-won", "collapse" or
            "copies-input"; the text continues the phrase "Likely remedies:".
        registry: "registry.yaml" if the plugin's top-level package contains a model registry. It is read without
            importing the plugin, so its name is fixed.
        api: the manifest version.
        encode_style: (generator, and painting options as keywords) -> the entries of the generator's state dict that
            make it paint in the style of the option ``style`` where none is given. With it, ``artgan style save`` works
            for the plugin's models, and each needs a style unless it is a saved one.

    Raises:
        PluginError: a value is invalid.
    """

    name: str
    summary: str
    config: str
    networks: str | None = None
    generator: str | None = None
    trainer: str | None = None
    domains: Mapping[str, str] = field(default_factory=dict)
    convert: str | None = None
    layouts: Mapping[str, str] = field(default_factory=dict)
    options: str | None = None
    metrics: Mapping[str, str] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    presets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    registry: str | None = None
    api: int = API
    # Later additions go at the end, so that code passing the others by position keeps working.
    target: str | None = None
    student: str | None = None
    studies: Mapping[str, str] = field(default_factory=dict)
    remedies: Mapping[str, str] = field(default_factory=dict)
    encode_style: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not _NAME.fullmatch(self.name):
            raise PluginError(f"plugin name {self.name!r}: use lower-case letters, digits, '-' and '_'")
        if not isinstance(self.api, int):
            raise PluginError(f"plugin {self.name}: api must be a whole number, not {self.api!r}")
        for key in ("domains", "layouts", "metrics", "presets", "studies", "remedies"):
            if not isinstance(getattr(self, key), Mapping):
                raise PluginError(f"plugin {self.name}: {key} must be a mapping, not {getattr(self, key)!r}")
        for key in ("studies", "remedies"):
            for name, text in getattr(self, key).items():
                if not isinstance(text, str):
                    raise PluginError(f"plugin {self.name}: {key}[{name!r}] must be a text, not {text!r}")
        for key, kind in (("target", "domains"), ("student", "presets")):
            chosen, known = getattr(self, key), getattr(self, kind)
            if chosen is not None and chosen not in known:
                names = ", ".join(map(str, known)) or "none"
                raise PluginError(f"plugin {self.name}: {key} must be one of the {kind} ({names}), not {chosen!r}")
        strings = {key: getattr(self, key) for key in PARTS}
        strings |= {f"metrics[{key!r}]": value for key, value in self.metrics.items()}
        for key, value in strings.items():
            if value is None and key != "config":
                continue
            if not isinstance(value, str) or not _IMPORT_STRING.fullmatch(value):
                raise PluginError(f"plugin {self.name}: {key} must be 'package.module:attribute', not {value!r}")
        if self.registry not in (None, "registry.yaml"):
            raise PluginError(f"plugin {self.name}: registry must be 'registry.yaml' or None, not {self.registry!r}")

    @property
    def target_domain(self) -> str | None:
        """The domain that the model's output belongs to; None if there are no domains."""
        return self.target or next(reversed(tuple(self.domains)), None)

    @property
    def inputs(self) -> tuple[str, ...]:
        """The domains that the model's output is made from; none for pictures from noise."""
        return tuple(domain for domain in self.domains if domain != self.target_domain)


@dataclass(frozen=True)
class FoundPlugin:
    """A plugin as its distribution announces it, before anything is imported.

    Attributes:
        problem: why it cannot be used (a duplicate, or disabled), or None.
    """

    name: str
    distribution: str
    version: str
    entry_point: EntryPoint
    problem: str | None = None

    @property
    def package(self) -> str:
        """Its top-level package."""
        return self.entry_point.value.split(":")[0].split(".")[0].strip()

    def load(self) -> Plugin:
        """Import the manifest.

        Raises:
            PluginError: it is disabled, a duplicate, broken, or made for another artgan.
        """
        if self.problem:
            raise PluginError(f"plugin {self}: {self.problem}")
        try:
            plugin = self.entry_point.load()
        except (Exception, SystemExit) as error:  # third-party code may raise anything
            raise PluginError(f"plugin {self} cannot be imported: {one_line(error, kind=True)}") from error
        if not isinstance(plugin, Plugin):
            raise PluginError(f"plugin {self}: {self.entry_point.value} is {type(plugin).__name__}, not a Plugin")
        if plugin.name != self.name:
            raise PluginError(f"plugin {self}: its manifest calls itself {plugin.name!r}; the names must match")
        if plugin.api != API:
            advice = "upgrade artgan" if plugin.api > API else f"upgrade {self.distribution}"
            raise PluginError(f"plugin {self} is made for plugin API {plugin.api}, this artgan has {API}; {advice}")
        return plugin

    def __str__(self) -> str:
        return f"{self.name} ({self.distribution} {self.version})"


@dataclass(frozen=True)
class PluginReport:
    """What :func:`inspect_plugins` reports about one plugin; ``problem`` is None if it works."""

    name: str
    distribution: str
    version: str
    summary: str | None
    problem: str | None


def find_plugins() -> dict[str, FoundPlugin]:
    """The installed plugins by name, sorted. Imports none of them.

    ``ARTGAN_DISABLE_PLUGINS`` (names separated by commas, or ``*``) disables plugins; two distributions that provide
    plugins of the same name disable each other. In both cases ``problem`` says so.
    """
    return {**_find_plugins(tuple(map(_changed, sys.path)), os.environ.get("ARTGAN_DISABLE_PLUGINS", ""))}


def _changed(folder: str) -> tuple[str, int]:
    """A folder of packages, and when a distribution was last installed there or removed."""
    try:
        return folder, os.stat(folder or os.curdir).st_mtime_ns
    except OSError:
        return folder, 0


@lru_cache(maxsize=1)
def _find_plugins(places: tuple[tuple[str, int], ...], disabling: str) -> dict[str, FoundPlugin]:
    """See :func:`find_plugins`, which is called for each model that is listed, and takes milliseconds."""
    by_name: dict[str, list[FoundPlugin]] = {}
    for entry_point in entry_points(group=GROUP):
        distribution = entry_point.dist
        found = FoundPlugin(
            entry_point.name,
            distribution.name if distribution else "unknown distribution",
            distribution.version if distribution else "?",
            entry_point,
        )
        same = by_name.setdefault(found.name, [])
        # A distribution may be listed twice, say once as installed and once from its checkout.
        if not any((s.distribution, s.entry_point.value) == (found.distribution, entry_point.value) for s in same):
            same.append(found)
    disabled = {name.strip() for name in disabling.split(",")}
    plugins = {}
    for name, same in sorted(by_name.items()):
        problem = None
        if name in disabled or "*" in disabled:
            problem = _DISABLED
        elif len(same) > 1:
            both = " and ".join(f"{found.distribution} {found.version}" for found in same)
            problem = f"the name is taken twice, by {both}; uninstall one of them"
        plugins[name] = FoundPlugin(name, same[0].distribution, same[0].version, same[0].entry_point, problem)
    return plugins


def plugin_works(name: str) -> bool:
    """Whether a plugin is installed, alone of its name, and not disabled; it is not imported."""
    found = find_plugins().get(name)
    return found is not None and not found.problem


def missing_plugins() -> list[str]:
    """The plugins that artgan's own distribution offers as extras and that are not installed, sorted."""
    try:
        offered = {match[1] for text in requires("artgan") or () if (match := _EXTRA.match(text))}
    except PackageNotFoundError:  # run from its sources
        offered = set()
    offered |= {
        folder.parent.name.removeprefix("artgan-") for folder in _CHECKOUT.glob("plugins/artgan-*/pyproject.toml")
    }
    return sorted(offered - find_plugins().keys())


def install_command(*plugins: str) -> str:
    """The command that installs plugins that artgan offers from an index, and in a checkout also the one for it."""
    command = f'pip install "artgan[{",".join(plugins)}]"'
    folders = [_CHECKOUT / "plugins" / f"artgan-{plugin}" for plugin in plugins]
    if not all((folder / "pyproject.toml").is_file() for folder in folders):
        return command
    if Path.cwd() == _CHECKOUT:
        folders = [folder.relative_to(_CHECKOUT) for folder in folders]
    return (
        f"{command}, or in a checkout: pip install {' '.join(f'-e {shlex.quote(str(folder))}' for folder in folders)}"
    )


def what_to_install() -> str:
    """A clause that names the plugins that artgan offers and that are not installed, or "" if all are."""
    missing = missing_plugins()
    return f"not installed: {', '.join(missing)}: {install_command(*missing)}" if missing else ""


def load_plugin(name: str) -> Plugin:
    """Import the plugin ``name``, and no other.

    Raises:
        PluginError: it is not installed, disabled, a duplicate, broken, or made for another artgan.
    """
    plugins = find_plugins()
    if name not in plugins:
        missing = missing_plugins()
        if name in missing:
            raise PluginError(f"the plugin {name!r} is not installed: {install_command(name)}")
        hint = did_you_mean(name, [*plugins, *missing]) or f"installed: {', '.join(plugins) or 'none'}"
        raise PluginError(f"no plugin named {name!r}; {hint}")
    return plugins[name].load()


def resolve(plugin: Plugin, part: str) -> Any:
    """Import a part named in the manifest: ``resolve(plugin, "networks")``.

    Raises:
        PluginError: the plugin does not have it, or it cannot be imported.
    """
    string = getattr(plugin, part)
    if string is None:
        raise PluginError(f"plugin {plugin.name} has no {part}")
    return import_part(plugin, part, string)


def import_part(plugin: Plugin, part: str, string: str) -> Any:
    module, attribute = string.split(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (Exception, SystemExit) as error:  # as above
        raise PluginError(
            f"plugin {plugin.name}: {part} {string} cannot be imported: {one_line(error, kind=True)}"
        ) from error


def inspect_plugins() -> list[PluginReport]:
    """Import every plugin and report which work. A broken one does not affect the others.

    Raises:
        PluginError: one is broken and ``ARTGAN_STRICT_PLUGINS=1``.
    """
    return [
        PluginReport(found.name, found.distribution, found.version, plugin.summary if plugin else None, problem)
        for found, plugin, problem in _load_all()
    ]


def working_plugins() -> list[Plugin]:
    """Import every plugin and return the manifests of those that work, sorted by name.

    Raises:
        PluginError: one is broken and ``ARTGAN_STRICT_PLUGINS=1``.
    """
    return [plugin for _, plugin, _ in _load_all() if plugin is not None]


def _load_all() -> Iterator[tuple[FoundPlugin, Plugin | None, str | None]]:
    """Each plugin with its manifest, or with its problem."""
    for found in find_plugins().values():
        try:
            yield found, found.load(), None
        except PluginError as error:
            if strict() and found.problem != _DISABLED:
                raise
            yield found, None, found.problem or str(error)


def strict() -> bool:
    """Whether ``ARTGAN_STRICT_PLUGINS=1`` asks for an error instead of a report about a broken plugin."""
    return os.environ.get("ARTGAN_STRICT_PLUGINS") == "1"
