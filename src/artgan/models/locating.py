"""Finds a model's card, plugin and weights by name: in a package, a folder or the Hub. Does not import torch."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from artgan import hub
from artgan.discovery import Plugin, find_plugins, load_plugin
from artgan.errors import ArtganError, ModelNotFoundError, PluginError, WeightsError
from artgan.files import sha256
from artgan.models.entry import Entry, HubFile, Weights
from artgan.models.folder import CONFIG, HUB_MODEL, LIMITS, WEIGHTS, model_file, read_card
from artgan.models.formats import convert_first, looks_like_weights
from artgan.models.registry import read_registry


@dataclass(frozen=True)
class WeightsFile:
    """A weights file that has not been read yet.

    Attributes:
        path: where it is.
        promised: the registry entry whose size and SHA-256 it must match; None if neither is known, or if both were
            verified when it was fetched.
    """

    path: Path
    promised: Entry | None = None

    def read(self) -> bytes:
        """Read the file.

        Raises:
            WeightsError: the file cannot be read, or does not match the promised size or hash.
        """
        wanted = self.promised.weights if self.promised is not None else None
        try:
            size = self.path.stat().st_size
            if wanted is not None and size != wanted.size:  # before its memory is taken
                raise self._another(f"has {size} bytes, expected {wanted.size}")
            data = self.path.read_bytes()
        except OSError as error:
            raise WeightsError(f"{self.path}: cannot be read ({error.strerror})") from None
        if wanted is not None and (found := hashlib.sha256(data).hexdigest()) != wanted.sha256:
            raise self._another(f"has sha256 {found}, expected {wanted.sha256}")
        return data

    def _another(self, difference: str) -> WeightsError:
        assert self.promised is not None
        advice = f"install again: {self.promised.install_command()}"
        return WeightsError(f"{self.promised.name}: {self.path}: {difference}; {advice}")


@dataclass(frozen=True)
class Located:
    """Everything known about a model before it is built.

    Attributes:
        name: the registry's full name, "local-dir:PATH", or "hf-hub:ORG/NAME@COMMIT".
        plugin: its plugin's manifest.
        card: the registry entry or the folder's ``config.json``, as JSON types; has at least "plugin" and "config".
        source: where the card was read from, with which errors begin.
        weights: None for a model without learned weights.
    """

    name: str
    plugin: Plugin
    card: Mapping[str, Any]
    source: str
    weights: WeightsFile | None


def locate(
    name: str,
    *,
    revision: str | None = None,
    cache_dir: str | Path | None = None,
    local_files_only: bool = False,
) -> Located:
    """Find a model, fetching it from the Hub if necessary. Arguments and errors as for :func:`artgan.load`."""
    scheme, _, rest = name.partition(":")
    if scheme == "local-dir":
        _refuse_file(name, Path(rest))
        if revision is not None:
            raise ArtganError(f"{name}: a folder has no revisions; leave revision out")
        return _in_folder(name, Path(rest))
    if scheme == "hf-hub":
        repository, named = _repository(name)
        if revision is not None and named not in (None, revision):
            raise WeightsError(f"{name}: revision={revision!r} says another one; give one of the two")
        files = [hub.RemoteFile(file, limit) for file, limit in LIMITS.items()]
        folder = hub.fetch(repository, revision or named, files, cache_dir=cache_dir, local_files_only=local_files_only)
        return _in_folder(f"hf-hub:{repository}@{folder.name}", folder)
    entry = _entry(name)
    plugin = _plugin_of_entry(entry)
    if entry.weights is None:
        _check_needs_no_weights(entry, plugin, revision)
        weights = None
    elif entry.weights.bundled is not None and revision is None:
        weights = WeightsFile(_bundled(entry, entry.weights.bundled), promised=entry)
    else:
        entry, weights = _fetched(entry, entry.weights, revision, cache_dir, local_files_only)
    return Located(entry.name, plugin, entry.to_dict(), entry.name, weights)


def plugin_of(name: str) -> Plugin:
    """The plugin that a model needs; for a model on the Hub, only its ``config.json`` is fetched.

    Args:
        name: a registry name or alias, "local-dir:PATH" or "hf-hub:ORG/REPO@REVISION".

    Raises:
        ArtganError: the model does not exist, or its plugin is missing or broken.
    """
    scheme, _, rest = name.partition(":")
    if scheme == "local-dir":
        _refuse_file(name, Path(rest))
        return load_plugin(read_card(Path(rest))["plugin"])
    if scheme == "hf-hub":
        folder = hub.fetch(*_repository(name), [hub.RemoteFile(CONFIG, LIMITS[CONFIG])])
        return load_plugin(read_card(folder)["plugin"])
    return load_plugin(_entry(name).plugin)


def _entry(name: str) -> Entry:
    """A model of the registry; a name of a file of weights instead is answered with what to do with it."""
    try:
        return read_registry().entry(name)
    except ModelNotFoundError:
        _refuse_file(name, Path(name))
        raise


def _refuse_file(name: str, path: Path) -> None:
    if looks_like_weights(path) and not path.is_dir():
        raise WeightsError(f"{name}: {convert_first(path)}")


def _repository(name: str) -> tuple[str, str | None]:
    """Repository and revision of "hf-hub:ORG/NAME@REVISION"; the revision is None if not given."""
    match = HUB_MODEL.fullmatch(name.removeprefix("hf-hub:"))
    if match is None:
        raise WeightsError(f"{name}: write hf-hub:ORG/NAME or hf-hub:ORG/NAME@REVISION")
    return match["repo"], match["revision"]


def _in_folder(name: str, folder: Path) -> Located:
    card = read_card(folder)
    weights = WeightsFile(model_file(folder, WEIGHTS))
    return Located(name, load_plugin(card["plugin"]), card, str(model_file(folder, CONFIG)), weights)


def _plugin_of_entry(entry: Entry) -> Plugin:
    found = find_plugins().get(entry.plugin)
    if found is None:
        raise PluginError(
            f"{entry.name} needs the plugin {entry.plugin!r}, which is not installed: {entry.install_command()}"
        )
    return found.load()


def _check_needs_no_weights(entry: Entry, plugin: Plugin, revision: str | None) -> None:
    if revision is not None:
        raise WeightsError(f"{entry.name}: has no weights of its own, so it has no revisions; leave revision out")
    if plugin.trainer is not None:  # it would paint, but with randomly initialized weights
        raise WeightsError(f"{entry.name}: {entry.source} names no weights, which a model of {entry.plugin} needs")


def _bundled(entry: Entry, bundled: str) -> Path:
    """The path of a model's weights in an installed package."""
    package, _, inside = bundled.partition("/")
    spec = find_spec(package)
    folders = list(spec.submodule_search_locations or []) if spec else []
    if not folders:
        raise WeightsError(f"{entry.name}: its weights are in the package {package}: {entry.install_command()}")
    for folder in map(Path, folders):
        path = (folder / inside).resolve()
        if not path.is_relative_to(folder.resolve()):
            raise WeightsError(f"{entry.name}: {bundled} leads out of the package {package}")
        if path.is_file():
            return path
    raise WeightsError(f"{entry.name}: {Path(folders[0], inside)} is missing; install {entry.distribution} again")


def _fetched(
    entry: Entry, weights: Weights, revision: str | None, cache_dir: str | Path | None, local_files_only: bool
) -> tuple[Entry, WeightsFile]:
    """A model's file, fetched from the Hub, and its entry, without hash and metrics if ``revision`` differs."""
    remote = weights.hub
    if remote is None:
        raise WeightsError(f"{entry.name}: its weights are not on the Hub, so it has no revisions; leave revision out")
    promised = revision in (None, remote.revision)
    file = hub.RemoteFile(remote.file, LIMITS[WEIGHTS])
    if promised:
        file = replace(file, size=weights.size, sha256=weights.sha256)
    folder = hub.fetch(
        remote.repo_id, revision or remote.revision, [file], cache_dir=cache_dir, local_files_only=local_files_only
    )
    path = folder / remote.file
    if not promised:
        found = Weights(sha256(path), path.stat().st_size, hub=HubFile(remote.repo_id, folder.name, remote.file))
        entry = replace(entry, weights=found, training={}, metrics=(), check={})
    return entry, WeightsFile(path)
