"""The author's API: what plugins may import, and that it is there, documented, and as cheap as it says."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from support import ROOT

import artgan.plugin
import artgan.testing
import artgan.toolkit
from artgan.discovery import load_plugin, resolve
from artgan.models.registry_file import read_file
from artgan.training.distillation.config import DistillationConfig
from artgan.training.options import TrainingOptions

CORE = ROOT / "src/artgan"
PAGE = (ROOT / "docs/plugins.md").read_text()
HOMES = {home.__name__: home for home in (artgan.plugin, artgan.toolkit, artgan.testing)}

PLUGINS = sorted(ROOT.glob("plugins/*/src/**/*.py"))
TEMPLATES = sorted((CORE / "testing/scaffold/templates").rglob("*.py.jinja"))
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
    assert sorted(set(home.__all__)) == sorted(home.__all__)


def documented(home: ModuleType) -> Iterator[tuple[str, Any]]:
    """What needs a docstring: each exported class or function, and the public methods and properties of its own."""
    for name in home.__all__:
        exported = getattr(home, name)
        yield name, exported
        for member, value in vars(exported).items() if inspect.isclass(exported) else ():
            if isinstance(value, property):
                value = value.fget
            value = getattr(value, "func", getattr(value, "__func__", value))  # of cached properties, class methods
            if inspect.isfunction(value) and not member.startswith("_"):
                yield f"{name}.{member}", value


def undescribed(exported: Any) -> list[str]:
    """The parameters, fields and errors that a docstring does not describe.

    One or two parameters may be described in the sentence; a field made with ``option`` has its help text.
    """
    parameters = list(inspect.signature(exported).parameters.values()) if inspect.isfunction(exported) else []
    raising = [exported]
    if is_dataclass(exported):
        names = [field.name for field in fields(exported) if "help" not in field.metadata]
        raising = [vars(exported).get("__post_init__")]
    else:
        if inspect.isclass(exported):
            raising = [vars(exported).get("__init__")]
            parameters = list(inspect.signature(raising[0]).parameters.values()) if raising[0] else []
        names = [parameter.name for parameter in parameters if parameter.name not in ("self", "cls")]
        names = names if len(names) > 2 else []
    for function in filter(inspect.isfunction, raising):
        body = ast.walk(ast.parse(textwrap.dedent(inspect.getsource(function))))
        raised = [node.exc.func for node in body if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call)]
        names += [name.id for name in raised if isinstance(name, ast.Name)]
    text = inspect.getdoc(exported) or ""
    return [name for name in names if not re.search(rf"^ +{name}: |``{name}``|``\*\*{name}``", text, re.M)]


@pytest.mark.parametrize("home", [artgan, *HOMES.values()], ids=lambda home: str(home.__name__))
def test_docstrings_describe_parameters_fields_and_errors(home: ModuleType) -> None:
    for name, exported in documented(home):
        assert exported.__doc__, name
        assert undescribed(exported) == [], name


def test_what_a_docstring_leaves_out_is_found() -> None:
    @dataclass
    class Point:
        """A point.

        Attributes:
            x: in pixels.
        """

        x: int
        y: int

    def scaled(point: Point, factor: int, *, rounded: bool) -> Point:
        """A point times ``factor``.

        Args:
            point: what is scaled.
        """
        if not factor:
            raise ValueError("zero")
        return point if rounded else Point(factor, 0)

    assert undescribed(Point) == ["y"]
    assert undescribed(scaled) == ["rounded", "ValueError"]


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


@pytest.mark.slow
def test_the_core_uses_neither_home() -> None:
    """They are for others: the core knows where things are, and cycles of imports stay away."""
    for path in sorted(CORE.rglob("*.py")):
        if path.parent.name not in ("testing", "scaffold"):
            used = {module for module, _ in imported(path.read_text())}
            assert not used & {"artgan.plugin", "artgan.toolkit"}, path


def test_the_home_of_the_manifest_imports_no_torch() -> None:
    code = "import sys, artgan.plugin; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_field_of_the_manifest_is_documented() -> None:
    section = PAGE.split("## The manifest\n")[1].split("\n## ")[0]
    assert [field.name for field in fields(artgan.plugin.Plugin) if f"`{field.name}`" not in section] == []
    text = inspect.getdoc(artgan.plugin.Plugin) or ""  # without the indentation, as Python 3.13 keeps it
    for field in fields(artgan.plugin.Plugin):
        assert re.search(rf"^    {field.name}: ", text, re.M)


# The core names no plugin

NAMES = ("anystyle", "cyclegan", "dcgan", "fastgan", "gatys", "sngan")
MAY_NAME = {
    "data/public.py": {"cyclegan", "monet", "vangogh", "cezanne"},  # data sets, their addresses and their authors
    "data/samples.py": {"monet"},  # a folder of such a set
}
MAY_HAVE_THE_DOMAIN = {
    "cli/new_plugin.py",  # of what the scaffold writes
    "data/samples.py",  # what public sets consist of
    "metrics/pairing.py",  # words of a message
    "models/runtimes/onnx_file.py",  # the names of inputs and outputs
    "training/distillation/__init__.py",  # a plugin's parts, with a domain of their own
    "training/distillation/trainer.py",
}


def spoken(path: Path) -> tuple[set[str], set[str]]:
    """The texts that a module may print or compare, and its identifiers.

    Docstrings are for readers of the code, and may give examples; those of the command line are its help.
    """
    tree = ast.parse(path.read_text())
    nodes = list(ast.walk(tree))
    docstrings: set[ast.expr] = set()
    if path.parent.name != "cli":
        bodies = [node.body for node in nodes if hasattr(node, "body") and isinstance(node.body, list)]
        docstrings = {part.value for body in bodies for part in body if isinstance(part, ast.Expr)}
    texts = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    quiet = {node.value for node in docstrings if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    names = {node.id for node in nodes if isinstance(node, ast.Name)}
    names |= {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    names |= {node.arg for node in nodes if isinstance(node, (ast.arg, ast.keyword)) and node.arg}
    names |= {node.name for node in nodes if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
    return texts - quiet, names


def options(*classes: type) -> set[str]:
    return {field.name for cls in classes for field in fields(cls)}


@pytest.mark.slow
def test_the_core_names_no_plugin_and_none_of_its_models_options_or_domains() -> None:
    plugins = [load_plugin(name) for name in NAMES]
    aliases = {entry.alias for entry in read_file(ROOT / "registry.yaml").entries.values() if entry.alias}
    words = {*NAMES, *aliases}
    domains = {domain for plugin in plugins for domain in plugin.domains} - {"pictures"}  # the core's own word too
    core = options(artgan.plugin.MultiscaleOptions, TrainingOptions, DistillationConfig)
    modules = {path.relative_to(CORE).as_posix(): spoken(path) for path in sorted(CORE.rglob("*.py"))}
    core |= {name for where, (_, names) in modules.items() if where.startswith("cli/") for name in names}
    own = [resolve(plugin, part) for plugin in plugins for part in ("config", "options") if getattr(plugin, part)]
    flags = {f"--{name.replace('_', '-')}" for name in options(*own) - core}
    assert "--lambda-cycle" in flags
    told = []
    for where, (texts, names) in modules.items():
        for word in words - MAY_NAME.get(where, set()):
            told += [(where, text) for text in texts | names if re.search(rf"(?<![a-z]){word}(?![a-z])", text, re.I)]
        told += [(where, text) for text in texts for flag in re.findall(r"--[a-z][a-z0-9-]*", text) if flag in flags]
        told += [(where, text) for text in texts & domains if where not in MAY_HAVE_THE_DOMAIN]
    assert not told


@pytest.mark.parametrize("name", NAMES)
def test_pages_and_templates_of_the_core_name_no_plugin(name: str) -> None:
    for path in sorted([*CORE.rglob("*.html"), *CORE.rglob("*.jinja")]):
        assert not re.search(rf"(?<![a-z]){name}(?![a-z])", path.read_text(), re.I), path


# Spelling is American, as PyTorch's

BRITISH = re.compile(
    r"(?i)colour|neighbour|behaviour|favour|licence|centre|grey|artefact"
    r"|(?:initial|normal|minim|optim|recogn|organ|synthes|quant|summar|general|standard|random|equal|serial)is(?:e|ed|er|ing|ation)"
    r"(?![a-z])"
)
OLD_OR_OTHERS = re.compile(
    r"smooth_colours|colour-moved|colourspace|grey16|colour mapping|colour transfer|memorisation"
)
"""Old names that still load, libvips' names, and a paper's title."""


@pytest.mark.slow
def test_names_and_texts_are_in_american_spelling() -> None:
    sources = [CORE, *CORE.parents[1].glob("plugins/*/src"), CORE.parents[1] / "docs", CORE.parents[1] / "scripts"]
    pages = [page for root in sources for end in ("py", "jinja", "html", "md") for page in root.rglob(f"*.{end}")]
    assert len(pages) > 200
    found = {
        f"{page.relative_to(CORE.parents[1])}: {match[0]}"
        for page in pages
        for match in BRITISH.finditer(OLD_OR_OTHERS.sub("", page.read_text()))
    }
    assert found == set()
    for word in ("RunMinimise", "_initialise", "centre_square", "weights_licence", "normalised"):
        assert BRITISH.search(word)
