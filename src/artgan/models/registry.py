"""The registry of models: ``registry.yaml`` files, validated and merged. Free of torch; imports no plugin.

``registry.schema.json`` says what a file may hold; the format and the files are told in ``docs/registry.md``.
"""

from __future__ import annotations

import difflib
import json
import math
import os
import re
import sys
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from fnmatch import fnmatchcase
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import yaml

from artgan.deprecation import warn_renamed
from artgan.errors import ModelNotFoundError, RegistryError
from artgan.plugin import find_plugins, strict

if TYPE_CHECKING:
    from jsonschema import ValidationError
    from jsonschema.protocols import Validator

_MAX_BYTES = 4 * 2**20

Task = Literal["image-to-image", "noise-to-image"]
Availability = Literal["bundled", "cached", "remote", "no weights", "not installed"]


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
    """A model of the registry. The mappings are its card, as the file has them.

    Attributes:
        weights: None where there are none: the plugin builds the model of its config alone.
        source: the registry file that it comes from. No part of the card, which travels with the weights.
    """

    name: str
    plugin: str
    distribution: str
    weights: Weights | None = None
    alias: str | None = None
    summary: str = ""
    task: Task = "image-to-image"
    config: Mapping[str, Any] = field(default_factory=dict)
    license: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    metrics: tuple[Mapping[str, Any], ...] = ()
    check: Mapping[str, Any] = field(default_factory=dict)
    source: str = field(default="", compare=False)

    def to_dict(self) -> dict[str, Any]:
        """The card as JSON types."""
        card = {**asdict(self), "metrics": list(self.metrics)}
        del card["source"]
        return card

    def install_command(self) -> str:
        """What installs the model's plugin."""
        if self.distribution == f"artgan-{self.plugin}":
            return f'pip install "artgan[{self.plugin}]"'
        return f"pip install {self.distribution}"

    def usage(self) -> str:
        """A command that makes a picture with it."""
        name = self.alias or self.name
        if self.task == "noise-to-image":
            return f"artgan sample {name} -o grid.png"
        return f"artgan paint photo.jpg --model {name}"

    def availability(self) -> Availability:
        """Where its weights are now; ``"no weights"`` if it has none, ``"not installed"`` if its plugin is not."""
        if self.plugin not in find_plugins():
            return "not installed"
        if self.weights is None:
            return "no weights"
        if self.weights.bundled is not None:
            return "bundled"
        from huggingface_hub import try_to_load_from_cache  # a third of a second: only where it is needed

        remote = self.weights.hub
        assert remote is not None  # the schema asks for one of the two
        cached = try_to_load_from_cache(remote.repo_id, remote.file, revision=remote.revision)
        return "cached" if isinstance(cached, str) else "remote"


@dataclass(frozen=True)
class Deprecation:
    """A name that a model had before: what to use, and the version in which the old name goes."""

    use: str
    removed_in: str
    source: str = field(default="", compare=False)


@dataclass(frozen=True)
class Registry:
    """The models of one or several registry files.

    Attributes:
        entries: by full name.
        deprecated: by old name.
        files: those that were read, the weakest first.
        problems: faults of plugins' files and of the user's, whose models are left out.
    """

    entries: Mapping[str, Entry]
    deprecated: Mapping[str, Deprecation] = field(default_factory=dict)
    files: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def aliases(self) -> dict[str, str]:
        """The full names by alias."""
        return {entry.alias: full for full, entry in self.entries.items() if entry.alias}

    def names(self, pattern: str = "*") -> list[str]:
        """The full names that match an fnmatch pattern, sorted."""
        return sorted(name for name in self.entries if fnmatchcase(name, pattern))

    def entry(self, name: str) -> Entry:
        """The model of that full name or alias; one of an old name with a :class:`RenamedWarning`.

        Raises:
            ModelNotFoundError: there is none; the message lists the near ones.
        """
        if name in self.deprecated:
            old = self.deprecated[name]
            warn_renamed(f"the model {name!r}", old.use, old.removed_in)
            name = old.use
        aliases = self.aliases
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
        if self.problems:
            hint += "; a registry file has a fault, artgan doctor tells it"
        raise ModelNotFoundError(f"no model named {name!r}; {hint}")


@cache
def read_registry() -> Registry:
    """The models of all registry files, read once a process.

    They are artgan's own and those of the installed plugins; then the user's file, and the files that
    ``ARTGAN_REGISTRY`` names, which may each replace a model or take over an alias of the ones before.

    Raises:
        RegistryError: artgan's own file or one of ``ARTGAN_REGISTRY`` has a fault; any other has one and
            ``ARTGAN_STRICT_PLUGINS=1``.
    """
    registry = _merge(Registry({}), [_own_file()])
    registry = _merge(registry, _plugin_files(), beside=registry.files, forgiving=True)
    registry = _merge(registry, filter(os.path.exists, [user_file()]), forgiving=True)
    try:
        return _merge(registry, _asked_for())
    except RegistryError as error:
        raise RegistryError(f"ARTGAN_REGISTRY: {error}") from None


def _own_file() -> Path:
    """In the wheel the registry lies in the package; in a checkout at the root, where people look for it."""
    package = Path(__file__).parents[1]
    for path in (package / "registry.yaml", package.parent.parent / "registry.yaml"):
        if path.is_file():
            return path
    raise RegistryError(f"{package / 'registry.yaml'}: missing; install artgan again")


def _plugin_files() -> Iterator[Path]:
    """``registry.yaml`` of each plugin's top-level package, found without importing it."""
    for found in find_plugins().values():
        try:
            spec = None if found.problem else find_spec(found.package)
        except (ImportError, ValueError):
            continue  # a broken plugin is reported where plugins are listed
        for folder in (spec.submodule_search_locations or []) if spec else []:
            path = Path(folder, "registry.yaml")
            if path.is_file():
                yield path


def user_file() -> Path:
    """Where the user's own registry is, if there is one: ``artgan/registry.yaml`` in the folder for settings."""
    folder = os.environ.get("XDG_CONFIG_HOME", "")
    if not os.path.isabs(folder):  # as the XDG specification asks
        folder = "~/Library/Application Support" if sys.platform == "darwin" else "~/.config"
        if sys.platform == "win32":
            folder = os.environ.get("APPDATA", "~/AppData/Roaming")
    return Path(os.path.expanduser(folder), "artgan", "registry.yaml")


def _asked_for() -> list[Path]:
    """The files that ``ARTGAN_REGISTRY`` names, each once."""
    named = os.environ.get("ARTGAN_REGISTRY", "").split(os.pathsep)
    return [Path(os.path.expanduser(path)) for path in dict.fromkeys(named) if path]


def _merge(
    below: Registry, paths: Iterable[Path], *, beside: tuple[str, ...] = (), forgiving: bool = False
) -> Registry:
    """The registry with the files of one level more.

    Args:
        below: the levels before, whose models may be replaced.
        paths: the files; a name or alias in two of them is an error that names both.
        beside: files of ``below`` that are on this level too.
        forgiving: whether a file with a fault is left out and told in ``problems``.
    """
    for path in paths:
        try:
            below = _join(below, read_file(path), path, beside)
        except RegistryError as error:
            if not forgiving or strict():
                raise
            below = replace(below, problems=(*below.problems, str(error)))
        else:
            beside = (*beside, str(path))
    return below


def _join(below: Registry, above: Registry, path: Path, beside: tuple[str, ...]) -> Registry:
    """``below`` with the models of a file, which replace those of other files than ``beside``."""
    taken = above.aliases
    entries = dict(below.entries)
    for name, entry in below.entries.items():
        if name in above.entries and entry.source in beside:
            raise RegistryError(f"{path}: {name}: is in {entry.source} already")
        if entry.alias in taken:
            if entry.source in beside:
                raise RegistryError(
                    f"{path}: {taken[entry.alias]}: alias {entry.alias!r} is {name}'s in {entry.source} already"
                )
            entries[name] = replace(entry, alias=None)
    known = Registry({**entries, **above.entries})
    current = {*known.entries, *known.aliases}
    deprecated = {old: rename for old, rename in below.deprecated.items() if old not in current}
    for old, rename in above.deprecated.items():
        if old in deprecated and deprecated[old].source in beside:
            raise RegistryError(f"{path}: deprecated: {old}: is in {deprecated[old].source} already")
        if old in current:
            raise RegistryError(f"{path}: deprecated: {old}: is the name of a model")
        if rename.use not in current:
            raise RegistryError(f"{path}: deprecated: {old}: use: no model is named {_shown(rename.use, quoted=True)}")
        deprecated[old] = replace(rename, use=known.aliases.get(rename.use, rename.use))
    return replace(below, entries=known.entries, deprecated=deprecated, files=(*below.files, str(path)))


def read_file(path: Path) -> Registry:
    """The models of one registry file.

    Raises:
        RegistryError: the first fault found; the message names file, model and key.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
        if len(data) > _MAX_BYTES:
            raise RegistryError(f"{path}: larger than {_MAX_BYTES // 2**20} MiB")
        document = yaml.load(data.decode("utf-8"), Loader=_StrictLoader)
    except RegistryError:
        raise
    except OSError as error:
        raise RegistryError(f"{path}: cannot be read ({error.strerror})") from None
    except Exception as error:  # on hostile files PyYAML raises nearly everything
        raise RegistryError(f"{path}: not valid YAML: {' '.join(str(error).split()) or type(error).__name__}") from None
    try:
        fault = next(_validator().iter_errors(document), None)
    except RecursionError:
        raise RegistryError(f"{path}: is nested too deeply") from None
    if fault is not None:
        raise RegistryError(f"{path}: {_told(fault)}")
    entries: dict[str, Entry] = {}
    aliases: dict[str, str] = {}
    for name, fields in document["models"].items():
        prefix, alias = name.split(".")[0], fields.get("alias")
        if fields["plugin"] != prefix:
            plugin = _shown(fields["plugin"], quoted=True)
            raise RegistryError(f"{path}: {name}: plugin: is {plugin}, but the name begins with {prefix!r}")
        if alias and aliases.setdefault(alias, name) != name:
            raise RegistryError(f"{path}: {name}: alias {alias!r} is {aliases[alias]}'s already")
        weights = _weights(fields["weights"]) if "weights" in fields else None
        metrics = tuple(fields.get("metrics", ()))
        entries[name] = Entry(name, **{**fields, "weights": weights, "metrics": metrics, "source": str(path)})
    deprecated = {
        old: Deprecation(**rename, source=str(path)) for old, rename in document.get("deprecated", {}).items()
    }
    return Registry(entries, deprecated, (str(path),))


def _weights(fields: Mapping[str, Any]) -> Weights:
    hub = fields.get("hub")
    return Weights(**{**fields, "hub": hub and HubFile(**hub)})


# The schema, and its faults in words


_TYPES: dict[str, tuple[tuple[type, ...], str]] = {
    "string": ((str,), "a text"),
    "integer": ((int,), "a whole number"),
    "number": ((int, float), "a number"),
    "boolean": ((bool,), "true or false"),
    "null": ((type(None),), "empty"),
    "array": ((list,), "a list"),
    "object": ((dict,), "a mapping"),
}
"""What YAML gives for JSON's types, and how a message calls them."""


@cache
def _validator() -> Validator:
    """Of ``registry.schema.json``, and strict where the library or Python's ``re`` are lenient."""
    from jsonschema import Draft202012Validator, TypeChecker, ValidationError, validators

    def pattern(_: Any, regex: str, value: Any, __: Any) -> Iterator[ValidationError]:
        if isinstance(value, str) and not re.fullmatch(regex, value):  # "$" would let the end of a line pass
            yield ValidationError("does not match")

    def additional(validator: Any, allowed: Any, value: Any, schema: Any) -> Iterator[ValidationError]:
        for key in value if isinstance(value, dict) else ():  # in the file's order; the library's is random
            if key in schema.get("properties", {}):
                continue
            if allowed is False:
                yield ValidationError("unknown key", path=[key])
            else:
                yield from validator.descend(value[key], allowed, path=key)

    # By exact type: True is no whole number, and neither is 1.0.
    checks = {name: lambda _, value, kinds=kinds: type(value) in kinds for name, (kinds, _) in _TYPES.items()}
    keywords = {"pattern": pattern, "additionalProperties": additional}
    strictly = validators.extend(Draft202012Validator, keywords, type_checker=TypeChecker(checks))
    validator: Validator = strictly(json.loads(Path(__file__).with_name("registry.schema.json").read_text("utf-8")))
    return validator


def _told(fault: ValidationError) -> str:
    """A fault as a person would say it: "cyclegan.monet: weights: size: is missing"."""
    value, expected, schema = fault.instance, fault.validator_value, fault.schema
    where = "".join(f"[{key}]" if isinstance(key, int) else f": {_shown(key)}" for key in fault.absolute_path)
    if "propertyNames" in fault.absolute_schema_path:
        where += f": {_shown(value)}"
        told = schema["description"]
    elif fault.validator == "type":
        words = _TYPES[expected][1] if isinstance(expected, str) else schema["description"]
        told = f"must be {words}, not {_kind(value)}"
    elif fault.validator == "required":
        where += f": {next(key for key in expected if key not in value)}"
        told = "is missing"
    elif fault.validator == "additionalProperties":
        told = fault.message
    elif fault.validator == "anyOf":
        told = "needs " + " or ".join(choice["required"][0] for choice in expected)
    elif fault.validator == "const":
        told = f"this artgan reads schema {expected}; upgrade artgan"
    else:
        told = f"must be {schema['description']}, not {_shown(value, quoted=True)}"
    where = re.sub("^: models(?=: )", "", where)
    return f"{where}: {told}".removeprefix(": ")


def _kind(value: Any) -> str:
    return next((words for kinds, words in _TYPES.values() if type(value) in kinds), type(value).__name__)


def _shown(value: Any, *, quoted: bool = False) -> str:
    """A key or value for a message: on one line, and not endless."""
    text = str(value)
    if quoted or not text.isprintable():
        text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


class _StrictLoader(yaml.SafeLoader):
    """Refuses what would surprise later: a key that is there twice, aliases, and numbers that JSON cannot hold.

    YAML keeps the last of two keys. With aliases a small file can hold a huge document, or an endless one.
    In Python on purpose: the loader written in C crashes on a deeply nested file, this one raises RecursionError.
    """

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]  # PyYAML's stubs leave it out
            raise yaml.composer.ComposerError(None, None, "aliases (*name) are not read", mark)
        return super().compose_node(parent, index)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        value = super().construct_object(node, deep)
        if (isinstance(value, int) and abs(value) >= 2**63) or (isinstance(value, float) and not math.isfinite(value)):
            raise yaml.constructor.ConstructorError(None, None, "a number is too large", node.start_mark)
        return value

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Hashable] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                raise yaml.constructor.ConstructorError(None, None, "a key must be plain", key_node.start_mark)
            if key in seen:
                told = f"key {_shown(key, quoted=True)} is there twice"
                raise yaml.constructor.ConstructorError(None, None, told, key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)
