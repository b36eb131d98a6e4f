"""The registry of models: ``registry.yaml`` files, validated and merged. Free of torch; imports no plugin."""

from __future__ import annotations

import difflib
import re
from collections.abc import Hashable, Mapping
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

from artgan.errors import ModelNotFoundError, RegistryError
from artgan.plugin import find_plugins, strict

SCHEMA = 1
_MAX_BYTES = 4 * 2**20
_MAX_WEIGHTS = 4 * 2**30

_MODEL = re.compile(r"[a-z][a-z0-9_-]*\.[a-z0-9][a-z0-9_.-]*")
_ALIAS = re.compile(r"[a-z][a-z0-9_-]*")
_DISTRIBUTION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)


@dataclass(frozen=True)
class HubFile:
    """A file on the Hugging Face Hub, pinned to a commit (40 hex digits)."""

    repo_id: str
    revision: str
    file: str


@dataclass(frozen=True)
class Weights:
    """Where a model's weights are: bundled (a path that starts with a package's name), on the Hub, or both."""

    sha256: str
    size: int
    bundled: str | None = None
    hub: HubFile | None = None


@dataclass(frozen=True)
class Entry:
    """A model of the registry. The mappings are its card, as the file has them."""

    name: str
    plugin: str
    distribution: str
    weights: Weights
    alias: str | None = None
    summary: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)
    license: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    metrics: tuple[Mapping[str, Any], ...] = ()
    check: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The card as JSON types."""
        return {**asdict(self), "metrics": list(self.metrics)}

    def install_command(self) -> str:
        """What installs the model's plugin."""
        if self.distribution == f"artgan-{self.plugin}":
            return f'pip install "artgan[{self.plugin}]"'
        return f"pip install {self.distribution}"


@dataclass(frozen=True)
class Registry:
    """The models of all registry files.

    Attributes:
        entries: by full name.
        problems: faults of plugins' registries, whose models are left out.
    """

    entries: Mapping[str, Entry]
    problems: tuple[str, ...] = ()

    def names(self, pattern: str = "*") -> list[str]:
        """The full names that match an fnmatch pattern, sorted."""
        return sorted(name for name in self.entries if fnmatchcase(name, pattern))

    def entry(self, name: str) -> Entry:
        """The model of that full name or alias.

        Raises:
            ModelNotFoundError: there is none; the message lists the near ones.
        """
        aliases = {entry.alias: full for full, entry in self.entries.items() if entry.alias}
        full = aliases.get(name, name)
        if full in self.entries:
            return self.entries[full]
        if "/" in name or "\\" in name or name.startswith(("~", ".")):
            raise ModelNotFoundError(
                f"{name!r} is not a registry name; for a folder write 'local-dir:{name}', "
                f"for a repository of the Hub 'hf-hub:org/repo@revision'"
            )
        near = difflib.get_close_matches(name, [*aliases, *self.entries], n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(self.names()) or 'none'}"
        raise ModelNotFoundError(f"no model named {name!r}; {hint}")


@cache
def read_registry() -> Registry:
    """artgan's own registry and those of the installed plugins, read once a process.

    Raises:
        RegistryError: artgan's own has a fault; a plugin's too if ``ARTGAN_STRICT_PLUGINS=1``.
    """
    sources: dict[str, Path] = {}
    entries = _merge({}, sources, _own_file())
    problems = []
    for file in _plugin_files():
        try:
            entries = _merge(entries, sources, file)
        except RegistryError as error:
            if strict():
                raise
            problems.append(str(error))
    return Registry(entries, tuple(problems))


def _own_file() -> Path:
    """In the wheel the registry lies in the package; in a checkout at the root, where people look for it."""
    package = Path(__file__).parent
    for path in (package / "registry.yaml", package.parent.parent / "registry.yaml"):
        if path.is_file():
            return path
    raise RegistryError(f"{package / 'registry.yaml'}: missing; install artgan again")


def _plugin_files() -> list[Path]:
    """``registry.yaml`` of each plugin's top-level package, found without importing it."""
    files = []
    for found in find_plugins().values():
        try:
            spec = None if found.problem else find_spec(found.package)
        except (ImportError, ValueError):
            continue  # a broken plugin is reported where plugins are listed
        for folder in (spec.submodule_search_locations or []) if spec else []:
            path = Path(folder, "registry.yaml")
            if path.is_file():
                files.append(path)
    return files


def _merge(entries: Mapping[str, Entry], sources: dict[str, Path], path: Path) -> dict[str, Entry]:
    """``entries`` with those of another file; a name or alias in both is an error that names both files."""
    merged = dict(entries)
    taken = {alias: name for name, entry in entries.items() if (alias := entry.alias)}
    for name, entry in read_file(path).items():
        if name in merged:
            raise RegistryError(f"{path}: {name}: is in {sources[name]} already")
        if entry.alias in taken:
            other = taken[entry.alias]
            raise RegistryError(f"{path}: {name}: alias {entry.alias!r} is {other}'s in {sources[other]} already")
        merged[name] = entry
    sources.update(dict.fromkeys(merged.keys() - entries.keys(), path))
    return merged


def read_file(path: Path) -> dict[str, Entry]:
    """The models of one registry file.

    Raises:
        RegistryError: the first fault found; the message names file, model and key.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise RegistryError(f"{path}: larger than {_MAX_BYTES // 2**20} MiB")
        document = yaml.load(path.read_text(encoding="utf-8"), Loader=_UniqueKeysLoader)
    except RegistryError:
        raise
    except OSError as error:
        raise RegistryError(f"{path}: cannot be read ({error.strerror})") from None
    except Exception as error:  # on hostile files PyYAML raises nearly everything
        raise RegistryError(f"{path}: not valid YAML: {' '.join(str(error).split()) or type(error).__name__}") from None
    top = _Fields(document, str(path))
    if top.take("schema", int) != SCHEMA:
        raise RegistryError(f"{path}: schema: this artgan reads schema {SCHEMA}; upgrade artgan")
    models = top.take("models", dict)
    top.finish()
    entries: dict[str, Entry] = {}
    aliases: dict[str, str] = {}
    for name, fields in models.items():
        entry = _entry(name, fields, f"{path}: {name}")
        if entry.alias and aliases.setdefault(entry.alias, name) != name:
            raise RegistryError(f"{path}: {name}: alias {entry.alias!r} is {aliases[entry.alias]}'s already")
        entries[name] = entry
    return entries


def _entry(name: Any, document: Any, where: str) -> Entry:
    if not isinstance(name, str) or not _MODEL.fullmatch(name):
        raise RegistryError(f"{where}: a model's name is plugin.tag in lower-case letters, digits, '-' and '_'")
    fields = _Fields(document, where)
    plugin = fields.take("plugin", str)
    if name.split(".")[0] != plugin:
        raise RegistryError(f"{where}: plugin: is {plugin!r}, but the name begins with {name.split('.')[0]!r}")
    metrics = fields.take("metrics", list, default=[])
    for index, metric in enumerate(metrics):
        one = _Fields(metric, f"{where}: metrics[{index}]")
        one.take("name", str)
        one.take("value", (int, float))
    entry = Entry(
        name,
        plugin,
        fields.take("distribution", str, check=_DISTRIBUTION),
        _weights(fields.take("weights", dict), f"{where}: weights"),
        alias=fields.take("alias", str, default=None, check=_ALIAS),
        summary=fields.take("summary", str, default=""),
        config=fields.take("config", dict, default={}),
        license=fields.take("license", dict, default={}),
        training=fields.take("training", dict, default={}),
        metrics=tuple(metrics),
        check=fields.take("check", dict, default={}),
    )
    fields.finish()
    return entry


def _weights(document: Any, where: str) -> Weights:
    fields = _Fields(document, where)
    bundled = fields.take("bundled", str, default=None)
    if bundled is not None:
        package, _, inside = bundled.partition("/")
        if not package.isidentifier() or not _stays_inside(inside):
            raise RegistryError(f"{where}: bundled: must be package/path/in/it.safetensors, not {bundled!r}")
    hub = None
    if (repository := fields.take("hub", dict, default=None)) is not None:
        one = _Fields(repository, f"{where}: hub")
        hub = HubFile(
            one.take("repo_id", str, check=_REPOSITORY),
            one.take("revision", str, check=re.compile("[0-9a-f]{40}"), expected="a commit of 40 hex digits"),
            one.take("file", str),
        )
        if not _stays_inside(hub.file):
            raise RegistryError(f"{where}: hub: file: must be a path inside the repository, not {hub.file!r}")
        one.finish()
    if bundled is None and hub is None:
        raise RegistryError(f"{where}: needs bundled or hub")
    size = fields.take("size", int)
    if not 0 < size <= _MAX_WEIGHTS:
        raise RegistryError(f"{where}: size: must be 1 to {_MAX_WEIGHTS} bytes")
    sha256 = fields.take("sha256", str, check=re.compile("[0-9a-f]{64}"), expected="64 lower-case hex digits")
    fields.finish()
    return Weights(sha256, size, bundled, hub)


def _stays_inside(path: str) -> bool:
    """Whether a path is a relative one that leads to a file below where it starts."""
    parts = path.split("/")
    return not any(part in ("", ".", "..") for part in parts) and "\\" not in path and path.isprintable()


_REQUIRED = object()


class _Fields:
    """A mapping whose keys are taken out one by one, with checks; what is left at the end is unknown."""

    def __init__(self, document: Any, where: str) -> None:
        if not isinstance(document, dict):
            raise RegistryError(f"{where}: must be a mapping, not {_kind(document)}")
        self.left = dict(document)
        self.where = where

    def take(
        self,
        key: str,
        kind: type | tuple[type, ...],
        *,
        default: Any = _REQUIRED,
        check: re.Pattern[str] | None = None,
        expected: str | None = None,
    ) -> Any:
        if key not in self.left:
            if default is _REQUIRED:
                raise RegistryError(f"{self.where}: {key}: is missing")
            return default
        value = self.left.pop(key)
        if not isinstance(value, kind) or isinstance(value, bool):
            kinds = kind if isinstance(kind, tuple) else (kind,)
            names = " or ".join(_KINDS[k] for k in kinds)
            raise RegistryError(f"{self.where}: {key}: must be {names}, not {_kind(value)}")
        if check and not check.fullmatch(str(value)):
            raise RegistryError(f"{self.where}: {key}: must be {expected or 'like ' + check.pattern}, not {value!r}")
        return value

    def finish(self) -> None:
        if self.left:
            raise RegistryError(f"{self.where}: {next(iter(self.left))}: unknown key")


_KINDS = {str: "a text", int: "a whole number", float: "a number", dict: "a mapping", list: "a list"}


def _kind(value: Any) -> str:
    return "empty" if value is None else _KINDS.get(type(value), type(value).__name__)


class _UniqueKeysLoader(yaml.SafeLoader):
    """Refuses a mapping with one key twice, where YAML's silently keeps the last.

    In Python on purpose: the loader written in C crashes on a deeply nested file, this one raises RecursionError.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Hashable] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                raise yaml.constructor.ConstructorError(None, None, "a key must be plain", key_node.start_mark)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} is there twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)
