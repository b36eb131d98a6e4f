"""Options of painting: the same in Python, in files and on the command line; and models that are nothing else."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from support import processes
from support.hub_server import Hub

import artgan
from artgan.cli.options import command, parameters
from artgan.config import option
from artgan.discovery import find_plugins
from artgan.doctor import examine
from artgan.errors import ArtganError, ConfigError, WeightsError
from artgan.images import decode
from artgan.interfaces import Generator
from artgan.models.loading import load
from artgan.models.registry import read_registry
from artgan.models.torch_model import TorchModel

MANIFEST = """
from artgan.plugin import Plugin

plugin = Plugin(
    name="wash",
    summary="A picture laid over with the colors of others.",
    config="wash_plugin.options:WashConfig",
    generator="wash_plugin.networks:Wash",
    options="wash_plugin.options:WashOptions",
    registry="registry.yaml",
)
"""

OPTIONS = """
from dataclasses import dataclass

from artgan.config import option


@dataclass(frozen=True)
class WashConfig:
    layers: int = option(1, "how many", least=1)


@dataclass(frozen=True)
class WashOptions:
    style: tuple[str, ...] = option((), "pictures whose colors are taken [each a file]")
    share: float = option(0.5, "of the colors", least=0, most=1, renamed_from=("power", "9.9"))
    gray: bool = option(False, "without colors")
    model: str = option("none", "a name that artgan paint has already")
"""

NETWORKS = """
import torch

from artgan.errors import ConfigError
from artgan.images import decode, to_tensor
from artgan.interfaces import Generator


class Wash(Generator):
    def __init__(self, config):
        super().__init__()
        self.layers = config.layers
        self.register_buffer("place", torch.empty(0), persistent=False)  # goes where the model goes

    def forward(self, x):
        raise TypeError("give options: use generate()")

    def generate(self, x, *, style, share, gray, model):
        self.given = dict(style=style, share=share, gray=gray, model=model)
        if not style:
            raise ConfigError("wash paints in the colors of a picture: give --style FILE")
        colors = torch.stack([to_tensor(decode(path).rgb).mean((1, 2)) for path in style]).mean(0)
        painted = x.lerp(colors.to(x)[None, :, None, None], share)
        return painted.mean(1, keepdim=True).expand_as(x) if gray else painted
"""

REGISTRY = {
    "schema": 1,
    "models": {"wash.two": {"plugin": "wash", "distribution": "artgan-wash", "alias": "wash", "config": {"layers": 2}}},
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, install_plugin: Callable[..., Path]) -> Path:
    """Where one works: a photo, two pictures to take colors from, and the plugin wash with its model, installed."""
    package = install_plugin("wash", MANIFEST)
    (package / "options.py").write_text(OPTIONS)
    (package / "networks.py").write_text(NETWORKS)
    (package / "registry.yaml").write_text(json.dumps(REGISTRY))  # JSON is YAML
    read_registry.cache_clear()
    folder = tmp_path / "work"
    folder.mkdir()
    for name, color in {"photo": "gray", "red": "#ff0000", "blue": "#0000ff"}.items():
        Image.new("RGB", (12, 8), color).save(folder / f"{name}.png")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PYTHONPATH", str(package.parent))
    return folder


def color(path: Path) -> tuple[int, ...]:
    pixel = decode(path).rgb.getpixel((0, 0))
    assert isinstance(pixel, tuple)
    return pixel


# In Python


def test_all_options_reach_the_model_defaults_included(folder: Path) -> None:
    model = load("wash")
    painting = model.paint("photo.png", style=Path("red.png"), gray=True)
    assert model.generator.given == {"style": ("red.png",), "share": 0.5, "gray": True, "model": "none"}
    assert painting.getpixel((0, 0)) in [(106,) * 3, (107,) * 3]  # a third of 191.5 + 64 + 64: half gray, half red
    model.paint("photo.png", style=["red.png", "blue.png"], share=1)
    assert model.generator.given == {"style": ("red.png", "blue.png"), "share": 1.0, "gray": False, "model": "none"}


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"stile": "red.png"}, "wash.two: unknown option 'stile'; did you mean 'style'?"),
        ({"style": "red.png", "share": 2}, "wash.two: share: must be at most 1, not 2"),
        ({"style": 7}, "wash.two: style: must be a text, not 7"),
        ({}, "wash paints in the colors of a picture: give --style FILE"),
    ],
)
def test_wrong_options_are_told_before_anything_is_painted(folder: Path, options: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load("wash").paint("photo.png", **options)
    assert str(caught.value).startswith(told)


def test_an_option_under_its_old_name_works_with_a_warning(folder: Path) -> None:
    with pytest.warns(FutureWarning, match="the option 'power' is now 'share'"):
        assert load("wash").options({"power": 0.25})["share"] == 0.25


def test_a_model_without_options_says_so() -> None:
    with pytest.raises(ConfigError) as caught:
        artgan.load("monet").paint(Image.new("RGB", (8, 8)), style="a.jpg")
    assert str(caught.value) == "cyclegan.monet: this model takes no options, got style"


# Models that have no weights of their own


def test_a_model_without_weights_is_built_of_its_config(folder: Path) -> None:
    model = load("wash", dtype="float16")
    assert isinstance(model, TorchModel)
    assert model.generator.layers == 2
    assert not model.generator.training
    assert model.generator.place.dtype == torch.float16
    assert model.card["weights"] is None
    assert model.paint("photo.png", style="red.png", share=0.0).getpixel((0, 0)) == (128,) * 3
    with pytest.raises(WeightsError, match=r"wash\.two: has no weights of its own, so it has no revisions"):
        load("wash", revision="main")


def test_there_is_nothing_to_save_of_a_model_without_weights(folder: Path) -> None:
    with pytest.raises(
        WeightsError, match=r"^wash\.two: has no weights to save; it consists of its plugin and its config"
    ):
        load("wash").save_pretrained("saved")
    assert not (folder / "saved").exists()


def test_a_model_of_what_is_trained_cannot_do_without_weights(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = {"plugin": "cyclegan", "distribution": "artgan-cyclegan"}
    Path("mine.yaml").write_text(json.dumps({"schema": 1, "models": {"cyclegan.mine": entry}}))
    monkeypatch.setenv("ARTGAN_REGISTRY", "mine.yaml")
    read_registry.cache_clear()
    with pytest.raises(WeightsError) as caught:
        load("cyclegan.mine")
    assert str(caught.value) == "cyclegan.mine: mine.yaml names no weights, which a model of cyclegan needs"


@pytest.mark.slow
def test_models_without_weights_are_listed_as_such(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = processes.artgan("models", "--format", "json")
    assert {m["name"]: m["availability"] for m in json.loads(listed.stdout)}["wash.two"] == "no weights"
    [row] = [line for line in processes.artgan("models").stdout.splitlines() if line.startswith("wash.two")]
    assert row.split() == ["wash.two", "wash", "wash", "image-to-image", "no", "weights"]
    assert "wash.two" not in processes.artgan("models", "--cached").stdout
    shown = processes.artgan("show", "wash").stdout
    assert "weights   none of its own" in shown
    assert "sha256" not in shown
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("artgan.doctor._LIBRARIES", {})
    monkeypatch.setenv("ARTGAN_DISABLE_PLUGINS", ",".join(find_plugins().keys() - {"wash"}))
    assert {f.check: (f.ok, f.found) for f in examine()}["wash.two"] == (True, "has no weights of its own")


# On the command line


@pytest.mark.slow
def test_options_are_given_on_the_command_line(folder: Path) -> None:
    done = processes.artgan("paint", "photo.png", "-mwash", "--style", "red.png", "--style=blue.png", "--share", "1")
    assert (done.returncode, done.stdout, done.stderr) == (0, "photo-wash.png\n", "")
    assert color(folder / "photo-wash.png") == (128, 0, 128)
    done = processes.artgan(
        "paint", "photo.png", "--style", "red.png", "--gray", "--power", "0", "-m", "wash", "-o", "o"
    )
    assert (done.returncode, done.stdout) == (0, "o/photo.png\n")
    assert done.stderr.count("the option 'power' is now 'share'") == 1
    assert color(folder / "o/photo.png") == (128, 128, 128)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["-m", "wash", "--stile", "red.png"], "--stile"),
        (["-m", "monet", "--style", "red.png"], "--style"),
        (["--style", "red.png"], "--style"),
        (
            ["-m", "wosh", "--style", "red.png"],
            "artgan: no model named 'wosh'; did you mean wash? artgan models lists all\n",
        ),
        (["-m", "local-dir:nowhere", "--style", "a"], "artgan: nowhere: no such folder\n"),
        (
            ["-m", "wash", "--style", "red.png", "--share", "2"],
            "artgan: wash.two: share: must be at most 1, not 2",
        ),
        (["-m", "wash", "--style"], "--style"),
        (["-m"], "-m"),
    ],
)
def test_what_is_wrong_on_the_command_line_ends_with_2(folder: Path, arguments: list[str], told: str) -> None:
    done = processes.artgan("paint", "photo.png", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(folder.glob("photo-*"))


@pytest.mark.slow
def test_a_model_that_lacks_an_option_says_so_on_one_line(folder: Path) -> None:
    lacking = "wash paints in the colors of a picture: give --style FILE"
    for words in (["paint", "photo.png", "--model", "wash"], ["compare", "photo.png", "--models", "wash,monet"]):
        done = processes.artgan(*words, "-o", "sheet.png")
        assert (done.returncode, done.stderr) == (2, f"artgan: {lacking}\n")
    assert not (folder / "sheet.png").exists()


def help_for(*arguments: str, **environment: str) -> str:
    """The help text, of a process that cannot import torch."""
    code = f"import sys; sys.modules['torch'] = None; sys.argv = ['artgan', *{arguments!r}, '--help']"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}; from artgan.cli import main; main()"],
        env={**os.environ, "COLUMNS": "200", "TERMINAL_WIDTH": "200", "NO_COLOR": "1", **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return " ".join(done.stdout.split())


@pytest.mark.slow
def test_the_help_of_a_model_shows_its_options_wherever_it_comes_from(folder: Path) -> None:
    card = json.dumps({"plugin": "wash", "config": {}})
    Path("mine").mkdir()
    Path("mine/config.json").write_text(card)
    with Hub().serve() as hub:
        hub.add("someone/wash-net", {"config.json": card.encode()})
        online = {"HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": "0", "HF_HOME": str(folder / "hf"), "NO_PROXY": "*"}
        for model in ("wash", "local-dir:mine", "hf-hub:someone/wash-net"):
            told = help_for("paint", "--model", model, **online)
            assert "─ wash ─" in told
            # typer before 0.29 writes FLOAT and TEXT.
            assert re.search(r"--share (<float>|FLOAT) of the colors \[default: 0\.5\]", told)
            assert re.search(r"--style (<list\[str\]>|TEXT) pictures whose colors are taken \[each a file\]", told)
            assert "--overwrite" in told
            assert told.count("--model") == 2  # the option, and the word of it: the plugin's own is not offered
            assert "--power" not in told


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [[], ["-m", "monet"], ["-m", "nothing"], ["-m", "local-dir:nowhere"]])
def test_without_options_of_its_own_the_help_is_as_ever(folder: Path, arguments: list[str]) -> None:
    told = help_for("paint", *arguments)
    assert "Photos, films, or folders of them" in told
    assert "--style" not in told


@dataclass(frozen=True)
class Several:
    styles: tuple[str, ...] = option(("a", "b"), "pictures")
    one: tuple[str, ...] | None = option(None, "more")


def test_a_field_of_several_texts_is_an_option_that_may_be_repeated() -> None:
    seen: list[dict[str, Any]] = []
    options = parameters(Several, "several")
    run = command("try", lambda **given: seen.append(given), options, help=None)
    run(["--styles", "x", "--styles", "y z"], standalone_mode=False)
    run([], standalone_mode=False)
    assert seen == [{"styles": ["x", "y z"], "one": None}, {"styles": None, "one": None}]


def test_the_generator_itself_still_refuses_options() -> None:
    class Plain(Generator):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x

    with pytest.raises(TypeError, match="this model takes no options, got style"):
        Plain().generate(torch.zeros(1, 3, 2, 2), style="a")


def test_a_model_whose_plugin_is_missing_is_not_painted_with() -> None:
    class Plain(Generator):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x

    with pytest.raises(ArtganError, match="no plugin named 'nobodys'"):
        TorchModel("m", Plain(), {"plugin": "nobodys", "config": {}}).paint(Image.new("RGB", (4, 4)))
