"""Discovery with fake distributions: one bad plugin is reported and harms no other."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from support.plugins import InstallPlugin

from artgan.discovery import API, Plugin, find_plugins, inspect_plugins, load_plugin, resolve, working_plugins
from artgan.errors import PluginError

GOOD = """
from artgan.plugin import Plugin
plugin = Plugin(name="{name}", summary="dots", config="{name}_plugin:Config", api={api})
class Config: pass
"""


def good(name: str, api: int = API) -> str:
    return GOOD.format(name=name, api=api)


def test_names_are_listed_without_importing(install_plugin: InstallPlugin) -> None:
    install_plugin("dots", "raise RuntimeError('imported')")
    assert "dots" in find_plugins()
    assert "dots_plugin" not in sys.modules
    assert find_plugins()["dots"].package == "dots_plugin"


def test_what_is_installed_and_removed_meanwhile_is_noticed(install_plugin: InstallPlugin, tmp_path: Path) -> None:
    site = install_plugin("dots", good("dots")).parent
    assert "lines" not in find_plugins()
    made = tmp_path / "lines-1.0.dist-info"  # as pip does: complete, and then at its place
    made.mkdir()
    (made / "METADATA").write_text("Metadata-Version: 2.1\nName: lines\nVersion: 1.0\n")
    (made / "entry_points.txt").write_text("[artgan.plugins]\nlines = dots_plugin:plugin\n")
    made.rename(site / made.name)
    assert "lines" in find_plugins()
    (site / made.name).rename(made)
    assert "lines" not in find_plugins()
    find_plugins().clear()
    assert "dots" in find_plugins()


def test_one_is_loaded_by_name_and_no_other(install_plugin: InstallPlugin) -> None:
    install_plugin("dots", good("dots"))
    install_plugin("lines", good("lines"))
    plugin = load_plugin("dots")
    assert plugin.summary == "dots"
    assert resolve(plugin, "config").__name__ == "Config"
    assert "lines_plugin" not in sys.modules


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("import nothing_of_that_name", "ModuleNotFoundError: No module named 'nothing_of_that_name'"),
        ("raise RuntimeError('no luck')", "RuntimeError: no luck"),
        ("def broken(:", "SyntaxError"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("other = 1", "AttributeError"),
        ("plugin = 42", "is int, not a Plugin"),
        (good("other"), "calls itself 'other'"),
        (good("dots", API + 1), "upgrade artgan"),
        (good("dots", API - 1), "upgrade artgan-dots"),
        ("from artgan.plugin import Plugin\nplugin = Plugin(name='dots', summary='', config='x')", "config must be"),
        (GOOD.format(name="dots", api="'2'"), "api must be a whole number"),
    ],
)
def test_a_broken_one_is_told_and_the_rest_work(install_plugin: InstallPlugin, code: str, told: str) -> None:
    install_plugin("dots", code, version="2.5")
    install_plugin("lines", good("lines"))
    with pytest.raises(PluginError) as caught:
        load_plugin("dots")
    assert told in str(caught.value)
    assert "dots (artgan-dots 2.5)" in str(caught.value)
    reports = {report.name: report for report in inspect_plugins()}
    assert told in str(reports["dots"].problem)
    assert reports["lines"].problem is None
    assert load_plugin("lines").name == "lines"


def test_strict_mode_raises_where_plugins_are_inspected(
    install_plugin: InstallPlugin, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_plugin("dots", "raise RuntimeError('no luck')")
    monkeypatch.setenv("ARTGAN_STRICT_PLUGINS", "1")
    with pytest.raises(PluginError, match="no luck"):
        inspect_plugins()


def test_two_of_one_name_name_both_distributions(install_plugin: InstallPlugin) -> None:
    install_plugin("dots", good("dots"))
    install_plugin("dots", good("dots"), distribution="spots", version="3.0", package="spots_plugin")
    with pytest.raises(PluginError) as caught:
        load_plugin("dots")
    assert "artgan-dots 1.0" in str(caught.value)
    assert "spots 3.0" in str(caught.value)


def test_one_distribution_seen_twice_is_no_duplicate(install_plugin: InstallPlugin) -> None:
    package = install_plugin("dots", good("dots"))
    sys.path.append(str(package.parent) + "/.")
    try:
        assert load_plugin("dots").name == "dots"
    finally:
        sys.path.pop()


@pytest.mark.parametrize("setting", ["dots", "other, dots", "*"])
def test_disabled(install_plugin: InstallPlugin, monkeypatch: pytest.MonkeyPatch, setting: str) -> None:
    install_plugin("dots", "raise RuntimeError('imported')")
    monkeypatch.setenv("ARTGAN_DISABLE_PLUGINS", setting)
    with pytest.raises(PluginError, match="disabled by ARTGAN_DISABLE_PLUGINS"):
        load_plugin("dots")
    assert next(r for r in inspect_plugins() if r.name == "dots").problem == "disabled by ARTGAN_DISABLE_PLUGINS"


def test_an_unknown_name_lists_the_near_one(install_plugin: InstallPlugin) -> None:
    install_plugin("pointillism", good("pointillism"))
    with pytest.raises(PluginError, match="did you mean 'pointillism'"):
        load_plugin("pointilism")


def test_parts_that_are_missing_or_broken_are_told(install_plugin: InstallPlugin) -> None:
    plugin = Plugin(name="dots", summary="", config="no_such_module:Config")
    with pytest.raises(PluginError, match="config no_such_module:Config cannot be imported: ModuleNotFoundError"):
        resolve(plugin, "config")
    with pytest.raises(PluginError, match="plugin dots has no trainer"):
        resolve(plugin, "trainer")


@pytest.mark.parametrize(
    "fault",
    [
        {"name": "Dots"},
        {"name": ""},
        {"name": "a/b"},
        {"config": None},
        {"config": "module"},
        {"networks": 3},
        {"metrics": {"m": "no colon"}},
        {"registry": "../registry.yaml"},
        {"metrics": None},
        {"domains": ["photos"]},
        {"api": "2"},
        {"domains": {"photos": ""}, "target": "paintings"},
        {"student": "small"},
        {"studies": ["lr=1,2"]},
        {"studies": {"rates": ("lr", "1,2")}},
        {"remedies": {"collapse": None}},
    ],
)
def test_a_manifest_with_a_fault_is_refused(fault: dict[str, object]) -> None:
    with pytest.raises(PluginError, match="plugin"):
        Plugin(**{"name": "dots", "summary": "", "config": "m:C", **fault})  # type: ignore[arg-type]  # faults


def test_the_target_is_the_last_domain_unless_the_manifest_says_another() -> None:
    def target(**fields: Any) -> str | None:
        return Plugin("dots", "", config="m:C", **fields).target_domain

    both = {"photos": "photos", "paintings": "paintings"}
    assert target(domains=both) == "paintings"
    assert target(domains=both, target="photos") == "photos"
    assert target() is None


def test_what_works_is_there_and_what_does_not_is_left_out(
    install_plugin: InstallPlugin, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_plugin("dots", good("dots"))
    install_plugin("lines", "raise RuntimeError('no luck')")
    names = [plugin.name for plugin in working_plugins()]
    assert "dots" in names
    assert "lines" not in names
    monkeypatch.setenv("ARTGAN_STRICT_PLUGINS", "1")
    with pytest.raises(PluginError, match="no luck"):
        working_plugins()
    monkeypatch.setenv("ARTGAN_DISABLE_PLUGINS", "lines")
    assert [plugin.name for plugin in working_plugins()] == names
