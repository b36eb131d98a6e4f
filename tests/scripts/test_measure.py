"""scripts/measure.py, run as people run it, on a few real pictures: every figure of a model's card."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from itertools import islice
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image
from support import ROOT
from support.data import DATA, VGG19_WEIGHTS, needs_data
from torch import Tensor

import artgan
from artgan import images
from artgan.data import PictureFolder
from artgan.features import load_vgg19
from artgan.metrics import style
from artgan.metrics.evaluation import Evaluator
from artgan.models.registry_file import read_file

SCRIPT = ROOT / "scripts" / "measure.py"


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of links: 5 photos and 5 paintings, and 24 of each of some kinds of paintings."""
    folder = tmp_path_factory.mktemp("sets")
    paintings = iter(PictureFolder(DATA / "monet").paths)
    wanted = {"photos": (iter(PictureFolder(DATA / "photo").paths), 5), "paintings": (paintings, 5)}
    wanted |= {"held-out": (paintings, 24), "train": (paintings, 24)}
    wanted |= {"vangogh": (iter(PictureFolder(DATA / "vangogh").paths), 24)}
    for name, (paths, count) in wanted.items():
        (folder / name).mkdir()
        for path in islice(paths, count):
            (folder / name / path.name).symlink_to(path)
    return folder


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """One for all tests of this file."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "measure-cache"))


@pytest.fixture(scope="module")
def script() -> ModuleType:
    """Its functions."""
    spec = importlib.util.spec_from_file_location("measure", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def measure(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """The script in a process of one thread."""
    command = [sys.executable, SCRIPT, *words, "--vgg19", VGG19_WEIGHTS]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})


def links(folder: Path) -> list[Path]:
    return PictureFolder(folder).paths


def tensors(folder: Path) -> Tensor:
    return torch.stack([images.to_tensor(picture) for picture in PictureFolder(folder)])


@pytest.mark.exhaustive
@needs_data
@pytest.mark.slow
def test_a_painters_style_is_as_far_as_the_formulas_say(sets: Path, tmp_path: Path, script: ModuleType) -> None:
    """From the paintings that are kept, and from the photos beside them; no painting is its photo."""
    words = ["--photos", sets / "photos", "--paintings", sets / "paintings", "--keep", tmp_path / "kept"]
    done = measure("cyclegan.monet-fine", *words, "--format", "json")
    assert done.returncode == 0, done.stderr
    card = json.loads(done.stdout)
    found = {metric["name"]: metric for metric in card["metrics"]}
    assert found["copies"]["value"] == 0
    assert 0.5 < found["content-kept-vgg19-conv4_2"]["value"] < 1
    assert 0.5 < found["photo-left-1"]["value"] < found["photo-left-16"]["value"] < 1
    assert {"told-vgg19", "told-filters"} <= found.keys() & card["beside"]["the photos as they are"].keys()
    assert PictureFolder(tmp_path / "kept").names == [path.with_suffix(".png").name for path in links(sets / "photos")]

    photos, painted, real = (tensors(folder) for folder in (sets / "photos", tmp_path / "kept", sets / "paintings"))
    moved = sum(script.color_moved(*pair) for pair in zip(photos, painted, strict=True)) / 5
    assert found["color-moved"]["value"] == pytest.approx(moved, abs=0.01)
    network = load_vgg19([*style.STYLE_LAYERS, "conv5_1"], VGG19_WEIGHTS)
    with torch.inference_mode():
        features = [network(pictures) for pictures in (photos, painted, real)]
    for name, rows in {
        "style-distance-vgg19": [style.statistics(maps[:4]).double() for maps in features],
        "style-distance-vgg19-conv5_1": [style.statistics(maps[4:]).double() for maps in features],
        "style-distance-filters": [style.filter_statistics(s).double() for s in (photos, painted, real)],
    }.items():
        x, y, z = style.standardize([rows[0], rows[2]], *rows)
        assert found[name]["value"] == pytest.approx(style.kernel_distance(y, z), rel=1e-4, abs=1e-4)
        assert found[name]["n"] == {"photos": 5, "paintings": 5}
        unpainted = card["beside"]["the photos as they are"][name]
        assert unpainted == pytest.approx(style.kernel_distance(x, z), rel=1e-4, abs=1e-4)


@pytest.mark.exhaustive
@needs_data
@pytest.mark.slow
def test_photos_as_they_are_are_copies(sets: Path) -> None:
    done = measure("photos", "--photos", sets / "photos", "--paintings", sets / "paintings")
    assert done.returncode == 0, done.stderr
    assert (
        "{name: copies, value: 1.0, n: {photos: 5, paintings: 0}, reference: the photo of each painting" in done.stdout
    )
    assert "{name: color-moved, value: 0.0, n: {photos: 5, paintings: 0}" in done.stdout
    for name in ("content-kept-vgg19-conv4_2", *(f"photo-left-{sigma}" for sigma in (1, 2, 4, 8, 16))):
        assert f"{{name: {name}, value: 1.0, n: {{photos: 5, paintings: 0}}" in done.stdout


@needs_data
@pytest.mark.exhaustive
def test_large_photos_are_compared_as_they_are_seen(sets: Path, tmp_path: Path) -> None:
    """Noise of single pixels is in the photos alone: seen at a quarter of the size there is none left of it."""
    rng = np.random.default_rng(0)
    for folder, grain in (("photos", 60), ("paintings", 0)):
        (tmp_path / folder).mkdir()
        for place, path in enumerate(links(sets / "photos")):
            large = np.asarray(Image.open(path).resize((512, 512), Image.Resampling.BICUBIC), np.float64)
            noisy = large + grain * rng.choice([-1, 1], size=large.shape)
            Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(tmp_path / folder / f"{place}.png")
    left = {}
    for size in ("512", "128"):
        evaluator = Evaluator(inputs=tmp_path / "photos", size=int(size))
        left[size] = evaluator.evaluate(tmp_path / "paintings", ["photo-left"]).scores[0].value
    assert left["512"] < 0.3 < left["128"] - 0.2
    done = measure("photos", "--photos", tmp_path / "photos", "--viewed", "128")
    assert done.returncode == 0, done.stderr
    assert "style" not in done.stdout
    seen = re.findall(r"name: ([^,]*), value: 1.0, .*the photo of each painting, seen at 128 px", done.stdout)
    assert seen == ["content-kept-vgg19-conv4_2", *(f"photo-left-{sigma}" for sigma in (1, 2, 4, 8, 16))]


@pytest.mark.exhaustive
@needs_data
@pytest.mark.slow
def test_the_lines_of_a_model_from_noise_are_a_registrys(sets: Path, tmp_path: Path) -> None:
    """With an artist's pictures and those of the training, and comments that say what to compare with."""
    done = measure(
        "dcgan.monet", "--paintings", sets / "held-out", "--trained-on", sets / "train", "--limit", "24",
        "--artist", f"monet={sets / 'train'}", "--artist", f"vangogh={sets / 'vangogh'}", "--as", "vangogh",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "the paintings kept aside: taken-for-vangogh 0." in done.stdout
    path = tmp_path / "registry.yaml"
    path.write_text(
        "schema: 1\nmodels:\n  dcgan.mine:\n    plugin: dcgan\n    distribution: artgan-dcgan\n    metrics:\n"
        + done.stdout
    )
    metrics = {metric["name"]: metric for metric in read_file(path).entries["dcgan.mine"].metrics}
    assert list(metrics) == [
        "style-distance-vgg19", "style-distance-vgg19-conv5_1", "style-distance-filters", "told-vgg19",
        "told-filters", "diversity-vgg19", "diversity", "nearest-painting", "grid", "taken-for-vangogh",
        "memorization", "held-out-gap",
    ]  # fmt: skip
    assert {name: metric["n"] for name, metric in metrics.items() if metric["n"]["paintings"] != 24} == {
        "grid": {"samples": 24, "paintings": 0},
        "taken-for-vangogh": {"samples": 24, "paintings": 48},
    }
    assert re.fullmatch(r"a classifier that is \d+% right", metrics["taken-for-vangogh"]["reference"])
    assert metrics["style-distance-filters"]["reference"] == "paintings kept aside"


@pytest.mark.exhaustive
@needs_data
@pytest.mark.slow
def test_a_classifier_that_has_seen_what_is_kept_aside_is_not_asked(sets: Path) -> None:
    """That figure is missing, which is told; the others are there. So it is with too few pictures."""
    done = measure(
        "dcgan.monet", "--paintings", sets / "held-out", "--trained-on", sets / "train", "--limit", "12",
        "--artist", f"monet={sets / 'held-out'}", "--artist", f"vangogh={sets / 'vangogh'}",
    )  # fmt: skip
    assert done.returncode == 1
    assert "taken-for-monet: 12 of 12 pictures of" in done.stderr
    assert "memorization: needs at least 20 real pictures, got 12" in done.stderr
    assert "style-distance-vgg19-conv5_1" in done.stdout
    assert "taken-for" not in done.stdout


@pytest.mark.slow
@needs_data
def test_a_photo_in_other_colors_is_a_copy_and_a_painting_is_none(sets: Path, script: ModuleType) -> None:
    monet = artgan.load("monet")
    for picture in PictureFolder(sets / "photos"):
        warm = Image.fromarray((np.asarray(picture) * [1.0, 0.9, 0.8]).astype(np.uint8))
        photo, warmer, painting = (images.to_tensor(p) for p in (picture, warm, monet.paint(picture)))
        assert (warmer - photo).abs().mean() * 127.5 > script.COPY
        assert script.recolored(photo, warmer) < 0.5 < script.COPY < script.recolored(photo, painting)


@pytest.mark.parametrize("size", [64, 256])
def test_a_grid_is_as_strong_as_it_was_made(script: ModuleType, size: int) -> None:
    """White noise has none. A wave of period 4 adds to its line what the sums of the window say: Parseval."""
    torch.manual_seed(0)
    noise = 0.1 * torch.randn(20, 1, size, size).expand(20, 3, size, size)
    assert abs(np.mean([script.grid(picture) for picture in noise])) < 0.8
    assert script.grid(torch.full((3, size, size), 0.3)) == pytest.approx(0)

    wave = 0.1 * torch.cos(torch.arange(size) * torch.pi / 2).expand(3, size, size)
    window = np.outer(np.hanning(size + 1)[:-1], np.hanning(size + 1)[:-1])
    # Of 9 bins the Hann window puts the squares of 1/4, 1/2 and 1/4 of its amplitude in either direction.
    peak = (0.1 / 2 * size**2 / 4) ** 2 * (1 + 2 / 4) ** 2 / 9
    each = 10 * np.log10(1 + peak / (0.1**2 * (window**2).sum()))
    found = np.mean([script.grid(picture + wave) for picture in noise])
    assert found == pytest.approx(2 * each / 15, abs=0.8)  # it has two of the 15 lines: a quarter and three of a cycle


def test_color_moved_sees_colors_and_not_strokes(script: ModuleType) -> None:
    photo = torch.zeros(3, 64, 64)
    strokes = photo.clone()
    strokes[:, ::2] = 0.5
    strokes[:, 1::2] = -0.5
    assert script.color_moved(photo, strokes) == pytest.approx(0, abs=1e-5)
    assert script.color_moved(photo, photo + 0.1) == pytest.approx(12.75, rel=1e-5)


@pytest.mark.slow
def test_a_wrong_folder_is_one_line() -> None:
    done = measure("monet", "--photos", ROOT, "--paintings", "nowhere")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "measure.py: nowhere: no such folder or file\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("monnet --photos . --paintings .", "no model named 'monnet'; did you mean monet"),
        ("monet --paintings .", "monet: give --photos"),
        ("dcgan.monet --photos . --paintings .", "leave --photos out"),
        ("monet --photos . --paintings . --keep .", "--keep .: exists"),
        ("monet --photos . --paintings . --limit 0", "--limit 0: at least 5"),
        ("monet --photos .", "give either --paintings, or --viewed"),
        ("monet --photos . --paintings . --viewed 1024", "give either --paintings, or --viewed"),
        ("monet --photos . --viewed 8", "--viewed 8: needs at least 32 px"),
        ("dcgan.monet --viewed 1024", "needs at least 32 px, --photos"),
        ("photos --photos . --paintings . --artist monet=.", "needed for two or more"),
        ("photos --photos . --paintings . --artist monet=. --artist cezanne=. --as manet", "--as is one of the names"),
        ("photos --photos . --paintings . --artist monet", "needed for two or more"),
    ],
)
def test_what_does_not_go_together_is_one_line(
    words: str,
    told: str,
    script: ModuleType,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["measure.py", *words.split()])
    assert script.main() == 2
    out, err = capsys.readouterr()
    assert told in err
    assert (out, err.count("\n")) == ("", 1)
