"""An exported model is a model: a folder, a repository of the Hub, an entry of the registry, without its plugin."""

from __future__ import annotations

import copy
import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from support.data import DATA
from support.hub_server import Hub
from support.processes import artgan as run_artgan
from support.processes import started_artgan

import artgan
from artgan.errors import ArtganError, ConfigError, ExportError, WeightsError
from artgan.models.exported import ExportedModel
from artgan.models.exporting import export_model
from artgan.models.loading import load_torch_model
from artgan.models.publishing import prepare
from artgan.models.registry import read_registry
from artgan.models.runtimes.exporting import TOLERANCE

pytest.importorskip("onnxscript", reason='needs pip install "artgan[onnx]"')

pytestmark = pytest.mark.slow  # an export takes seconds

PAINTERS = [name for name, entry in read_registry().entries.items() if entry.exported]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A painter of the registry, exported once."""
    folder = tmp_path_factory.mktemp("exported") / "vangogh"
    export_model(load_torch_model("vangogh"), folder)
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """A copy of it, to be spoilt."""
    return shutil.copytree(made, tmp_path / "vangogh")


def photo(width: int = 200, height: int = 150) -> Image.Image:
    random = np.random.default_rng(0).integers(0, 256, (height // 10, width // 10, 3), dtype=np.uint8)
    return Image.fromarray(random).resize((width, height), Image.Resampling.BICUBIC)


def apart(one: Image.Image, other: Image.Image) -> int:
    return int(np.abs(np.asarray(one, int) - np.asarray(other, int)).max())


# ---- the folder


def test_a_folder_is_a_model_with_its_brush_and_palette(made: Path) -> None:
    names = {"model.onnx", "config.json", "README.md", "example-input.png", "example-output.png"}
    assert {path.name for path in made.iterdir()} == names
    model = artgan.load(f"local-dir:{made}")
    original = artgan.load("vangogh", runtime="torch")
    assert isinstance(model, ExportedModel)
    assert (model.task, model.runtime) == ("image-to-image", "onnxruntime")
    assert model.brushwork is not None
    assert original.brushwork is not None
    assert model.brushwork.to_card() == original.brushwork.to_card()
    assert model.card["license"] == original.card["license"]
    assert apart(model.paint(photo()), original.paint(photo())) <= 1  # a number near a half is rounded
    options: dict[str, Any] = {"brush": "none", "tile": 64, "strength": 0.7}
    assert apart(model.paint(photo(), **options), original.paint(photo(), **options)) <= 1


def test_models_can_be_copied_and_saved_again(made: Path, tmp_path: Path) -> None:
    model = artgan.load(f"local-dir:{made}")
    painting = model.paint(photo())
    assert apart(copy.deepcopy(model).paint(photo()), painting) == 0
    assert apart(pickle.loads(pickle.dumps(model)).paint(photo()), painting) == 0
    model.save_pretrained(tmp_path / "again")
    for name in ("model.onnx", "config.json", "README.md"):
        assert (tmp_path / "again" / name).read_bytes() == (made / name).read_bytes()


def test_the_command_exports_and_another_paints_with_it(made: Path, tmp_path: Path) -> None:
    photo(40, 30).save(tmp_path / "photo.png")
    done = run_artgan("paint", tmp_path / "photo.png", "-m", f"local-dir:{made}", "-o", tmp_path / "p.png", "-v")
    assert (done.returncode, done.stdout) == (0, f"{tmp_path / 'p.png'}\n")
    assert done.stderr.startswith(f"artgan: local-dir:{made} runs in ONNX Runtime ")
    again = run_artgan("export", "vangogh", "-o", made)
    assert (again.returncode, again.stderr) == (
        2,
        f"artgan: {made}: holds a model already; give another folder, or --overwrite\n",
    )
    both = run_artgan("export", "vangogh", "-o", made, "--onnx", tmp_path / "x.onnx")
    assert (both.returncode, both.stdout) == (2, "")
    assert "give one of --out DIR, for a model, and --onnx FILE" in both.stderr


def test_what_cannot_be_exported_is_told(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"makes pictures from noise.*--onnx FILE"):
        export_model(load_torch_model("dcgan.monet"), tmp_path / "dcgan")
    with pytest.raises(ExportError, match="step by step"):
        export_model(load_torch_model("gatys"), tmp_path / "gatys")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.exhaustive
@pytest.mark.skipif(not (DATA / "photo").is_dir(), reason="needs the photos of shared/data")
def test_a_quantized_model_is_a_model_too(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    for path in sorted((DATA / "photo").iterdir())[:6]:
        (tmp_path / "photos" / path.name).symlink_to(path)
    done = run_artgan("export", "monet", "-o", tmp_path / "int8", "--int8", "--photos", tmp_path / "photos")
    assert done.returncode == 0, done.stderr
    assert "15 of 17 convolutions in 8-bit integers" in done.stderr
    model = artgan.load(f"local-dir:{tmp_path / 'int8'}")
    by_torch = artgan.load("monet", runtime="torch")
    off = np.asarray(model.paint(photo()), float) - np.asarray(by_torch.paint(photo()), float)
    assert 0 < np.abs(off).mean() < 2  # of 255


# ---- what is refused


def refusal(folder: Path) -> str:
    with pytest.raises(ArtganError) as caught:
        artgan.load(f"local-dir:{folder}")
    return str(caught.value)


def test_files_that_were_changed_are_refused_before_they_are_parsed(folder: Path) -> None:
    path = folder / "model.onnx"
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    assert "model.onnx: has sha256" in refusal(folder)
    path.write_bytes(data[: len(data) // 2])
    assert f"model.onnx: has {len(data) // 2} bytes, expected {len(data)}" in refusal(folder)
    path.unlink()
    assert "holds no model.onnx" in refusal(folder)


@pytest.mark.parametrize("said", [None, {}, {"sha256": "0" * 64}, {"size": "many", "sha256": ""}, [1]])
def test_a_folder_without_size_and_hash_is_refused(folder: Path, said: Any) -> None:
    card = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**card, "exported": said}))
    assert "exported: must hold the size and the sha256 of model.onnx" in refusal(folder)


@pytest.mark.parametrize("options", [{"runtime": "torch"}, {"dtype": "float16"}, {"device": "cpu"}])
def test_what_only_pytorch_can_do_is_told(made: Path, options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"is an exported model, which PyTorch does not run; leave out"):
        artgan.load(f"local-dir:{made}", **options)


def test_an_exported_model_takes_no_options_and_makes_nothing_from_noise(made: Path) -> None:
    model = artgan.load(f"local-dir:{made}")
    with pytest.raises(ConfigError, match="this model takes no options, got iterations"):
        model.paint(photo(), iterations=3)
    with pytest.raises(ArtganError, match="makes no pictures from noise, but paints photos"):
        model.sample(1)
    with pytest.raises(ConfigError, match="PyTorch does not run exported models"):
        model.running_on("torch")
    with pytest.raises(ConfigError, match="unknown runtime 'tensorflow'"):
        model.running_on("tensorflow")


# ---- the registry


@pytest.mark.parametrize("name", PAINTERS)
@pytest.mark.numerical
def test_a_bundled_painter_is_what_its_weights_are(name: str) -> None:
    network = artgan.load(name, runtime="onnxruntime").running_on()
    generator = load_torch_model(name).generator
    for height, width in ((64, 64), (256, 132), (8, 300)):
        x = np.random.default_rng(0).uniform(-1, 1, (1, 3, height, width)).astype(np.float32)
        assert np.abs(network.paint(x, {}) - generator.generate(torch.from_numpy(x)).numpy()).max() <= TOLERANCE


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({}, "TorchModel"),
        ({"runtime": "auto"}, "ExportedModel"),
        ({"runtime": "onnxruntime"}, "ExportedModel"),
        ({"runtime": "auto", "device": "cpu"}, "TorchModel"),
        ({"runtime": "auto", "dtype": "float16"}, "TorchModel"),
        ({"runtime": "torch"}, "TorchModel"),
    ],
)
def test_what_runs_a_model_in_both_forms(options: dict[str, Any], kind: str) -> None:
    assert type(artgan.load("monet", **options)).__name__ == kind


def test_an_unknown_runtime_is_told() -> None:
    with pytest.raises(ConfigError, match="unknown runtime 'tensorflow'; known: torch, onnxruntime, openvino"):
        artgan.load("monet", runtime="tensorflow")


# ---- the Hub


@pytest.mark.exhaustive
def test_an_exported_model_is_published_and_loaded_from_the_hub_by_who_has_no_plugin(
    made: Path, folder: Path, tmp_path: Path
) -> None:
    published = prepare(folder, "someone/starry")
    assert [line.split()[-1] for line in published.lines()] == [
        *("model.onnx", "config.json", "README.md", "example-input.png", "example-output.png"),
    ]
    with Hub().serve() as hub:
        commit = hub.add("someone/starry", {path.name: path.read_bytes() for path in made.iterdir()})
        photo(40, 30).save(tmp_path / "photo.png")
        done = started_artgan(
            *("paint", tmp_path / "photo.png", "-m", f"hf-hub:someone/starry@{commit}", "-o", tmp_path / "p.png"),
            HF_ENDPOINT=hub.url,
            HF_HOME=str(tmp_path / "hub"),
            ARTGAN_DISABLE_PLUGINS="cyclegan",
        )
    assert (done.returncode, done.stderr) == (0, "")
    with Image.open(tmp_path / "p.png") as painting:
        assert apart(painting, artgan.load(f"local-dir:{made}").paint(photo(40, 30))) == 0


def test_a_folder_that_was_spoilt_is_not_published(folder: Path) -> None:
    (folder / "model.onnx").write_bytes(b"")
    with pytest.raises(WeightsError, match="has 0 bytes"):
        prepare(folder, "someone/starry")
