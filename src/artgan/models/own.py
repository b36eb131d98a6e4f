"""The user's own models: folders that are found by their name. Does not import torch."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path, PurePath
from typing import Any

from artgan.discovery import find_plugins, load_plugin
from artgan.errors import ConfigError, PluginError, WeightsError, printable
from artgan.files import refused_by_windows, remove_unfinished, replace_durably, temporary_folder
from artgan.models.entry import Entry, Registry, Task, Weights
from artgan.models.folder import CONFIG, read_card
from artgan.settings import data_folder

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")  # one name of a file on every system, and no name of the registry's
_WORDS = ("none", "photo")  # --brush none; the label of the photo itself
_PLUGIN = re.compile(r"[a-z][a-z0-9_-]*")
_MAPPINGS = ("license", "training", "check", "brushwork", "base", "style")


def own_models() -> Path:
    """The folder of the user's own models: ``models`` in :func:`artgan.settings.data_folder`."""
    return data_folder() / "models"


def with_own_models(registry: Registry) -> Registry:
    """The registry with the user's own models, after its own; folders that are broken go to ``broken``."""
    try:
        folders = sorted(path for path in own_models().iterdir() if path.is_dir() and not path.name.startswith("."))
    except FileNotFoundError:
        return registry
    except OSError as error:
        return replace(registry, broken={"": f"{own_models()}: cannot be read ({error.strerror})"})
    entries, broken = dict(registry.entries), {}
    for folder in folders:
        try:
            check_name(folder.name, registry)
            entries[folder.name] = _entry(folder)
        except ConfigError as error:
            broken[folder.name] = f"{printable(str(folder))}: {error}; rename the folder"
        except (WeightsError, OSError) as error:
            broken[folder.name] = printable(str(error))
    return replace(registry, entries=entries, broken=broken)


def check_name(name: str, registry: Registry) -> None:
    """Raise ConfigError, with a clause, if a model of the user's own cannot have this name.

    Args:
        name: of the model, and of its folder.
        registry: whose names are taken, those of the user's own models excepted.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"{printable(name)!r} cannot be a model's name: write lower-case letters, digits, '-' and '_', at most 64"
        )
    if name in _WORDS:
        raise ConfigError(f"{name!r} cannot be a model's name: it has another meaning in commands")
    refused = refused_by_windows(PurePath(name))
    if refused is not None:
        raise ConfigError(f"{name!r} cannot be a model's name: {refused}")
    if name in registry.aliases or name in registry.deprecated:
        raise ConfigError(f"{name!r} is already the name of a registry model")


def put_own_model(name: str, write: Callable[[Path], None], *, overwrite: bool = False) -> Path:
    """Make a model of the user's own, complete or not at all.

    Args:
        name: that :func:`check_name` accepts.
        write: writes the model into an empty folder.
        overwrite: whether a model of this name may be replaced.

    Returns:
        Its folder.

    Raises:
        ConfigError: there is a model of this name already.
        WeightsError: the folder cannot be written.
    """
    models = own_models()
    folder = models / name
    if folder.exists() and not overwrite:
        raise ConfigError(f"{folder}: exists already")
    try:
        models.mkdir(parents=True, exist_ok=True)
        remove_unfinished(models)
        with temporary_folder(models) as place:
            made = Path(place, "new")
            made.mkdir()
            write(made)
            if folder.exists():
                folder.rename(Path(place, "old"))  # and is removed with the temporary folder
            replace_durably(made, folder)
    except OSError as error:
        raise WeightsError(f"{folder}: the model cannot be written here ({error.strerror})") from None
    return folder


def remove_own_model(entry: Entry) -> None:
    """Remove the folder of a model of the user's own; where that is a link, only the link.

    Raises:
        WeightsError: it cannot be removed.
    """
    assert entry.folder is not None
    try:
        if entry.folder.is_symlink():
            entry.folder.unlink()
        else:
            with temporary_folder(entry.folder.parent) as place:
                gone = entry.folder.rename(Path(place, "old"))  # at once: an interruption leaves no half of it
                shutil.rmtree(gone)
    except OSError as error:
        raise WeightsError(f"{entry.folder}: cannot be removed ({error.strerror})") from None


def _entry(folder: Path) -> Entry:
    """What the registry says of a folder.

    Raises:
        WeightsError: its ``config.json`` is missing or invalid.
    """
    card = read_card(folder)
    plugin = card["plugin"]
    if not _PLUGIN.fullmatch(plugin):
        raise WeightsError(f"{folder / CONFIG}: plugin: no plugin can have the name {plugin!r}")
    if isinstance(card.get("license"), str):
        card["license"] = {"weights": card["license"]}
    said = {key: _checked(folder, card, key, {}, Mapping, "a mapping") for key in _MAPPINGS}
    metrics = _checked(folder, card, "metrics", [], list, "a list of mappings")
    if not all(isinstance(metric, Mapping) for metric in metrics):
        raise WeightsError(f"{folder / CONFIG}: metrics: must be a list of mappings")
    found = find_plugins().get(plugin)
    return Entry(
        folder.name,
        plugin,
        found.distribution if found else f"artgan-{plugin}",
        exported=_exported(folder, card),
        summary=_checked(folder, card, "summary", "", str, "a text"),
        task=_task(plugin),
        config=card["config"],
        metrics=tuple(metrics),
        **said,
        folder=folder,
        source=str(folder),
    )


def _checked(folder: Path, card: Mapping[str, Any], key: str, default: Any, kind: type, words: str) -> Any:
    value = card.get(key, default)
    if not isinstance(value, kind):
        raise WeightsError(f"{folder / CONFIG}: {key}: must be {words}")
    return value


def _exported(folder: Path, card: Mapping[str, Any]) -> Weights | None:
    if "exported" not in card:
        return None
    said = _checked(folder, card, "exported", {}, Mapping, "a mapping")
    size = said.get("size")
    return Weights(str(said.get("sha256")), size if isinstance(size, int) else 0)  # loading is what checks them


def _task(plugin: str) -> Task:
    """By the plugin's manifest, as cards of folders do not say it."""
    try:
        found = load_plugin(plugin)
    except PluginError:  # which is told where plugins are listed
        return "image-to-image"
    return "noise-to-image" if found.domains and not found.inputs else "image-to-image"
