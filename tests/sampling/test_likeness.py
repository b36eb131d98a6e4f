"""The search for the picture that is most like a photo: it finds pictures that the network makes."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from artgan_dcgan.networks import DCGANGenerator
from PIL import Image
from support import plain_vgg, processes
from support.generators import CONFIG, contrasting_generator

from artgan.config import to_dict
from artgan.errors import PictureError
from artgan.features import VGG19, VGG19_LAYERS
from artgan.images import decode
from artgan.models.folder import save_model
from artgan.sampling import likeness
from artgan.sampling.likeness import LAYERS, SEEDS, find_like, write_like
from artgan.sampling.sampling import draw, sample
from artgan.sampling.vector_file import read_vector

STEPS = 60


@pytest.fixture(scope="module")
def generator() -> DCGANGenerator:
    return contrasting_generator()


@pytest.fixture(scope="module")
def vgg() -> VGG19:
    """VGG-19 with four channels everywhere, by He's variance."""
    source, state, before = torch.Generator().manual_seed(0), {}, 3
    for layer, index in VGG19_LAYERS.items():
        state[f"{index}.weight"] = torch.randn(4, before, 3, 3, generator=source) * math.sqrt(2 / (9 * before))
        state[f"{index}.bias"] = torch.zeros(4)
        before = 4
        if layer == LAYERS[-1]:
            break
    return VGG19(state, LAYERS).eval()


def apart(one: Image.Image, other: Image.Image) -> float:
    """The root mean square difference of pixels."""
    return float(np.sqrt(np.square(np.asarray(one, float) - np.asarray(other, float)).mean()))


@pytest.mark.slow
def test_a_picture_of_the_network_is_found(generator: DCGANGenerator, vgg: VGG19) -> None:
    [photo] = sample(generator, 1, seed=1000)
    found = find_like(generator, photo, vgg, steps=STEPS)
    assert sorted(found.seeds) == list(range(SEEDS))
    assert list(found.scores) == sorted(found.scores)
    assert found.score < 0.2 * found.scores[0]
    [again] = draw(generator, [found.vector])
    nearest = min(apart(photo, other) for other in sample(generator, SEEDS))
    assert apart(photo, again) < 0.5 * nearest
    assert 0.5 < float(found.vector.square().mean()) < 2, "as long as noise is"
    same = find_like(generator, photo, vgg, steps=STEPS)
    assert torch.equal(same.vector, found.vector)
    assert same.score == found.score


def test_a_seed_among_those_compared_is_found_at_once(generator: DCGANGenerator, vgg: VGG19) -> None:
    """And the vector is never worse than the best seed's."""
    [photo] = sample(generator, 1, seed=7 + 40)
    found = find_like(generator, photo, vgg, seed=7, steps=1)
    assert found.seeds[0] == 47
    assert found.score <= found.scores[0] < 0.01 * found.scores[1]


@pytest.mark.slow
@pytest.mark.parametrize(("noise", "low", "high"), [("uniform(-1,1)", -1, 1), ("gamma(2,1)", 0, math.inf)])
def test_a_vector_stays_where_the_noise_is(
    generator: DCGANGenerator, vgg: VGG19, noise: str, low: float, high: float
) -> None:
    found = find_like(generator, Image.new("RGB", (40, 30), "white"), vgg, steps=STEPS, noise=noise)
    assert low <= float(found.vector.min())
    assert float(found.vector.max()) <= high
    assert found.score < found.scores[0]


@pytest.mark.slow
def test_the_sheet_and_the_vector(
    generator: DCGANGenerator, vgg: VGG19, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(likeness, "load_vgg19", lambda layers, file: vgg)
    [photo] = sample(generator, 1, seed=1000)
    photo.save(tmp_path / "photo.png")
    about = {"model": "some.model", "digest": "abc"}
    out = tmp_path / "like.png"
    result = write_like(generator, tmp_path / "photo.png", out, count=6, steps=20, **about)
    assert [each["score"] for each in result["nearest"]] == sorted(each["score"] for each in result["nearest"])
    assert len(result["nearest"]) == 6
    assert result["score"] < result["nearest"][0]["score"]
    vector = read_vector(tmp_path / "like.json", size=16, digest="abc")
    expected = [photo, *draw(generator, [vector, *(each["seed"] for each in result["nearest"])])]
    sheet = np.asarray(decode(out).rgb)
    side, left = 32, sheet.shape[1] - 4 * 36
    places = [(0, 0), (0, 1), (1, 0), (1, 1), (1, 2), (1, 3), (2, 0), (2, 1)]  # 4 pixels between
    for (row, column), picture in zip(places, expected, strict=True):
        top, start = 4 + row * 36, left + column * 36
        assert apart(Image.fromarray(sheet[top : top + side, start : start + side]), picture) <= 1
    before = out.read_bytes()
    out.unlink()
    with pytest.raises(PictureError, match=r"like\.json: exists already"):
        write_like(generator, tmp_path / "photo.png", out, steps=1, **about)
    assert not out.exists()
    write_like(generator, tmp_path / "photo.png", out, count=6, steps=20, overwrite=True, **about)
    assert out.read_bytes() == before


@pytest.mark.exhaustive
def test_the_command(generator: DCGANGenerator, tmp_path: Path) -> None:
    """With a network as large as VGG-19: a sheet and a vector, which the command takes again."""
    save_model(tmp_path / "model", generator, plugin="dcgan", config=to_dict(CONFIG))
    vgg19 = plain_vgg.write(tmp_path / "vgg.safetensors", "vgg19", "conv4_2")
    Image.new("RGB", (50, 40), "orange").save(tmp_path / "photo.png")
    name = f"local-dir:{tmp_path / 'model'}"
    words = ["sample", name, "--like", "photo.png", "--vgg19", vgg19, "--steps", "20", "-o", "like.png"]
    done = processes.artgan(*words, "--format", "json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    [result] = json.loads(done.stdout)
    assert (result["output"], result["vector"]) == ("like.png", "like.json")
    assert [each["picture"] for each in result["nearest"]] == [f"{name}#{each['seed']}" for each in result["nearest"]]
    done = processes.artgan("sample", name, "--vector", "like.json", "-o", "pictures", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "pictures/vector.png\n")
    digest = json.loads((tmp_path / "like.json").read_text())["weights"]
    vector = read_vector(tmp_path / "like.json", size=16, digest=digest)
    [expected] = draw(generator, [vector])
    assert apart(Image.open(tmp_path / "pictures" / "vector.png"), expected) <= 1
    told = processes.artgan(*words, cwd=tmp_path)
    assert told.returncode == 2
    assert "like.png: exists already" in told.stderr
    done = processes.artgan(*words, "--overwrite", cwd=tmp_path)
    lines = done.stdout.splitlines()
    assert lines[0] == "like.png"
    assert lines[1] == f"like.json  score {result['score']:.4f}"
    assert lines[2].startswith(f"{name}#{result['nearest'][0]['seed']}  score ")
