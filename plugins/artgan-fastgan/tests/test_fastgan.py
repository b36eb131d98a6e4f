"""FastGAN's networks and its training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from artgan.testing import PluginTests

SMALL = {"size": 64, "width": 16, "discriminator_width": 4, "noise_size": 8}


class TestSelfSupervised(PluginTests):
    """The kit's checks."""

    plugin = "fastgan"
    config: Mapping[str, Any] = {"discriminator": "self-supervised", **SMALL}
    training: Mapping[str, Any] = {"size": 64, "batch": 2}
