"""The plugin passes the conformance kit."""

from __future__ import annotations

from typing import Any, ClassVar

from artgan.testing import PluginTests


class TestAnyStyle(PluginTests):
    plugin = "anystyle"
    config: ClassVar[dict[str, Any]] = {"width": 8, "blocks": 1, "encoder_width": 4, "code": 16}
