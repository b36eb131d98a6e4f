"""scripts/find_brush.py: its terms against closed forms, and a search of one generation."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import energy_distance
from support import ROOT, plain_vgg

from artgan.painting.brushwork import Brush
from artgan.training.underpaint import Underpainter

SCRIPT = ROOT / "scripts/find_brush.py"


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    return runpy.run_path(str(SCRIPT))


def test_a_point_of_the_cube_is_a_brush_and_back(script: dict[str, Any]) -> None:
    point = np.linspace(0.1, 0.9, len(script["RANGES"]))
    values = script["parameters"](point)
    palette = values.pop("palette")
    assert script["point_of"](Brush(**values), palette) == pytest.approx(list(point), abs=0.01)
    assert script["parameters"](point * 0 - 1)["largest"] == script["RANGES"]["largest"][0]


def test_the_energy_distance_is_scipys(script: dict[str, Any]) -> None:
    """SciPy's is the root of the biased one: pairs of a picture with itself count there."""
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(400, 1, generator=generator), torch.randn(300, 1, generator=generator) + 1
    expected = energy_distance(a[:, 0].numpy(), b[:, 0].numpy()) ** 2
    assert script["energy_distance"](a, b) == pytest.approx(expected, abs=0.01)
    assert script["energy_distance"](a[:200], a[200:]) == pytest.approx(0, abs=0.05)


@pytest.mark.slow
def test_told_is_the_share_of_the_labels_that_is_explained(script: dict[str, Any]) -> None:
    """Two Gaussians a distance d apart: labels of -1 and 1 are explained to d^2 / (4 + d^2)."""
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(60, 16, 2, generator=generator) for _ in range(2))
    assert script["told"](a, b) < 0.02
    assert script["told"](a, b + torch.tensor([2.0, 0.0])) == pytest.approx(4 / 8, abs=0.05)
    assert script["told"](a, b + 100) > 0.95


@pytest.mark.exhaustive
def test_a_search_writes_brushwork_that_can_be_trained_on(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name in ("photos", "paintings"):
        (tmp_path / name).mkdir()
        for number in range(4):
            coarse = Image.fromarray(rng.integers(0, 256, (5, 5, 3), dtype=np.uint8))
            coarse.resize((256, 256), Image.Resampling.BICUBIC).save(tmp_path / name / f"{number}.png")
    features = plain_vgg.write(tmp_path / "vgg19.safetensors", "vgg19", "conv4_1")
    words = [tmp_path / "photos", tmp_path / "paintings", "--vgg19", features, "--pictures", 4]

    def run(*more: object) -> list[str]:
        command = [sys.executable, str(SCRIPT), *map(str, (*words, *more))]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        return [line.split(":")[0] for line in done.stdout.splitlines()]

    run("-o", tmp_path / "brush.json", "--population", 3, "--generations", 1)
    found = json.loads((tmp_path / "brush.json").read_text())
    assert {"brush", "palette", "colors"} == found.keys()
    assert Underpainter.of(str(tmp_path / "brush.json")).brushwork.strength == found["palette"]
    scored = run("--start", tmp_path / "brush.json", "--score", "cyclegan.monet-fine")
    assert scored == ["photos", "under-paintings", "cyclegan.monet-fine"]
