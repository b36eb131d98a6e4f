"""Converts other projects' checkpoints, which are not trusted, to model folders: read, recognize, validate, write."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from artgan import config as configs
from artgan.discovery import Plugin, find_plugins, load_plugin, resolve, strict, what_to_install
from artgan.errors import ArtganError, PluginError, WeightsError, one_line
from artgan.files import sha256
from artgan.models.building import assemble
from artgan.models.cards import checked_license
from artgan.models.checkpoints import MAX_DEPTH, read_state
from artgan.models.folder import save_model
from artgan.models.reparametrization import without_reparametrization


@dataclass(frozen=True)
class Converted:
    """The result of a plugin's ``convert`` for another project's weights.

    ``convert`` takes tensors by name, in file order, on the CPU, and returns None for a layout that it does not know.
    It raises :class:`artgan.WeightsError`, with the reason, for a layout that it knows but cannot use. It is also
    called for parts of a checkpoint, so it must reject quickly.

    Attributes:
        layout: the layout's name, a key of the manifest's ``layouts``.
        config: the config that builds the plugin's generator.
        state: the generator's state dict, in any floating dtype.
        assumed: what the weights do not show, and how the config was chosen, for the user; empty if nothing.
    """

    layout: str
    config: Mapping[str, Any]
    state: Mapping[str, Tensor]
    assumed: str = ""


@dataclass(frozen=True)
class Conversion:
    """What :func:`convert` did.

    Attributes:
        folder: the model's folder.
        plugin: the name of the plugin that recognized the file.
        layout: the layout's name.
        about: the plugin's description of the layout.
        config: the config that builds the generator.
        parameters: the generator's number of parameters.
        assumed: what the weights do not show, and what was assumed of it; empty if nothing.
    """

    folder: Path
    plugin: str
    layout: str
    about: str
    config: Mapping[str, Any]
    parameters: int
    assumed: str = ""


@dataclass(frozen=True)
class _Found:
    """A generator found in a checkpoint: the prefix of its names, and the plugin that recognized it."""

    key: str
    plugin: Plugin
    converted: Converted


def convert(
    file: str | Path,
    folder: str | Path,
    *,
    plugin: str | None = None,
    key: str | None = None,
    license: str | None = None,
    settings: Mapping[str, str] | None = None,
    overwrite: bool = False,
) -> Conversion:
    """Write a model folder, loadable as ``local-dir:FOLDER``, from another project's checkpoint.

    Args:
        file: a PyTorch checkpoint (no pickled code is run), safetensors, or NumPy (.npz).
        folder: the folder to write; it must be empty or not exist.
        plugin: the plugin whose layouts to try; None tries all installed plugins.
        key: which generator to convert, if the checkpoint holds several: the prefix of its weights' names.
        license: the license of the weights, for the model card: its name at SPDX or on the Hub.
        settings: options of the plugin's config, as text, that replace what the weights seem to show.
        overwrite: whether a model in the folder may be replaced.

    Raises:
        WeightsError: the file cannot be read, has an unknown layout, or does not match its layout; or the folder is
            not empty. Nothing is written in these cases.
        ConfigError: a setting is not an option of the plugin, or the license has no known name.
        PluginError: the plugin is missing or converts nothing.
    """
    file, folder = Path(file), Path(folder)
    license = checked_license(license) if license is not None else None
    _check_folder(folder, overwrite)
    converters = _converters(plugin)
    state = without_reparametrization(read_state(file))
    found = _choose(_recognize(state, converters, file), key, file)
    config = {**found.converted.config, **_typed(found.plugin, settings or {})}
    parsed = configs.parse(resolve(found.plugin, "config"), config, where=f"{file}: as {found.converted.layout}")
    weights = {
        name: value.float().contiguous() if value.is_floating_point() else value.contiguous()
        for name, value in found.converted.state.items()
    }
    for name, value in weights.items():
        if not value.isfinite().all():
            raise WeightsError(f"{file}: {name} holds values that are not finite; these weights are unusable")
    generator = assemble(found.plugin, parsed, weights, str(file))
    origin = {"converted_from": file.name, "layout": found.converted.layout, "sha256": sha256(file)}
    save_model(
        folder,
        generator,
        plugin=found.plugin.name,
        config=config,
        extra={**({"license": {"weights": license}} if license else {}), "training": origin},
    )
    return Conversion(
        folder,
        found.plugin.name,
        found.converted.layout,
        found.plugin.layouts.get(found.converted.layout, ""),
        config,
        sum(parameter.numel() for parameter in generator.parameters()),
        found.converted.assumed,
    )


def _typed(plugin: Plugin, settings: Mapping[str, str]) -> dict[str, Any]:
    """Settings as values of the plugin's options; unknown ones stay texts, and are refused where they are parsed."""
    kinds = configs.field_types(resolve(plugin, "config"))
    return {
        key: configs.from_text(text, kinds[key][0], where=f"--set {key}={text}") if key in kinds else text
        for key, text in settings.items()
    }


def _check_folder(folder: Path, overwrite: bool) -> None:
    try:
        if folder.exists() and not folder.is_dir():
            raise WeightsError(f"{folder}: is a file; give a folder for the model")
        if folder.is_dir() and any(folder.iterdir()) and not overwrite:
            raise WeightsError(f"{folder}: is not empty; give another folder, or --overwrite")
    except OSError as error:
        raise WeightsError(f"{folder}: the model cannot be written here ({error.strerror})") from None


# ---- recognizing the layout


_Converter = tuple[Plugin, Callable[[Mapping[str, Tensor]], Any]]


def _converters(name: str | None) -> list[_Converter]:
    """The ``convert`` function of the named plugin, or of every working plugin that has one."""
    if name is not None:
        plugin = load_plugin(name)
        if plugin.convert is None:
            raise PluginError(f"plugin {name} does not convert other projects' checkpoints")
        return [(plugin, resolve(plugin, "convert"))]
    converters = []
    for found in find_plugins():
        try:
            plugin = load_plugin(found)
            if plugin.convert is not None:
                converters.append((plugin, resolve(plugin, "convert")))
        except PluginError:  # reported by artgan plugins
            if strict():
                raise
    if not converters:
        hint = what_to_install() or "artgan plugins lists what works"
        raise PluginError(f"no installed plugin converts other projects' checkpoints; {hint}")
    return converters


def _recognize(state: Mapping[str, Tensor], converters: list[_Converter], file: Path) -> list[_Found]:
    """Every generator in the checkpoint that a plugin recognizes, at any nesting depth; at least one."""
    refusals: list[str] = []
    found: list[_Found] = []

    def search(part: Mapping[str, Tensor], key: str, depth: int) -> None:
        known = []
        for plugin, converter in converters:
            try:
                converted = _call(plugin, converter, part)
            except WeightsError as error:
                refusals.append(f"{key}: {error}" if key else str(error))
                continue
            if converted is not None:
                known.append(_Found(key, plugin, converted))
        found.extend(known)
        if known or depth == MAX_DEPTH:
            return
        inner: dict[str, dict[str, Tensor]] = {}
        for name, value in part.items():
            head, separator, rest = _partition(name)
            if separator:
                inner.setdefault(head, {})[rest] = value
        for head, group in inner.items():
            search(group, f"{key}.{head}" if key else head, depth + 1)

    search(state, "", 0)
    if found:
        return found
    if refusals:
        raise WeightsError(f"{file}: {refusals[0]}")
    names = list(state)
    layouts = [f"{name} ({about})" for plugin, _ in converters for name, about in plugin.layouts.items()]
    install = f"; {hint}" if (hint := what_to_install()) else ""
    raise WeightsError(
        f"{file}: the weights have no known layout; the first of {len(names)} are {', '.join(names[:4])}; "
        f"known are {', '.join(layouts) or 'none'}{install}"
    )


def _partition(name: str) -> tuple[str, str, str]:
    """A name's first part, its separator ("." in PyTorch, "/" in TensorFlow, "" if none) and the rest."""
    head, separator, rest = name.partition(".")
    return name.partition("/") if "/" in head else (head, separator, rest)


def _call(plugin: Plugin, converter: Callable[[Mapping[str, Tensor]], Any], part: Mapping[str, Tensor]) -> Any:
    try:
        converted = converter(part)
    except ArtganError:
        raise
    except Exception as error:  # third-party code may raise anything
        raise PluginError(f"plugin {plugin.name}: its convert failed: {one_line(error, kind=True)}") from error
    if converted is not None and not isinstance(converted, Converted):
        raise PluginError(f"plugin {plugin.name}: its convert returned a {type(converted).__name__}, not a Converted")
    return converted


def _choose(found: list[_Found], key: str | None, file: Path) -> _Found:
    """The only generator found, or the one that ``key`` selects."""
    wanted = found
    if key is not None:
        prefix = key.replace("/", ".").strip(".")
        wanted = [one for one in found if f"{one.key}.".startswith(f"{prefix}.")]
    keys = list(dict.fromkeys(one.key for one in wanted))
    if len(keys) > 1:
        raise WeightsError(f"{file}: holds {len(keys)} generators; choose one by --key: {', '.join(keys)}")
    if len(wanted) > 1:
        both = ", ".join(f"{one.plugin.name} ({one.converted.layout})" for one in wanted)
        raise WeightsError(f"{file}: several plugins know it; choose one by --plugin: {both}")
    if not wanted:
        there = ", ".join(one.key for one in found if one.key) or "one without a key"
        raise WeightsError(f"{file}: holds no generator under the key {key!r}; there is {there}")
    return wanted[0]
