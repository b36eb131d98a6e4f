"""From a name to a model that paints: registry entry, plugin, verified weights, generator."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors
from torch import Tensor, nn

from artgan import config as configs
from artgan import hub
from artgan.errors import ArtganError, PluginError, WeightsError
from artgan.images import Source
from artgan.interfaces import Generator
from artgan.painting import paint
from artgan.plugin import find_plugins, load_plugin, resolve
from artgan.registry import Entry, Weights, read_registry

_MAX_CONFIG_BYTES = 2**20
_MAX_LOCAL_WEIGHTS = 4 * 2**30
_WEIGHTS, _CONFIG = "model.safetensors", "config.json"


class Model(nn.Module):
    """A generator with its weights, ready for use.

    Attributes:
        name: the registry's full name, or what was asked for.
        generator: the network.
        card: the registry entry (licence, data, training, metrics, hash), or the config.json of a local folder.
    """

    def __init__(self, name: str, generator: Generator, card: Mapping[str, Any]) -> None:
        super().__init__()
        self.name = name
        self.generator = generator
        self.card = dict(card)

    def forward(self, x: Tensor) -> Tensor:
        """N x 3 x H x W pictures in [-1, 1] to the same; see :meth:`artgan.interfaces.Generator.forward`."""
        return self.generator(x)  # type: ignore[no-any-return]  # nn.Module.__call__ is untyped

    def paint(self, image: Source, **options: Any) -> Image.Image:
        """A painting of exactly the picture's size; see :func:`artgan.painting.paint`.

        Args:
            image: a path, a Pillow image, an array (uint8, uint16, or float in [0, 1]) H x W x 3, or a tensor
                3 x H x W in [-1, 1].
            options: the model's own.

        Raises:
            PictureError: the picture cannot be read or painted.
        """
        return paint(self.generator, image, **options)

    def save_pretrained(self, path: str | Path) -> None:
        """Write ``model.safetensors`` and ``config.json`` to a folder, loadable as ``local-dir:PATH``."""
        save_model(
            Path(path),
            self.generator,
            plugin=self.card["plugin"],
            config=self.card["config"],
            extra={"license": self.card["license"]} if self.card.get("license") else None,
        )


def load(
    name: str,
    *,
    revision: str | None = None,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
    cache_dir: str | Path | None = None,
    local_files_only: bool = False,
) -> Model:
    """Load a model, in evaluation mode.

    Args:
        name: a registry name or alias ("monet"), "local-dir:PATH", or "hf-hub:ORG/REPO@REVISION".
        revision: commit of a model on the Hub, in place of the registry's.
        device: where to put it; the CPU by default.
        dtype: of its parameters: float32 (the default), float16 or bfloat16, as a name or a torch.dtype.
        cache_dir: where files from the Hub are kept.
        local_files_only: never use the network.

    Raises:
        ModelNotFoundError: no such model.
        PluginError: its plugin is missing or broken.
        WeightsError: the weights are missing, damaged or another model's.
        ArtganError: a device or dtype that there is not.
    """
    place, precision = usable_device(device), _dtype(dtype)
    scheme, _, rest = name.partition(":")
    if scheme == "local-dir":
        model = _load_folder(name, Path(rest))
    elif scheme == "hf-hub":
        repo_id, _, pinned = rest.partition("@")
        files = (_CONFIG, _WEIGHTS)
        folder = hub.fetch(
            repo_id, revision or pinned or None, files, cache_dir=cache_dir, local_files_only=local_files_only
        )
        model = _load_folder(name, folder)
    else:
        entry = read_registry().entry(name)
        if entry.plugin not in find_plugins():
            raise PluginError(
                f"{entry.name} needs the plugin {entry.plugin!r}, which is not installed: {entry.install_command()}"
            )
        path = _locate(entry, revision, cache_dir, local_files_only)
        data = _read_verified(path, entry.weights, f"{entry.name}: {path}", entry.install_command())
        generator = _build(entry.plugin, entry.config, data, str(path), where=f"{entry.name}: config")
        model = Model(entry.name, generator, entry.to_dict())
    return model.to(place, precision).eval()


def save_model(
    folder: Path,
    generator: Generator,
    *,
    plugin: str,
    config: Mapping[str, Any],
    extra: Mapping[str, Any] | None = None,
    dtype: torch.dtype | None = None,
) -> None:
    """Write a generator as ``model.safetensors`` and ``config.json``; each appears complete or not at all.

    Args:
        folder: created if needed.
        generator: whose state is written.
        plugin: the name of its plugin.
        config: what builds it again.
        extra: more keys for ``config.json``, JSON types.
        dtype: of the floating tensors in the file; None keeps them.

    Raises:
        WeightsError: the folder cannot be written.
    """
    document = {
        "plugin": plugin,
        "config": dict(config),
        "artgan_version": version("artgan"),
        **(extra or {}),
    }
    state = {
        key: (value.to(dtype) if dtype and value.is_floating_point() else value).detach().cpu().contiguous()
        for key, value in generator.state_dict().items()
    }
    # One key: safetensors writes several in an order that changes from file to file, and hashes with it.
    metadata = {"artgan": json.dumps({"plugin": plugin, "config": dict(config)})}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write(folder / _WEIGHTS, save_safetensors(state, metadata))
        _write(folder / _CONFIG, (json.dumps(document, indent=2) + "\n").encode())
    except OSError as error:
        raise WeightsError(f"{folder}: the model cannot be written here ({error.strerror})") from None


def _write(path: Path, data: bytes) -> None:
    beside = path.with_name(f".{path.name}.part")
    try:
        beside.write_bytes(data)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def _load_folder(name: str, folder: Path) -> Model:
    with suppress(RuntimeError):  # no such user: then there is no such folder
        folder = folder.expanduser()
    if not folder.is_dir():
        raise WeightsError(f"{folder}: no such folder")
    for file in (_CONFIG, _WEIGHTS):
        if not (folder / file).is_file():
            raise WeightsError(f"{folder}: holds no {file}; a model's folder holds {_CONFIG} and {_WEIGHTS}")
    path = folder / _CONFIG
    if path.stat().st_size > _MAX_CONFIG_BYTES:
        raise WeightsError(f"{path}: larger than {_MAX_CONFIG_BYTES} bytes")
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise WeightsError(f"{path}: not valid JSON ({error})") from None
    if not (isinstance(card, dict) and isinstance(card.get("plugin"), str) and isinstance(card.get("config"), dict)):
        raise WeightsError(f"{path}: must name the plugin (a text) and the config (a mapping)")
    weights = folder / _WEIGHTS
    if weights.stat().st_size > _MAX_LOCAL_WEIGHTS:
        raise WeightsError(f"{weights}: larger than {_MAX_LOCAL_WEIGHTS} bytes")
    generator = _build(card["plugin"], card["config"], _read(weights), str(weights), where=f"{path}: config")
    return Model(name, generator, card)


def _locate(entry: Entry, revision: str | None, cache_dir: str | Path | None, local_files_only: bool) -> Path:
    remote = entry.weights.hub
    if entry.weights.bundled is None:
        assert remote is not None  # the registry asks for one of the two
        pinned = revision or remote.revision
        folder = hub.fetch(
            remote.repo_id, pinned, [remote.file], cache_dir=cache_dir, local_files_only=local_files_only
        )
        return folder / remote.file
    package, _, inside = entry.weights.bundled.partition("/")
    spec = find_spec(package)
    folders = list(spec.submodule_search_locations or []) if spec else []
    if not folders:
        raise WeightsError(f"{entry.name}: its weights are in the package {package}: {entry.install_command()}")
    for folder in map(Path, folders):
        path = (folder / inside).resolve()
        if not path.is_relative_to(folder.resolve()):
            raise WeightsError(f"{entry.name}: {entry.weights.bundled} leads out of the package {package}")
        if path.is_file():
            return path
    raise WeightsError(f"{entry.name}: {Path(folders[0], inside)} is missing; install {entry.distribution} again")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror})") from None


def _read_verified(path: Path, weights: Weights, where: str, install: str) -> bytes:
    """The file's bytes, if they are those that the registry promises."""
    size = path.stat().st_size
    if size != weights.size:
        raise WeightsError(f"{where}: has {size} bytes, expected {weights.size}; install again: {install}")
    data = _read(path)
    found = hashlib.sha256(data).hexdigest()
    if found != weights.sha256:
        raise WeightsError(f"{where}: has sha256 {found}, expected {weights.sha256}; install again: {install}")
    return data


def _build(plugin_name: str, config: Mapping[str, Any], data: bytes, file: str, *, where: str) -> Generator:
    """A generator of the plugin with the weights that ``data`` holds."""
    plugin = load_plugin(plugin_name)
    parsed = configs.parse(resolve(plugin, "config"), config, where=where)
    try:
        state = load_safetensors(data)
    except SafetensorError as error:
        raise WeightsError(f"{file}: not a safetensors file, or damaged ({error})") from None
    state = {key: value.float() if value.is_floating_point() else value for key, value in state.items()}
    with torch.device("meta"):  # no time or memory for weights that are replaced at once
        generator = _generator(plugin_name, parsed)
    _check_state(generator, state, file)
    generator.load_state_dict(state, assign=True)
    if any(t.is_meta for t in (*generator.parameters(), *generator.buffers())):  # buffers that no file holds
        generator = _generator(plugin_name, parsed)
        generator.load_state_dict(state)
    return generator.requires_grad_(False)


def _generator(plugin_name: str, config: Any) -> Generator:
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


def usable_device(device: str | torch.device | None) -> torch.device:
    """The device of that name, the CPU for None; raises ArtganError if it cannot be used here."""
    try:
        place = torch.device(device or "cpu")
        torch.empty(0, device=place)
    except (RuntimeError, AssertionError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise ArtganError(f"device {device!r} cannot be used here ({reason}); try cpu") from None
    return place


_DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def _dtype(dtype: str | torch.dtype | None) -> torch.dtype:
    for name, found in _DTYPES.items():
        if dtype in (name, found):
            return found
    if dtype is None:
        return torch.float32
    raise ArtganError(f"dtype {dtype!r} cannot be used; there are {', '.join(_DTYPES)}")
