"""Names that changed: the old one works, whoever uses it is told once, and none outstays its time."""

from __future__ import annotations

import json
import os
import subprocess
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.version import Version
from support import processes

import artgan
from artgan.config import option, parse, renamed_options
from artgan.discovery import find_plugins, load_plugin, resolve
from artgan.errors import ConfigError, RegistryError, RenamedWarning
from artgan.models import registry
from artgan.models.registry import read_registry
from artgan.models.registry_file import read_file

Install = Callable[..., Path]

CARD = {
    "plugin": "ink",
    "distribution": "artgan-ink",
    "weights": {"bundled": "artgan_ink/w.safetensors", "sha256": "a" * 64, "size": 1},
}


def write(path: Path, deprecated: dict[str, Any], **models: dict[str, Any]) -> Path:
    models = models or {"wash": {"alias": "wash"}}
    document = {"schema": 1, "models": {f"ink.{tag}": {**CARD, **more} for tag, more in models.items()}}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump({**document, "deprecated": deprecated}))
    return path


def to(use: str, removed_in: str = "99.0") -> dict[str, str]:
    return {"use": use, "removed_in": removed_in}


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """artgan's own registry, in place of the repository's: ink.wash, which was ink.water and brush."""
    old = {"ink.water": to("ink.wash"), "brush": to("wash")}
    path = write(tmp_path / "own" / "registry.yaml", old)
    monkeypatch.setattr(registry, "_own_file", lambda: path)
    read_registry.cache_clear()
    return path


# None is overdue


def deprecations(plugins: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Each old name of artgan and of these plugins, with the version in which it goes."""
    from artgan.training.options import TrainingOptions

    for name, deprecation in read_registry().deprecated.items():
        yield f"the model {name}", deprecation.removed_in
    classes = [TrainingOptions]
    for plugin in map(load_plugin, plugins):
        classes += [resolve(plugin, part) for part in ("config", "options") if getattr(plugin, part)]
    for cls in classes:
        for name, (_, removed_in) in renamed_options(cls).items():
            yield f"the option {name} of {cls.__name__}", removed_in


def check_none_is_overdue(version: str, plugins: Iterable[str]) -> None:
    """Development versions count as what they lead to: in 0.3.0.dev0 nothing that goes in 0.3 may be left."""
    present = Version(Version(version).base_version)
    overdue = [what for what, removed_in in deprecations(plugins) if present >= Version(removed_in)]
    assert not overdue, f"to be removed in {version} at the latest: {', '.join(overdue)}"


def test_no_old_name_is_overdue() -> None:
    check_none_is_overdue(artgan.__version__, find_plugins())


RENAMED = """
from dataclasses import dataclass
from artgan.config import option
from artgan.plugin import Plugin

@dataclass(frozen=True)
class Config:
    width: int = option(4, "channels", least=1, renamed_from=("breadth", "{removed_in}"))

plugin = Plugin(
    "ink", "A test.", config="ink_plugin:Config", trainer="ink_plugin:nothing", domains={{"photos": "photos"}}
)
"""


@pytest.mark.parametrize(
    ("removed_in", "version", "overdue"),
    [
        ("0.3", "0.2.9", False),
        ("0.3", "0.3.0.dev0", True),
        ("0.3", "0.3", True),
        ("0.3.0", "0.3", True),
        ("0.3.1", "0.3", False),
        ("0.3", "0.10.0", True),
        ("0.10", "0.9.5", False),
        ("0.3", "1.0.0rc1", True),
    ],
)
def test_an_overdue_name_fails_the_test(
    own: Path, install_plugin: Install, removed_in: str, version: str, overdue: bool
) -> None:
    write(own, {"ink.water": to("ink.wash", removed_in)})
    install_plugin("ink", RENAMED.format(removed_in=removed_in))
    if not overdue:
        check_none_is_overdue(version, ["ink"])
        return
    with pytest.raises(AssertionError) as caught:
        check_none_is_overdue(version, ["ink"])
    assert "the model ink.water, the option breadth of Config" in str(caught.value)


# Models


@pytest.mark.parametrize("old", ["ink.water", "brush"])
def test_a_model_is_found_under_its_old_name_with_a_warning(own: Path, old: str) -> None:
    with pytest.warns(RenamedWarning) as caught:
        entry = read_registry().entry(old)
    assert entry.name == "ink.wash"
    assert [str(w.message) for w in caught] == [
        f"the model '{old}' is now 'ink.wash'; the old name will be removed in version 99.0"
    ]
    assert caught[0].filename == __file__


def test_old_names_are_not_listed_and_new_ones_give_no_warning(own: Path) -> None:
    assert artgan.list_models("ink.*") == ["ink.wash"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_registry().entry("wash").name == "ink.wash"


def test_an_old_name_that_a_stronger_file_gives_to_a_model_is_that_models(
    own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "mine.yaml", {}, water={"alias": "brush"})
    monkeypatch.setenv("ARTGAN_REGISTRY", str(path))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_registry().entry("brush").name == "ink.water"
        assert read_registry().entry("ink.water").source == str(path)


def test_an_old_name_follows_its_model_when_another_takes_the_alias(
    own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARTGAN_REGISTRY", str(write(tmp_path / "mine.yaml", {}, other={"alias": "wash"})))
    assert read_registry().entry("wash").name == "ink.other"
    with pytest.warns(RenamedWarning, match=r"is now 'ink\.wash'"):
        assert read_registry().entry("brush").name == "ink.wash"


@pytest.mark.parametrize(
    ("deprecated", "told"),
    [
        ({"ink.water": to("ink.wish")}, "deprecated: ink.water: use: no model is named 'ink.wish'"),
        ({"ink.a": to("ink.wash"), "ink.b": to("ink.a")}, "deprecated: ink.b: use: no model is named 'ink.a'"),
        ({"ink.wash": to("ink.wash")}, "deprecated: ink.wash: is the name of a model"),
        ({"wash": to("ink.wash")}, "deprecated: wash: is the name of a model"),
    ],
)
def test_a_deprecation_that_leads_nowhere_is_a_fault(own: Path, deprecated: dict[str, Any], told: str) -> None:
    write(own, deprecated)
    with pytest.raises(RegistryError) as caught:
        read_registry()
    assert str(caught.value) == f"{own}: {told}"


def test_two_files_of_one_level_do_not_rename_one_model_twice(
    own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [write(tmp_path / f"{n}.yaml", {"ink.old": to(f"ink.m{n}")}, **{f"m{n}": {}}) for n in "12"]
    assert read_file(paths[0]).deprecated["ink.old"].use == "ink.m1"
    monkeypatch.setenv("ARTGAN_REGISTRY", os.pathsep.join(map(str, paths)))
    with pytest.raises(RegistryError) as caught:
        read_registry()
    assert str(caught.value) == f"ARTGAN_REGISTRY: {paths[1]}: deprecated: ink.old: is in {paths[0]} already"


@pytest.mark.slow
def test_the_command_line_tells_an_old_name_once_on_one_line(tmp_path: Path) -> None:
    new = {"use": "cyclegan.monet", "removed_in": "99.0"}
    path = tmp_path / "r.yaml"
    path.write_text(yaml.safe_dump({"schema": 1, "models": {}, "deprecated": {"claude": new}}))
    done = run(tmp_path, "show", "claude", "--format", "json", ARTGAN_REGISTRY=str(path))
    assert done.returncode == 0
    assert json.loads(done.stdout)["name"] == "cyclegan.monet"
    assert (
        done.stderr
        == "artgan: the model 'claude' is now 'cyclegan.monet'; the old name will be removed in version 99.0\n"
    )
    listed = run(tmp_path, "models", ARTGAN_REGISTRY=str(path))
    assert "claude" not in listed.stdout + listed.stderr


def run(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return processes.artgan(*arguments, cwd=folder, **environment)


# Options


@dataclass(frozen=True)
class Config:
    width: int = option(4, "channels", least=1, renamed_from=("breadth", "99.0"))
    depth: int = option(2, "layers")


def test_an_option_is_taken_under_its_old_name_with_a_warning() -> None:
    with pytest.warns(RenamedWarning) as caught:
        assert parse(Config, {"breadth": 8, "depth": 1}, where="r.yaml: config") == Config(8, 1)
    assert [str(w.message) for w in caught] == [
        "r.yaml: config: the option 'breadth' is now 'width'; the old name will be removed in version 99.0"
    ]
    assert caught[0].filename == __file__


def test_an_option_under_both_names_is_refused() -> None:
    with pytest.raises(ConfigError, match="'breadth' is the old name of 'width'; give one of them"):
        parse(Config, {"width": 3, "breadth": 8}, where="r.yaml")


@pytest.mark.filterwarnings("ignore::artgan.errors.RenamedWarning")
def test_a_value_under_the_old_name_is_checked_as_one_under_the_new() -> None:
    with pytest.raises(ConfigError, match=r"r\.yaml: width: must be at least 1"):
        parse(Config, {"breadth": 0}, where="r.yaml")


@pytest.mark.slow
@pytest.mark.parametrize(("in_file", "on_the_line"), [("width", "breadth"), ("breadth", "width")])
def test_the_command_line_wins_over_a_file_under_old_names_too(
    tmp_path: Path, install_plugin: Install, in_file: str, on_the_line: str
) -> None:
    package = install_plugin("ink", RENAMED.format(removed_in="99.0"))
    (tmp_path / "c.yaml").write_text(yaml.safe_dump({"config": {in_file: 0}}))
    call = ["train", "ink", "--photos", "none", "-o", "run", "--config", "c.yaml", f"--{on_the_line}", "-1"]
    done = run(tmp_path, *call, PYTHONPATH=str(package.parent))
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "artgan: ink: the option 'breadth' is now 'width'; the old name will be removed in version 99.0",
        "artgan: ink: width: must be at least 1, not -1",
    ]


def test_the_help_shows_the_new_name_only(tmp_path: Path, install_plugin: Install) -> None:
    package = install_plugin("ink", RENAMED.format(removed_in="99.0"))
    done = run(tmp_path, "train", "ink", "--help", PYTHONPATH=str(package.parent))
    assert "--width" in done.stdout
    assert "breadth" not in done.stdout
