"""FastGAN against artgan's conformance kit, and its training."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from artgan_fastgan.config import FastGANConfig
from artgan_fastgan.discriminators import build
from artgan_fastgan.trainer import FastGANTrainer
from PIL import Image
from safetensors.torch import load_file
from support import plain_vgg, processes
from support.bare_loops import step_of_a_run
from torch import nn
from torch.nn.utils.parametrizations import _SpectralNorm

from artgan.config import parse
from artgan.errors import ConfigError
from artgan.interfaces import Run
from artgan.testing import PluginTests

SMALL = {"size": 64, "width": 14, "discriminator_width": 4, "noise_size": 8}


@pytest.fixture(autouse=True, scope="module")
def vgg19(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """VGG-19 with drawn weights, as the user's settings would name it."""
    path = plain_vgg.write(tmp_path_factory.mktemp("vgg") / "vgg19.safetensors", "vgg19", "conv5_1")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ARTGAN_VGG19", str(path))
        yield path


@pytest.mark.slow
class TestProjected(PluginTests):
    """The kit's checks."""

    plugin = "fastgan"
    config: Mapping[str, Any] = SMALL
    training: Mapping[str, Any] = {"size": 64, "batch": 2}


@pytest.mark.exhaustive
class TestSelfSupervised(PluginTests):
    """The kit's checks."""

    plugin = "fastgan"
    config: Mapping[str, Any] = {"discriminator": "self-supervised", **SMALL}
    training: Mapping[str, Any] = {"size": 64, "batch": 2}


def trainer(**values: object) -> FastGANTrainer:
    torch.manual_seed(0)
    config = parse(FastGANConfig, {**SMALL, **values}, where="test")
    return FastGANTrainer(build(config), config, Run(10))


def pictures(count: int = 2) -> torch.Tensor:
    return torch.rand(count, 3, 64, 64, generator=torch.Generator().manual_seed(1)) * 2 - 1


@pytest.mark.slow
@pytest.mark.parametrize("discriminator", ["projected", "self-supervised"])
def test_the_losses_are_their_formulas(discriminator: str) -> None:
    """Hinge losses on the same generated pictures, before either network is updated."""
    subject = trainer(discriminator=discriminator, diffaugment="", spectral_norm=False)
    before = copy.deepcopy(subject.networks)
    random_state = torch.get_rng_state()
    figures = subject.step({"pictures": pictures()}, 0)
    torch.set_rng_state(random_state)
    noise = subject.generator.noise(2)
    with torch.no_grad():
        judge = before.discriminators["pictures"]
        made = judge(before.generators["pictures"](noise))
        real = judge(pictures())
        expected = {
            "generator/pictures": -sum(head.mean() for head in made),
            "discriminator/pictures": sum((1 - head).clamp(min=0).mean() for head in real)
            + sum((1 + head).clamp(min=0).mean() for head in made),
        }
    for name, value in expected.items():
        torch.testing.assert_close(figures[name], value, msg=name)
    assert ("auxiliary/pictures" in figures) == (discriminator == "self-supervised")


@pytest.mark.slow
def test_a_self_supervised_discriminator_learns_to_reconstruct() -> None:
    subject = trainer(discriminator="self-supervised", lr_discriminator=2e-3, diffaugment="")
    losses = [float(subject.step({"pictures": pictures()}, i)["auxiliary/pictures"]) for i in range(40)]
    assert sum(losses[-5:]) < 0.9 * sum(losses[:5])


@pytest.mark.slow
def test_a_step_passes_vgg19_and_updates_spectral_norms_twice() -> None:
    subject = trainer()
    discriminator = subject.networks.discriminators["pictures"]
    norms = [part for part in discriminator.modules() if isinstance(part, _SpectralNorm)]
    passes: list[nn.Module] = []
    for part in (discriminator.features, *norms):
        part.register_forward_hook(lambda part, *_: passes.append(part))
    subject.step({"pictures": pictures()}, 0)
    assert len(norms) == sum(isinstance(part, nn.Conv2d) for part in discriminator.modules())
    assert [passes.count(part) for part in (discriminator.features, *norms)] == [2] * (1 + len(norms))


def test_with_more_discriminator_steps_the_generator_learns_in_the_last() -> None:
    subject = trainer(discriminator="self-supervised", discriminator_steps=2)
    assert subject.rounds == 2
    assert "generator/pictures" not in subject.step({"pictures": pictures()}, 0)
    assert "generator/pictures" in subject.step({"pictures": pictures()}, 1)


@pytest.mark.slow
def test_vgg19_and_the_random_projections_never_change() -> None:
    subject = trainer(lr=1e-2)
    discriminator = subject.networks.discriminators["pictures"]
    frozen = {name: value.clone() for name, value in discriminator.named_buffers() if name.startswith(("f", "proj"))}
    trained = {name: value.detach().clone() for name, value in discriminator.named_parameters()}
    for index in range(2):
        subject.step({"pictures": pictures()}, index)
    for name, value in discriminator.named_buffers():
        if name in frozen:
            assert torch.equal(value, frozen[name]), name
    for name, parameter in discriminator.named_parameters():
        assert not torch.equal(parameter, trained[name]), name


@pytest.mark.slow
@pytest.mark.numerical
def test_statistics_of_a_saved_average_are_those_of_its_own_pictures(tmp_path: Path) -> None:
    """Of what enters its batch norms; those of training are of other weights, and come back with the next step."""
    values = {"discriminator": "self-supervised", "lr": 1e-2, **SMALL}
    batch = {"pictures": torch.randint(256, (4, 3, 64, 64), dtype=torch.uint8)}
    session, step = step_of_a_run("fastgan", values, batch, tmp_path)
    for _ in range(12):
        step()
    averaged, learning = session.ema.generators["pictures"], session.generators["pictures"]
    norm, stale = averaged.dense[2], learning.dense[2].running_mean.clone()
    torch.testing.assert_close(norm.running_mean, stale)
    session.save_models(tmp_path, 12)
    entered: list[torch.Tensor] = []
    hook = norm.register_forward_pre_hook(lambda _, inputs: entered.append(inputs[0]))
    draws = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for _ in range(8):
            averaged(averaged.noise(32, generator=draws))
    hook.remove()
    expected = torch.cat(entered).mean((0, 2, 3))
    saved = load_file(tmp_path / "model" / "model.safetensors")
    torch.testing.assert_close(saved["dense.2.running_mean"], expected, atol=1e-5, rtol=1e-4)
    assert (stale - expected).abs().max() > 10 * (saved["dense.2.running_mean"] - expected).abs().max()
    assert not averaged.training
    step()
    torch.testing.assert_close(norm.running_mean, learning.dense[2].running_mean)


@pytest.mark.parametrize(
    ("values", "message"),
    [({"size": 96}, "size must be 64, 128 or 256, not 96"), ({"discriminator": "patch"}, "projected")],
)
def test_what_it_cannot_be_is_an_error(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse(FastGANConfig, values, where="fastgan")


@pytest.mark.exhaustive
@pytest.mark.slow
@pytest.mark.numerical
def test_compiled_networks_learn_the_same(tmp_path: Path) -> None:
    """Three steps of a run, whose discriminator's spectral norms are shared by two compiled passes."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(4):
        Image.effect_noise((64, 64), 20 * number).convert("RGB").save(folder / f"{number}.png")
    small = [f"--{key.replace('_', '-')}={value}" for key, value in SMALL.items()]
    words = ["--pictures", folder, *small, "--discriminator=self-supervised", "--batch=2", "--steps=3", "--log-every=1"]
    logs = []
    for run, more in ((tmp_path / "plain", []), (tmp_path / "compiled", ["--compile"])):
        done = processes.started_artgan("train", "fastgan", "-o", run, *words, *more, "--device=cpu", timeout=900)
        assert done.returncode == 0, done.stderr
        logs.append([json.loads(line)["losses"] for line in (run / "log.jsonl").read_text().splitlines()])
    assert len(logs[0]) == 3
    for plain, compiled in zip(*logs, strict=True):
        assert compiled == pytest.approx(plain, abs=1e-3)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--size", "96"], "artgan: fastgan: size must be 64, 128 or 256, not 96"),
        (["--vgg19", "absent.safetensors"], "absent.safetensors"),
        (["--vgg19", "0.png"], "0.png: cannot read VGG-19's weights as safetensors"),
    ],
)
def test_a_call_that_is_wrong_is_told_in_a_line_and_writes_nothing(words: list[str], said: str, tmp_path: Path) -> None:
    for number in range(2):
        Image.new("RGB", (64, 64), (number, 0, 0)).save(tmp_path / f"{number}.png")
    command = ["train", "fastgan", "--pictures", ".", "-o", "run", "--batch", "2", "--steps", "1", "--device", "cpu"]
    done = processes.artgan(*command, *words, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    [line] = done.stderr.splitlines()
    assert said in line
    assert not (tmp_path / "run" / "model").exists()
