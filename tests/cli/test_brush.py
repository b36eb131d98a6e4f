"""Strokes and colors on the command line, with the real program."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_image
from support import processes

import artgan
from artgan.painting.brushwork import Brush

PLAIN = "cyclegan.monet-fine"  # a model without brushwork
BRUSH = {"layers": 2, "largest": 0.06, "smallest": 0.02, "longest": 6}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    Image.fromarray(load_sample_image("flower.jpg")).resize((90, 60)).save(tmp_path / "photo.png")
    (tmp_path / "hand.json").write_text(json.dumps(BRUSH))
    return tmp_path


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    done = processes.artgan(*words, cwd=folder)
    assert "Traceback" not in done.stderr
    return done


def painted(folder: Path, *words: str) -> np.ndarray:
    done = run(folder, "paint", "photo.png", "--model", PLAIN, "-o", "out.png", "--overwrite", *words)
    assert (done.returncode, done.stdout, done.stderr) == (0, "out.png\n", "")
    with Image.open(folder / "out.png") as painting:
        return np.asarray(painting)


@pytest.mark.slow
def test_options_on_the_command_line_are_those_of_python(folder: Path) -> None:
    model, photo = artgan.load(PLAIN), folder / "photo.png"
    np.testing.assert_array_equal(painted(folder), model.paint(photo))
    np.testing.assert_array_equal(painted(folder, "--brush", "none", "--strength", "1"), model.paint(photo))
    np.testing.assert_array_equal(painted(folder, "--strength", "0"), np.asarray(Image.open(photo)))
    words = "--brush hand.json --stroke-size 2 --strength 0.8 --keep-colors --seed 3 --tile 40"
    expected = model.paint(photo, brush=Brush.from_dict(BRUSH), stroke_size=2, strength=0.8, keep_colors=True, seed=3)
    np.testing.assert_array_equal(painted(folder, *words.split()), expected)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            "--stroke-size 5 --brush hand.json",
            "cyclegan.monet-fine: stroke_size: must be at most 3.0, not 5.0 (from 0.5 to",
        ),
        ("--strength 1.6", "cyclegan.monet-fine: strength: must be at most 1.5, not 1.6 (from 0.0 to 1.5)"),
        ("--palette -1", "cyclegan.monet-fine: palette: must be at least 0.0, not -1.0 (from 0.0 to 1.0)"),
        ("--seed -1", "cyclegan.monet-fine: seed: must be at least 0, not -1"),
        ("--stroke-size 2", "cyclegan.monet-fine: stroke_size: this model has no brush"),
        ("--palette 1", "cyclegan.monet-fine: palette: this model has none"),
        ("--brush nobody", "brush: no model named 'nobody'"),
        ("--brush absent.yaml", "absent.yaml: this brush cannot be read"),
    ],
)
def test_a_bad_option_is_one_line_and_status_2(folder: Path, words: str, told: str) -> None:
    for command in (["paint", "photo.png", "--model", PLAIN], ["compare", "photo.png", "--models", PLAIN]):
        done = run(folder, *command, "-o", "out.png", *words.split())
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith(f"artgan: {told}")
        assert done.stderr.count("\n") == 1
        assert not (folder / "out.png").exists()


@pytest.mark.slow
def test_compare_paints_with_the_same_options(folder: Path) -> None:
    sheets = []
    for number, words in enumerate(([], ["--brush", "hand.json"], ["--brush", "hand.json", "--seed", "1"])):
        done = run(folder, "compare", "photo.png", "--models", f"{PLAIN},vangogh", "-o", f"{number}.png", *words)
        assert (done.returncode, done.stdout) == (0, f"{number}.png\n")
        with Image.open(folder / f"{number}.png") as sheet:
            sheets.append(sheet.tobytes())
    assert len(set(sheets)) == 3


@pytest.mark.slow
def test_help_names_the_ranges(folder: Path) -> None:
    for command in ("paint", "compare"):
        told = " ".join(run(folder, command, "--help").stdout.replace("│", " ").split())
        for name in ("--brush", "--stroke-size", "--strength", "--keep-colors", "--palette", "--seed"):
            assert name in told
        assert "0.5 to 3" in told
