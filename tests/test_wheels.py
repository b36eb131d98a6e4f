"""The wheels: what is in them, and that `artgan paint` works where nothing but them is installed."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
import yaml
from PIL import Image, ImageDraw

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
PLUGIN = Path("plugins", "artgan-cyclegan")


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The wheels of the core and of the plugin, built from a copy of the checkout."""
    copy = tmp_path_factory.mktemp("source")
    dist = tmp_path_factory.mktemp("dist")
    unwanted = shutil.ignore_patterns("__pycache__", ".*_cache", "dist", "build", "*.egg-info")
    for name in ("src", "tests", "plugins"):
        shutil.copytree(ROOT / name, copy / name, ignore=unwanted)
    # The build leaves out what .gitignore names.
    for name in ("pyproject.toml", "registry.yaml", "README.md", "LICENSE", ".gitignore"):
        shutil.copy(ROOT / name, copy / name)
    for project in (copy, copy / PLUGIN):
        _run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", dist, project, cwd=dist)
    built = {path.name.split("-")[0]: path for path in dist.glob("*.whl")}
    assert set(built) == {"artgan", "artgan_cyclegan"}
    return built


def test_the_wheels_hold_what_they_should(wheels: dict[str, Path]) -> None:
    core, plugin = (_contents(wheels[name]) for name in ("artgan", "artgan_cyclegan"))
    for package, held in (("artgan", core), ("artgan_cyclegan", plugin)):
        tops = {PurePosixPath(name).parts[0] for name in held}
        assert {top for top in tops if not top.endswith(".dist-info")} == {package}
        assert f"{package}/__init__.py" in held
        assert f"{package}/py.typed" in held
        assert any(".dist-info/" in name and name.endswith("/LICENSE") for name in held)
        assert not [name for name in held if "test" in PurePosixPath(name).stem or name.endswith(".pyc")]
    assert core["artgan/registry.yaml"] == (ROOT / "registry.yaml").read_bytes()
    assert [name for name in plugin if PurePosixPath(name).match("artgan_cyclegan/weights/*.safetensors")]
    for name, entry in yaml.safe_load(core["artgan/registry.yaml"])["models"].items():
        bundled = entry["weights"].get("bundled", "")
        if bundled.startswith("artgan_cyclegan/"):
            assert len(plugin[bundled]) == entry["weights"]["size"], name
            assert hashlib.sha256(plugin[bundled]).hexdigest() == entry["weights"]["sha256"], name


def test_the_wheels_alone_paint_a_photo(wheels: dict[str, Path], tmp_path: Path) -> None:
    venv, empty = tmp_path / "venv", tmp_path / "empty"
    assert not venv.resolve().is_relative_to(ROOT)
    _make_venv(venv, links=tmp_path / "third-party")
    programs = venv / ("Scripts" if os.name == "nt" else "bin")
    python, artgan = programs / "python", programs / "artgan"
    install = ("install", "--no-deps", "--no-index", "--disable-pip-version-check", "-q")
    _run(sys.executable, "-m", "pip", "--python", python, *install, *wheels.values(), cwd=tmp_path)

    empty.mkdir()
    photo = Image.new("RGB", (90, 70), "skyblue")
    ImageDraw.Draw(photo).polygon([(0, 69), (40, 20), (89, 69)], fill="darkgreen")
    photo.save(empty / "photo.png")
    _run(artgan, "paint", "photo.png", cwd=empty)
    assert sorted(path.name for path in empty.iterdir()) == ["photo-monet.png", "photo.png"]
    with Image.open(empty / "photo-monet.png") as painting:
        assert (painting.size, painting.mode) == ((90, 70), "RGB")

    names = "artgan", "artgan_cyclegan"
    show = f"import {', '.join(names)}; print(*(p.__file__ for p in ({', '.join(names)})), sep=chr(10))"
    files = _run(python, "-c", show, cwd=empty)
    for file in files.splitlines():
        assert Path(file).resolve().is_relative_to(venv.resolve())
    listed = json.loads(_run(artgan, "models", "--format", "json", cwd=empty))
    models = {model["name"]: model for model in listed}
    assert models["cyclegan.monet"]["weights"]["bundled"] == "artgan_cyclegan/weights/monet.safetensors"
    rows = [line.split() for line in _run(artgan, "models", cwd=empty).splitlines()]
    assert [row for row in rows if row[0] == "cyclegan.monet" and "bundled" in row]


def _contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _make_venv(venv: Path, links: Path) -> None:
    """A venv with the third-party packages of the running environment, but without its artgan.

    They come in through a folder of links, since a path to the whole site-packages would bring artgan's
    metadata. Only the venv's own .pth files run, not those in the folder: no editable install gets in.
    """
    _run(sys.executable, "-m", "venv", "--without-pip", venv, cwd=venv.parent)
    links.mkdir()
    for site in (Path(entry) for entry in sys.path if Path(entry).name in ("site-packages", "dist-packages")):
        for entry in site.iterdir() if site.is_dir() else ():
            link = links / entry.name  # of two with one name, the first on the path counts
            unwanted = "artgan" in entry.name.lower() or entry.suffix == ".pth" or entry.name == "__pycache__"
            if not unwanted and not link.exists():
                link.symlink_to(entry, target_is_directory=entry.is_dir())
    [site] = venv.glob("[Ll]ib/**/site-packages")
    (site / "third-party.pth").write_text(f"{links}\n", encoding="utf-8")


def _run(*command: Any, cwd: Path) -> str:
    """What a command that must succeed prints; nothing of the checkout reaches it through the environment."""
    unwanted = {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "ARTGAN_DISABLE_PLUGINS"}
    env = {key: value for key, value in os.environ.items() if key not in unwanted}
    env |= {"HF_HUB_OFFLINE": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=cwd, env=env, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, f"{words}: exit status {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout
