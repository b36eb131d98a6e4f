"""`artgan new-plugin`: what it writes works as it stands, where nothing but the wheels is installed; and it learns."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support import ROOT
from support.warm import warm
from support.wheels import build, environment, make_venv, run
from torch import Tensor

from artgan.errors import ArtganError, PluginError
from artgan.interfaces import Run
from artgan.models.registry_file import read_file
from artgan.testing.scaffold import write_plugin

LONGEST = "a-plugin-with-the-longest-name"


@pytest.fixture(autouse=True)
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: empty."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def new_plugin(*arguments: str, prefix: str = "") -> subprocess.CompletedProcess[str]:
    code = f"{prefix}\nfrom artgan.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, "new-plugin", *arguments], capture_output=True, text=True, timeout=60
    )


@pytest.mark.exhaustive  # test_docs.py follows docs/plugins.md, which begins with the same commands
def test_a_new_plugin_installs_passes_its_tests_trains_and_paints(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    programs = make_venv(tmp_path / "venv", build(tmp_path_factory.getbasetemp() / "wheels"))
    assert run(programs / "artgan", "new-plugin", "dot-painting", cwd=tmp_path) == "artgan-dot-painting\n"
    plugin = tmp_path / "artgan-dot-painting"
    for name in ("PHOTOS", "PAINTINGS"):
        (plugin / name).mkdir()
        for number in range(3):
            Image.effect_noise((48, 40), 64 + number).convert("RGB").save(plugin / name / f"{number}.png")
    Image.radial_gradient("L").resize((61, 45)).convert("RGB").save(plugin / "photo.jpg")

    # The README's own commands, one after the other.
    with warm(programs, environment()) as variables:

        def shell(command: str) -> str:
            words = ["bash", "-c", command]
            done = subprocess.run(words, cwd=plugin, env=variables, capture_output=True, text=True, timeout=300)
            assert done.returncode == 0, f"{command}: exit status {done.returncode}\n{done.stdout}{done.stderr}"
            return done.stdout

        readme = (plugin / "README.md").read_text()
        install, test, train, paint = re.findall(r"^    (.+)$", readme, re.MULTILINE)
        shell(install)
        assert " passed" in shell(test)
        assert shell(f"{train} --steps 5 --size 32 --width 8") == "RUN/model\n"
        painting = plugin / shell(paint).strip()
        with Image.open(painting) as image:
            assert (image.size, image.mode) == ((61, 45), "RGB")

        [found] = [p for p in json.loads(shell("artgan plugins --format json")) if p["name"] == "dot-painting"]
        assert (found["distribution"], found["version"], found["problem"]) == ("artgan-dot-painting", "0.1.0", None)
        shell("artgan models")
        help = shell("COLUMNS=200 artgan train dot-painting --help")
        assert all(option in help for option in ("--photos", "--paintings", "--blocks", "--lambda-content", "--r1"))


@pytest.mark.exhaustive
@pytest.mark.skipif(np.__version__ < "2", reason="mypy's verdict is that of the libraries' types, which came later")
def test_the_code_is_formatted_linted_and_typed() -> None:
    """By ruff's default settings, and by mypy as this repository is typed: ``make lint`` has filled the cache."""
    folders = [write_plugin(name).resolve() for name in ("pointillism", "x", LONGEST)]
    run(sys.executable, "-m", "ruff", "check", "--isolated", "--no-cache", *folders, cwd=Path.cwd())
    run(sys.executable, "-m", "ruff", "format", "--isolated", "--no-cache", "--check", *folders, cwd=Path.cwd())
    run(sys.executable, "-m", "mypy", "--strict", *(folder / "src" for folder in folders), cwd=ROOT)


@pytest.mark.slow
def test_its_networks_learn_the_colors_of_the_paintings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blue photos become as orange as the paintings are, and stay as bright or dark as they were."""
    monkeypatch.syspath_prepend(str(write_plugin("learner") / "src"))
    config = importlib.import_module("artgan_learner.config").LearnerConfig(width=8, blocks=1, discriminator_width=16)
    torch.manual_seed(0)
    networks = importlib.import_module("artgan_learner.networks").build(config)
    trainer = importlib.import_module("artgan_learner.trainer").LearnerTrainer(networks, config, Run(steps=60))
    blue, orange = torch.tensor([-0.4, 0.0, 0.4]), torch.tensor([0.4, 0.0, -0.4])

    def pictures(count: int, color: Tensor) -> Tensor:
        coarse = torch.rand(count, 1, 4, 4) - 0.5
        return torch.nn.functional.interpolate(coarse, size=(32, 32), mode="bilinear") + color.view(3, 1, 1)

    for step in range(60):
        trainer.step({"photos": pictures(4, blue), "paintings": pictures(4, orange)}, step)
    photos = pictures(8, blue)
    paintings = networks.generators["paintings"].eval().generate(photos)
    means = paintings.mean((0, 2, 3))
    assert (means - orange).norm() < (means - blue).norm() / 2
    coarse = [torch.nn.functional.avg_pool2d(p.mean(1), 8).flatten() for p in (photos, paintings)]
    assert torch.corrcoef(torch.stack(coarse))[0, 1] > 0.8


def test_the_commented_model_of_its_registry_is_valid() -> None:
    path = write_plugin("dot-painting") / "src/artgan_dot_painting/registry.yaml"
    assert not read_file(path).entries
    before, after = path.read_text().split("models: {}\n")
    path.write_text(before + "".join(line.removeprefix("# ") for line in after.splitlines(keepends=True)))
    [(name, entry)] = read_file(path).entries.items()
    assert (name, entry.plugin, entry.distribution) == ("dot-painting.seurat", "dot-painting", "artgan-dot-painting")
    assert entry.weights.bundled == "artgan_dot_painting/weights/seurat.safetensors"


@pytest.mark.slow
def test_it_says_what_to_do_next_on_standard_error() -> None:
    done = new_plugin("pointillism", "-o", "my plugin")
    assert (done.returncode, done.stdout) == (0, "my plugin\n")
    commands = [line.strip() for line in done.stderr.splitlines() if line.startswith("  ")]
    assert commands[0] == "cd 'my plugin'"
    assert commands[1:] == re.findall(r"^    (.+)$", Path("my plugin/README.md").read_text(), re.MULTILINE)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        *((name, "use lower-case letters and digits") for name in ("", "Dots", "1dot", "dots-", "a--b", "a.b", "a b")),
        *((name, "use lower-case letters and digits") for name in ("../dots", "dots\n", "pünktchen", LONGEST + "s")),
        ("class", "is a Python keyword"),
        ("cyclegan", "cyclegan (artgan-cyclegan"),
    ],
)
def test_a_name_that_cannot_be_used_is_refused(name: str, told: str, inside: Path) -> None:
    with pytest.raises(PluginError) as caught:
        write_plugin(name)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list(inside.iterdir())


def test_a_name_is_taken_however_its_words_are_joined(install_plugin: object) -> None:
    install_plugin("dot_painting", "")  # type: ignore[operator]  # conftest's
    with pytest.raises(PluginError, match=r"dot_painting \(artgan-dot_painting 1\.0\) is installed"):
        write_plugin("dot-painting")


@pytest.mark.slow
def test_a_bad_name_is_one_line_and_exit_status_2(inside: Path) -> None:
    done = new_plugin("Dots")
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(r"artgan: plugin name 'Dots': .+\n", done.stderr)
    assert not list(inside.iterdir())


def test_what_is_there_is_left_alone(inside: Path) -> None:
    (inside / "artgan-dots").mkdir()
    (inside / "artgan-dots" / "precious").write_text("mine")
    (inside / "file").write_text("mine")
    for folder in (None, Path("file"), Path("file/dots")):
        with pytest.raises(ArtganError):
            write_plugin("dots", folder)
    found = {str(path.relative_to(inside)) for path in inside.rglob("*")}
    assert found == {"artgan-dots", "artgan-dots/precious", "file"}


def test_an_empty_folder_is_filled_and_stays_the_same(inside: Path) -> None:
    node = inside.stat().st_ino
    write_plugin("dots", Path("."))
    assert inside.stat().st_ino == node
    assert {path.name for path in inside.iterdir()} == {"pyproject.toml", "README.md", "src", "tests"}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs limits of the operating system")
def test_a_full_disk_leaves_nothing_behind(inside: Path) -> None:
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (1500, 1500))"
    done = new_plugin("dots", prefix=limit)
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(r"artgan: artgan-dots: the plugin cannot be written here \(.+\)\n", done.stderr)
    assert not list(inside.iterdir())


def test_writing_a_plugin_does_not_import_torch() -> None:
    code = "import sys, artgan.testing.scaffold as s; s.write_plugin('dots'); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
