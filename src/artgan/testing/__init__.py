"""The conformance kit: checks of models and of third-party plugins.

The author of a plugin subclasses :class:`PluginTests` and names the plugin; pytest does the rest. Only this class needs
pytest, which is imported when the class is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from artgan.testing.check import check_output

if TYPE_CHECKING:
    from artgan.testing.plugin import PluginTests

__all__ = ["PluginTests", "check_output"]


def __getattr__(name: str) -> Any:
    if name != "PluginTests":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from artgan.testing.plugin import PluginTests
    except ModuleNotFoundError as error:
        if error.name != "pytest":
            raise
        raise ImportError("artgan.testing.PluginTests needs pytest: pip install pytest") from None
    return PluginTests
