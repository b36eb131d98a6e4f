"""A study: one option varied through the real program, with figures, a page, and failures that stop nothing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support import processes

from artgan.errors import ConfigError
from artgan.sampling.noise import Noise
from artgan.training.study import STUDIES, parse_vary, spread

SMALL = ["--steps", "2", "--set", "size=32", "--set", "width=2", "--set", "batch=4", "--set", "workers=0"]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for index in range(6):
        Image.fromarray(rng.integers(0, 256, (40, 44, 3), np.uint8)).save(folder / f"{index}.png")
    return folder


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("lr=1,2", ("lr", ["1", "2"])),
        ("noise=uniform(-1,1), normal(0,1)", ("noise", ["uniform(-1,1)", "normal(0,1)"])),
        ("discriminator-steps=1,2,3", ("discriminator_steps", ["1", "2", "3"])),
    ],
)
def test_what_is_varied(text: str, parsed: tuple[str, list[str]]) -> None:
    assert parse_vary(text) == parsed


@pytest.mark.parametrize("text", ["", "lr", "lr=", "=1,2", "lr=1", "lr=1,1", "lr=1,,2"])
def test_what_is_no_study(text: str) -> None:
    with pytest.raises(ConfigError, match="--vary"):
        parse_vary(text)


def test_the_study_of_noise_is_the_projects() -> None:
    key, values = parse_vary(STUDIES["noise"])
    assert key == "noise"
    moments = [(Noise.parse(value).mean, round(Noise.parse(value).variance, 6)) for value in values]
    assert moments == [(0, round(1 / 3, 6)), (0, 1), (2, 2), (-1, 1), (1, 1), (0, 0.01), (0, 100)]


def test_the_spread_of_pictures_is_their_mean_distance() -> None:
    grey = torch.stack([torch.full((3, 64, 64), value) for value in (-1.0, 0.0, 0.5)])
    assert spread(grey) == pytest.approx((1 + 1.5 + 0.5) / 3)


@pytest.mark.slow
def test_a_study_goes_on_and_ends_in_a_page(pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "study"
    words = ["study", "--vary", "noise=normal(0,1),uniform(-1,1)", "--pictures", pictures, *SMALL, "-o", out]
    done = processes.artgan(*words)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == str(out / "report.html")
    runs = [out / "noise=normal_0_1", out / "noise=uniform_-1_1"]
    configs = [(run / "config.yaml").read_text() for run in runs]
    assert configs[0].replace("normal(0,1)", "uniform(-1,1)") == configs[1], "only what is studied differs"
    page = (out / "report.html").read_text()
    assert "style-distance-filters" in page
    assert "diversity" in page
    # Done already: nothing is trained again, and the figures are there once.
    logs = [(run / "timing.jsonl").read_bytes() for run in runs]
    again = processes.artgan(*words, "--format", "json")
    assert again.returncode == 0, again.stderr
    assert [(run / "timing.jsonl").read_bytes() for run in runs] == logs
    for outcome, run in zip(json.loads(again.stdout), runs, strict=True):
        [line] = [json.loads(text) for text in (run / "metrics.jsonl").read_text().splitlines()]
        assert line == {"step": 2, "metrics": outcome["figures"]}
    # The same folder for something else is refused, run by run.
    other = processes.artgan(*words, "--set", "lr=0.1")
    assert other.returncode == 1
    assert "cannot resume with another config" in other.stderr


@pytest.mark.slow
def test_a_run_that_fails_is_told_and_the_next_begins(pictures: Path, tmp_path: Path) -> None:
    done = processes.artgan("study", "--vary", "lr=1e38,2e-4", "--pictures", pictures, *SMALL, "-o", tmp_path / "s")
    assert done.returncode == 1
    assert "1e38: step" in done.stderr
    assert "no longer finite" in done.stderr
    assert done.stdout.startswith("2e-4  style-distance-filters")
    assert (tmp_path / "s" / "report.html").is_file()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "give a study by name (noise)"),
        (["sound"], "there is no study 'sound'"),
        (["noise", "--plugin", "nogan"], "no plugin named 'nogan'"),
        (["noise"], "give the folder of pictures: --pictures DIR"),
        (["--vary", "nose=1,2"], "there is no option 'nose'"),
        (["--vary", "width=4,wide"], "width=wide: must be a whole number"),
        (["--vary", "noise=normal(0,1),normal(0,-1)"], "VARIANCE must be greater than 0"),
        (["noise", "--set", "batch"], "write KEY=VALUE"),
        (["noise", "--preset", "manet"], "has the presets paper, monet"),
    ],
)
def test_a_wrong_call_is_one_line_and_trains_nothing(words: list[str], told: str, tmp_path: Path) -> None:
    done = processes.artgan("study", *words, "-o", tmp_path / "s")
    assert done.returncode == 2
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "s").exists()
