"""The import graph of the core is the one that docs/architecture.md draws: layers, and no circles."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import ROOT

PACKAGE = ROOT / "src" / "artgan"
PAGE = (ROOT / "docs" / "architecture.md").read_text()


def names() -> dict[str, Path]:
    """The modules of the core, by name."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = names()


def imports(module: str) -> set[str]:
    """All modules of the core that a module imports, those in functions and for type checkers included."""
    found = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inside = f"{node.module}.{alias.name}"
                found.add(inside if inside in MODULES else node.module)
    return {name for name in found if name in MODULES} - {module}


def layers() -> list[set[str]]:
    """What docs/architecture.md lists as layers, from the lowest."""
    [block] = re.findall(r"^```layers\n(.*?)^```$", PAGE, re.M | re.S)
    return [set(line.split()) for line in reversed(block.splitlines())]


def part(module: str) -> str:
    """The module or package at the top of the core that a module belongs to."""
    return module.split(".")[1] if "." in module else "__init__"


def circles(graph: dict[str, set[str]]) -> Iterator[list[str]]:
    """Ways along imports that come back to where they began."""
    done: set[str] = set()

    def walk(name: str, way: list[str]) -> Iterator[list[str]]:
        if name in way:
            yield [*way[way.index(name) :], name]
        elif name not in done:
            for other in sorted(graph[name]):
                yield from walk(other, [*way, name])
            done.add(name)

    for name in sorted(graph):
        yield from walk(name, [])


def test_the_top_can_be_taken_in_at_a_glance() -> None:
    modules = [path.stem for path in PACKAGE.glob("*.py") if not path.stem.startswith("__")]
    packages = [path.parent.name for path in PACKAGE.glob("*/__init__.py")]
    assert len(modules) <= 14
    assert len(packages) <= 11
    assert set(modules) | set(packages) == set().union(*layers()) - {"__init__", "__main__"}


@pytest.mark.slow
@pytest.mark.parametrize("module", MODULES)
def test_imports_go_down(module: str) -> None:
    level = {name: number for number, layer in enumerate(layers()) for name in layer}
    up = {
        other for other in imports(module) if part(other) != part(module) and level[part(other)] >= level[part(module)]
    }
    assert not up, f"{module} imports {', '.join(sorted(up))}, which are not below it"


@pytest.mark.slow
def test_no_module_imports_itself_by_a_detour() -> None:
    assert not list(circles({module: imports(module) for module in MODULES}))


def test_a_circle_would_be_found() -> None:
    assert list(circles({"a": {"b"}, "b": {"c"}, "c": {"b"}})) == [["b", "c", "b"]]


@pytest.mark.parametrize("module", [module for module, path in MODULES.items() if not path.stem.startswith("__")])
def test_every_module_is_in_the_documentation(module: str) -> None:
    path = MODULES[module].relative_to(PACKAGE)
    assert f"{path.name}" in PAGE or f"{path.parent}/" in PAGE, f"docs/architecture.md does not mention {path}"
