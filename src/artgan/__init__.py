"""artgan: a model zoo for art-generating networks. ``artgan.load("monet").paint("photo.jpg")``

Importing this package loads neither torch nor any plugin: names are resolved when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from artgan.errors import (
    ArtganError,
    ConfigError,
    ExportError,
    ModelNotFoundError,
    PictureError,
    PluginError,
    RegistryError,
    TrainingError,
    WeightsError,
)

if TYPE_CHECKING:
    from artgan.models.loading import load
    from artgan.models.model import Model

    __version__: str

__all__ = [
    "ArtganError",
    "ConfigError",
    "ExportError",
    "Model",
    "ModelNotFoundError",
    "PictureError",
    "PluginError",
    "RegistryError",
    "TrainingError",
    "WeightsError",
    "list_models",
    "load",
]


def list_models(pattern: str = "*") -> list[str]:
    """The full names of all known models that match a pattern, sorted: ``["cyclegan.monet", ...]``.

    Args:
        pattern: as :mod:`fnmatch` takes it, compared with full names; aliases such as "monet" are not searched.

    Raises:
        RegistryError: a registry file is invalid.
    """
    from artgan.models.registry import read_registry

    return read_registry().names(pattern)


def __getattr__(name: str) -> Any:
    if name in ("load", "Model"):
        from artgan.models import loading

        return getattr(loading, name)
    if name == "__version__":
        from importlib.metadata import version

        return version("artgan")
    raise AttributeError(f"module 'artgan' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
