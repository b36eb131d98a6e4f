"""Pictures from noise: seeds, the way between two, nearest real pictures, and the command on a trained model."""

from __future__ import annotations

import itertools
import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from artgan_cyclegan.networks import ResNetGenerator
from artgan_dcgan.config import DCGANConfig
from artgan_dcgan.networks import DCGANGenerator, build_generator
from PIL import Image, ImageOps
from support import processes

import artgan
from artgan.config import to_dict
from artgan.data import PictureFolder
from artgan.errors import ArtganError
from artgan.models.folder import save_model
from artgan.sampling.sampling import interpolate, nearest, sample, spherical

CONFIG = DCGANConfig(size=32, width=8, noise_size=16)


@pytest.fixture(scope="module")
def generator() -> DCGANGenerator:
    """Not trained, but with contrast: batch norm knows its statistics, and the last layer is strong."""
    torch.manual_seed(0)
    generator = build_generator(CONFIG)
    with torch.no_grad():
        generator.model[-2].weight.mul_(20)
        for _ in range(30):
            generator(generator.noise(64))
    return generator.eval()


@pytest.fixture(scope="module")
def model(generator: DCGANGenerator, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    save_model(folder, generator, plugin="dcgan", config=to_dict(CONFIG))
    return folder


def apart(one: Image.Image, other: Image.Image) -> float:
    """The greatest difference of a pixel; batches of other sizes may round differently by 1."""
    return float(np.abs(np.asarray(one, np.int16) - np.asarray(other, np.int16)).max())


@pytest.mark.numerical
def test_a_picture_has_a_seed_of_its_own(generator: DCGANGenerator) -> None:
    many = sample(generator, 40, seed=5)
    assert [(picture.size, picture.mode) for picture in many] == [((32, 32), "RGB")] * 40
    for index in (0, 7, 39):
        [alone] = sample(generator, 1, seed=5 + index)
        assert apart(alone, many[index]) <= 1
    assert apart(many[0], many[1]) > 50


def test_noise_of_another_kind(generator: DCGANGenerator) -> None:
    own, same, other = (sample(generator, 1, noise=noise)[0] for noise in (None, "normal(0,1)", "uniform(-1,1)"))
    assert apart(own, same) == 0
    assert apart(own, other) > 50
    with pytest.raises(ArtganError, match="VARIANCE must be greater than 0"):
        sample(generator, 1, noise="normal(0,-1)")


def test_a_translator_makes_no_pictures_from_noise() -> None:
    with pytest.raises(ArtganError, match="use paint"):
        sample(ResNetGenerator(4, 1), 1)


@pytest.mark.numerical
def test_the_way_begins_and_ends_at_its_seeds(generator: DCGANGenerator) -> None:
    way = interpolate(generator, 3, 9, 35)
    assert len(way) == 35
    for end, seed in ((way[0], 3), (way[-1], 9)):
        assert apart(end, sample(generator, 1, seed=seed)[0]) <= 1
    steps = [float(np.abs(np.asarray(a, float) - np.asarray(b, float)).mean()) for a, b in itertools.pairwise(way)]
    assert min(steps) > 0
    assert max(steps) < 5 * min(steps), "no step is a jump"
    with pytest.raises(ArtganError, match="at least 2"):
        interpolate(generator, 3, 9, 1)


@pytest.mark.numerical
def test_the_great_circle() -> None:
    """In the plane, where it is known: a quarter of a circle, and the length changes evenly."""
    x, y = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 3.0])
    shares = torch.linspace(0, 1, 7)
    way = spherical(x, y, shares)
    angles = shares * torch.pi / 2
    expected = torch.stack([angles.cos(), angles.sin()], dim=1) * (1 + 2 * shares)[:, None]
    assert torch.allclose(way, expected, atol=1e-6)
    assert torch.allclose(spherical(x, 2 * x, shares), (1 + shares)[:, None] * x)


def test_other_noise_is_crossed_in_a_straight_line(generator: DCGANGenerator) -> None:
    """Between two corners of a uniform cube's noise every point is one of it; halfway is the mean."""
    middle = interpolate(generator, 1, 2, 3, noise="uniform(-1,1)")[1]
    vectors = [2 * torch.rand(1, 16, generator=torch.Generator().manual_seed(seed)) - 1 for seed in (1, 2)]
    with torch.no_grad():
        made = generator((vectors[0] + vectors[1]) / 2)[0]
    expected = ((made + 1) * 127.5).round().clamp(0, 255).byte().permute(1, 2, 0).numpy()
    assert apart(middle, Image.fromarray(expected)) <= 1


def test_the_nearest_real_picture_is_found_even_mirrored(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pictures = [Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)).resize((64, 64)) for _ in range(6)]
    for index, picture in enumerate(pictures):
        picture.save(tmp_path / f"{index}.png")
    found = nearest([ImageOps.mirror(pictures[4]), pictures[2]], PictureFolder(tmp_path), 3)
    assert [row[0].name for row in found] == ["4.png", "2.png"]
    assert [row[0].distance for row in found] == [0, 0]
    assert [n.distance for n in found[0]] == sorted(n.distance for n in found[0])
    grey = [Image.new("RGB", (64, 64), (value,) * 3) for value in (100, 110)]
    (tmp_path / "grey").mkdir()
    grey[1].save(tmp_path / "grey" / "g.png")
    assert nearest(grey[:1], PictureFolder(tmp_path / "grey"), 1)[0][0].distance == pytest.approx(10)


def run(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    done = processes.artgan("sample", *arguments, cwd=cwd)
    assert "Traceback" not in done.stderr
    return done


@pytest.mark.slow
def test_the_command(model: Path, tmp_path: Path) -> None:
    name = f"local-dir:{model}"
    done = run(name, "-n", "5", "-o", "grid.png", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "grid.png\n")
    with Image.open(tmp_path / "grid.png") as grid:
        assert grid.width > 3 * 32
        assert grid.height > 2 * 32
    again = run(name, "-o", "grid.png", cwd=tmp_path)
    assert again.returncode == 2
    assert "grid.png" in again.stderr
    done = run(name, "-n", "3", "--seed", "7", "-o", "single", "--format", "json", cwd=tmp_path)
    files = [f"single/seed-00000{seed}.png" for seed in (7, 8, 9)]
    assert [made["output"] for made in json.loads(done.stdout)] == files
    with Image.open(tmp_path / files[2]) as picture:
        [expected] = artgan.load(name).sample(1, seed=9)
        assert apart(picture, expected) <= 1
    done = run(name, "-n", "2", "--nearest", "single", "--format", "json", "-o", "near.png", cwd=tmp_path)
    assert [len(made["nearest"]) for made in json.loads(done.stdout)] == [3, 3]
    assert run(name, "-n", "4", "--to", "3", "-o", "way.png", cwd=tmp_path).returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["monet"], "artgan paint photo.jpg --model cyclegan.monet"),
        (["local-dir:MODEL", "--noise", "pink(1)"], "unknown noise 'pink'"),
        (["local-dir:MODEL", "--nearest", "nowhere"], "nowhere: no such folder or file"),
        (["local-dir:MODEL", "--to", "1", "-n", "1"], "at least 2 pictures"),
        (["local-dir:MODEL", "--to", "1", "--nearest", "."], "do not go together"),
        (["local-dir:MODEL", "-o", "a.xyz"], "a.xyz"),
    ],
)
def test_a_wrong_call_is_one_line_and_writes_nothing(
    arguments: list[str], told: str, model: Path, tmp_path: Path
) -> None:
    done = run(*(a.replace("MODEL", str(model)) for a in arguments), cwd=tmp_path)
    assert done.returncode == 2
    assert told in done.stderr
    assert not list(tmp_path.iterdir())
