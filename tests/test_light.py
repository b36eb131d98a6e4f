"""The core alone: without PyTorch and without plugins, it lists, loads, paints and compares."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support import ROOT

import artgan
from artgan import images
from artgan.models.registry import read_registry

ABSENT = (
    *("accelerate", "jinja2", "matplotlib", "onnx", "onnxscript", "openvino", "pyarrow", "pyvips", "sklearn"),
    *("tensorboard", "timm", "torch", "torch_fidelity", "torchvision"),
)
"""What a light installation lacks."""

BLOCK = f"""
import sys
for name in {ABSENT!r}:
    sys.modules[name] = None  # makes the import fail
"""


def light(code: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", BLOCK + code, *map(str, arguments)],
        env={**os.environ, "ARTGAN_DISABLE_PLUGINS": "anystyle,cyclegan,dcgan,fastgan,gatys,sngan"},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )


def command(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return light("from artgan.cli import main; main()", *arguments)


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("photos") / "photo.png"
    random = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    Image.fromarray(random).resize((160, 120), Image.Resampling.BICUBIC).save(path)
    return path


PAINTERS = sorted(name for name, entry in read_registry().entries.items() if entry.exported)


def test_the_bundled_painters_have_an_exported_form() -> None:
    assert {read_registry().entries[name].alias for name in PAINTERS} == {"cezanne", "monet", "vangogh"}


@pytest.mark.slow
def test_the_command_paints_and_says_what_runs_the_model(photo: Path, tmp_path: Path) -> None:
    done = command("paint", photo, "-o", tmp_path / "painting.png", "-v")
    assert (done.returncode, done.stdout) == (0, f"{tmp_path / 'painting.png'}\n")
    assert done.stderr.startswith("artgan: cyclegan.monet runs in ONNX Runtime ")
    painted = np.asarray(images.decode(tmp_path / "painting.png").rgb, int)
    by_torch = np.asarray(artgan.load("monet", runtime="torch").paint(photo), int)
    assert np.abs(painted - by_torch).max() <= 1  # a number near a half is rounded


@pytest.mark.slow
def test_models_are_listed_shown_and_compared(photo: Path, tmp_path: Path) -> None:
    listed = command("models")
    assert listed.returncode == 0
    for name in PAINTERS:
        [line] = [line for line in listed.stdout.splitlines() if line.split()[0] == name]
        assert line.endswith("bundled")
    assert command("show", "vangogh").returncode == 0
    sheet = tmp_path / "sheet.png"
    done = command("compare", photo, "--models", "monet,vangogh,cezanne", "-o", sheet)
    assert (done.returncode, done.stderr) == (0, "")
    assert images.measure(sheet)[1] > 4 * 120


@pytest.mark.slow
def test_a_brush_of_another_painter_and_a_photo_in_tiles(photo: Path, tmp_path: Path) -> None:
    for name, options in (("brush", ["--brush", "vangogh"]), ("tiles", ["--brush", "none", "--tile", "32"])):
        done = command("paint", photo, "-o", tmp_path / f"{name}.png", *options)
        assert (done.returncode, done.stderr) == (0, "")
    with Image.open(tmp_path / "tiles.png") as tiles:
        whole = np.asarray(artgan.load("monet").paint(photo, brush="none"), int)
        assert np.abs(np.asarray(tiles, int) - whole).max() <= 1


@pytest.mark.slow
def test_python_paints_and_imports_nothing_that_is_absent(photo: Path) -> None:
    code = """
import artgan
assert "monet" in "".join(artgan.list_models())
model = artgan.load("monet")
assert isinstance(model, artgan.Model)
assert model.paint(sys.argv[1]).size == (160, 120)
assert model.card["plugin"] == "cyclegan"
loaded = {name.split(".")[0] for name, module in sys.modules.items() if module is not None}
print(sorted(loaded & {"torch", "timm", "accelerate", "matplotlib", "jinja2", "artgan_cyclegan"}))
"""
    done = light(code, photo)
    assert (done.returncode, done.stdout, done.stderr) == (0, "[]\n", "")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["evaluate", "--real", "a", "--fake", "b"], 'evaluate needs torch, which comes with: pip install "artgan[tr'),
        (["convert", "a.pth", "--to", "x"], 'convert needs torch, which comes with: pip install "artgan[training]"'),
    ],
)
def test_what_needs_more_says_what_to_install(arguments: list[str], told: str, tmp_path: Path) -> None:
    done = command(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"artgan: {told}")
    assert done.stderr.count("\n") == 1


@pytest.mark.slow
def test_the_doctor_tells_what_runs_models_and_calls_nothing_a_fault_that_a_light_installation_lacks() -> None:
    code = """
from importlib import metadata
version = metadata.version

def without(name):
    if name in ("torch", "accelerate", "timm"):
        raise metadata.PackageNotFoundError(name)
    return version(name)

metadata.version = without
from artgan.doctor import examine
for finding in examine():
    if not finding.check.startswith(("plugin", "hub")) and "." not in finding.check:
        print(finding.check, finding.ok, finding.found, sep="|")
"""
    done = light(code)
    assert done.returncode == 0, done.stderr
    found = {line.split("|")[0]: line.split("|")[1:] for line in done.stdout.splitlines()}
    assert all(ok == "True" for ok, _ in found.values()), found
    assert found["torch"][1] == 'not installed; plugins bring it, or pip install "artgan[training]"'
    assert found["runtime torch"][1] == "not installed"
    assert found["runtime onnxruntime"][1].startswith("runs models with an exported form")


def test_the_core_depends_on_nothing_that_is_absent() -> None:
    project = (ROOT / "pyproject.toml").read_text()
    needed = project.split("\ndependencies = [")[1].split("]")[0]
    assert not [name for name in ABSENT if re.search(rf'"{name}[>=\["]', needed)]
