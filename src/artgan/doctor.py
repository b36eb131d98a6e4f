"""Checks of the installation, and what each plugin provides."""

from __future__ import annotations

import importlib
import os
import platform
import re
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from artgan import hub
from artgan.discovery import PARTS, Plugin, PluginReport, inspect_plugins, load_plugin, resolve
from artgan.errors import ArtganError, one_line
from artgan.metrics.names import resolve_metric
from artgan.models.entry import Entry, Registry
from artgan.models.own import own_models
from artgan.models.registry import read_registry, user_file
from artgan.models.runtimes.opening import RUNTIMES
from artgan.settings import NETWORKS, network_file

_TIMEOUT = 5  # seconds for the Hub to answer
_LIBRARIES = {
    "huggingface-hub": "huggingface_hub",
    "onnxruntime": "onnxruntime",
    "pillow": "PIL.Image",
}
"""The distributions that artgan depends on, and the modules imported to check that they work."""

_WITH_PLUGINS = {"torch": "torch", "accelerate": "accelerate", "timm": "timm"}
"""The same of those that come with plugins."""


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Attributes:
        check: what was looked at.
        ok: False for a fault, which gives ``artgan doctor`` the exit status 1.
        found: what was found.
        note: whether it is no fault but works less than it could, such as a Hub that cannot be reached.
    """

    check: str
    ok: bool
    found: str
    note: bool = False


def brings(plugin: Plugin, registry: Registry) -> dict[str, Any]:
    """Which of "networks", "trainer", "metrics", "presets", "options" and "convert" a plugin provides.

    The value is a sorted list where a part has names (for "convert", the layouts it recognizes), else True; "models"
    is the number of its models in the registry.
    """
    parts = {part: getattr(plugin, part) for part in ("networks", "trainer", "metrics", "presets", "options")}
    parts["convert"] = plugin.layouts or plugin.convert
    brought = {part: sorted(held) if isinstance(held, Mapping) else True for part, held in parts.items() if held}
    return {**brought, "models": sum(entry.plugin == plugin.name for entry in registry.entries.values())}


def examine() -> Iterator[Finding]:
    """Check versions, devices, the Hub and its cache, plugins, registry files, and that each local model loads.

    An unreachable Hub is not a fault: bundled and cached models work without it.
    """
    yield Finding("artgan", True, version("artgan"))
    yield Finding("python", True, f"{platform.python_version()} ({platform.python_implementation()})")
    yield Finding("system", True, platform.platform())
    for distribution, module in _LIBRARIES.items():
        yield _library(distribution, module)
    for distribution, module in _WITH_PLUGINS.items():
        yield _library(distribution, module, extra="training")
    yield from _runtimes()
    yield from _devices()
    registry = Registry({})
    try:
        registry = read_registry()
    except ArtganError as error:
        yield Finding("registry", False, str(error))
    yield from _registry_files(registry)
    yield from _settings()
    yield from _hub(registry)
    try:
        reports = inspect_plugins()
    except ArtganError as error:  # with ARTGAN_STRICT_PLUGINS=1
        reports = []
        yield Finding("plugins", False, str(error))
    for report in reports:
        yield _plugin(report, registry)
    for name in registry.names():
        yield _model(registry.entries[name])


def _library(distribution: str, module: str, *, extra: str = "") -> Finding:
    try:
        found = version(distribution)
        importlib.import_module(module)
    except PackageNotFoundError:
        if extra:
            return Finding(distribution, True, f'not installed; plugins bring it, or pip install "artgan[{extra}]"')
        return Finding(distribution, False, f"not installed: pip install {distribution}")
    except Exception as error:  # incompatible versions raise anything
        return Finding(
            distribution, False, f"{found} cannot be imported ({one_line(error, kind=True)}); install it again"
        )
    return Finding(distribution, True, found)


def _runtimes() -> Iterator[Finding]:
    """What can run models here, and which models."""
    abilities = {
        "torch": "all models, on any device, in float32, float16 and bfloat16; training",
        "onnxruntime": "models with an exported form, whole and in tiles; others through artgan[onnx]; CPU, float32",
        "openvino": "the same, in tiles only networks without instance norm; CPU, float32",
    }
    for runtime in RUNTIMES:
        there = find_spec(runtime) is not None
        yield Finding(f"runtime {runtime}", True, f"runs {abilities[runtime]}" if there else "not installed")


def _devices() -> Iterator[Finding]:
    import psutil

    memory = psutil.virtual_memory()
    cores = f"{psutil.cpu_count(logical=False) or os.cpu_count()} cores, {os.cpu_count()} logical"
    try:
        import torch
    except Exception:  # already reported
        yield Finding("cpu", True, cores)
    else:
        yield Finding("cpu", True, f"{cores}, {torch.get_num_threads()} threads of torch")
        names = [
            f"{properties.name}, {_size(properties.total_memory)}"
            for properties in map(torch.cuda.get_device_properties, range(torch.cuda.device_count()))
        ]
        yield Finding("cuda", True, "; ".join(names) or "none")
        yield Finding("mps", True, "available" if torch.backends.mps.is_available() else "none")
    yield Finding("memory", True, f"{_size(memory.total)}, {_size(memory.available)} free")


def _registry_files(registry: Registry) -> Iterator[Finding]:
    for file in registry.files:
        count = sum(entry.source == file for entry in registry.entries.values())
        yield Finding("registry", True, f"{file}: {count} model{'' if count == 1 else 's'}")
    for problem in registry.problems:
        yield Finding("registry", False, problem)
    own = sum(entry.folder is not None for entry in registry.entries.values())
    if own:
        yield Finding("your own models", True, f"{own_models()}: {own} model{'' if own == 1 else 's'}")
    for problem in registry.broken.values():
        yield Finding("your own models", False, problem)
    if not os.path.exists(user_file()):
        yield Finding("registry", True, f"{user_file()}: not there; a place for models of your own")


def _settings() -> Iterator[Finding]:
    """The files of pretrained networks that the user has set."""
    for network in NETWORKS:
        try:
            file = network_file(network)
        except ArtganError as error:
            yield Finding(network, False, str(error))
        else:
            if file is not None:
                yield Finding(network, True, str(file))


def _hub(registry: Registry) -> Iterator[Finding]:
    try:
        from huggingface_hub import constants, get_token
    except Exception:  # already reported
        return
    endpoint = re.sub("//[^/]*@", "//", constants.ENDPOINT)  # without a password
    reached, answer = _answer(constants.ENDPOINT)
    yield Finding("hub", True, f"{endpoint}: {answer}", note=not reached)
    yield Finding("hub token", True, "yes" if get_token() else "no")
    weights = [entry.weights for entry in registry.entries.values() if entry.weights]
    repositories = {each.hub.repo_id for each in weights if each.hub}
    cache = Path(constants.HF_HUB_CACHE)
    size = sum(_disk_use(cache / f"models--{name.replace('/', '--')}") for name in repositories)
    yield Finding("hub cache", True, f"{cache}: {_size(size)} of artgan's models")


def _answer(endpoint: str) -> tuple[bool, str]:
    """Whether the Hub answers within seconds, and what. Asked in a thread, because DNS look-ups have no timeout."""
    from huggingface_hub import constants
    from huggingface_hub.utils import get_session  # type: ignore[attr-defined]  # where it is in every version

    if constants.HF_HUB_OFFLINE:
        return False, "not asked, as HF_HUB_OFFLINE is set"
    answers: list[tuple[bool, str]] = []

    def ask() -> None:
        try:
            status = get_session().head(endpoint, timeout=_TIMEOUT).status_code
            answers.append((True, f"answers with status {status}"))
        except Exception as error:  # of the HTTP library, which differs between versions
            answers.append((False, hub.explain(error, failed="cannot be reached")))

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(_TIMEOUT)
    return answers[0] if answers else (False, f"cannot be reached: no answer within {_TIMEOUT} s; check the connection")


def _disk_use(folder: Path) -> int:
    """Bytes of the files in a folder of the Hub's cache, not counting the symbolic links to them."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def _plugin(report: PluginReport, registry: Registry) -> Finding:
    """The finding for a plugin, after importing everything that its manifest names."""
    check = f"plugin {report.name}"
    if report.problem:
        return Finding(check, False, report.problem)
    plugin = load_plugin(report.name)
    try:
        for part in PARTS:
            if isinstance(getattr(plugin, part), str):
                resolve(plugin, part)
        for metric in plugin.metrics:
            resolve_metric(metric)
    except ArtganError as error:
        return Finding(check, False, str(error))
    return Finding(check, True, f"{report.distribution} {report.version}: {in_words(brings(plugin, registry))}")


def in_words(brought: Mapping[str, Any]) -> str:
    """The result of :func:`brings` on one line: "networks, trainer, presets (compact, paper), 1 model"."""
    parts = {part: held for part, held in brought.items() if part != "models"}
    words = [part if held is True else f"{part} ({', '.join(held)})" for part, held in parts.items()]
    return ", ".join([*words, f"{brought['models']} model{'' if brought['models'] == 1 else 's'}"])


def _model(entry: Entry) -> Finding:
    """Whether a model loads, if everything it needs is on this machine."""
    availability = entry.availability()
    if availability == "not installed":
        return Finding(entry.name, True, f"its plugin is not installed: {entry.install_command()}")
    if availability == "remote":
        return Finding(entry.name, True, "on the Hub, not in the cache")
    if availability == "no weights":  # building it may need the network
        return Finding(entry.name, True, "has no weights of its own")
    try:
        from artgan.models.loading import load

        model = load(entry.name, local_files_only=True)
    except ArtganError as error:
        return Finding(entry.name, False, str(error))
    except ImportError as error:  # a broken library, already reported
        return Finding(entry.name, False, f"cannot be loaded ({one_line(error, kind=True)})")
    return Finding(entry.name, True, f"{availability}, loads, runs in {model.runtime}")


def _size(count: float) -> str:
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.1f} MiB"
