"""FastGAN against artgan's conformance kit, and its training."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from artgan_fastgan.config import FastGANConfig
from artgan_fastgan.discriminators import SelfSupervisedDiscriminator, build
from artgan_fastgan.trainer import FastGANTrainer
from support import plain_vgg
from torch import nn

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


class TestProjected(PluginTests):
    """The kit's checks."""

    plugin = "fastgan"
    config: Mapping[str, Any] = SMALL
    training: Mapping[str, Any] = {"size": 64, "batch": 2}


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


def test_a_self_supervised_discriminator_learns_to_reconstruct() -> None:
    subject = trainer(discriminator="self-supervised", lr_discriminator=2e-3, diffaugment="")
    losses = [float(subject.step({"pictures": pictures()}, i)["auxiliary/pictures"]) for i in range(40)]
    assert sum(losses[-5:]) < 0.9 * sum(losses[:5])


def test_without_self_supervision_decoders_do_not_exist() -> None:
    kinds = {type(trainer(discriminator=kind).networks.discriminators["pictures"]) for kind in ("projected",)}
    assert SelfSupervisedDiscriminator not in kinds


def test_statistics_of_averages_are_those_of_their_own_pictures() -> None:
    """Batch norms of the averaged generator, against statistics of what enters them."""
    subject = trainer(discriminator="self-supervised")
    averaged = copy.deepcopy(subject.generator).eval().requires_grad_(False)
    with torch.no_grad():
        for parameter in averaged.parameters():
            parameter.add_(0.01)
    stale = averaged.state_dict()["dense.2.running_mean"].clone()
    subject.refresh({"pictures": averaged})
    assert not averaged.training
    entered: list[torch.Tensor] = []
    norm = next(layer for layer in averaged.modules() if isinstance(layer, nn.BatchNorm2d))
    norm.register_forward_pre_hook(lambda _, inputs: entered.append(inputs[0]))
    draws = torch.Generator().manual_seed(0)
    for _ in range(16):
        averaged(averaged.noise(32, generator=draws))
    torch.testing.assert_close(norm.running_mean, torch.cat(entered).mean((0, 2, 3)), atol=1e-5, rtol=1e-4)
    assert not torch.allclose(norm.running_mean, stale, atol=1e-3)


@pytest.mark.parametrize(
    ("values", "message"),
    [({"size": 96}, "size must be 64, 128 or 256, not 96"), ({"discriminator": "patch"}, "projected")],
)
def test_what_it_cannot_be_is_an_error(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse(FastGANConfig, values, where="fastgan")
