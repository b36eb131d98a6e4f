"""A study: one option varied through the real program, with figures, a page, and failures that stop nothing."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support import processes

from artgan.discovery import load_plugin
from artgan.errors import ConfigError
from artgan.sampling.noise import Noise
from artgan.training.study import Outcome, parse_vary, plan, spread, summarize

SMALL = ["--steps", "2", "--set", "size=32", "--set", "width=2", "--set", "batch=4", "--set", "workers=0"]
DCGAN = ["--plugin", "dcgan"]


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
    key, values = parse_vary(load_plugin("dcgan").studies["noise"])
    assert key == "noise"
    moments = [(Noise.parse(value).mean, round(Noise.parse(value).variance, 6)) for value in values]
    assert moments == [(0, round(1 / 3, 6)), (0, 1), (2, 2), (-1, 1), (1, 1), (0, 0.01), (0, 100)]


def test_all_values_come_with_the_first_seed_before_the_next() -> None:
    key, plans = plan(load_plugin("dcgan"), "lr=1e-3,1e-4", {"seed": "5", "size": "32"}, seeds=2)
    assert key == "lr"
    assert [(one.value, one.seed, one.config.lr) for one in plans] == [
        ("1e-3", 5, 1e-3),
        ("1e-4", 5, 1e-4),
        ("1e-3", 6, 1e-3),
        ("1e-4", 6, 1e-4),
    ]
    assert all(one.options.seed == one.seed for one in plans)


def test_the_spread_of_pictures_is_their_mean_distance() -> None:
    gray = torch.stack([torch.full((3, 64, 64), value) for value in (-1.0, 0.0, 0.5)])
    assert spread(gray) == pytest.approx((1 + 1.5 + 0.5) / 3)


@pytest.mark.slow
def test_a_study_goes_on_and_ends_in_a_page(pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "study"
    study = ["study", "--plugin", "dcgan", "--vary", "noise=normal(0,1),uniform(-1,1)"]
    words = [*study, "--pictures", pictures, *SMALL, "-o", out]
    done = processes.artgan(*words)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == str(out / "report.html")
    runs = [out / "noise=normal_0_1", out / "noise=uniform_-1_1"]
    configs = [(run / "config.yaml").read_text() for run in runs]
    assert configs[0].replace("normal(0,1)", "uniform(-1,1)") == configs[1], "only what is studied differs"
    page = (out / "report.html").read_text()
    assert "style-filters" in page
    assert "diversity" in page
    assert page.count('alt="real"') == 1
    assert [page.count(f'alt="{name}"') for name in ("normal(0,1)", "uniform(-1,1)")] == [1, 1]
    # Done already: nothing is trained again, even where checkpoints were removed, and the figures are there once.
    shutil.rmtree(runs[0] / "checkpoints")
    logs = [(run / "timing.jsonl").read_bytes() for run in runs]
    models = [(run / "model" / "model.safetensors").read_bytes() for run in runs]
    again = processes.artgan(*words, "--format", "json")
    assert again.returncode == 0, again.stderr
    assert [(run / "timing.jsonl").read_bytes() for run in runs] == logs
    assert [(run / "model" / "model.safetensors").read_bytes() for run in runs] == models
    assert not (runs[0] / "checkpoints").exists()
    for outcome, run in zip(json.loads(again.stdout), runs, strict=True):
        [line] = [json.loads(text) for text in (run / "metrics.jsonl").read_text().splitlines()]
        assert line == {"step": 2, "metrics": outcome["figures"]}
    # With more seeds, the first seed's runs stay, and intervals appear.
    more = processes.artgan(*words, "--seeds", "2", "--format", "json")
    assert more.returncode == 0, more.stderr
    assert [(run / "timing.jsonl").read_bytes() for run in runs] == logs
    seeds = [(outcome["value"], outcome["seed"]) for outcome in json.loads(more.stdout)]
    assert seeds == [("normal(0,1)", 0), ("uniform(-1,1)", 0), ("normal(0,1)", 1), ("uniform(-1,1)", 1)]
    other = (out / "noise=normal_0_1__seed=1" / "config.yaml").read_text()
    assert configs[0].replace("  seed: 0", "  seed: 1") == other, "only the seed differs"
    first, _, third, _ = (outcome["figures"]["diversity"] for outcome in json.loads(more.stdout))
    [kind, _] = summarize(
        [Outcome("a", runs[0], {"diversity": x}, seed=i) for i, x in enumerate((first, third))]
        + [Outcome("b", runs[1], {"diversity": 1.0})]
    )
    low, high = kind.intervals["diversity"]
    assert ((low + high) / 2, high - low) == pytest.approx(((first + third) / 2, 12.706 * abs(first - third)), rel=1e-4)
    assert " ± " in (out / "report.html").read_text()
    # The same folder for something else is refused, run by run.
    other = processes.artgan(*words, "--set", "lr=0.1")
    assert other.returncode == 1
    assert "cannot resume with another config" in other.stderr


@pytest.mark.exhaustive
def test_runs_side_by_side_are_those_one_after_the_other(pictures: Path, tmp_path: Path) -> None:
    words = ["study", *DCGAN, "--vary", "noise=normal(0,1),uniform(-1,1),gamma(2,1)", "--pictures", pictures, *SMALL]
    alone = processes.artgan(*words, "-o", tmp_path / "alone", "--format", "json")
    several = [sys.executable, "-m", "artgan", *words, "--jobs", "2", "-o", tmp_path / "several", "--format", "json"]
    outcomes = json.loads(run(several))
    assert [(one["value"], one["figures"]) for one in outcomes] == [
        (one["value"], pytest.approx(one["figures"], rel=1e-3)) for one in json.loads(alone.stdout)
    ]
    assert (tmp_path / "several" / "report.html").is_file()


@pytest.mark.exhaustive
def test_ctrl_c_ends_all_runs_with_checkpoints_and_they_continue(pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "study"
    words = ["study", *DCGAN, "--vary", "lr=1e-4,2e-4,3e-4", "--pictures", str(pictures), "-o", str(out), *SMALL]
    words += ["--steps", "100000", "--jobs", "2"]
    study = subprocess.Popen([sys.executable, "-m", "artgan", *words], stdout=subprocess.DEVNULL)
    logs = [out / f"lr={value}" / "log.jsonl" for value in ("1e-4", "2e-4")]
    until = time.monotonic() + 120
    while not all(log.is_file() for log in logs):
        assert time.monotonic() < until
        time.sleep(0.1)
    study.send_signal(signal.SIGINT)
    assert study.wait(120) == 130
    assert all([*(log.parent / "checkpoints").glob("step-*")] for log in logs)
    assert not (out / "lr=3e-4").exists()


@pytest.mark.slow
def test_a_run_that_fails_is_told_and_the_next_begins(pictures: Path, tmp_path: Path) -> None:
    study = ["study", "--plugin", "dcgan", "--vary", "lr=1e38,2e-4"]
    done = processes.artgan(*study, "--pictures", pictures, *SMALL, "-o", tmp_path / "s")
    assert done.returncode == 1
    assert "1e38: step" in done.stderr
    assert "no longer finite" in done.stderr
    assert done.stdout.startswith("2e-4  style-filters")
    assert (tmp_path / "s" / "report.html").is_file()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "give a study by name (dense, noise, upsample)"),
        (["sound"], "there is no study 'sound'"),
        (["noise", "--plugin", "nogan"], "no plugin named 'nogan'"),
        (["noise"], "give the folder of pictures: --pictures DIR"),
        ([*DCGAN, "--vary", "nose=1,2"], "there is no option 'nose'"),
        ([*DCGAN, "--vary", "width=4,wide"], "width=wide: must be a whole number"),
        ([*DCGAN, "--vary", "noise=normal(0,1),normal(0,-1)"], "VARIANCE must be greater than 0"),
        (["--vary", "lr=1,2"], "name the plugin to train: --plugin NAME"),
        (["noise", "--plugin", "sngan"], "there is no study 'noise'; there is dense, upsample"),
        (["noise", "--photos", "photos"], "--photos: the plugin dcgan has --pictures"),
        (["noise", "--set", "batch"], "write KEY=VALUE"),
        ([*DCGAN, "--vary", "seed=1,2", "--seeds", "2"], "--seeds: repeats each value with other seeds"),
        (["noise", "--preset", "manet"], "has the presets paper, monet"),
    ],
)
def test_a_wrong_call_is_one_line_and_trains_nothing(words: list[str], told: str, tmp_path: Path) -> None:
    done = processes.artgan("study", *words, "-o", tmp_path / "s")
    assert done.returncode == 2
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "s").exists()


SKETCHER = """
from artgan.plugin import Plugin
plugin = Plugin(
    name="sketcher",
    summary="Photos to sketches",
    config="sketcher_plugin.parts:Config",
    networks="sketcher_plugin.parts:build",
    trainer="sketcher_plugin.parts:Sketcher",
    domains={"sketches": "folder of sketches", "views": "folder of views"},
    target="sketches",
    studies={"rates": "lr=1e-3,1e-2"},
)
"""
SKETCHER_PARTS = """
from dataclasses import dataclass
from artgan.plugin import AdversarialOptions
from artgan.toolkit import Generator, Networks, Trainer, adam
from torch import nn

@dataclass(frozen=True)
class Config(AdversarialOptions):
    pass

class Pen(Generator):
    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(3, 3, 1)
    def forward(self, x):
        return self.layer(x).tanh()

def build(config):
    return Networks({"sketches": Pen()})

class Sketcher(Trainer):
    def __init__(self, networks, config, run):
        super().__init__(networks, config, run)
        self.pen = networks.generators["sketches"]
        self.optimizers = {"pen": adam([self.pen], config)}
    def step(self, batch, index):
        loss = (self.pen(batch["views"]).mean() - batch["sketches"].mean()).square()
        self.run.minimize(loss, self.optimizers["pen"])
        return {"distance/sketches": loss.detach()}
    def sample(self, batch, generators):
        return {"view": batch["views"], "sketch": generators["sketches"](batch["views"])}
"""


@pytest.mark.exhaustive
def test_a_strangers_domains_can_be_studied(
    install_plugin: Callable[..., Path], pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its study is found by its name alone, its domains are options, and its target is compared with."""
    package = install_plugin("sketcher", SKETCHER)
    (package / "parts.py").write_text(SKETCHER_PARTS)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(package.parent), os.environ.get("PYTHONPATH", "")]))
    artgan = [sys.executable, "-m", "artgan", "study"]
    told = run([*artgan, "--help"])
    assert "--sketches" in told
    assert "rates (sketcher)" in told
    assert "folder of views (sketcher)" in told
    small = ["--steps", "2", "--set", "size=32", "--set", "workers=0"]
    folders = ["--sketches", pictures, "--views", pictures]
    out = tmp_path / "study"
    outcomes = json.loads(run([*artgan, "rates", *folders, *small, "-o", out, "--format", "json"]))
    assert [outcome["error"] for outcome in outcomes] == [None, None]
    assert all(outcome["figures"].keys() == {"style-filters", "diversity"} for outcome in outcomes)
    assert (out / "report.html").is_file()


def run(command: Sequence[str | Path]) -> str:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
