"""Training on under-paintings: what crops become, what a run keeps of the brushwork, and resuming it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file
from support import processes

import artgan
from artgan.data.crops import Draws, center_crops
from artgan.discovery import load_plugin
from artgan.errors import ConfigError
from artgan.painting.brushwork import Brush, underpaint
from artgan.painting.manner import Brushwork
from artgan.painting.palette import Palette
from artgan.training.underpaint import Underpainter

TINY = ["--width", "4", "--blocks", "1", "--discriminator-width", "4", "--size", "32", "--log-every", "1"]


def scene(seed: int, size: tuple[int, int] = (64, 48)) -> Image.Image:
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (4, 5, 3), dtype=np.uint8))
    return coarse.resize(size, Image.Resampling.BICUBIC)


@pytest.fixture
def folders(tmp_path: Path) -> list[str]:
    for number, name in enumerate(("photos", "paintings")):
        (tmp_path / name).mkdir()
        for index in range(4):
            scene(10 * number + index).save(tmp_path / name / f"{index}.png")
    return ["--photos", str(tmp_path / "photos"), "--paintings", str(tmp_path / "paintings")]


@pytest.fixture
def brushwork(tmp_path: Path) -> Path:
    palette = Palette.of([np.asarray(scene(n)) for n in range(3)], entries=2)
    path = tmp_path / "hand.json"
    path.write_text(json.dumps({"brush": {"layers": 2}, "palette": 0.6, "colors": palette.to_dict()}))
    return path


def test_a_crop_is_painted_with_its_own_seed_and_a_size_from_one_to_two() -> None:
    pixels = np.asarray(scene(0))
    painter = Underpainter(Brushwork(Brush()))
    first = painter(pixels, np.random.default_rng(1))
    assert np.array_equal(first, painter(pixels, np.random.default_rng(1)))
    assert not np.array_equal(first, painter(pixels, np.random.default_rng(2)))
    random = np.random.default_rng(1)
    random.uniform()  # of the palette's strength
    size, seed = 2 ** random.random(), int(random.integers(2**63))
    assert np.array_equal(first, underpaint(pixels, Brush(), seed, stroke_size=size))


def test_a_palette_moves_the_colors(brushwork: Path) -> None:
    pixels = np.asarray(scene(7))
    with_palette = Underpainter.of(str(brushwork))
    without = Underpainter(Brushwork(with_palette.brushwork.brush))
    assert not np.array_equal(with_palette(pixels, np.random.default_rng(0)), without(pixels, np.random.default_rng(0)))


@pytest.mark.slow
def test_only_the_prepared_domain_changes_and_a_batch_depends_on_its_number_alone() -> None:
    pictures = [scene(n) for n in range(3)]

    def draws(**options: object) -> Draws:
        sets = {"paintings": pictures, "photos": pictures}
        return Draws(sets, size=32, batch=2, seed=0, batches=9, **options)  # type: ignore[arg-type]  # of several types

    prepared = draws(preparations={"photos": Underpainter(Brushwork(Brush()))})
    plain, painted = draws()[5].pictures, prepared[5].pictures
    assert torch.equal(plain["paintings"], painted["paintings"])
    assert not torch.equal(plain["photos"], painted["photos"])
    prepared[1]
    assert torch.equal(prepared[5].pictures["photos"], painted["photos"])


@pytest.mark.slow
def test_squares_for_scores_are_prepared_the_same_way_every_time() -> None:
    pictures, painter = [scene(n) for n in range(4)], Underpainter(Brushwork(Brush()))
    whole = center_crops(pictures, 3, 32, preparation=painter)
    assert torch.equal(whole[1:], center_crops(pictures, 3, 32, numbers=[1, 2], preparation=painter))
    assert not torch.equal(whole, center_crops(pictures, 3, 32))


@pytest.mark.exhaustive
@pytest.mark.numerical
def test_a_run_keeps_its_brushwork_and_resumes_exactly(folders: list[str], brushwork: Path, tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    given = [*folders, "--underpaint", str(brushwork), "--steps", "4", "--checkpoint-every", "2", *TINY]
    for out, workers in ((whole, "0"), (parts, "1")):
        done = processes.artgan("train", "cyclegan", *given, "--workers", workers, "-o", str(out))
        assert done.returncode == 0, done.stderr
    shutil.rmtree(parts / "checkpoints" / "step-00000004")
    done = processes.artgan("train", "cyclegan", "-o", str(parts), "--resume")
    assert done.returncode == 0, done.stderr
    expected, found = (load_file(out / "model" / "model.safetensors") for out in (whole, parts))
    assert all(torch.equal(expected[key], found[key]) for key in expected)

    model = artgan.load(f"local-dir:{whole / 'model'}")
    assert model.brushwork is not None
    assert model.brushwork.brush == Brush(layers=2)
    assert model.brushwork.palette is not None
    assert model.brushwork.strength == 0.6
    back = artgan.load(f"local-dir:{whole / 'model-photos'}")
    assert back.brushwork is None  # it paints photos from paintings

    stored = yaml.safe_load((whole / "config.yaml").read_text())
    assert stored["brushwork"]["brush"]["layers"] == 2
    brushwork.write_text(json.dumps({"brush": {"layers": 3}}))
    done = processes.artgan("train", "cyclegan", "-o", str(whole), "--resume", "--steps", "5")
    assert done.returncode == 2
    assert "cannot resume with another brushwork" in done.stderr


@pytest.mark.slow
def test_bad_brushwork_is_told_before_a_run_begins(folders: list[str], tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text("brush: {layers: 20}")
    for name, told in (
        (str(bad), "layers: must be at most 6"),
        (str(tmp_path / "missing.json"), "cannot be read"),
        ("no-such-model", "no-such-model"),
    ):
        given = [*folders, "--underpaint", name, "--steps", "1", *TINY, "-o", str(tmp_path / "run")]
        done = processes.artgan("train", "cyclegan", *given)
        assert (done.returncode, done.stdout) == (2, "")
        assert told in done.stderr
        assert not (tmp_path / "run").exists()


def test_pictures_from_noise_have_no_inputs() -> None:
    assert load_plugin("dcgan").inputs == ()
    assert load_plugin("cyclegan").inputs == ("photos",)


def test_brushwork_must_be_of_a_model_that_has_one() -> None:
    with pytest.raises(ConfigError, match="none"):
        Underpainter.of("cyclegan.monet-compact")
