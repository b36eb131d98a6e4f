"""The model registry: ``registry.yaml`` files, validated and merged. Imports neither torch nor any plugin.

``registry.schema.json`` defines the format; ``docs/registry.md`` describes the format and the files.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from artgan.discovery import find_plugins, strict
from artgan.errors import RegistryError
from artgan.models.entry import Registry
from artgan.models.own import with_own_models
from artgan.models.registry_file import read_file, read_own_file, shown
from artgan.settings import user_folder


@cache
def read_registry() -> Registry:
    """The models of all registry files, and the user's own, read once per process.

    The files are artgan's own and those of the installed plugins; then the user's file, then the files named in
    ``ARTGAN_REGISTRY``. Each of the latter two levels may override models and aliases of the levels before. The user's
    own models (:mod:`artgan.models.own`) come last and override nothing.

    Raises:
        RegistryError: artgan's own file or one in ``ARTGAN_REGISTRY`` is invalid; or any other file is, and
            ``ARTGAN_STRICT_PLUGINS=1``.
    """
    own = _own_file()
    registry = _join(Registry({}), read_own_file(own) if own in _SHIPPED else read_file(own), own, ())
    registry = _merge(registry, _plugin_files(), peers=registry.files, forgiving=True)
    registry = _merge(registry, filter(os.path.exists, [user_file()]), forgiving=True)
    try:
        registry = _merge(registry, _asked_for())
    except RegistryError as error:
        raise RegistryError(f"ARTGAN_REGISTRY: {error}") from None
    return with_own_models(registry)


_PACKAGE = Path(__file__).parents[1]
_SHIPPED = (_PACKAGE / "registry.yaml", _PACKAGE.parent.parent / "registry.yaml")
"""The registry is inside the package in a wheel, and at the root, where people look for it, in a checkout."""


def _own_file() -> Path:
    for path in _SHIPPED:
        if path.is_file():
            return path
    raise RegistryError(f"{_SHIPPED[0]}: missing; install artgan again")


def _plugin_files() -> Iterator[Path]:
    """``registry.yaml`` of each plugin's top-level package, found without importing it."""
    for found in find_plugins().values():
        try:
            spec = None if found.problem else find_spec(found.package)
        except (ImportError, ValueError):
            continue  # broken plugins are reported where plugins are listed
        for folder in (spec.submodule_search_locations or []) if spec else []:
            path = Path(folder, "registry.yaml")
            if path.is_file():
                yield path


def user_file() -> Path:
    """The path of the user's own registry: ``artgan/registry.yaml`` in the configuration folder."""
    return user_folder() / "registry.yaml"


def _asked_for() -> list[Path]:
    """The files named in ``ARTGAN_REGISTRY``, without duplicates."""
    named = os.environ.get("ARTGAN_REGISTRY", "").split(os.pathsep)
    return [Path(os.path.expanduser(path)) for path in dict.fromkeys(named) if path]


def _merge(below: Registry, paths: Iterable[Path], *, peers: tuple[str, ...] = (), forgiving: bool = False) -> Registry:
    """Add the files of one more level to the registry.

    Args:
        below: the previous levels, whose models may be replaced.
        paths: the files; a name or alias that occurs in two of them is an error that names both.
        peers: files of ``below`` that belong to this level as well.
        forgiving: whether an invalid file is left out and listed in ``problems``.
    """
    for path in paths:
        try:
            below = _join(below, read_file(path), path, peers)
        except RegistryError as error:
            if not forgiving or strict():
                raise
            below = replace(below, problems=(*below.problems, str(error)))
        else:
            peers = (*peers, str(path))
    return below


def _join(below: Registry, above: Registry, path: Path, peers: tuple[str, ...]) -> Registry:
    """``below`` with the models of a file added; they replace models from files that are not in ``peers``."""
    taken = above.aliases
    entries = dict(below.entries)
    for name, entry in below.entries.items():
        if name in above.entries and entry.source in peers:
            raise RegistryError(f"{path}: {name}: is in {entry.source} already")
        if entry.alias in taken:
            if entry.source in peers:
                raise RegistryError(
                    f"{path}: {taken[entry.alias]}: alias {entry.alias!r} is {name}'s in {entry.source} already"
                )
            entries[name] = replace(entry, alias=None)
    known = Registry({**entries, **above.entries})
    current = {*known.entries, *known.aliases}
    deprecated = {old: rename for old, rename in below.deprecated.items() if old not in current}
    for old, rename in above.deprecated.items():
        if old in deprecated and deprecated[old].source in peers:
            raise RegistryError(f"{path}: deprecated: {old}: is in {deprecated[old].source} already")
        if old in current:
            raise RegistryError(f"{path}: deprecated: {old}: is the name of a model")
        if rename.use not in current:
            raise RegistryError(f"{path}: deprecated: {old}: use: no model is named {shown(rename.use, quoted=True)}")
        deprecated[old] = replace(rename, use=known.aliases.get(rename.use, rename.use))
    joined = replace(below, entries=known.entries, deprecated=deprecated, files=(*below.files, str(path)))
    if not above.default:
        return joined
    if below.default and below.default_source in peers:
        raise RegistryError(f"{path}: default: is in {below.default_source} already")
    if above.default not in current:
        raise RegistryError(f"{path}: default: no model is named {shown(above.default, quoted=True)}")
    return replace(joined, default=above.default, default_source=str(path))
