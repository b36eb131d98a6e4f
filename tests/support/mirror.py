"""A plugin whose network costs nothing, for tests of what is around a network: ``mirror.plain`` inverts colors."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

PLUGIN = """
from artgan.plugin import Plugin

plugin = Plugin("mirror", "Turns colors around.", config="mirror_plugin.networks:Config",
                generator="mirror_plugin.networks:Mirror", registry="registry.yaml")
"""

NETWORKS = """
from dataclasses import dataclass

from artgan.interfaces import Generator


@dataclass(frozen=True)
class Config:
    pass


class Mirror(Generator):
    stride = 4
    minimum_size = 16

    def __init__(self, config):
        super().__init__()

    def forward(self, x):
        return -x
"""


def install_mirror(install_plugin: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Install it for this test, and for the programs that the test starts."""
    package = install_plugin("mirror", PLUGIN)
    (package / "networks.py").write_text(NETWORKS)
    models = {"mirror.plain": {"plugin": "mirror", "distribution": "artgan-mirror"}}
    (package / "registry.yaml").write_text(json.dumps({"schema": 1, "models": models}))
    monkeypatch.setenv("PYTHONPATH", str(package.parent), prepend=os.pathsep)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
