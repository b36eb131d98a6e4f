"""CycleGAN against artgan's conformance kit, as a stranger's plugin would use it."""

from __future__ import annotations

from typing import Any, ClassVar

from artgan.testing import PluginTests


class TestCycleGAN(PluginTests):
    plugin = "cyclegan"
    config: ClassVar[dict[str, Any]] = {"width": 4, "blocks": 1, "discriminator_width": 4, "pool": 2}
