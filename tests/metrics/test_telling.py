"""Told by an extractor: patches of pictures, equal numbers, and pictures that belong together."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support.data import DATA, VGG19_WEIGHTS, needs_data
from support.processes import artgan
from torch import Tensor

from artgan import images
from artgan.data.crops import center_square
from artgan.metrics.evaluation import Evaluator
from artgan.metrics.extractors import Extractor, Filters, Patches, load_extractor
from artgan.metrics.telling import ToldByFilters
from artgan.metrics.told import told

NUMERICAL = pytest.mark.numerical


class Corner(Extractor):
    """The number of pixels, and the color of the first."""

    name = "corner"
    resize = "to 8 x 8"
    weights = "none"
    parts = {"side": slice(0, 1), "color": slice(1, 4)}  # noqa: RUF012  # as the classes of artgan have them

    def prepare(self, picture: Image.Image) -> Tensor:
        return images.to_tensor(picture)

    def forward(self, prepared: Tensor) -> Tensor:
        side = torch.full((len(prepared), 1), float(prepared.shape[-1]))
        return torch.cat([side, prepared[:, :, 0, 0]], dim=1)


@pytest.mark.parametrize(
    ("size", "corners"),
    [
        (256, [0, 64, 128, 192]),  # all of the picture
        (512, [0, 149, 299, 448]),  # spread over it
        (130, [0, 66]),
        (64, [0]),
        (48, [0]),
    ],
)
def test_patches_are_spread_over_the_middle_square(size: int, corners: list[int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (size, size + 20, 3), np.uint8)
    picture = Image.fromarray(pixels)
    extractor = Patches(Corner(), size=size)
    assert extractor.count == len(corners) ** 2
    assert extractor.width == 4 * extractor.count
    other = Image.fromarray(pixels[::-1].copy())
    batch = extractor(torch.stack([extractor.prepare(picture), extractor.prepare(other)]))
    assert batch.shape == (2, extractor.width)
    square = images.to_tensor(center_square(picture, size))
    expected = [[min(size, 64), *square[:, y, x].tolist()] for y in corners for x in corners]
    torch.testing.assert_close(batch[0].reshape(-1, 4), torch.tensor(expected))
    assert Patches(Corner(), part="color", size=size).features(square[None]).shape == (1, 3 * extractor.count)
    assert extractor.name == "corner-patches"
    assert extractor.resize.endswith(f"middle square at {size} x {size}, bicubic, antialiased (Pillow), to 8 x 8")


def test_a_patch_is_seen_as_if_it_were_a_picture() -> None:
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (128, 128, 3), np.uint8))
    extractor = load_extractor("filters-patches", size=128)
    found = extractor(extractor.prepare(picture)[None])[0].reshape(4, 78)
    alone = Filters(size=64)
    torch.testing.assert_close(found[1], alone(alone.prepare(picture.crop((64, 0, 128, 64)))[None])[0])
    assert extractor.digest != load_extractor("filters-patches", size=192).digest
    assert extractor.digest != Filters(size=128).digest


def noise(folder: Path, count: int, *, seed: int, rough: int = 16, first: int = 0) -> Path:
    """A folder of smooth noise pictures of 64 px."""
    folder.mkdir()
    rng = np.random.default_rng(seed)
    for number in range(first, first + count):
        pixels = rng.integers(0, 256, (rough, rough, 3), np.uint8)
        Image.fromarray(pixels).resize((64, 64), Image.Resampling.BICUBIC).save(folder / f"{number:03}.png")
    return folder


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.mark.slow
@NUMERICAL
def test_folders_are_told_apart_as_far_as_they_differ(tmp_path: Path) -> None:
    real = noise(tmp_path / "real", 80, seed=0)
    evaluator = Evaluator(real=real, size=64)
    alike = evaluator.evaluate(noise(tmp_path / "alike", 60, seed=1, first=100), ["told-filters"]).scores[0]
    other = evaluator.evaluate(noise(tmp_path / "other", 60, seed=2, first=100, rough=12), ["told-filters"]).scores[0]
    assert abs(alike.value - 0.5) < 0.23  # five standard errors of 120 pictures
    assert alike.interval is not None
    assert alike.interval[0] < 0.5 < alike.interval[1]
    assert other.value > 0.97
    assert alike.n == other.n == (60, 60)  # equal numbers
    assert abs(other.details["real halves"] - 0.5) < 0.28
    assert other.details["patches of a picture"] == 1
    assert other.details["log loss"] < 0.5
    assert other.details["extractor"] == "filters-patches"
    assert not other.notes


@NUMERICAL
def test_pictures_of_one_name_or_one_content_are_judged_together(tmp_path: Path) -> None:
    """Otherwise a photo would be known from its twin in the training, for what it is not."""
    real = noise(tmp_path / "real", 24, seed=0)
    (tmp_path / "renamed").mkdir()
    (tmp_path / "again").mkdir()
    for number, path in enumerate(sorted(real.iterdir())):
        (tmp_path / "renamed" / f"x{number:03}.png").write_bytes(path.read_bytes())
        Image.open(path).save(tmp_path / "again" / f"{path.stem}.bmp")
    evaluator = Evaluator(real=real, size=64)
    for folder in ("renamed", "again"):
        [score] = evaluator.evaluate(tmp_path / folder, ["told-filters"]).scores
        assert score.value == 0.5, folder
        assert "24 pictures of each set are few" in score.notes[0]


def test_few_pictures_have_no_score(tmp_path: Path) -> None:
    real = noise(tmp_path / "real", 6, seed=0)
    evaluation = Evaluator(real=real, size=64).evaluate(noise(tmp_path / "fake", 4, seed=1), ["told-filters"])
    assert evaluation.failed == {"told-filters": "needs at least 5 generated pictures, got 4"}


def test_scikit_learn_is_asked_for_before_anything_is_extracted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.linear_model", None)
    monkeypatch.setattr(Filters, "forward", lambda *_: pytest.fail("extracted"))
    real = noise(tmp_path / "real", 6, seed=0)
    evaluation = Evaluator(real=real, size=64).evaluate(noise(tmp_path / "fake", 6, seed=1), ["told-filters"])
    assert 'needs scikit-learn: pip install "artgan[metrics]"' in evaluation.failed["told-filters"]


def test_it_is_the_classifiers_accuracy_and_no_more_than_200_pictures_are_used() -> None:
    rng = torch.Generator().manual_seed(0)
    real, fake = torch.randn(300, 6, generator=rng), torch.randn(250, 6, generator=rng) + 0.3
    [score] = ToldByFilters().evaluate(real, fake)
    found = told(
        real[[place * 300 // 200 for place in range(200)]].numpy(),
        fake[[place * 250 // 200 for place in range(200)]].numpy(),
        list(range(200)),
        list(range(200, 400)),
    )
    assert score.n == (200, 200)
    assert score.value == pytest.approx(found.accuracy, abs=0.02)  # the folds differ, by the groups' order


@pytest.mark.slow
def test_the_command_tells_without_a_network(tmp_path: Path) -> None:
    real, fake = noise(tmp_path / "real", 12, seed=0), noise(tmp_path / "fake", 12, seed=1, rough=8)
    words = ["--real", real, "--fake", fake, "--photos", real, "--metrics", "told-filters,photo-left", "--size", "64"]
    done = artgan("evaluate", *words, "--format", "json")
    assert done.returncode == 0, done.stderr
    scores = {score["name"]: score["value"] for score in json.loads(done.stdout)["sets"][0]["scores"]}
    assert list(scores) == ["told-filters", *(f"photo-left-{sigma}" for sigma in (1, 2, 4, 8, 16))]
    assert scores["told-filters"] > 0.9


@pytest.mark.exhaustive
@needs_data
@pytest.mark.slow
@NUMERICAL
def test_photos_are_told_from_monets_and_monets_from_one_another_are_not() -> None:
    """Here with 24 pictures of each; of 60, VGG-19 tells 94 % of photos' patches."""
    evaluator = Evaluator(real=DATA / "monet", vgg19=VGG19_WEIGHTS, limit=24)
    [score] = evaluator.evaluate(DATA / "photo", ["told-vgg19"]).scores
    assert score.value > 0.8
    assert abs(score.details["real halves"] - 0.5) < 0.25
