"""Runs at several resolutions: what the discriminator is shown, what grows when, sheets, reports, resuming."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from support import processes
from support.pictures import write_pictures
from torch import Tensor

import artgan
from artgan.config import parse
from artgan.discovery import load_plugin, resolve
from artgan.errors import ConfigError, PluginError, TrainingError
from artgan.interfaces import Networks, Run
from artgan.training import checkpoint
from artgan.training.loop import train
from artgan.training.multiscale.networks import enlarged
from artgan.training.multiscale.trainer import MultiscaleTrainer
from artgan.training.options import TrainingOptions

SMALL = {"size": 32, "width": 4, "noise_size": 8}  # 4, 8, 16 and 32 pixels
GROWING = {**SMALL, "multiscale": "progressive", "phase_steps": 4}
MSG = {**SMALL, "multiscale": "msg"}


def made(values: Mapping[str, Any], steps: int = 100) -> tuple[MultiscaleTrainer, Networks]:
    plugin = load_plugin("dcgan")
    config = parse(resolve(plugin, "config"), values, where="test")
    torch.manual_seed(0)
    networks = resolve(plugin, "networks")(config)
    return resolve(plugin, "trainer")(networks, config, Run(steps)), networks


def batch(count: int = 3) -> dict[str, Tensor]:
    return {"pictures": torch.rand(count, 3, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1}


def options(**values: Any) -> TrainingOptions:
    few = {"size": 32, "batch": 2, "device": "cpu", "workers": 0, "log_every": 1, "sample_every": 100}
    return parse(TrainingOptions, {**few, **values}, where="test")


def run(values: Mapping[str, Any], pictures: Path, out: Path, *, resume: bool = False, **training: Any) -> None:
    plugin = load_plugin("dcgan")
    config = parse(resolve(plugin, "config"), values, where="test")
    train(plugin, config, options(**training), {"pictures": pictures}, out, resume=resume)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("pictures"), 8)


def judged(trainer: MultiscaleTrainer) -> list[Sequence[Tensor]]:
    """Everything that the discriminator is given to judge from now on: in each step real, fake, and fake again."""
    seen: list[Sequence[Tensor]] = []
    judge = trainer.discriminator.judge

    def noted(observed: Sequence[Tensor]) -> Sequence[Tensor]:
        seen.append([scale.detach().clone() for scale in observed])
        return judge(observed)

    trainer.discriminator.judge = noted  # type: ignore[method-assign]  # a spy
    return seen


def test_the_discriminator_is_shown_real_and_generated_pictures_of_one_size() -> None:
    trainer, _ = made(GROWING)
    seen = judged(trainer)
    real = batch()["pictures"]
    for step, side, share in ((0, 4, 1.0), (4, 8, 0.5), (7, 8, 1.0), (14, 32, 1.0)):
        seen.clear()
        figures = trainer.step(batch(), step)
        assert [[tuple(scale.shape) for scale in given] for given in seen] == [[(3, 3, side, side)]] * 3
        assert figures["resolution/pictures"] == side
        full = real.unflatten(2, (side, -1)).unflatten(4, (side, -1)).mean((3, 5))
        half = full.unflatten(2, (side // 2, 2)).unflatten(4, (side // 2, 2)).mean((3, 5))
        blend = share * full + (1 - share) * half.repeat_interleave(2, 2).repeat_interleave(2, 3)
        torch.testing.assert_close(seen[0][0], blend)


def test_msg_shows_all_resolutions_and_its_figures_name_none() -> None:
    trainer, _ = made(MSG)
    seen = judged(trainer)
    figures = trainer.step(batch(), 0)
    assert [[scale.shape[-1] for scale in given] for given in seen] == [[4, 8, 16, 32]] * 3
    for scale in seen[0]:
        side = scale.shape[-1]
        means = batch()["pictures"].unflatten(2, (side, -1)).unflatten(4, (side, -1)).mean((3, 5))
        torch.testing.assert_close(scale, means)
    assert "resolution/pictures" not in figures


def test_augmentations_change_all_resolutions_alike() -> None:
    """Of one color each, pictures are still of that color at each resolution after a random change of it."""
    trainer, _ = made({**MSG, "diffaugment": "color"})
    seen = judged(trainer)
    plain = torch.rand(5, 3, 1, 1).expand(5, 3, 32, 32)
    trainer.step({"pictures": plain}, 0)
    colors = [scale.mean((2, 3)) for scale in seen[0]]
    assert (colors[-1] - plain[:, :, 0, 0]).abs().max() > 0.1
    for color in colors[:-1]:
        torch.testing.assert_close(color, colors[-1])


def test_layers_learn_from_the_step_in_which_they_appear() -> None:
    """With fresh averages in Adam: those of layers that wait would be biased towards 0 when they begin."""
    trainer, networks = made(GROWING)
    generator = networks.generators["pictures"]
    optimizer = trainer.optimizers["generator"]
    last = list(generator.to_rgb[1].parameters())
    before = [p.detach().clone() for p in generator.parameters()]
    for index in range(4):
        trainer.step(batch(), index)
    moved = {id(p) for p, old in zip(generator.parameters(), before, strict=True) if not torch.equal(p, old)}
    assert moved == {id(p) for part in (generator.stages[0], generator.to_rgb[0]) for p in part.parameters()}
    assert not any(p in optimizer.state for p in last)
    for index in range(4, 6):
        trainer.step(batch(), index)
    assert all(int(optimizer.state[p]["step"]) == 2 for p in last)
    held = {id(p) for o in trainer.optimizers.values() for group in o.param_groups for p in group["params"]}
    assert held == {id(p) for n in (generator, networks.discriminators["pictures"]) for p in n.parameters()}


@pytest.mark.parametrize(
    ("values", "step", "labels"),
    [
        (GROWING, 0, ["4 px, 1", "4 px, 2"]),
        (GROWING, 4, ["4 px", "8 px, 1", "8 px, 2"]),
        (MSG, 0, ["4 px", "8 px", "16 px", "32 px, 1", "32 px, 2"]),
    ],
)
def test_sheets_have_a_row_for_each_resolution(values: Mapping[str, Any], step: int, labels: list[str]) -> None:
    trainer, networks = made(values)
    trainer.step(batch(), step)
    averaged = dict(networks.generators)
    with torch.no_grad():
        rows = trainer.sample(batch(24), averaged)  # of 64 noise vectors, two rows
        expected = averaged["pictures"].pictures(trainer.fixed[:24])
    assert list(rows) == ["real", *labels]
    for picture, label in zip(expected, labels, strict=False):
        assert picture.shape[-1] == int(label.split()[0])
        assert torch.equal(rows[label], enlarged(picture, 32))
    assert not torch.equal(rows[labels[-1]], rows[labels[-2]])


@pytest.mark.slow
def test_a_run_grows_shows_each_resolution_and_its_model_samples(pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    run(GROWING, pictures, out, steps=14, checkpoint_every=6, keep=9, models_every=6, ema=0.0)
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert [line["losses"]["resolution/pictures"] for line in lines] == [4] * 4 + [8] * 4 + [16] * 4 + [32] * 2
    # The end of each phase has a sheet, and the report shows them.
    assert sorted(path.stem for path in (out / "samples").iterdir()) == [f"step-{n:08d}" for n in (0, 4, 8, 12, 14)]
    page = (out / "report.html").read_text()
    assert re.findall(r"step (\d+), epoch", page)[:5] == ["0", "4", "8", "12", "14"]
    # Models of any step load, and make pictures of the full size from their weights alone.
    for step, side in ((6, 8), (12, 16)):
        model = artgan.load(f"local-dir:{out / 'models' / f'step-{step:08d}'}")
        sample = model.sample(1, seed=3)[0]
        assert sample.size == (32, 32)
        small = sample.resize((side, side), 0)  # nearest: each pixel is repeated
        assert small.resize((32, 32), 0).tobytes() == sample.tobytes()
        assert small.resize((side // 2, side // 2), 0).resize((side, side), 0).tobytes() != small.tobytes()
    with pytest.raises(TrainingError, match=r"--phase-steps was 4, now 3"):
        run({**GROWING, "phase_steps": 3}, pictures, out, resume=True, steps=14)


@pytest.mark.slow
def test_more_steps_make_the_last_phase_longer_and_no_other(pictures: Path, tmp_path: Path) -> None:
    values = {**GROWING, "phase_steps": None}
    run(values, pictures, tmp_path / "run", steps=8, checkpoint_every=6, keep=9)  # four phases of two steps
    run(values, pictures, tmp_path / "run", resume=True, steps=12)
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [line["losses"]["resolution/pictures"] for line in lines] == [4, 4, 8, 8, 16, 16, *[32] * 6]
    last = checkpoint.load(checkpoint.newest(tmp_path / "run" / "checkpoints"), "process-0")
    assert last["trainer"] == {"phase_steps": 2}
    with pytest.raises(ConfigError, match=r"takes 7 steps, and the run has 6"):
        made(values, 6)[0].load_state_dict({"phase_steps": 2})


@pytest.mark.slow
def test_a_run_that_ends_before_its_networks_have_grown_is_refused(tmp_path: Path, pictures: Path) -> None:
    given = ["--pictures", pictures, "-o", tmp_path / "run", "--size", "32", "--batch", "2", "--steps", "349"]
    done = processes.artgan("train", "dcgan", *given, "--multiscale", "progressive", "--phase-steps", "100")
    assert done.returncode == 2
    assert "--phase-steps 100: growing through 4 resolutions takes 350 steps, and the run has 349" in done.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_networks_that_grow_are_not_compiled(tmp_path: Path, pictures: Path) -> None:
    with pytest.raises(ConfigError, match="--compile: growing networks"):
        run(GROWING, pictures, tmp_path / "run", steps=14, compile=True)
    assert not (tmp_path / "run").exists()


@pytest.mark.exhaustive
def test_compiled_networks_of_all_resolutions_learn_the_same(tmp_path: Path, pictures: Path) -> None:
    for name, compiled in (("plain", False), ("compiled", True)):
        run(MSG, pictures, tmp_path / name, steps=3, compile=compiled)
    logs = [[json.loads(line)["losses"] for line in (tmp_path / name / "log.jsonl").read_text().splitlines()]
            for name in ("plain", "compiled")]  # fmt: skip
    for plain, compiled in zip(*logs, strict=True):
        assert compiled == pytest.approx(plain, rel=1e-3)


def test_phases_are_refused_where_nothing_grows() -> None:
    with pytest.raises(ConfigError, match="phase_steps goes with multiscale progressive"):
        made({**GROWING, "multiscale": "msg"})


def test_networks_of_one_resolution_are_refused_where_several_are_asked_for() -> None:
    plugin = load_plugin("dcgan")
    config = parse(resolve(plugin, "config"), SMALL, where="test")
    networks = resolve(plugin, "networks")(config)
    with pytest.raises(PluginError, match="multiscale is 'msg'"):
        MultiscaleTrainer(networks, dataclasses.replace(config, multiscale="msg"), Run(1))
