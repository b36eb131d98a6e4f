"""For the authors of plugins: the conformance kit, checks of models, and what `artgan new-plugin` writes.

The author of a plugin subclasses :class:`PluginTests` and names the plugin; pytest does the rest. Importing this
package loads neither torch nor pytest: names are resolved when they are first used, and only :class:`PluginTests` needs
pytest.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from artgan.testing.check import check_output
    from artgan.testing.plugin import PluginTests

__all__ = ["PluginTests", "check_output"]

_HOMES = {"PluginTests": "plugin", "check_output": "check"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    except ModuleNotFoundError as error:
        if error.name != "pytest":
            raise
        raise ImportError(f"{__name__}.{name} needs pytest: pip install pytest") from None
