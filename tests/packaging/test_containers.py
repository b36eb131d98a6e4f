"""What the Dockerfiles name exists. They are parsed, not built: that takes a daemon and base images."""

from __future__ import annotations

import fnmatch
import json
import re
import shlex
import sys
from dataclasses import dataclass

import pytest
from support import ROOT

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli")

FILES = ("Dockerfile", "Dockerfile.cuda")


@dataclass(frozen=True)
class Step:
    """An instruction, in upper case, and what follows it."""

    instruction: str
    text: str


def steps(name: str) -> list[Step]:
    text = re.sub(r"^\s*#.*\n", "", (ROOT / name).read_text(), flags=re.M)
    lines = [line for line in text.replace("\\\n", " ").splitlines() if line.strip()]
    return [Step(*line.split(maxsplit=1)) for line in lines]


def texts(name: str, instruction: str) -> list[str]:
    return [step.text for step in steps(name) if step.instruction == instruction]


def project() -> dict[str, list[str]]:
    extras: dict[str, list[str]] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    return extras


def test_the_lightest_context_holds_what_is_copied_and_nothing_else() -> None:
    """Of the paths below the root, .dockerignore leaves out all but those that some Dockerfile copies."""
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert rules[0] == "*"
    kept = {rule[1:] for rule in rules if rule.startswith("!")}
    copied = {word for name in FILES for text in texts(name, "COPY") for word in sources(text)}
    assert kept == copied
    for unwanted in ("src/artgan/__pycache__", "plugins/artgan-dcgan/tests", "plugins/artgan-dcgan/x.egg-info"):
        assert any(fnmatch.fnmatch(unwanted, rule.replace("**/", "*/")) for rule in rules[1:]), unwanted


def sources(text: str) -> list[str]:
    """What a COPY takes from the context; nothing if it takes it from another stage."""
    words = shlex.split(text)
    return [] if words[0].startswith("--from=") else words[:-1]


@pytest.mark.parametrize("name", FILES)
def test_what_is_copied_exists(name: str) -> None:
    copied = [source for text in texts(name, "COPY") for source in sources(text)]
    assert {"src", "pyproject.toml", "registry.yaml", "LICENSE", "README.md"} <= set(
        copied
    )  # what the wheel is made of
    for source in copied:
        assert (ROOT / source).exists(), source


@pytest.mark.parametrize("name", FILES)
def test_stages_that_are_copied_from_exist_and_leave_their_sources_behind(name: str) -> None:
    stages = [text.split() for text in texts(name, "FROM")]
    assert [stage[2] for stage in stages[:-1]] == ["build"]
    assert stages[0][0] == stages[-1][0]  # the environment works where it was made alone
    last = max(index for index, step in enumerate(steps(name)) if step.instruction == "FROM")
    assert [step.text for step in steps(name)[last:] if step.instruction == "COPY"] == [
        "--from=build /opt/artgan /opt/artgan"
    ]


@pytest.mark.parametrize("name", FILES)
def test_base_images_are_pinned_to_the_python_of_the_constraints(name: str) -> None:
    marker = re.search(r'python_version >= "([\d.]+)"', (ROOT / "constraints.txt").read_text())
    assert marker is not None
    for text in texts(name, "FROM"):
        assert re.fullmatch(rf"python:{re.escape(marker[1])}-slim-[a-z]+", text.split()[0])


@pytest.mark.parametrize("name", FILES)
def test_what_is_installed_exists(name: str) -> None:
    [extras] = [text.removeprefix("EXTRAS=").split(",") for text in texts(name, "ARG")]
    assert set(extras) <= set(project())
    [install] = [text for text in texts(name, "RUN") if " install --no-cache-dir " in text]
    words = shlex.split(install)
    assert ".[${EXTRAS}]" in words
    assert (ROOT / words[words.index("-c") + 1]).is_file()
    plugins = {word for word in words if word.startswith("./plugins/")}
    wanted = {f"./{path.parent.relative_to(ROOT)}" for path in ROOT.glob("plugins/*/pyproject.toml")}
    assert plugins == (wanted if name == "Dockerfile.cuda" else set())


def test_extras_of_the_comment_exist() -> None:
    [extras] = re.findall(r"--build-arg EXTRAS=(\S+)", (ROOT / "Dockerfile").read_text())
    assert set(extras.split(",")) <= set(project())


def test_only_the_larger_image_has_pytorch() -> None:
    light, cuda = (texts(name, "ARG")[0].removeprefix("EXTRAS=").split(",") for name in FILES)
    assert "artgan[training]" in project()["metrics"]
    assert "metrics" in cuda
    for extra in light:
        assert not any(re.match(r"torch|timm|artgan\[training\]", one) for one in project()[extra])


@pytest.mark.parametrize("name", FILES)
def test_any_user_may_run_it_and_write_pictures(name: str) -> None:
    [user], [volume], [*_, folder] = (texts(name, kind) for kind in ("USER", "VOLUME", "WORKDIR"))
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)
    assert folder == volume == "/pictures"
    assert any("--mode 1777 /home/artgan /pictures" in text for text in texts(name, "RUN"))
    environment = dict(word.split("=", 1) for text in texts(name, "ENV") for word in text.split())
    assert environment["HOME"] == "/home/artgan"
    assert environment["PATH"].startswith("/opt/artgan/bin:")


@pytest.mark.parametrize("name", FILES)
def test_it_is_the_command_and_ends_as_after_ctrl_c(name: str) -> None:
    assert [json.loads(text) for text in texts(name, "ENTRYPOINT")] == [["artgan"]]
    assert texts(name, "STOPSIGNAL") == ["SIGINT"]


@pytest.mark.parametrize("name", FILES)
def test_no_host_of_packages_is_named(name: str) -> None:
    assert not re.search(r"https?://|--index-url|--find-links|--trusted-host", (ROOT / name).read_text())


@pytest.mark.parametrize("name", FILES)
def test_the_documentation_builds_it(name: str) -> None:
    file = "" if name == "Dockerfile" else f"-f {name} "
    tag = "artgan" if name == "Dockerfile" else "artgan:cuda"
    command = f"docker build {file}-t {tag} ."
    assert command in (ROOT / "README.md").read_text()
    assert f"#     {command}" in (ROOT / name).read_text()
