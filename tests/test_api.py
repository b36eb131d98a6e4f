"""The author's API: what plugins may import, and that it is there, documented, and as cheap as it says."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from support import ROOT

import artgan.plugin
import artgan.testing
import artgan.toolkit

CORE = ROOT / "src/artgan"
PAGE = (ROOT / "docs/plugins.md").read_text()
HOMES = {home.__name__: home for home in (artgan.plugin, artgan.toolkit, artgan.testing)}

PLUGINS = sorted(ROOT.glob("plugins/*/src/**/*.py"))
TEMPLATES = sorted((CORE / "scaffold/templates").rglob("*.py.jinja"))
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.M | re.S)


def imported(source: str) -> Iterator[tuple[str, str]]:
    """What a module imports of artgan, as module and name; import strings count too."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names if alias.name.split(".")[0] == "artgan")
        elif isinstance(node, ast.ImportFrom) and str(node.module).split(".")[0] == "artgan":
            yield from ((str(node.module), alias.name) for alias in node.names)
        elif isinstance(node, ast.Constant) and re.fullmatch(r"artgan\.[\w.]+:\w+", str(node.value)):
            module, _, name = str(node.value).partition(":")
            yield module, name


@pytest.mark.parametrize("path", [*PLUGINS, *TEMPLATES], ids=lambda path: str(path.relative_to(ROOT)))
def test_plugins_and_the_scaffold_import_the_authors_api_alone(path: Path) -> None:
    source = re.sub(r"\{\{ \w+ \}\}", "x", path.read_text())  # a template's names
    for module, name in imported(source):
        assert module in HOMES, f"{module} is private"
        assert name in HOMES[module].__all__


def test_the_page_imports_the_authors_api_alone() -> None:
    found = [use for block in BLOCKS if "artgan" in block for use in imported(block)]
    assert {module for module, _ in found} == {*HOMES, "artgan"}  # the last is the API of those who use models
    for module, name in found:
        assert module == "artgan" or name in HOMES[module].__all__


@pytest.mark.parametrize("home", HOMES.values(), ids=HOMES)
def test_what_is_exported_is_there_and_documented(home: ModuleType) -> None:
    undocumented = [name for name in home.__all__ if f"`{name}`" not in PAGE]
    assert not undocumented
    for name in home.__all__:
        assert getattr(home, name).__doc__
    assert sorted(set(home.__all__)) == sorted(home.__all__)


@pytest.mark.parametrize("home", [artgan.plugin, artgan.toolkit], ids=lambda home: str(home.__name__))
def test_a_home_is_a_facade_whose_docstring_lists_all(home: ModuleType) -> None:
    tree = ast.parse(Path(str(home.__file__)).read_text())
    kinds = {type(node) for node in tree.body}
    assert kinds <= {ast.Expr, ast.ImportFrom, ast.Assign}, "nothing is defined here"
    public = {alias.name for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert public - {"annotations"} == set(home.__all__)
    assert set(re.findall(r":(?:class|func):`(\w+)`", str(home.__doc__))) == set(home.__all__)


def test_the_homes_share_no_name() -> None:
    assert not set(artgan.plugin.__all__) & set(artgan.toolkit.__all__)


def test_the_core_uses_neither_home() -> None:
    """They are for others: the core knows where things are, and cycles of imports stay away."""
    for path in sorted(CORE.rglob("*.py")):
        if path.parent.name not in ("testing", "scaffold"):
            used = {module for module, _ in imported(path.read_text())}
            assert not used & {"artgan.plugin", "artgan.toolkit"}, path


def test_the_home_of_the_manifest_imports_no_torch() -> None:
    code = "import sys, artgan.plugin; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
