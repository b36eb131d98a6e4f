"""A run that is killed, at any point, and resumed ends byte for byte as the one that never was.

Runs are real processes, forked so that twenty cost little; they are killed by SIGKILL at random moments.
"""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.processes import FORKED, as_if_started

from artgan.config import parse
from artgan.discovery import load_plugin, resolve
from artgan.training.options import TrainingOptions

# Everything that a run could forget: history, averages, noise, spectral vectors, rounds and half-full accumulation.
CYCLEGAN = {
    "width": 4,
    "blocks": 1,
    "discriminator_width": 4,
    "pool": 3,
    "identity_every": 3,
    "spectral_norm": True,
    "discriminator_steps": 2,
    "r1": 1.0,
    "r1_every": 3,
    "diffaugment": "color,translation,cutout",
    "skip_below": 0.05,
}
TRAINING = {"size": 32, "accumulate": 2, "log_every": 4, "checkpoint_every": 3, "sample_every": 10, "device": "cpu"}

# A plugin with what CycleGAN does not have: noise, batch norm (buffers), dropout, and draws from all generators.
NOISE = """
from artgan.plugin import Plugin
plugin = Plugin(name="noise", summary="", config="noise_plugin.parts:Config", networks="noise_plugin.parts:build",
                trainer="noise_plugin.parts:Noise", domains={"pictures": "folder of pictures"},
                metrics={"wave": "noise_plugin.parts:Wave"})
"""
NOISE_PARTS = """
import random
from dataclasses import dataclass
import numpy as np
import torch
from torch import nn
from artgan.interfaces import Discriminator, Generator, Metric, Networks, Score, Trainer
from artgan.training.adversarial import Adversary, adam
from artgan.training.options import AdversarialOptions

@dataclass(frozen=True)
class Config(AdversarialOptions):
    pass

class G(Generator):
    task = "noise-to-image"
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(8, 3 * 64), nn.BatchNorm1d(3 * 64), nn.ReLU(), nn.Dropout(0.2))
    def forward(self, z):
        return self.layers(z).view(-1, 3, 8, 8).repeat_interleave(4, 2).repeat_interleave(4, 3).tanh()

class D(Discriminator):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 8, 8, 8), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 1, 4))
    def judge(self, observed):
        return (self.layers(observed[0]),)

def build(config):
    return Networks({"pictures": G()}, {"pictures": D()})

class Noise(Trainer):
    def __init__(self, networks, config, run):
        super().__init__(networks, config, run)
        self.adversary = Adversary(networks.discriminators, config, run)
        self.g = networks.generators["pictures"]
        self.optimizers = {"g": adam([self.g], config), "d": self.adversary.optimizer}
    def step(self, batch, index):
        shift = random.random() + float(np.random.rand())
        made = self.g(torch.randn(len(batch["pictures"]), 8) + 0.1 * shift)
        loss = self.adversary.generator_loss("pictures", made)
        self.run.minimize(loss, self.optimizers["g"])
        return {"generator/pictures": loss.detach(), **self.adversary.step(index, batch, {})}
    def sample(self, batch, generators):
        return {"made": generators["pictures"](torch.randn(8, 8))}
    def outputs(self, batch, generators):
        return {"pictures": (None, generators["pictures"](torch.randn(4, 8)))}

class Wave(Metric):  # whether one step is better than another is as good as random, but the same in every run
    name = "wave"
    better = "higher"
    def __init__(self):
        self.sum = 0.0
    def update(self, pictures, *, real):
        self.sum += float(pictures.double().sum())
    def compute(self):
        return Score(self.name, float(np.sin(1e4 * self.sum)), (1, 1))
"""


def _train(plugin: str, config: dict[str, Any], training: dict[str, Any], folders: dict[str, Path], out: Path) -> None:
    import torch

    from artgan.training.loop import train

    torch.set_num_threads(1)
    as_if_started()
    found = load_plugin(plugin)
    train(
        found,
        parse(resolve(found, "config"), config, where=plugin),
        parse(TrainingOptions, training, where="training"),
        folders,
        out,
        resume=(out / "config.yaml").exists(),
    )


def _train_as(rank: int, of: int, port: int, *arguments: Any) -> None:
    """As ``torchrun`` would start it."""
    os.environ |= {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(of),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    _train(*arguments)


def _start(processes: int, *arguments: Any) -> list[Any]:
    if processes == 1:
        started = [FORKED.Process(target=_train, args=arguments)]
    else:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        started = [
            FORKED.Process(target=_train_as, args=(rank, processes, port, *arguments)) for rank in range(processes)
        ]
    for process in started:
        process.start()
    return started


def _finish(started: list[Any]) -> None:
    for process in started:
        process.join(240)
        assert process.exitcode == 0


def _steps_seen(out: Path) -> int:
    """How far a run is, by its log."""
    try:
        lines = (out / "timing.jsonl").read_text().splitlines()
        return int(json.loads(lines[-1])["step"])
    except (OSError, ValueError, IndexError):
        return 0


def _killed_and_resumed(points: list[int], rng: random.Random, processes: int, out: Path, *arguments: Any) -> int:
    """Kill a run after each of these steps and at a random moment of what follows; then let it end."""
    kills = 0
    for point in points:
        started = _start(processes, *arguments, out)
        while _steps_seen(out) < point and all(process.is_alive() for process in started):
            time.sleep(0.002)
        time.sleep(rng.uniform(0, 0.15))
        for process in started:
            if process.is_alive():
                os.kill(process.pid, signal.SIGKILL)
                kills += 1
        for process in started:
            process.join(60)
    _finish(_start(processes, *arguments, out))
    return kills


def _same(whole: Path, parts: Path) -> None:
    """All that a run ends with, byte for byte: log, models, and the whole state."""
    names = [path.relative_to(whole) for path in whole.rglob("*") if path.is_file()]
    kept = [
        n
        for n in names
        if n.parts[0] in ("log.jsonl", "health.jsonl", "metrics.jsonl", "checkpoints", "samples", "best")
        or "model" in n.parts[0]
    ]
    assert {n.parts[0] for n in kept} >= {"log.jsonl", "checkpoints", "samples", "model"}
    different = [str(n) for n in kept if (whole / n).read_bytes() != (parts / n).read_bytes()]
    assert not different


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A folder for each domain of either plugin."""
    root = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for name, count in (("photos", 5), ("paintings", 3), ("pictures", 6)):
        (root / name).mkdir()
        for index in range(count):
            pixels = rng.integers(0, 256, (20, 24, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / name / f"{index}.png")
    return {name: root / name for name in ("photos", "paintings", "pictures")}


@pytest.fixture
def noise(install_plugin: Callable[..., Path]) -> None:
    """The plugin ``noise``, installed."""
    package = install_plugin("noise", NOISE)
    (package / "parts.py").write_text(NOISE_PARTS)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("plugin", "processes", "kills"),
    [
        ("cyclegan", 1, 2),
        ("noise", 2, 2),
        *(
            pytest.param(plugin, processes, kills, marks=pytest.mark.exhaustive)
            for plugin, processes, kills in (
                ("cyclegan", 1, 5),
                ("cyclegan", 2, 2),
                ("noise", 1, 5),
                *((plugin, *times) for plugin in ("cyclegan", "noise") for times in ((1, 20), (2, 6))),
            )
        ),
    ],
)
def test_a_killed_and_resumed_run_is_the_one_never_stopped(
    plugin: str, processes: int, kills: int, pictures: dict[str, Path], tmp_path: Path, noise: None
) -> None:
    rng = random.Random(f"{plugin} {processes}")
    steps = 44 if kills > 5 else 14
    config: dict[str, Any] = CYCLEGAN if plugin == "cyclegan" else {"diffaugment": "color"}
    training = {
        **TRAINING,
        "steps": steps,
        "log_every": 1 if plugin == "noise" else 2,
        "batch": 1 if plugin == "cyclegan" else 4,
        **({"keep_best": "wave", "held_out": 2, "metrics_every": 2} if plugin == "noise" else {}),
    }
    domains = load_plugin(plugin).domains
    arguments = (plugin, config, training, {name: pictures[name] for name in domains})
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    _finish(_start(processes, *arguments, whole))
    points = sorted(rng.sample(range(1, steps - 1), kills))
    killed = _killed_and_resumed(points, rng, processes, parts, *arguments)
    assert killed >= kills * processes // 2, "the runs ended before they could be killed"
    assert (whole / "best").exists() == (plugin == "noise")
    _same(whole, parts)
    assert len((parts / "sessions.jsonl").read_text().splitlines()) > 1


def _train_until_the_last_checkpoint(*arguments: Any) -> None:
    """Killed when the last checkpoint is written and the model is not."""
    from artgan.training.session import Session

    save = Session.save_models

    def save_all_but_the_last(self: Any, out: Path, step: int) -> None:
        if step == 4:
            os.kill(os.getpid(), signal.SIGKILL)
        save(self, out, step)

    Session.save_models = save_all_but_the_last
    _train(*arguments)


def _train_until_a_step(last: int, *arguments: Any) -> None:
    """Killed in the middle of a step, when the networks have grown and the discriminator has learned."""
    from artgan.training.adversarial import Adversary

    update = Adversary.step

    def update_and_die(self: Any, index: int, *given: Any) -> Any:
        figures = update(self, index, *given)
        if index == last:
            os.kill(os.getpid(), signal.SIGKILL)
        return figures

    Adversary.step = update_and_die
    _train(*arguments)


@pytest.mark.slow
def test_a_run_killed_while_a_resolution_fades_in_is_the_one_never_stopped(
    pictures: dict[str, Path], tmp_path: Path
) -> None:
    """Checkpoints after steps 3 to 15; resolutions appear with steps 5, 9 and 13 (from 1), and fade in over three."""
    growing = {"size": 32, "width": 4, "multiscale": "progressive", "phase_steps": 4, "fade_in": 0.75, "r1": 1.0}
    config = {**growing, "r1_every": 2, "diffaugment": "color,translation"}
    training = {**TRAINING, "steps": 16, "log_every": 1, "batch": 4, "accumulate": 1}
    arguments = ("dcgan", config, training, {"pictures": pictures["pictures"]})
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    _finish(_start(1, *arguments, whole))
    for index in (6, 13):  # resumed from checkpoints in the fade-ins of two resolutions, after steps 6 and 12
        killed = FORKED.Process(target=_train_until_a_step, args=(index, *arguments, parts))
        killed.start()
        killed.join(240)
        assert killed.exitcode == -signal.SIGKILL
    _finish(_start(1, *arguments, parts))
    _same(whole, parts)
    starts = [json.loads(line)["step"] for line in (parts / "sessions.jsonl").read_text().splitlines()]
    assert starts == [0, 6, 12]


@pytest.mark.exhaustive
def test_a_run_killed_before_its_last_model_is_written_writes_it_when_resumed(
    pictures: dict[str, Path], tmp_path: Path
) -> None:
    folders = {name: pictures[name] for name in load_plugin("cyclegan").domains}
    arguments = ("cyclegan", CYCLEGAN, {**TRAINING, "steps": 4, "log_every": 1}, folders)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    _finish(_start(1, *arguments, whole))
    killed = FORKED.Process(target=_train_until_the_last_checkpoint, args=(*arguments, parts))
    killed.start()
    killed.join(240)
    assert killed.exitcode == -signal.SIGKILL
    _finish(_start(1, *arguments, parts))
    _same(whole, parts)
    assert (parts / "report.html").exists()


@pytest.mark.slow
def test_two_processes_draw_different_pictures_and_agree(pictures: dict[str, Path], tmp_path: Path) -> None:
    """Two processes are one with twice the pictures in a step, if the pictures are the same."""
    one = {**CYCLEGAN, "pool": 0, "diffaugment": "", "skip_below": 0.0}
    domains = {name: pictures[name] for name in ("photos", "paintings")}
    training = {**TRAINING, "steps": 2, "checkpoint_every": 2}
    _finish(_start(2, "cyclegan", one, training, domains, tmp_path / "two"))
    from artgan.training import checkpoint

    last = checkpoint.newest(tmp_path / "two" / "checkpoints")
    states = [checkpoint.load(last, f"process-{rank}") for rank in (0, 1)]
    assert states[0]["random"]["python"] != states[1]["random"]["python"]
    # Another number of processes would go on with other draws.
    started = _start(1, "cyclegan", one, {**training, "steps": 4}, domains, tmp_path / "two")
    started[0].join(120)
    assert started[0].exitcode == 1
