"""Frozen dataclasses as configurations: built from mappings with strict validation, and described for help texts.

A field is declared with :func:`option`, which keeps its help text (and its choices or its range) in the field's
metadata; the same declaration then serves Python, YAML files, the registry and the command line.
"""

from __future__ import annotations

import dataclasses
import math
import os
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from artgan.errors import ConfigError, did_you_mean, warn_renamed

C = TypeVar("C")

TEXTS = tuple[str, ...]
"""The type of a field that holds any number of strings."""


def option(
    default: Any,
    help: str,
    *,
    choices: tuple[str, ...] | None = None,
    least: float | None = None,
    above: float | None = None,
    most: float | None = None,
    renamed_from: tuple[str, str] | None = None,
    resumable: bool | None = None,
) -> Any:
    """A field of a frozen dataclass of options: of a config, or of painting.

    The field's annotation is bool, int, float, str or ``tuple[str, ...]``, or one of these ``| None``. The limits are
    checked by :func:`parse` for values from Python, YAML and the command line, not by the dataclass itself.

    Args:
        default: the value of an option that is not given.
        help: what the option does, in the command line's help.
        choices: the only values that a text may have.
        least: the smallest number that is allowed.
        above: a number that the value must exceed.
        most: the largest number that is allowed.
        renamed_from: a former name, which still works, and the version that removes it: ``("lambda_idt", "0.3")``.
        resumable: whether a training run may be resumed with another value, which is so if neither the networks nor the
            trainer's state nor the pictures that are drawn depend on it. None: what the field of this name in a base
            class says, else False.
    """
    metadata = {"help": help, "choices": choices, "least": least, "above": above, "most": most}
    metadata |= {"renamed_from": renamed_from, "resumable": resumable}
    return dataclasses.field(default=default, metadata=metadata)


def resumable_options(cls: type) -> frozenset[str]:
    """The names of the fields with which a training run may be resumed with another value."""
    declared: dict[str, bool] = {}
    for base in reversed(cls.__mro__):
        for name, field in vars(base).get("__dataclass_fields__", {}).items():
            if field.metadata.get("resumable") is not None:
                declared[name] = field.metadata["resumable"]
    return frozenset(name for name, resumable in declared.items() if resumable)


def renamed_options(cls: type) -> dict[str, tuple[str, str]]:
    """Former option names that still work: old name -> current name, and the version that removes the old one."""
    old = {field.name: field.metadata.get("renamed_from") for field in dataclasses.fields(cls)}
    return {renamed[0]: (name, renamed[1]) for name, renamed in old.items() if renamed}


def with_new_names(cls: type, values: Mapping[str, Any], *, where: str) -> dict[str, Any]:
    """``values`` with old option names replaced, with a :class:`artgan.errors.RenamedWarning` for each.

    Raises:
        ConfigError: an option is given under both its old and its new name.
    """
    renamed = renamed_options(cls)
    result: dict[str, Any] = {}
    for key, value in values.items():
        name, removed_in = renamed.get(key, (key, ""))
        if name != key:
            if name in values:
                raise ConfigError(f"{where}: {key!r} is the old name of {name!r}; give one of them")
            warn_renamed(f"{where}: the option {key!r}", name, removed_in)
        result[name] = value
    return result


def field_types(cls: type) -> dict[str, tuple[type, bool]]:
    """Each field of a dataclass with its plain type (bool, int, float, str or TEXTS) and whether None is allowed."""
    hints = typing.get_type_hints(cls)
    plain: dict[str, tuple[type, bool]] = {}
    for field in dataclasses.fields(cls):
        hint = hints[field.name]
        optional = False
        if typing.get_origin(hint) in (typing.Union, types.UnionType):
            inner = [arg for arg in typing.get_args(hint) if arg is not type(None)]
            optional = len(inner) < len(typing.get_args(hint))
            hint = inner[0] if len(inner) == 1 else hint
        if hint not in (bool, int, float, str, TEXTS):
            raise ConfigError(
                f"{cls.__name__}.{field.name}: fields are bool, int, float, str or tuple[str, ...], not {hint}"
            )
        plain[field.name] = (hint, optional)
    return plain


def parse(cls: type[C], values: Mapping[str, Any], *, where: str) -> C:
    """Build ``cls`` from ``values``; fields that are left out get their defaults.

    Args:
        cls: a frozen dataclass whose fields are bool, int, float, str or tuple[str, ...], or one of these or None.
        values: by current or former field name, as read from YAML or JSON. An int is accepted for a float, a path for
            a string, and a single string or path, or a list of them, for a tuple of strings.
        where: the origin of the values, with which errors begin ("registry.yaml: cyclegan.monet: config").

    Raises:
        ConfigError: an unknown key, a value of the wrong type or out of range, or an old name together with its new
            one; the message names it.
    """
    if not isinstance(values, Mapping):
        raise ConfigError(f"{where}: must be a mapping of options to values, not {type(values).__name__}")
    known = field_types(cls)
    values = with_new_names(cls, values, where=where)
    unknown = [key for key in values if key not in known]
    if unknown:
        hint = did_you_mean(str(unknown[0]), known) or f"known: {', '.join(known)}"
        raise ConfigError(f"{where}: unknown option {unknown[0]!r}; {hint}")
    checked = {
        field.name: _check(values[field.name], *known[field.name], field.metadata, f"{where}: {field.name}")
        for field in dataclasses.fields(cls)  # type: ignore[arg-type]  # callers pass dataclasses
        if field.name in values
    }
    try:
        return cls(**checked)
    except ValueError as error:  # a rule over several fields, from __post_init__
        raise ConfigError(f"{where}: {error}") from None


def from_text(text: str, kind: type, *, where: str) -> Any:
    """The value that a text stands for in an option of a plain type (see :func:`field_types`).

    Raises:
        ConfigError: the text is no such value.
    """
    if kind is bool:
        if text.lower() in ("true", "false"):
            return text.lower() == "true"
        raise ConfigError(f"{where}: must be true or false")
    if kind == TEXTS:
        return text
    try:
        return kind(text)
    except ValueError:
        raise ConfigError(f"{where}: must be {_article(kind)}") from None


def check(config: Any, *, where: str) -> None:
    """Check the values of a configuration that was built without :func:`parse`, for its ``__post_init__``.

    Raises:
        ConfigError: a value of the wrong type or out of its range; the message names it.
    """
    known = field_types(type(config))
    for field in dataclasses.fields(config):
        _check(getattr(config, field.name), *known[field.name], field.metadata, f"{where}: {field.name}")


def _check(value: Any, kind: type, optional: bool, limits: Mapping[str, Any], where: str) -> Any:
    if value is None and optional:
        return None
    if kind == TEXTS:
        several = value if isinstance(value, (list, tuple)) else (value,)
        return tuple(_check(one, str, False, limits, where) for one in several)
    if kind is str and isinstance(value, os.PathLike):
        value = os.fspath(value)
    if isinstance(value, int) and abs(value) >= 2**63:  # Python refuses to print the largest ones
        raise ConfigError(f"{where}: is too large a number")
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise ConfigError(f"{where}: must be {_article(kind)}, not {value!r}")
    if (choices := limits.get("choices")) and value not in choices:
        raise ConfigError(f"{where}: must be one of {', '.join(choices)}, not {value!r}")
    if isinstance(value, int | float) and kind is not bool:
        _check_range(value, limits, where)
    return value


def _check_range(value: float, limits: Mapping[str, Any], where: str) -> None:
    least, above, most = (limits.get(key) for key in ("least", "above", "most"))
    span = f" (from {least} to {most})" if least is not None and most is not None else ""
    if not math.isfinite(value):
        raise ConfigError(f"{where}: must be finite, not {value!r}")
    if least is not None and value < least:
        raise ConfigError(f"{where}: must be at least {least}, not {value!r}{span}")
    if above is not None and value <= above:
        raise ConfigError(f"{where}: must be greater than {above}, not {value!r}")
    if most is not None and value > most:
        raise ConfigError(f"{where}: must be at most {most}, not {value!r}{span}")


def _article(kind: type) -> str:
    return {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}[kind]


def to_dict(config: Any) -> dict[str, Any]:
    """All fields and values of a configuration, in order, as JSON types; the inverse of :func:`parse`."""
    values = dataclasses.asdict(config)
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
