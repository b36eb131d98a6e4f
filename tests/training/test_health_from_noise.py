"""The alarms on the plugins that make pictures from noise: each trouble is forced in a real run of the command."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support import processes

SMALL = {
    "dcgan": ["--width", "4"],
    "sngan": ["--width", "32", "--discriminator-width", "4", "--discriminator-steps", "1"],
}
FORCED = {
    # A discriminator that learns fast against a generator that does not.
    "discriminator-won": ["--lr", "1e-7", "--lr-discriminator", "2e-3"],
    # Noise that hardly differs: nothing tells the pictures apart.
    "collapse": ["--noise", "normal(3,1e-8)"],
    None: ["--lr", "1e-3"],
}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixteen pictures of soft patches."""
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for index in range(16):
        Image.fromarray(rng.integers(0, 256, (4, 4, 3), np.uint8)).resize((32, 32)).save(folder / f"{index}.png")
    return folder


PER_CHANGE = {("dcgan", "discriminator-won")}


@pytest.mark.parametrize(
    ("plugin", "trouble"),
    [
        pytest.param(plugin, trouble, marks=() if (plugin, trouble) in PER_CHANGE else pytest.mark.exhaustive)
        for plugin in SMALL
        for trouble in FORCED
    ],
)
@pytest.mark.slow
@pytest.mark.numerical
def test_what_is_forced_is_told_and_a_healthy_run_is_left_in_peace(
    plugin: str, trouble: str | None, pictures: Path, tmp_path: Path
) -> None:
    words = [*SMALL[plugin], *FORCED[trouble], "--size", "32", "--batch", "4", "--steps", "400", "--device", "cpu"]
    every = ["--workers", "0", "--sample-every", "400", "--checkpoint-every", "400"]
    done = processes.artgan("train", plugin, "--pictures", pictures, "-o", tmp_path / "run", *words, *every)
    assert done.returncode == 0, done.stderr
    record = tmp_path / "run" / "health.jsonl"
    told = {json.loads(line)["kind"] for line in record.read_text().splitlines()} if record.exists() else set()
    if trouble is None:
        assert told == set()
    else:
        assert trouble in told
        assert "Likely remedies" in done.stderr
