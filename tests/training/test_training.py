"""The training loop through the real program, on real files: what a run leaves, resuming, bad input."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file
from support import processes

import artgan
from artgan.config import parse
from artgan.data import PictureFolder
from artgan.data.crops import Draws, center_crop
from artgan.discovery import load_plugin, resolve
from artgan.errors import PictureError, PluginError, TrainingError
from artgan.interfaces import Generator
from artgan.metrics.extractors import Filters
from artgan.metrics.style_distance import FilterStyle
from artgan.training import checkpoint, loop
from artgan.training.devices import accelerator_for
from artgan.training.ema import EMA
from artgan.training.options import TrainingOptions
from artgan.training.session import Session
from artgan.training.settings import configure

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
    "--workers",
    "0",  # other processes read ahead in test_resume.py
]


def train(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    done = processes.artgan("train", "cyclegan", *arguments)
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
@pytest.mark.numerical
def test_a_run_its_resumption_and_its_model(folders: list[str], tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    every = ["--steps", "6", "--checkpoint-every", "2", "--keep", "3", "--sample-every", "3", "--models-every", "3"]
    done = train(*folders, "-o", whole, *every, *TINY)
    assert (done.returncode, done.stdout.strip()) == (0, str(whole / "model"))
    lines = [json.loads(line) for line in (whole / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5, 6]
    assert {"generator/paintings", "cycle/photos", "discriminator/photos"} <= lines[0]["losses"].keys()
    assert [line["rates"]["generators"] / 2e-4 for line in lines] == pytest.approx([1, 1, 1, 1, 2 / 3, 1 / 3])
    assert {p.name for p in (whole / "samples").iterdir()} == {f"step-0000000{n}.jpg" for n in (0, 3, 6)}
    assert [p.name for p in checkpoint.checkpoints(whole / "checkpoints")] == [f"step-0000000{i}" for i in (2, 4, 6)]
    assert list((whole / "tensorboard").iterdir())
    assert yaml.safe_load((whole / "config.yaml").read_text())["training"]["steps"] == 6

    assert {p.name for p in (whole / "models").iterdir()} == {
        f"step-0000000{step}{way}" for step in (3, 6) for way in ("", "-photos")
    }
    kept = [load_file(whole / folder / "model.safetensors") for folder in ("model", "models/step-00000006")]
    assert all(torch.equal(kept[0][key], kept[1][key]) for key in kept[0])

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

    older = yaml.safe_load((parts / "config.yaml").read_text())  # a run of before some options were there
    del older["config"]["lambda_style"], older["training"]["models_every"]
    (parts / "config.yaml").write_text(yaml.safe_dump(older))
    longer = train("-o", parts, "--resume", "--steps", "7")
    assert longer.returncode == 0, longer.stderr
    assert json.loads((parts / "log.jsonl").read_text().splitlines()[-1])["step"] == 7
    assert yaml.safe_load((parts / "config.yaml").read_text())["training"]["steps"] == 7

    another = train("-o", whole, "--resume", "--pool", "3")
    assert another.returncode == 2
    assert "cannot resume with another config: --pool was 2, now 3" in another.stderr


@pytest.mark.slow
def test_a_resumed_run_has_the_averages_of_its_optimizers_in_the_parameters_order(
    folders: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fused steps on a GPU refuse others; checkpoints do not keep strides."""
    out = tmp_path / "run"
    given = [*folders, "-o", out, "--channels-last", "--checkpoint-every", "2", *TINY]
    assert train(*given, "--steps", "2").returncode == 0
    found: list[bool] = []
    restore = Session.restore

    def looked_at(session: Session, *arguments: Any) -> int:
        done = restore(session, *arguments)
        for optimizer in session.trainer.optimizers.values():
            for parameter, state in optimizer.state.items():
                found.append(state["exp_avg"].stride() == parameter.stride() == state["exp_avg_sq"].stride())
        return done

    monkeypatch.setattr(Session, "restore", looked_at)
    plugin = load_plugin("cyclegan")
    stored = yaml.safe_load((out / "config.yaml").read_text())
    config, options = configure(plugin, {"steps": 3}, stored=stored)
    loop.train(
        plugin, config, options, {name: data["folder"] for name, data in stored["data"].items()}, out, resume=True
    )
    assert len(found) > 10
    assert all(found)


@pytest.mark.slow
@pytest.mark.numerical
def test_a_run_starts_from_a_models_weights(folders: list[str], tmp_path: Path) -> None:
    """At a rate near 0 it ends with them; another network's are refused before anything is written."""
    first, second = tmp_path / "first", tmp_path / "second"
    assert train(*folders, "-o", first, "--steps", "2", *TINY).returncode == 0
    start = ["--start-from", f"local-dir:{first / 'model'}"]
    done = train(*folders, "-o", second, "--steps", "1", "--seed", "5", "--lr", "1e-12", *start, *TINY)
    assert done.returncode == 0, done.stderr
    began, ended = (load_file(run / "model" / "model.safetensors") for run in (first, second))
    for key, value in began.items():
        torch.testing.assert_close(ended[key], value, atol=1e-9, rtol=0)

    shutil.rmtree(first)  # a run that goes on needs it no more
    assert train("-o", second, "--resume", "--steps", "2").returncode == 0

    for name, says in (
        ("monet", "its network is not the one that these options build (Unexpected key(s) in "),
        ("nobody", "no model named 'nobody'"),
    ):
        done = train(*folders, "-o", tmp_path / "none", "--steps", "1", "--start-from", name, *TINY)
        assert done.returncode == 2
        assert says in done.stderr
        assert "Traceback" not in done.stderr
        assert not (tmp_path / "none").exists()


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
        ([*folders, *run, "--loss", "wgan"], "must be one of lsgan, hinge, nonsaturating"),
        ([*folders, *run, "--steps", "1", "--epochs", "1"], "steps or epochs, not both"),
        ([*folders, *run, "--preset", "huge"], "has the presets paper, compact"),
        ([*folders, *run, "--device", "warp"], "warp"),
        ([*folders, *run, "--size", "16"], "these networks need pictures of at least 24 x 24 pixels"),
        ([*folders, *run, "--size", "33"], "need a multiple of 4"),
        ([*folders, *run, "--precision", "fp16", "--device", "cpu"], "fp16 needs a GPU"),
        ([*folders, *run, "--diffaugment", "rainbow"], "not 'rainbow'"),
        ([*folders, *run, "--loss", "hinge", "--real-label", "0.9"], "the hinge loss has no labels"),
    ]
    for arguments, told in cases:
        done = train(*arguments)
        assert done.returncode == 2, arguments
        assert told in done.stderr, (arguments, done.stderr)
        assert not (tmp_path / "run").exists(), arguments
    assert [p.name for p in (tmp_path / "taken").iterdir()] == ["precious"]


@pytest.mark.slow
def test_one_picture_is_enough_and_small_ones_are_enlarged(tmp_path: Path) -> None:
    for name in ("photos", "paintings"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (9, 30), "teal").save(tmp_path / name / "only.png")
    done = train(
        "--photos",
        tmp_path / "photos",
        "--paintings",
        tmp_path / "paintings",
        "-o",
        tmp_path / "run",
        "--steps",
        "2",
        *TINY,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_a_run_is_interrupted_between_steps_and_says_how_to_go_on(folders: list[str], tmp_path: Path) -> None:
    """A terminal, and some schedulers, send the signal to the processes that read pictures too."""
    for number, name in ((signal.SIGINT, "int"), (signal.SIGTERM, "term")):
        out = tmp_path / name
        command = [*ARTGAN, "train", "cyclegan", *folders, "-o", str(out), "--steps", "100000", *TINY, "--workers", "2"]
        running = subprocess.Popen(
            command,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stderr=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        while not (out / "timing.jsonl").exists():
            assert running.poll() is None
            time.sleep(0.05)
        os.killpg(running.pid, number)
        _, told = running.communicate(timeout=60)
        assert running.returncode == 130
        assert "Traceback" not in told
        assert told.strip().endswith(f"interrupted; continue with: artgan train cyclegan -o {out} --resume")
        newest = checkpoint.newest(out / "checkpoints")
        logged = [json.loads(line)["step"] for line in (out / "log.jsonl").read_text().splitlines()]
        assert checkpoint.step_of(newest) == logged[-1]
        assert (out / "samples" / f"step-{logged[-1]:08d}.jpg").exists()
        assert (out / "report.html").exists()


@pytest.mark.exhaustive
def test_a_full_disk_ends_a_run_with_one_line_and_the_last_checkpoint_intact(
    folders: list[str], tmp_path: Path
) -> None:
    """No file may grow over a limit that the first checkpoint's files are under and a log of all steps is over."""
    out = tmp_path / "run"
    first = train(*folders, "-o", out, "--steps", "4", "--checkpoint-every", "2", *TINY)
    assert first.returncode == 0
    good = checkpoint.newest(out / "checkpoints")
    before = {path.name: path.read_bytes() for path in good.iterdir()}
    limit = max(len(data) for data in before.values()) // 2  # the next checkpoint does not fit
    command = [*ARTGAN, "train", "cyclegan", "-o", str(out), "--resume", "--steps", "8"]
    done = subprocess.run(
        ["prlimit", f"--fsize={limit}", *command] if shutil.which("prlimit") else pytest.skip("no prlimit here"),
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert f"{out}: cannot be written" in done.stderr
    assert "the last checkpoint is intact" in done.stderr
    assert checkpoint.newest(out / "checkpoints") == good
    assert {path.name: path.read_bytes() for path in good.iterdir()} == before
    again = train("-o", out, "--resume", "--steps", "8")
    assert again.returncode == 0, again.stderr


@pytest.mark.slow
def test_a_resume_with_other_pictures_or_another_plugin_is_refused(folders: list[str], tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert train(*folders, "-o", out, "--steps", "1", *TINY).returncode == 0
    kept = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    other = ["--photos", folders[3], "--paintings", folders[3]]
    done = train(*other, "-o", out, "--resume")
    assert done.returncode == 2
    assert "photos: 2 removed (3.png, 4.png); 3 changed (0.png, 1.png, 2.png)" in done.stderr
    assert "--accept-changes" in done.stderr
    (out / "config.yaml").write_text((out / "config.yaml").read_text().replace("plugin: cyclegan", "plugin: dcgan"))
    done = train("-o", out, "--resume")
    assert done.returncode == 2
    assert "cannot resume with another plugin: was 'dcgan', now 'cyclegan'" in done.stderr
    assert {path for path in out.rglob("*") if path.is_file()} == kept.keys()


@pytest.mark.slow
def test_a_loss_that_is_not_finite_ends_the_run_before_it_is_saved(folders: list[str], tmp_path: Path) -> None:
    out = tmp_path / "run"
    done = train(*folders, "-o", out, "--steps", "200", "--checkpoint-every", "1", "--lr", "1e38", *TINY)
    assert done.returncode == 2, done.stderr
    assert "is no longer finite" in done.stderr
    assert "--lr" in done.stderr
    for path in (out / "checkpoints").glob("step-*/shared.safetensors"):
        assert all(torch.isfinite(t).all() for t in load_file(path).values() if t.is_floating_point())


def test_bf16_is_refused_where_the_cpu_does_not_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from artgan.training import devices

    monkeypatch.setattr(devices, "_cpu_has_bf16", lambda: False)
    with pytest.raises(TrainingError, match="no bf16 instructions"):
        devices.accelerator_for(TrainingOptions(precision="bf16", device="cpu"))


@pytest.mark.numerical
def test_accumulated_batches_are_one_larger_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two batches of one picture make the update that one of two makes, where a loss is a mean over pictures.

    In float64: in float32 they are 2e-6 apart, but 2e-3 to 4e-2 with one seed in fifty, where a rectifier near 0 opens
    in one and not in the other.
    """
    from artgan_cyclegan import plugin

    from artgan.training import session as sessions

    to_pictures = sessions.to_pictures

    def doubled(*given: Any) -> dict[str, torch.Tensor]:
        return {name: pixels.double() for name, pixels in to_pictures(*given).items()}

    monkeypatch.setattr(sessions, "to_pictures", doubled)
    torch.manual_seed(0)
    pictures = {name: torch.randint(256, (2, 3, 32, 32), dtype=torch.uint8) for name in ("photos", "paintings")}
    config = parse(
        resolve(plugin, "config"), {"width": 4, "blocks": 1, "discriminator_width": 4, "pool": 0}, where="test"
    )
    found = []
    for options in (
        TrainingOptions(device="cpu", batch=2, steps=1),
        TrainingOptions(device="cpu", batch=1, accumulate=2, steps=1),
    ):
        session = sessions.Session(plugin, config, options, 1, accelerator_for(options), tmp_path)
        for network in (*session.networks.values(), *session.ema.generators.values()):
            network.double()
        # Adam turns tiny gradients into steps of full length: plain descent shows the gradient itself.
        sgd = {}
        for kind in session.trainer.optimizers:
            of_kind = (network for name, network in session.networks.items() if name.startswith(kind[:-1]))
            sgd[kind] = torch.optim.SGD([p for network in of_kind for p in network.parameters()], 1.0)
        session.trainer.adversary.optimizer = sgd["discriminators"]
        session.trainer.optimizers = sgd
        session.trainer.run.minimize.take(sgd)
        session.base_rates = {name: [1.0] for name in sgd}
        parts = torch.arange(2).chunk(options.accumulate)
        batches = ({name: p[part] for name, p in pictures.items()} for part in parts)
        before = torch.nn.utils.parameters_to_vector(session.generators["paintings"].parameters()).detach()
        session.step(1, batches)
        after = torch.nn.utils.parameters_to_vector(session.generators["paintings"].parameters()).detach()
        found.append(after - before)
    assert found[0].abs().max() > 1e-4
    assert (found[0] - found[1]).norm() < 1e-12 * found[0].norm()  # at most 1.3e-16 with 50 seeds


def test_draws_depend_on_seed_and_step_alone_and_take_each_domain_afresh(folders: list[str]) -> None:
    domains = {"photos": PictureFolder(folders[1]), "paintings": PictureFolder(folders[3])}

    def draws(seed: int) -> Draws:
        return Draws(domains, size=16, batch=2, seed=seed, batches=100)

    first, again, other = draws(0), draws(0), draws(1)
    assert first[7].pictures["photos"].shape == (2, 3, 16, 16)
    assert first[7].pictures["photos"].dtype == torch.uint8
    assert all(torch.equal(first[7].pictures[name], again[7].pictures[name]) for name in domains)
    assert not torch.equal(first[7].pictures["photos"], first[8].pictures["photos"])
    assert not torch.equal(first[7].pictures["photos"], other[7].pictures["photos"])


def test_every_picture_is_drawn_and_both_flips(tmp_path: Path) -> None:
    """Crops as large as the pictures: what is drawn is the picture or its mirror image."""
    pictures = [Image.fromarray(np.random.default_rng(i).integers(0, 256, (8, 8, 3), dtype=np.uint8)) for i in range(4)]
    expected = {np.asarray(p)[:, ::step].tobytes() for p in pictures for step in (1, -1)}
    draws = Draws({"photos": pictures}, size=8, batch=1, seed=0, batches=200)
    seen = {draws[i].pictures["photos"][0].permute(1, 2, 0).numpy().tobytes() for i in range(200)}
    assert seen == expected


def test_small_pictures_are_enlarged_to_the_crop() -> None:
    draws = Draws({"photos": [Image.new("RGB", (9, 20), "red")]}, size=32, batch=1, seed=0, batches=1)
    assert draws[0].pictures["photos"].shape == (1, 3, 32, 32)


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
            self.register_buffer("steps", torch.tensor(0))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * self.weight

    network = Scale()
    ema = EMA({"g": network}, decay=0.5)
    expected = 0.0
    for step in range(20):
        with torch.no_grad():
            network.weight.fill_(float(step))
            network.count.fill_(float(step))
            network.steps.fill_(step)
        ema.update({"g": network}, step)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * step
    assert float(ema.generators["g"].weight) == pytest.approx(expected, rel=1e-6)
    assert float(ema.generators["g"].count) == 19
    assert ema.generators["g"].get_buffer("steps").item() == 19  # an integer, as batch norm counts


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
    # Dot products of tensors that begin elsewhere may be rounded differently.
    assert [t.data_ptr() % 64 for t in (found["a"][0]["exp_avg"], found["a"][0]["step"], found["b"][0])] == [0, 0, 0]
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
    with pytest.raises(TrainingError, match="no older checkpoint is intact"):
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


METRIC = """
from artgan.plugin import Plugin
plugin = Plugin(name="color", summary="", config="color_plugin.parts:Config",
                metrics={"gray": "color_plugin.parts:Gray", "angry": "color_plugin.parts:Angry"})
"""
METRIC_PARTS = """
from artgan.interfaces import Metric, Score
class Gray(Metric):
    name = "gray-distance"
    def __init__(self):
        self.means = {True: [], False: []}
    def update(self, pictures, *, real):
        assert pictures.shape[1:] == (3, 32, 32) and pictures.min() >= -1
        self.means[real] += pictures.mean((1, 2, 3)).tolist()
    def compute(self):
        n = len(self.means[True]), len(self.means[False])
        return Score(self.name, sum(self.means[True]) / n[0] - sum(self.means[False]) / n[1], n, {})
class Angry(Gray):
    def compute(self):
        raise ValueError("too few pictures")
"""


@pytest.mark.slow
def test_scores_are_taken_on_the_way(
    folders: list[str], tmp_path: Path, install_plugin: Any, caplog: pytest.LogCaptureFixture
) -> None:
    from artgan_cyclegan import plugin

    from artgan.metrics.names import find_metrics
    from artgan.training.loop import train as run

    (install_plugin("color", METRIC) / "parts.py").write_text(METRIC_PARTS)
    assert {name: brings.name for name, brings in find_metrics().items()} == {"gray": "color", "angry": "color"}
    config = parse(resolve(plugin, "config"), {"width": 4, "blocks": 1, "discriminator_width": 4}, where="test")
    shared = {"steps": 4, "size": 32, "device": "cpu", "metrics_every": 2, "metrics_on": 3}
    where = dict(zip(("photos", "paintings"), folders[1::2], strict=True))

    out = tmp_path / "run"
    run(plugin, config, TrainingOptions(**shared, metrics="gray"), where, out)
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 4]
    # At the end the score is that of the model which the run leaves.
    sets = {name: PictureFolder(Path(folder)) for name, folder in where.items()}
    real = torch.stack([center_crop(sets["paintings"][i], 32) for i in range(3)]).float().mean() / 127.5 - 1
    photos = torch.stack([center_crop(sets["photos"][i * 5 // 3], 32) for i in range(3)]) / 127.5 - 1
    with torch.no_grad():
        painted = artgan.load(f"local-dir:{out / 'model'}")(photos).mean()
    assert lines[-1]["metrics"]["gray-distance"] == pytest.approx(float(real - painted), abs=1e-5)
    assert "gray-distance" in (out / "report.html").read_text()

    # A score that cannot be taken is told, and does not end the run; one that does not exist ends it at once.
    out = tmp_path / "angry"
    options = TrainingOptions(
        **shared | {"metrics_on": 5, "metrics_every": None}, metrics="angry,style-filters", metrics_every_epochs=1
    )
    paintings = tmp_path / "paintings"
    shutil.copytree(where["paintings"], paintings)
    for number, path in enumerate(sorted(paintings.iterdir())[:2]):
        Image.open(path).transpose(Image.Transpose.ROTATE_180).save(paintings / f"z{number}.png")
    where["paintings"] = str(paintings)
    sets["paintings"] = PictureFolder(paintings)
    run(plugin, config, options, where, out)
    assert "step 4: no score angry (too few pictures)" in caplog.text
    *_, last = (json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines())
    photos, real = (torch.stack([center_crop(sets[k][i * len(sets[k]) // 5], 32) for i in range(5)]) / 127.5 - 1
                    for k in ("photos", "paintings"))  # fmt: skip
    with torch.no_grad():
        painted = artgan.load(f"local-dir:{out / 'model'}")(photos)
    metric = FilterStyle(Filters(size=32))
    features = [metric.extractor.features(pictures) for pictures in (real, painted, photos)]
    assert last["metrics"] == {"style-filters": pytest.approx(metric.evaluate(*features)[0].value, rel=1e-4)}
    with pytest.raises(PluginError, match=r"no metric named 'beauty'; there are fid, .*, angry, gray"):
        run(plugin, config, TrainingOptions(**shared, metrics="beauty"), where, tmp_path / "none")
    assert not (tmp_path / "none").exists()


@pytest.mark.exhaustive
@pytest.mark.numerical
def test_compiled_steps_in_channels_last_order(folders: list[str], tmp_path: Path) -> None:
    """Compiled steps are the plain ones up to rounding, and can be resumed."""
    short = [*folders, *TINY, "--device", "cpu", "--checkpoint-every", "1"]
    plain = train(*short, "-o", tmp_path / "plain", "--steps", "2")
    assert plain.returncode == 0, plain.stderr
    options = ["--compile", "--channels-last"]
    if shutil.which(os.environ.get("CXX", "g++")) is None and shutil.which("clang++") is None:
        pytest.skip("compiled steps need a C++ compiler")
    compiled = train(*short, "-o", tmp_path / "compiled", "--steps", "1", *options)
    assert compiled.returncode == 0, compiled.stderr
    assert train("-o", tmp_path / "compiled", "--resume", "--steps", "2").returncode == 0
    logs = [
        [json.loads(line)["losses"] for line in (tmp_path / name / "log.jsonl").read_text().splitlines()]
        for name in ("plain", "compiled")
    ]
    for expected, found in zip(*logs, strict=True):
        assert found == pytest.approx(expected, rel=0.02, abs=0.02)


@pytest.mark.exhaustive
def test_no_compiler_is_one_line(folders: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", str(tmp_path / "no-such-compiler"))
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path))
    done = train(*folders, *TINY, "--device", "cpu", "--steps", "2", "-o", tmp_path / "run", "--compile")
    assert done.returncode == 2
    assert "--compile does not work here" in done.stderr
    assert "leave it out" in done.stderr
