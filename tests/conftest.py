"""Fake plugins: a dist-info folder and a module on sys.path are all that discovery needs."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from support.plugins import InstallPlugin

from artgan.models.registry import read_registry

# How fast a busy machine makes examples says nothing about the code. Examples are the same each time, so that a change
# fails for what it changed; make test-all looks for new ones.
settings.register_profile("fresh", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("artgan", settings.get_profile("fresh"), derandomize=True, database=None)
settings.load_profile("artgan")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No setting of the person who runs the tests, and no registry read by another test."""
    for name in ("ARTGAN_DISABLE_PLUGINS", "ARTGAN_STRICT_PLUGINS", "ARTGAN_REGISTRY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.getbasetemp() / "settings"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path_factory.getbasetemp() / "data"))
    read_registry.cache_clear()
    yield
    read_registry.cache_clear()


@pytest.fixture
def install_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[InstallPlugin]:
    """A function that installs a package ``NAME_plugin`` with the given code as a plugin's distribution."""
    installed: list[str] = []

    def install(
        name: str, code: str, *, distribution: str | None = None, version: str = "1.0", package: str | None = None
    ) -> Path:
        distribution = distribution or f"artgan-{name}"
        package = package or f"{name}_plugin"
        site = tmp_path / f"site-{distribution}"
        (site / package).mkdir(parents=True)
        (site / package / "__init__.py").write_text(code)
        info = site / f"{distribution.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[artgan.plugins]\n{name} = {package}:plugin\n")
        monkeypatch.syspath_prepend(str(site))
        importlib.invalidate_caches()
        installed.append(package)
        return site / package

    yield install
    for module in [m for m in sys.modules if m.split(".")[0] in installed]:
        del sys.modules[module]
