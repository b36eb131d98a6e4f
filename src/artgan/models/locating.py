"""Finds a model's card, plugin and weights by name: in a package, a folder or the Hub. Does not import torch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, TypeAlias

from artgan import hub
from artgan.discovery import Plugin, find_plugins, load_plugin, plugin_works
from artgan.errors import ArtganError, ModelNotFoundError, PluginError, WeightsError, did_you_mean, one_line
from artgan.files import sha256
from artgan.models.entry import Entry, HubFile, Weights
from artgan.models.folder import CONFIG, EXPORTED, HUB_MODEL, LIMITS, WEIGHTS, model_file, read_card
from artgan.models.formats import convert_first, looks_like_weights
from artgan.models.registry import read_registry
from artgan.models.registry_file import shown
from artgan.models.runtimes.onnx_file import OnnxFile, check_onnx

Form: TypeAlias = Literal["weights", "exported"]
"""What a model is loaded from: weights for its plugin's network in PyTorch, or an exported file, which is a network."""

_MOST_HEADER = 2**22  # bytes of the header of weights


@dataclass(frozen=True)
class ModelFile:
    """A file that has not been read yet.

    Attributes:
        path: where it is.
        promised: the size and SHA-256 that it must have; None if they are not known, or were verified when it was
            fetched.
        name: the model's, with which errors about these begin.
        advice: what to do if they differ.
    """

    path: Path
    promised: Weights | None = None
    name: str = ""
    advice: str = ""

    def read(self) -> bytes:
        """Read the file.

        Raises:
            WeightsError: the file cannot be read, or does not match the promised size or hash.
        """
        wanted = self.promised
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
        return WeightsError(f"{self.name}: {self.path}: {difference}; {self.advice}")


@dataclass(frozen=True)
class Located:
    """Everything known about a model before it is built.

    Attributes:
        name: the registry's full name, "local-dir:PATH", or "hf-hub:ORG/NAME@COMMIT".
        card: the registry entry or the folder's ``config.json``, as JSON types; has at least "plugin" and "config".
        source: where the card was read from, with which errors begin.
        form: what ``file`` is.
        file: None for a model without learned weights.
        base: the model whose weights are this one's too, except those in ``file``; None if the file holds all.
    """

    name: str
    card: Mapping[str, Any]
    source: str
    form: Form
    file: ModelFile | None
    base: Located | None = None

    @cached_property
    def plugin(self) -> Plugin:
        """Its plugin's manifest, which an exported model does not need.

        Raises:
            PluginError: the plugin is missing or broken.
        """
        try:
            return load_plugin(self.card["plugin"])
        except PluginError as error:
            raise PluginError(f"{self.name}: {error}") from error

    @cached_property
    def data(self) -> bytes | None:
        """The content of the file, verified.

        Raises:
            WeightsError: it cannot be read, or does not match the promised size or hash.
        """
        return None if self.file is None else self.file.read()

    @cached_property
    def exported(self) -> OnnxFile:
        """The exported network, checked.

        Raises:
            WeightsError: as :attr:`data` and :func:`artgan.models.runtimes.onnx_file.check_onnx` say.
        """
        assert self.file is not None
        return check_onnx(self.data or b"", str(self.file.path))

    def about(self) -> Mapping[str, Any]:
        """What the file's header says, apart from the network.

        Raises:
            WeightsError: it cannot be read.
        """
        if self.data is None:
            return {}
        return self.exported.about if self.form == "exported" else header(self.data, self.source)


def header(weights: bytes, where: str) -> dict[str, Any]:
    """The JSON text under "artgan" in the metadata of a safetensors file.

    Raises:
        WeightsError: the header cannot be read, or is larger than any that artgan writes.
    """
    length = int.from_bytes(weights[:8], "little")
    if length > _MOST_HEADER:
        raise WeightsError(f"{where}: the weights' header is larger than {_MOST_HEADER} bytes, where a palette is read")
    try:
        metadata = json.loads(weights[8 : 8 + length]).get("__metadata__") or {}
        about = json.loads(metadata.get("artgan", "{}"))
        if not isinstance(about, dict):
            raise TypeError("no mapping")
    except (ValueError, AttributeError, TypeError, RecursionError) as error:
        raise WeightsError(f"{where}: the weights' header cannot be read ({one_line(error)})") from None
    return about


def locate(
    name: str,
    *,
    revision: str | None = None,
    cache_dir: str | Path | None = None,
    local_files_only: bool = False,
    prefer: Form | None = None,
) -> Located:
    """Find a model, fetching it from the Hub if necessary.

    Args:
        name, revision, cache_dir, local_files_only: as for :func:`artgan.load`.
        prefer: of a model in both forms; by default weights where they can be used, that is, if the model's plugin and
            torch are installed. A model in one form is found in that form.

    Raises:
        ArtganError: as for :func:`artgan.load`.
    """
    scheme, _, rest = name.partition(":")
    if scheme == "local-dir":
        _refuse_file(name, Path(rest))
        if revision is not None:
            raise ArtganError(f"{name}: a folder has no revisions; leave revision out")
        return _in_folder(name, Path(rest), cache_dir, local_files_only)
    if scheme == "hf-hub":
        repository, named = _repository(name)
        if revision is not None and named not in (None, revision):
            raise WeightsError(f"{name}: revision={revision!r} names another one; give only one of the two")

        def fetch(commit: str | None, *files: hub.RemoteFile) -> Path:
            return hub.fetch(repository, commit, files, cache_dir=cache_dir, local_files_only=local_files_only)

        config = hub.RemoteFile(CONFIG, LIMITS[CONFIG])
        folder = fetch(revision or named, config)
        card = read_card(folder)
        base = _base_of(card, name, folder, cache_dir, local_files_only)
        held = _FILES[_form(card)]
        weights = hub.RemoteFile(held, _most(held, base))
        folder = fetch(folder.name, config, weights)  # of the commit that the card is of
        return _in_folder(f"hf-hub:{repository}@{folder.name}", folder, cache_dir, local_files_only)
    entry = _entry(name)
    if entry.folder is not None:
        if revision is not None:
            raise ArtganError(f"{name}: a folder has no revisions; leave revision out")
        return _in_folder(entry.name, entry.folder, cache_dir, local_files_only)
    form = _chosen(entry, prefer) if revision is None else "weights"
    file = entry.exported if form == "exported" else entry.weights
    if form == "weights":
        plugin = _plugin_of_entry(entry)
        if file is None:
            _check_needs_no_weights(entry, plugin, revision)
    if file is None:
        return Located(entry.name, entry.to_dict(), entry.name, form, None)
    if file.bundled is not None and revision is None:
        found = _bundled(entry, file, file.bundled)
    else:
        entry, found = _fetched(entry, form, file, revision, cache_dir, local_files_only)
    base = None
    if form == "weights" and entry.base:
        base = find_base(entry.base, entry.plugin, entry.name, cache_dir=cache_dir, local_files_only=local_files_only)
    return Located(entry.name, entry.to_dict(), entry.name, form, found, base)


def plugin_of(name: str) -> Plugin | None:
    """The plugin that a model needs, or None if it is exported; of a model on the Hub only ``config.json`` is fetched.

    Args:
        name: a registry name or alias, "local-dir:PATH" or "hf-hub:ORG/REPO@REVISION".

    Raises:
        ArtganError: the model does not exist, or its plugin is missing or broken.
    """
    scheme, _, rest = name.partition(":")
    if scheme in ("local-dir", "hf-hub"):
        if scheme == "local-dir":
            folder = Path(rest)
            _refuse_file(name, folder)
        else:
            folder = hub.fetch(*_repository(name), [hub.RemoteFile(CONFIG, LIMITS[CONFIG])])
        card = read_card(folder)
        form = _form(card)
        return None if form == "exported" else Located(name, card, str(folder), form, None).plugin
    entry = _entry(name)
    if entry.exported is not None and (entry.folder is not None or not plugin_works(entry.plugin)):
        return None
    return _plugin_of_entry(entry)


_FILES = {"weights": WEIGHTS, "exported": EXPORTED}


def _form(card: Mapping[str, Any]) -> Form:
    """What a folder with this card holds."""
    return "exported" if "exported" in card else "weights"


def _chosen(entry: Entry, prefer: Form | None) -> Form:
    if entry.exported is None:
        return "weights"
    if prefer is None:
        prefer = "weights" if plugin_works(entry.plugin) and find_spec("torch") is not None else "exported"
    return prefer


def _entry(name: str) -> Entry:
    """A model of the registry; a name of a file of weights instead is answered with what to do with it."""
    try:
        return read_registry().entry(name)
    except ModelNotFoundError:
        _refuse_file(name, Path(name))
    read_registry.cache_clear()  # another process may have saved a model of the user's own meanwhile
    return read_registry().entry(name)


def _refuse_file(name: str, path: Path) -> None:
    if looks_like_weights(path) and not path.is_dir():
        raise WeightsError(f"{name}: {convert_first(path)}")


def _repository(name: str) -> tuple[str, str | None]:
    """Repository and revision of "hf-hub:ORG/NAME@REVISION"; the revision is None if not given."""
    match = HUB_MODEL.fullmatch(name.removeprefix("hf-hub:"))
    if match is None:
        raise WeightsError(f"{name}: write hf-hub:ORG/NAME or hf-hub:ORG/NAME@REVISION")
    return match["repo"], match["revision"]


def _in_folder(name: str, folder: Path, cache_dir: str | Path | None, local_files_only: bool) -> Located:
    card = read_card(folder)
    source = str(model_file(folder, CONFIG))
    form = _form(card)
    path = model_file(folder, _FILES[form])
    if form == "weights":
        base = _base_of(card, name, folder, cache_dir, local_files_only)
        most = _most(WEIGHTS, base)
        if path.stat().st_size > most:
            raise WeightsError(f"{path}: larger than {most} bytes, which is more than can differ from its base")
        return Located(name, card, source, form, ModelFile(path), base)
    said = card["exported"]
    try:
        promised = Weights(str(said["sha256"]), int(said["size"]))
    except (TypeError, KeyError, ValueError):
        raise WeightsError(f"{source}: exported: must hold the size and the sha256 of {EXPORTED}") from None
    return Located(name, card, source, form, ModelFile(path, promised, name, "export or fetch it again"))


def _base_of(
    card: Mapping[str, Any], name: str, folder: Path, cache_dir: str | Path | None, local_files_only: bool
) -> Located | None:
    """The base of a folder's model, if its card names one."""
    if "base" not in card:
        return None
    base, where = card["base"], f"{name}: {folder / CONFIG}"
    return find_base(base, card["plugin"], where, cache_dir=cache_dir, local_files_only=local_files_only)


def find_base(
    base: Any, plugin: str, where: str, *, cache_dir: str | Path | None = None, local_files_only: bool = False
) -> Located:
    """The model that another one is based on.

    Args:
        base: what the other's card says, which is not trusted: "model", a full name of the registry, and "sha256", the
            hash of its file of weights.
        plugin: the other's.
        where: the other's name, with which errors begin.
        cache_dir, local_files_only: as for :func:`artgan.load`.

    Raises:
        WeightsError: there is no such model, it is another plugin's or based on a model itself, or its weights are
            others than those that the card names.
    """
    if not (isinstance(base, Mapping) and isinstance(base.get("model"), str) and isinstance(base.get("sha256"), str)):
        raise WeightsError(f"{where}: base: must hold model, a name of the registry, and the sha256 of its weights")
    name, known = base["model"], read_registry().entries
    if name not in known or known[name].folder is not None:
        hint = did_you_mean(name, (entry.name for entry in known.values() if entry.folder is None))
        raise WeightsError(
            f"{where}: base: no registry has a model {shown(name, quoted=True)}, on which this one is based; "
            + (hint or "upgrade artgan")
        )
    entry = known[name]
    if entry.base:
        raise WeightsError(f"{where}: base: {name} is based on another model itself")
    if entry.plugin != plugin or entry.weights is None:
        has = "has no weights" if entry.weights is None else f"is a model of the plugin {entry.plugin}"
        raise WeightsError(f"{where}: base: {name} {has}, so this model cannot be based on it")
    if entry.weights.sha256 != base["sha256"]:
        raise WeightsError(
            f"{where}: was made with other weights of {name} than this version has; save it again (a style with: "
            "artgan style save PICTURE --as NAME --overwrite)"
        )
    return locate(name, cache_dir=cache_dir, local_files_only=local_files_only, prefer="weights")


def _most(file: str, base: Located | None) -> int:
    """The maximum size of a file of a model, in bytes: of one with a base, that of the base in float32."""
    if base is None:
        return LIMITS[file]
    return min(LIMITS[file], 2 * int(base.card["weights"]["size"]) + _MOST_HEADER)


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


def _bundled(entry: Entry, promised: Weights, bundled: str) -> ModelFile:
    """A model's file in an installed package."""
    package, _, inside = bundled.partition("/")
    install = "pip install artgan" if package == "artgan" else entry.install_command()
    spec = find_spec(package)
    folders = list(spec.submodule_search_locations or []) if spec else []
    if not folders:
        raise WeightsError(f"{entry.name}: its weights are in the package {package}: {install}")
    for folder in map(Path, folders):
        path = (folder / inside).resolve()
        if not path.is_relative_to(folder.resolve()):
            raise WeightsError(f"{entry.name}: {bundled} leads out of the package {package}")
        if path.is_file():
            return ModelFile(path, promised, entry.name, f"install again: {install}")
    distribution = "artgan" if package == "artgan" else entry.distribution
    raise WeightsError(f"{entry.name}: {Path(folders[0], inside)} is missing; install {distribution} again")


def _fetched(
    entry: Entry,
    form: Form,
    weights: Weights,
    revision: str | None,
    cache_dir: str | Path | None,
    local_files_only: bool,
) -> tuple[Entry, ModelFile]:
    """A model's file, fetched from the Hub, and its entry, without hash and metrics if ``revision`` differs."""
    remote = weights.hub
    if remote is None:
        raise WeightsError(f"{entry.name}: its weights are not on the Hub, so it has no revisions; leave revision out")
    promised = revision in (None, remote.revision)
    file = hub.RemoteFile(remote.file, LIMITS[_FILES[form]])
    if promised:
        file = replace(file, size=weights.size, sha256=weights.sha256)
    folder = hub.fetch(
        remote.repo_id, revision or remote.revision, [file], cache_dir=cache_dir, local_files_only=local_files_only
    )
    path = folder / remote.file
    if not promised:
        found = Weights(sha256(path), path.stat().st_size, hub=HubFile(remote.repo_id, folder.name, remote.file))
        entry = replace(entry, weights=found, training={}, metrics=(), check={})
    return entry, ModelFile(path)
