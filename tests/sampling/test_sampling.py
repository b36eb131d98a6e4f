"""Pictures from noise: seeds, the way between two, nearest real pictures, and the command on a trained model."""

from __future__ import annotations

import itertools
import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from artgan_cyclegan.networks import ResNetGenerator
from artgan_dcgan.networks import DCGANGenerator
from PIL import Image, ImageOps, ImageSequence
from support import processes
from support.generators import CONFIG, contrasting_generator

import artgan
from artgan import images
from artgan.config import to_dict
from artgan.data import PictureFolder
from artgan.errors import ArtganError, ConfigError, PictureError
from artgan.images import animation
from artgan.images.films import open_film
from artgan.models.folder import save_model
from artgan.sampling.sampling import draw, interpolate, loop, nearest, sample, spherical, write_loop


@pytest.fixture(scope="module")
def generator() -> DCGANGenerator:
    return contrasting_generator()


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


@pytest.mark.parametrize("count", [0, -1])
def test_no_pictures_are_no_request(generator: DCGANGenerator, count: int) -> None:
    with pytest.raises(ArtganError, match=f"count: {count} pictures cannot be made"):
        sample(generator, count)


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
def test_a_loop_goes_through_its_pictures_and_back_to_the_first(generator: DCGANGenerator) -> None:
    points = [4, torch.linspace(-2, 2, 16), 9]
    frames = list(loop(generator, points, 7))
    assert len(frames) == 21
    for number, expected in enumerate(draw(generator, points)):
        assert apart(frames[7 * number], expected) <= 1
    way = interpolate(generator, 9, 4, 8)  # the last leg
    assert all(apart(one, other) <= 1 for one, other in zip([*frames[14:], frames[0]], way, strict=True))
    there, back = (list(loop(generator, order, 5)) for order in ([4, 9], [9, 4]))
    assert all(apart(one, other) <= 1 for one, other in zip(there, back[5:] + back[:5], strict=True))
    assert all(apart(one, other) <= 1 for one, other in zip(there[1:], there[:0:-1], strict=True)), "there and back"
    with pytest.raises(ArtganError, match="at least 2 pictures, not 1"):
        list(loop(generator, [4], 5))


def assert_these_are(frames: Sequence[Image.Image], expected: Sequence[Image.Image], slack: float = 0.5) -> None:
    """In lightness, as far as compression and palettes allow: close, and none closer to another one by ``slack``."""
    ours, theirs = (np.stack([np.asarray(each.convert("L"), float) for each in row]) for row in (frames, expected))
    differences = np.abs(ours[:, None] - theirs).mean((2, 3))
    assert differences.shape == (len(expected), len(expected))
    assert (differences.diagonal() < differences.min(1) + slack).all()
    assert differences.diagonal().max() < 4


@pytest.mark.parametrize("name", ["a.png", "a.webp", "a.avif", "a.gif"])
@pytest.mark.numerical
def test_an_animation_has_the_frames_of_the_loop(generator: DCGANGenerator, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if not images.is_writable(path):
        pytest.skip(f"Pillow here does not write {name}")
    made = write_loop(generator, [4, 9, 2], path, frames=4, rate=25)
    assert made == [{"seed": seed, "output": str(path)} for seed in (4, 9, 2)]
    expected = list(loop(generator, [4, 9, 2], 4))
    with Image.open(path) as animated:
        frames, durations = [], []
        for frame in ImageSequence.Iterator(animated):
            frame.load()
            durations.append(frame.info["duration"])
            frames.append(frame.convert("RGB"))
        assert durations == [40] * 12
        assert animated.info.get("loop", 0) == 0, "repeated without end"
    # The first frame of an AVIF file came out 0.8 closer to the next one; the one after that is 5 away.
    assert_these_are(frames, expected, slack=2 if name == "a.avif" else 0.5)
    assert name != "a.png" or [apart(*pair) for pair in zip(frames, expected, strict=True)] == [0] * 12


@pytest.mark.numerical
def test_a_film_has_the_frames_of_the_loop(generator: DCGANGenerator, tmp_path: Path) -> None:
    pytest.importorskip("av")
    for name in ("a.mp4", "b.mp4"):
        write_loop(generator, [4, 9, 2], tmp_path / name, frames=4, rate=12)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes(), "the same each time"
    with open_film(tmp_path / "a.mp4") as film:
        frames = list(film.frames())
        seconds = [float(frame.pts * film.time_base) for frame in frames]
    assert seconds == pytest.approx([number / 12 for number in range(12)])
    assert_these_are([frame.rgb for frame in frames], list(loop(generator, [4, 9, 2], 4)))


def test_an_animation_that_is_too_large_is_refused_and_nothing_is_written(
    generator: DCGANGenerator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(animation, "MAX_FRAME_PIXELS", 32 * 32 * 11)
    with pytest.raises(PictureError, match=r"12 frames of 32 x 32 .* over the limit"):
        write_loop(generator, [4, 9], tmp_path / "a.gif", frames=6, rate=25)
    with pytest.raises(ConfigError, match=r"a\.jpg: cannot hold a film"):
        write_loop(generator, [4, 9], tmp_path / "a.jpg", frames=6, rate=25)
    assert not list(tmp_path.iterdir())


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
    gray = [Image.new("RGB", (64, 64), (value,) * 3) for value in (100, 110)]
    (tmp_path / "gray").mkdir()
    gray[1].save(tmp_path / "gray" / "g.png")
    assert nearest(gray[:1], PictureFolder(tmp_path / "gray"), 1)[0][0].distance == pytest.approx(10)


def run(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    done = processes.artgan("sample", *arguments, cwd=cwd)
    assert "Traceback" not in done.stderr
    return done


@pytest.mark.slow
def test_the_command(model: Path, tmp_path: Path) -> None:
    name = f"local-dir:{model}"
    done = run(name, "-n", "5", "-o", "grid.png", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "".join(f"grid.png  {name}#{seed}\n" for seed in range(5)))
    with Image.open(tmp_path / "grid.png") as grid:
        assert grid.width > 3 * 32
        assert grid.height > 2 * 32
    again = run(name, "-o", "grid.png", cwd=tmp_path)
    assert again.returncode == 2
    assert "grid.png" in again.stderr
    done = run(name, "-n", "3", "--seed", "7", "-o", "single", "--format", "json", cwd=tmp_path)
    files = [f"single/seed-00000{seed}.png" for seed in (7, 8, 9)]
    assert [(made["output"], made["picture"]) for made in json.loads(done.stdout)] == [
        (file, f"{name}#{seed}") for file, seed in zip(files, (7, 8, 9), strict=True)
    ]
    done = run(f"{name}#9", "-o", "again", "--noise", "normal(0,1)", cwd=tmp_path)  # as it was printed
    assert (done.returncode, done.stdout) == (0, f"again/seed-000009.png  {name}#9 --noise 'normal(0,1)'\n")
    assert (tmp_path / "again" / "seed-000009.png").read_bytes() == (tmp_path / files[2]).read_bytes()
    assert artgan.load(f"{name}#9").sample()[0].tobytes() == artgan.load(name).sample(1, seed=9)[0].tobytes()
    with Image.open(tmp_path / files[2]) as picture:
        [expected] = artgan.load(name).sample(1, seed=9)
        assert apart(picture, expected) <= 1
    done = run(name, "-n", "2", "--nearest", "single", "--format", "json", "-o", "near.png", cwd=tmp_path)
    assert [len(made["nearest"]) for made in json.loads(done.stdout)] == [3, 3]
    done = run(f"{name}#2", "-n", "4", "--to", "3", "-o", "way.png", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, f"way.png  {name}#2  to {name}#3\n")
    with Image.open(tmp_path / "way.png") as way:
        assert way.width > 4 * 32
    done = run(f"{name}#2", "--to", "5", "--frames", "3", "--fps", "10", "-o", "way.gif", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, f"way.gif  {name}#2\nway.gif  {name}#5\n")
    with Image.open(tmp_path / "way.gif") as way:
        assert (way.n_frames, way.size, way.info["duration"]) == (6, (32, 32), 100)
    done = run(name, "--interpolate", "-n", "3", "--frames", "2", "-o", "loop.png", cwd=tmp_path)
    assert (done.returncode, done.stdout.count("loop.png")) == (0, 3)
    with Image.open(tmp_path / "loop.png") as way:
        assert way.n_frames == 6


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["monet"], "artgan paint photo.jpg --model cyclegan.monet"),
        (["local-dir:MODEL", "--noise", "pink(1)"], "unknown noise 'pink'"),
        (["local-dir:MODEL", "--nearest", "nowhere"], "nowhere: no such folder or file"),
        (["local-dir:MODEL", "--to", "1", "-n", "1"], "at least 2 pictures"),
        (["local-dir:MODEL", "--to", "1", "--nearest", "."], "cannot be combined"),
        (["local-dir:MODEL", "--seed", "3", "--to", "0", "--nearest", "."], "--nearest and --to cannot be combined"),
        (["local-dir:MODEL", "-o", "a.xyz"], "a.xyz"),
        (["local-dir:MODEL#3", "--seed", "4"], "#3 --seed 4: two seeds; give one of them"),
        (["dcgan.monet#three"], "dcgan.monet#three: write MODEL#SEED, with a whole number of 0 to 2^62"),
        (["monet#3"], "artgan paint photo.jpg --model cyclegan.monet"),
        (["local-dir:MODEL", "--frames", "4"], "--frames is for a film: --interpolate"),
        (["local-dir:MODEL", "--steps", "4"], "--steps is for --like"),
        (["local-dir:MODEL", "--like", "a.jpg", "--interpolate"], "--like and --interpolate cannot be combined"),
        (["local-dir:MODEL", "--like", "a.jpg", "--vector", "a.json"], "--like and --vector cannot be combined"),
        (["local-dir:MODEL", "--like", "a.jpg"], "a.jpg"),
        (["local-dir:MODEL", "--like", "a.jpg", "-n", "65"], "-n 65: --like compares 64 seeds"),
        (["local-dir:MODEL", "--vector", "a.json"], "a.json: cannot be read"),
        (
            ["local-dir:MODEL", "--to", "3", "-n", "4", "-o", "a.gif"],
            "-n: for a film from one picture to another, use --frames",
        ),
        (["local-dir:MODEL", "--interpolate", "-n", "1", "-o", "a.gif"], "a film needs at least 2 pictures"),
        (["local-dir:MODEL", "--interpolate", "-o", "a.tif"], "a.tif: cannot hold a film"),
    ],
)
def test_a_wrong_call_is_one_line_and_writes_nothing(
    arguments: list[str], told: str, model: Path, tmp_path: Path
) -> None:
    done = run(*(a.replace("MODEL", str(model)) for a in arguments), cwd=tmp_path)
    assert done.returncode == 2
    assert told in done.stderr
    assert not list(tmp_path.iterdir())
