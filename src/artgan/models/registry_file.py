"""Reads and validates one registry file, which is not trusted. Does not import torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jsonschema import ValidationError
    from jsonschema.protocols import Validator
import json
import math
import re
from collections.abc import Hashable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from artgan.errors import RegistryError, one_line
from artgan.models.entry import Deprecation, Entry, HubFile, Registry, Weights

_MAX_BYTES = 4 * 2**20


@cache
def read_own_file(path: Path) -> Registry:
    """Read the file that artgan ships, which its tests have validated: ten times as fast, as every command needs it.

    Once per process, though the user's files may be read again.

    Raises:
        RegistryError: the file is invalid.
    """
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        return _registry(yaml.load(path.read_bytes(), Loader=loader), path)
    except Exception:  # edited by hand: say what is wrong
        return read_file(path)


def read_file(path: Path) -> Registry:
    """Read the models of one registry file.

    Raises:
        RegistryError: the file is invalid; the message reports the first error with file, model and key.
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
    except Exception as error:  # PyYAML raises almost anything for hostile files
        raise RegistryError(f"{path}: not valid YAML: {one_line(error)}") from None
    try:
        fault = next(_validator().iter_errors(document), None)
    except RecursionError:
        raise RegistryError(f"{path}: is nested too deeply") from None
    if fault is not None:
        raise RegistryError(f"{path}: {_message(fault)}")
    return _registry(document, path)


def _registry(document: Mapping[str, Any], path: Path) -> Registry:
    """The models of a valid document; raises RegistryError for names and aliases that do not fit."""
    entries: dict[str, Entry] = {}
    aliases: dict[str, str] = {}
    for name, fields in document["models"].items():
        prefix, alias = name.split(".")[0], fields.get("alias")
        if fields["plugin"] != prefix:
            plugin = shown(fields["plugin"], quoted=True)
            raise RegistryError(f"{path}: {name}: plugin: is {plugin}, but the name begins with {prefix!r}")
        if alias and aliases.setdefault(alias, name) != name:
            raise RegistryError(f"{path}: {name}: alias {alias!r} is {aliases[alias]}'s already")
        files = {key: _weights(fields[key]) for key in ("weights", "exported") if key in fields}
        metrics = tuple(fields.get("metrics", ()))
        entries[name] = Entry(name, **{**fields, **files, "metrics": metrics, "source": str(path)})
    deprecated = {
        old: Deprecation(**rename, source=str(path)) for old, rename in document.get("deprecated", {}).items()
    }
    return Registry(entries, deprecated, (str(path),), default=document.get("default", ""), default_source=str(path))


def _weights(fields: Mapping[str, Any]) -> Weights:
    hub = fields.get("hub")
    return Weights(**{**fields, "hub": hub and HubFile(**hub)})


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
    """The validator for ``registry.schema.json``, strict where the library or Python's ``re`` are lenient."""
    from jsonschema import Draft202012Validator, TypeChecker, ValidationError, validators

    def pattern(_: Any, regex: str, value: Any, __: Any) -> Iterator[ValidationError]:
        if isinstance(value, str) and not re.fullmatch(regex, value):  # "$" would also match before a final newline
            yield ValidationError("does not match")

    def additional(validator: Any, allowed: Any, value: Any, schema: Any) -> Iterator[ValidationError]:
        for key in value if isinstance(value, dict) else ():  # in the file's order; the library's is random
            if key in schema.get("properties", {}):
                continue
            if allowed is False:
                yield ValidationError("unknown key", path=[key])
            else:
                yield from validator.descend(value[key], allowed, path=key)

    # By exact type: neither True nor 1.0 is an integer.
    checks = {name: lambda _, value, kinds=kinds: type(value) in kinds for name, (kinds, _) in _TYPES.items()}
    keywords = {"pattern": pattern, "additionalProperties": additional}
    strictly = validators.extend(Draft202012Validator, keywords, type_checker=TypeChecker(checks))
    validator: Validator = strictly(json.loads(Path(__file__).with_name("registry.schema.json").read_text("utf-8")))
    return validator


def _message(fault: ValidationError) -> str:
    """A readable error message: "cyclegan.monet: weights: size: is missing"."""
    value, expected, schema = fault.instance, fault.validator_value, fault.schema
    where = "".join(f"[{key}]" if isinstance(key, int) else f": {shown(key)}" for key in fault.absolute_path)
    if "propertyNames" in fault.absolute_schema_path:
        where += f": {shown(value)}"
        message = schema["description"]
    elif fault.validator == "type":
        words = _TYPES[expected][1] if isinstance(expected, str) else schema["description"]
        message = f"must be {words}, not {_kind(value)}"
    elif fault.validator == "required":
        where += f": {next(key for key in expected if key not in value)}"
        message = "is missing"
    elif fault.validator == "additionalProperties":
        message = fault.message
    elif fault.validator == "anyOf":
        message = "needs " + " or ".join(choice["required"][0] for choice in expected)
    elif fault.validator == "const":
        message = f"this artgan reads schema {expected}; upgrade artgan"
    else:
        message = f"must be {schema['description']}, not {shown(value, quoted=True)}"
    where = re.sub("^: models(?=: )", "", where)
    return f"{where}: {message}".removeprefix(": ")


def _kind(value: Any) -> str:
    return next((words for kinds, words in _TYPES.values() if type(value) in kinds), type(value).__name__)


def shown(value: Any, *, quoted: bool = False) -> str:
    """A key or value for use in a message: on one line and shortened."""
    text = str(value)
    if quoted or not text.isprintable():
        text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


class _StrictLoader(yaml.SafeLoader):
    """Rejects what would cause surprises later: duplicate keys, aliases, and numbers that JSON cannot represent.

    YAML silently keeps the last of two equal keys. With aliases a small file can describe a huge or infinite document.
    Based on the Python loader on purpose: the C loader crashes on deeply nested files, this one raises RecursionError.
    """

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]  # PyYAML's stubs leave it out
            raise yaml.composer.ComposerError(None, None, "aliases (*name) are not supported", mark)
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
                problem = f"key {shown(key, quoted=True)} is there twice"
                raise yaml.constructor.ConstructorError(None, None, problem, key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)
