"""The kit's checks, the published values of the recipes, and ``artgan paint --model gatys`` as people use it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from artgan_gatys.config import RECIPES, GatysOptions, Recipe
from support import plain_vgg, processes

import artgan
from artgan import images
from artgan.config import parse
from artgan.errors import ConfigError
from artgan.testing import PluginTests

LITTLE: dict[str, Any] = {
    "content_layers": "relu2_1",
    "style_layers": ["relu1_1", "relu2_1"],
    "size": 32,
    "iterations": 3,
    "final_iterations": 1,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With weights, a photo and a style."""
    folder = tmp_path_factory.mktemp("gatys")
    plain_vgg.write(folder / "vgg19.safetensors", "vgg19", "conv2_1")
    for name, size, low, high in (("photo", (36, 48), -0.5, 0.5), ("style", (40, 40), 0.0, 1.0)):
        pixels = torch.empty(3, *size).uniform_(low, high, generator=torch.Generator().manual_seed(0))
        images.encode(images.to_rgb(pixels), folder / f"{name}.png")
    return folder


class TestGatys(PluginTests):
    """The kit's checks, with files that exist only while they run."""

    plugin = "gatys"

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def files(cls, folder: Path) -> None:
        given = {"style": str(folder / "style.png"), "vgg19": str(folder / "vgg19.safetensors")}
        cls.options = {**LITTLE, **given}  # type: ignore[misc]  # mypy takes cls for an instance


# ---- recipes

FIVE = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")


@pytest.mark.parametrize(
    ("name", "recipe"),
    [
        # Gatys et al., 2016, section 3: conv4_2; conv1_1 to conv5_1 with w = 1/5; alpha / beta = 1e-3 (figure 3).
        (
            "gatys2016",
            Recipe("gatys2016", ("relu4_2",), FIVE, "mean", 1.0, 1e3, 0.0, 0.0, "avg", "noise", 0.3, 512, 500, 1),
        ),
        # PytorchNeuralStyleTransfer: style weights 1e3 / n^2, content 1, 500 iterations from the photo, 512 px.
        (
            "gatys-code",
            Recipe("mean", ("relu4_2",), FIVE, "channels", 1.0, 1.0, 0.0, 0.0, "max", "content", 0.3, 512, 500, 1),
        ),
        # neural_style.lua's defaults; its noise is 0.001, where pixels are in 0 to 255.
        (
            "neural-style",
            Recipe(
                "neural-style", ("relu4_2",), FIVE, "sum", 5.0, 1e2, 1e-3, 0.0, "max", "noise", 2e-3 / 255, 512, 1000, 1
            ),
        ),
        (
            "student",
            Recipe("gatys2016", ("relu4_2",), FIVE[:4], "mean", 1.0, 1e4, 0.0, 0.0, "max", "noise", 0.3, 512, 500, 1),
        ),
    ],
)
def test_recipes_have_the_published_values(name: str, recipe: Recipe) -> None:
    assert RECIPES[name] == recipe
    assert GatysOptions(recipe=name).resolved() == recipe


def options(**given: Any) -> Recipe:
    return parse(GatysOptions, given, where="gatys").resolved()


def test_options_change_a_recipe() -> None:
    recipe = options(recipe="gatys-code", content_weight=0, size=64, pooling="avg", start="picture.png", scales=2)
    assert (recipe.content_weight, recipe.size, recipe.pooling, recipe.start, recipe.scales) == (
        0, 64, "avg", "picture.png", 2,
    )  # fmt: skip
    assert recipe.layer_weights == RECIPES["gatys-code"].layer_weights
    assert options(recipe="gatys-code", style_layers=["relu1_1,relu2_1", "conv3_1"]).style_layers == (
        "relu1_1", "relu2_1", "conv3_1",
    )  # fmt: skip
    assert options(style_layers=["relu1_1,relu2_1", "relu1_1"]).style_layers == ("relu1_1", "relu2_1")
    for name in RECIPES:  # a rule, whatever the layers
        assert options(recipe=name, style_layers="relu1_1").layer_weights == RECIPES[name].layer_weights


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"recipe": "gatys2017"}, "recipe: must be one of artgan, gatys2016, gatys-code, neural-style, student"),
        ({"size": 8}, "size: must be at least 16"),
        ({"iterations": 0}, "iterations: must be at least 1"),
        ({"style_weight": -1}, "style_weight: must be at least 0"),
        ({"style_weight": float("nan")}, "style_weight: must be finite"),
        ({"lr": 0}, "lr: must be greater than 0"),
        ({"style_scale": 5}, "style_scale: must be at most 4"),
        ({"color": "gray"}, "color: must be one of style, photo, match"),
        ({"optimizer": "sgd"}, "optimizer: must be one of lbfgs, adam"),
        ({"style_mask": "m.png"}, "mask and style_mask go together"),
        ({"styel": "s.png"}, "unknown option 'styel'; did you mean 'style'?"),
    ],
)
def test_options_that_cannot_be_are_told(given: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(told)):
        options(**given)


# ---- the models


def test_the_models_have_no_weights_of_their_own(folder: Path) -> None:
    assert {"gatys.vgg16", "gatys.vgg19"} <= set(artgan.list_models("gatys.*"))
    model = artgan.load("gatys")
    assert model.name == "gatys.vgg19"
    assert not model.state_dict()
    painting = model.paint(
        folder / "photo.png", style=folder / "style.png", vgg19=folder / "vgg19.safetensors", **LITTLE
    )
    assert painting.size == (48, 36)


def test_a_model_itself_says_what_it_needs() -> None:
    with pytest.raises(TypeError, match="style transfer needs a style"):
        artgan.load("gatys")(torch.zeros(1, 3, 8, 8))


# ---- the command line


def words(given: dict[str, Any]) -> list[str]:
    """As options of the command line."""
    return [
        word
        for name, value in given.items()
        for one in (value if isinstance(value, list) else [value])
        for word in (f"--{name.replace('_', '-')}", str(one))
    ]


@pytest.fixture
def work(folder: Path, tmp_path: Path) -> Path:
    """A folder to work in, with the photo in it."""
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "photo.png").write_bytes((folder / "photo.png").read_bytes())
    return tmp_path / "work"


def given(folder: Path, **changed: Any) -> list[str]:
    return words({"style": folder / "style.png", "vgg19": folder / "vgg19.safetensors", **LITTLE, **changed})


@pytest.mark.slow
def test_painting_on_the_command_line_is_painting_in_python(folder: Path, work: Path) -> None:
    styles = [folder / "style.png", f"{folder / 'photo.png'}:0.3"]
    done = processes.artgan("paint", "photo.png", "-m", "gatys", *given(folder, style=styles), cwd=work)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == ["photo-gatys.png"]
    painted = artgan.load("gatys").paint(
        folder / "photo.png", style=styles, vgg19=folder / "vgg19.safetensors", **LITTLE
    )
    assert images.decode(work / "photo-gatys.png").rgb.tobytes() == painted.tobytes()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changed", "status", "told"),
    [
        ({"style": []}, 2, "give a style: a picture, or a folder of one artist's "),
        ({"style": "none.jpg"}, 2, "style 'none.jpg': no such file or folder"),
        ({"style": ":0.5"}, 2, "style '': no such file or folder"),
        ({"style_layers": "conv9_1"}, 2, "vgg19.tv_in1k has no layer 'conv9_1'; it has"),
        ({"vgg19": "photo.png"}, 2, "photo.png: cannot be read as safetensors ("),
        ({"size": 8}, 2, "gatys.vgg19: size: must be at least 16, not 8"),
        ({"style_mask": "m.png"}, 2, "gatys.vgg19: mask and style_mask go together"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(
    folder: Path, work: Path, changed: dict[str, Any], status: int, told: str
) -> None:
    done = processes.artgan("paint", "photo.png", "-m", "gatys", *given(folder, **changed), cwd=work)
    assert (done.returncode, done.stdout) == (status, "")
    assert done.stderr.startswith(f"artgan: {told}")
    assert done.stderr.count("\n") == 1
    assert [path.name for path in work.iterdir()] == ["photo.png"]


@pytest.mark.slow
def test_ctrl_c_writes_the_picture_so_far(folder: Path, work: Path, cache: Path) -> None:
    """And keeps what is needed to go on."""
    started = given(folder, iterations=1_000_000, preview="preview.png", preview_every=1)
    running = subprocess.Popen(
        [sys.executable, "-m", "artgan", "paint", "photo.png", "-m", "gatys", *started],
        cwd=work,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        # A shell lets what it starts in the background ignore Ctrl-C.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not (work / "preview.png").exists():
        assert running.poll() is None, running.communicate()
        time.sleep(0.05)
    running.send_signal(signal.SIGINT)
    printed, told = running.communicate(timeout=60)
    assert running.returncode == 130, told
    assert printed.split() == ["photo-gatys.png"]
    assert images.decode(work / "photo-gatys.png").size == (48, 36)
    assert re.search(r"interrupted after \d+ of 1000000 iterations at 32 x 24; run the same with resume", told)
    assert "Traceback" not in told
    assert len([path for path in cache.rglob("*") if path.is_file()]) == 1


# ---- the file of VGG-19


@pytest.mark.slow
def test_the_environment_names_the_file_for_all_commands(folder: Path, work: Path, cache: Path) -> None:
    words = [word for word in given(folder) if "vgg19" not in word]
    found = {}
    for name, more, set_ in (("option", ["--vgg19", folder / "vgg19.safetensors"], {}), ("variable", [], None)):
        environment = {"ARTGAN_VGG19": str(folder / "vgg19.safetensors")} if set_ is None else set_
        out = f"{name}.png"
        done = processes.artgan("paint", "photo.png", "-m", "gatys", *words, *more, "-o", out, cwd=work, **environment)
        assert done.returncode == 0, done.stderr
        found[name] = (work / out).read_bytes()
    assert found["option"] == found["variable"]


@pytest.mark.slow
def test_without_file_and_network_it_fails_at_once_with_the_option(folder: Path, work: Path, tmp_path: Path) -> None:
    words = [word for word in given(folder) if "vgg19" not in word]
    unreachable = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_OFFLINE": "0", "HF_HOME": str(tmp_path / "hf")}
    settings = {"ARTGAN_VGG19": "", "XDG_CONFIG_HOME": str(tmp_path)}
    begun = time.monotonic()
    done = processes.started_artgan("paint", "photo.png", "-m", "gatys", *words, cwd=work, **unreachable, **settings)
    assert time.monotonic() - begun < 60  # with the start of a busy machine; retries took longer
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert line.startswith("artgan: timm/vgg19.tv_in1k: cannot be fetched")
    assert line.endswith("or give its model.safetensors: --vgg19 FILE")


def test_a_file_of_another_network_is_another_option(folder: Path) -> None:
    options = {"style": folder / "style.png", **LITTLE}
    with pytest.raises(ConfigError, match=r"--vgg19: this model's network is vgg16\.tv_in1k; give --network-file FILE"):
        artgan.load("gatys.vgg16").paint(folder / "photo.png", vgg19=folder / "vgg19.safetensors", **options)
    with pytest.raises(ConfigError, match=r"--network-file: this model's network is vgg19\.tv_in1k; give --vgg19 FILE"):
        artgan.load("gatys").paint(folder / "photo.png", network_file=folder / "vgg19.safetensors", **options)
