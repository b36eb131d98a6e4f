"""The type of the fixture that installs plugins."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

InstallPlugin = Callable[..., Path]
"""Name and code, and keywords as of the fixture ``install_plugin``, to the folder of the installed package."""
