"""The training loop through the real program, on real files: what a run leaves, resuming, bad input."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file

import artgan
from artgan.data import Draws, PictureFolder
from artgan.errors import PictureError, TrainingError
from artgan.interfaces import Generator
from artgan.training import checkpoint
from artgan.training.ema import EMA
from artgan.training.options import TrainingOptions

ARTGAN = [sys.executable, "-c", "from artgan.cli import main; main()"]
TINY = [
    "--width",
    "4",
    "--blocks",
    "1",
    "--discriminator-width",
    "4",
    "--pool",
    "2",
    "--size",
    "32",
    "--log-every",
    "1",
]


def train(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [*ARTGAN, "train", "cyclegan", *map(str, arguments)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Pictures of two kinds, of odd sizes, as options of the command."""
    root = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for name, count in (("photos", 5), ("paintings", 3)):
        (root / name).mkdir()
        for index in range(count):
            pixels = rng.integers(0, 256, (40 + index, 50 - index, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / name / f"{index}.png")
    return ["--photos", str(root / "photos"), "--paintings", str(root / "paintings")]


@pytest.mark.slow
def test_a_run_its_resumption_and_its_model(folders: list[str], tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    every = ["--steps", "6", "--checkpoint-every", "2", "--keep", "3", "--sample-every", "3"]
    done = train(*folders, "-o", whole, *every, *TINY)
    assert (done.returncode, done.stdout.strip()) == (0, str(whole / "model"))
    lines = [json.loads(line) for line in (whole / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5, 6]
    assert {"generator/paintings", "cycle/photos", "discriminator/photos"} <= lines[0]["losses"].keys()
    assert [line["rates"]["generators"] / 2e-4 for line in lines] == pytest.approx([1, 1, 1, 1, 2 / 3, 1 / 3])
    assert {p.name for p in (whole / "samples").iterdir()} == {"step-00000003.jpg", "step-00000006.jpg"}
    assert [p.name for p in checkpoint.checkpoints(whole / "checkpoints")] == [f"step-0000000{i}" for i in (2, 4, 6)]
    assert list((whole / "tensorboard").iterdir())
    assert yaml.safe_load((whole / "config.yaml").read_text())["training"]["steps"] == 6

    # Stopped after 4 of the same 6 steps and resumed: byte for byte the same weights and losses.
    done = train(*folders, "-o", parts, *every, *TINY)
    shutil.rmtree(parts / "checkpoints" / "step-00000006")
    resumed = train("-o", parts, "--resume")
    assert resumed.returncode == 0, resumed.stderr
    for model in ("model", "model-photos"):
        expected = load_file(whole / model / "model.safetensors")
        found = load_file(parts / model / "model.safetensors")
        assert all(torch.equal(expected[key], found[key]) for key in expected)
    assert (parts / "log.jsonl").read_bytes() == (whole / "log.jsonl").read_bytes()

    model = artgan.load(f"local-dir:{whole / 'model'}")
    assert model.paint(Image.new("RGB", (33, 21), "teal")).size == (33, 21)

    longer = train("-o", parts, "--resume", "--steps", "7")
    assert longer.returncode == 0, longer.stderr
    assert json.loads((parts / "log.jsonl").read_text().splitlines()[-1])["step"] == 7
    assert yaml.safe_load((parts / "config.yaml").read_text())["training"]["steps"] == 7

    another = train("-o", whole, "--resume", "--lr", "0.1")
    assert another.returncode == 2
    assert "cannot resume with another config: lr was 0.0002, now 0.1" in another.stderr


@pytest.mark.slow
def test_bad_calls_give_one_line_and_leave_nothing(folders: list[str], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "precious").write_text("")
    (tmp_path / "odd.yaml").write_text("config: {wdith: 3}")
    photos = folders[:2]
    run = ["-o", str(tmp_path / "run")]
    cases = [
        ([*folders], "give the run's folder: -o RUN"),
        ([*photos, *run], "--paintings DIR"),
        ([*photos, "--paintings", str(tmp_path / "empty"), *run], "no pictures in it"),
        ([*photos, "--paintings", str(tmp_path / "absent"), *run], "no such folder"),
        ([*folders, "-o", str(tmp_path / "taken")], "not a new or empty folder"),
        ([*folders, *run, "--resume"], "cannot read the run's configuration"),
        ([*folders, *run, "--config", str(tmp_path / "odd.yaml")], "did you mean 'width'"),
        ([*folders, *run, "--loss", "wgan"], "must be one of lsgan, hinge"),
        ([*folders, *run, "--steps", "1", "--epochs", "1"], "steps or epochs, not both"),
        ([*folders, *run, "--preset", "huge"], "has the presets paper, compact"),
        ([*folders, *run, "--device", "warp"], "warp"),
    ]
    for arguments, told in cases:
        done = train(*arguments)
        assert done.returncode == 2, arguments
        assert told in done.stderr, (arguments, done.stderr)
        assert not (tmp_path / "run").exists(), arguments
    assert [p.name for p in (tmp_path / "taken").iterdir()] == ["precious"]


def test_draws_depend_on_seed_and_step_alone_and_take_each_domain_afresh(folders: list[str]) -> None:
    domains = {"photos": PictureFolder(folders[1]), "paintings": PictureFolder(folders[3])}

    def draws(seed: int) -> Draws:
        return Draws(domains, size=16, batch=2, seed=seed, batches=100)

    first, again, other = draws(0), draws(0), draws(1)
    assert first[7]["photos"].shape == (2, 3, 16, 16)
    assert first[7]["photos"].dtype == torch.uint8
    assert all(torch.equal(first[7][name], again[7][name]) for name in domains)
    assert not torch.equal(first[7]["photos"], first[8]["photos"])
    assert not torch.equal(first[7]["photos"], other[7]["photos"])


def test_every_picture_is_drawn_and_both_flips(tmp_path: Path) -> None:
    """Crops as large as the pictures: what is drawn is the picture or its mirror image."""
    pictures = [Image.fromarray(np.random.default_rng(i).integers(0, 256, (8, 8, 3), dtype=np.uint8)) for i in range(4)]
    expected = {np.asarray(p)[:, ::step].tobytes() for p in pictures for step in (1, -1)}
    draws = Draws({"photos": pictures}, size=8, batch=1, seed=0, batches=200)
    seen = {draws[i]["photos"][0].permute(1, 2, 0).numpy().tobytes() for i in range(200)}
    assert seen == expected


def test_small_pictures_are_enlarged_to_the_crop() -> None:
    draws = Draws({"photos": [Image.new("RGB", (9, 20), "red")]}, size=32, batch=1, seed=0, batches=1)
    assert draws[0]["photos"].shape == (1, 3, 32, 32)


def test_a_folders_fingerprint_tells_sets_apart(folders: list[str]) -> None:
    photos, paintings = PictureFolder(folders[1]), PictureFolder(folders[3])
    assert photos.fingerprint() == PictureFolder(folders[1]).fingerprint() != paintings.fingerprint()
    with pytest.raises(PictureError, match="no such folder"):
        PictureFolder(folders[1] + "-absent")


def test_ema_is_the_weighted_mean_and_copies_buffers() -> None:
    class Scale(Generator):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))
            self.register_buffer("count", torch.zeros(1))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * self.weight

    network = Scale()
    ema = EMA({"g": network}, decay=0.5)
    expected = 0.0
    for step in range(20):
        with torch.no_grad():
            network.weight.fill_(float(step))
            network.count.fill_(float(step))
        ema.update({"g": network}, step)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * step
    assert float(ema.generators["g"].weight) == pytest.approx(expected, rel=1e-6)
    assert float(ema.generators["g"].count) == 19


def test_a_checkpoint_returns_what_it_took(tmp_path: Path) -> None:
    shared = torch.arange(3.0)
    state: dict[str, Any] = {
        "a": {0: {"exp_avg": shared, "step": torch.tensor(4)}},
        "b": [shared, 1.5, None, "x"],
        "rng": torch.get_rng_state(),
    }
    for step in (1, 2, 3):
        checkpoint.save(tmp_path, step, {"shared": state}, keep=2)
    assert [p.name for p in checkpoint.checkpoints(tmp_path)] == ["step-00000002", "step-00000003"]
    newest = checkpoint.newest(tmp_path)
    assert checkpoint.step_of(newest) == 3
    found = checkpoint.load(newest, "shared")
    assert torch.equal(found["a"][0]["exp_avg"], shared)
    assert found["b"][1:] == [1.5, None, "x"]
    assert torch.equal(found["rng"], state["rng"])
    with pytest.raises(TrainingError, match="has no part process-1"):
        checkpoint.load(newest, "process-1")
    with pytest.raises(TrainingError, match="no checkpoint"):
        checkpoint.newest(tmp_path / "none")


@pytest.mark.parametrize("damage", ["cut", "bit", "missing", "no manifest", "empty"])
def test_the_newest_good_checkpoint_is_found(tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    for step in (1, 2):
        checkpoint.save(tmp_path, step, {"shared": {"a": torch.arange(1000.0)}}, keep=2)
    newest = tmp_path / "step-00000002"
    tensors = newest / "shared.safetensors"
    if damage == "cut":
        tensors.write_bytes(tensors.read_bytes()[:100])
    elif damage == "bit":
        data = bytearray(tensors.read_bytes())
        data[-5] ^= 1
        tensors.write_bytes(data)
    elif damage == "missing":
        tensors.unlink()
    elif damage == "no manifest":
        (newest / "manifest.json").unlink()
    else:
        for path in newest.iterdir():
            path.unlink()
    assert checkpoint.newest(tmp_path).name == "step-00000001"
    assert "step-00000002: damaged checkpoint" in caplog.text
    assert "resuming from step-00000001" in caplog.text
    (tmp_path / "step-00000001" / "manifest.json").write_text("{}")
    with pytest.raises(TrainingError, match="no older checkpoint is whole"):
        checkpoint.newest(tmp_path)


def test_a_checkpoint_of_another_version_is_refused(tmp_path: Path) -> None:
    old = tmp_path / "step-00000001"
    old.mkdir()
    (old / "state.json").write_text('{"format": 1}')
    with pytest.raises(TrainingError, match="written by an older artgan"):
        checkpoint.newest(tmp_path)
    checkpoint.save(tmp_path, 2, {"shared": {}}, keep=2)
    manifest = tmp_path / "step-00000002" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"format": 2', '"format": 3'))
    with pytest.raises(TrainingError, match=r"another version of artgan \(format 3"):
        checkpoint.newest(tmp_path)


def test_the_schedule() -> None:
    options = TrainingOptions(epochs=3, batch=2)
    assert options.total_steps(5) == 9
    assert TrainingOptions().total_steps(10) == 2000
    factors = [options.learning_rate_factor(step, 10) for step in range(10)]
    assert factors == pytest.approx([1, 1, 1, 1, 1, 1, 0.8, 0.6, 0.4, 0.2])
