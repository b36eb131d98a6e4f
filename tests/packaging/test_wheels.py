"""The wheels: what is in them, and that `artgan paint` works where nothing but them is installed."""

from __future__ import annotations

import hashlib
import json
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import pytest
import yaml
from PIL import Image, ImageDraw
from support import ROOT
from support.wheels import PLUGINS, build, make_venv, run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    built = build(tmp_path_factory.getbasetemp() / "wheels")
    assert set(built) == {"artgan", *(plugin.name.replace("-", "_") for plugin in PLUGINS)}
    return built


def test_the_wheels_hold_what_they_should(wheels: Mapping[str, Path]) -> None:
    contents = {package: _contents(wheel) for package, wheel in wheels.items()}
    for package, held in contents.items():
        tops = {PurePosixPath(name).parts[0] for name in held}
        assert {top for top in tops if not top.endswith(".dist-info")} == {package}
        assert f"{package}/__init__.py" in held
        assert f"{package}/py.typed" in held
        assert any(".dist-info/" in name and name.endswith("/LICENSE") for name in held)
        own = [name for name in held if not name.startswith("artgan/testing/scaffold/templates/")]
        assert not [name for name in own if "test" in PurePosixPath(name).stem or name.endswith(".pyc")]
    core = contents["artgan"]
    templates = {
        str(path.relative_to(ROOT / "src")) for path in (ROOT / "src/artgan/testing/scaffold").rglob("*.jinja")
    }
    assert templates == {name for name in core if name.endswith(".jinja")}
    assert core["artgan/registry.yaml"] == (ROOT / "registry.yaml").read_bytes()
    for name, entry in yaml.safe_load(core["artgan/registry.yaml"])["models"].items():
        for promised in (entry[key] for key in ("weights", "exported") if key in entry):
            bundled = promised["bundled"]
            weights = contents[bundled.split("/")[0]][bundled]
            assert len(weights) == promised["size"], name
            assert hashlib.sha256(weights).hexdigest() == promised["sha256"], name


def test_the_wheels_alone_paint_a_photo(wheels: Mapping[str, Path], tmp_path: Path) -> None:
    venv, empty = tmp_path / "venv", tmp_path / "empty"
    programs = make_venv(venv, wheels)
    python, artgan = programs / "python", programs / "artgan"

    empty.mkdir()
    photo = Image.new("RGB", (90, 70), "skyblue")
    ImageDraw.Draw(photo).polygon([(0, 69), (40, 20), (89, 69)], fill="darkgreen")
    photo.save(empty / "photo.png")
    run(artgan, "paint", "photo.png", cwd=empty)
    assert sorted(path.name for path in empty.iterdir()) == ["photo-monet.png", "photo.png"]
    with Image.open(empty / "photo-monet.png") as painting:
        assert (painting.size, painting.mode) == ((90, 70), "RGB")

    names = "artgan", "artgan_cyclegan"
    show = f"import {', '.join(names)}; print(*(p.__file__ for p in ({', '.join(names)})), sep=chr(10))"
    files = run(python, "-c", show, cwd=empty)
    for file in files.splitlines():
        assert Path(file).resolve().is_relative_to(venv.resolve())
    listed = json.loads(run(artgan, "models", "--format", "json", cwd=empty))
    models = {model["name"]: model for model in listed}
    assert models["cyclegan.monet"]["weights"]["bundled"] == "artgan_cyclegan/weights/monet.safetensors"
    rows = [line.split() for line in run(artgan, "models", cwd=empty).splitlines()]
    assert [row for row in rows if row[0] == "cyclegan.monet" and "bundled" in row]


LARGE = (
    *("accelerate", "cv2", "jinja2", "matplotlib", "onnx", "onnxscript", "onnx_ir", "openvino", "pandas", "pyarrow"),
    *(
        "pyvips",
        "scipy",
        "skimage",
        "sklearn",
        "sympy",
        "tensorboard",
        "timm",
        "torch",
        "torch_fidelity",
        "torchvision",
    ),
)


def test_the_core_alone_paints_lists_and_compares(wheels: Mapping[str, Path], tmp_path: Path) -> None:
    programs = make_venv(tmp_path / "venv", {"artgan": wheels["artgan"]}, without=LARGE)
    python, artgan = programs / "python", programs / "artgan"
    empty = tmp_path / "empty"
    empty.mkdir()
    Image.radial_gradient("L").resize((90, 70)).convert("RGB").save(empty / "photo.jpg")
    for name in LARGE:
        run(python, "-c", f"from importlib.util import find_spec; assert find_spec({name!r}) is None", cwd=empty)
    run(artgan, "paint", "photo.jpg", cwd=empty)
    run(artgan, "compare", "photo.jpg", "--models", "monet,vangogh,cezanne", "-o", "sheet.png", cwd=empty)
    for name in ("photo-monet.jpg", "sheet.png"):
        with Image.open(empty / name) as picture:
            picture.load()
    found = {line.split()[0]: line.split()[-1] for line in run(artgan, "models", cwd=empty).splitlines()}
    assert found["cyclegan.monet"] == "bundled"
    assert found["dcgan.monet"] == "installed"  # not installed


def _contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.mark.parametrize("page", sorted(ROOT.glob("plugins/*/README.md")), ids=lambda p: p.parent.name)
def test_what_an_index_shows_has_no_relative_links(page: Path) -> None:
    targets = re.findall(r"\]\(([^)\s]+)|href=[\"']([^\"']+)", page.read_text())
    assert [target for pair in targets for target in pair if target and not target.startswith(("https://", "#"))] == []
