"""What averaging leaves stale in a generator from noise is mended."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from artgan.config import parse
from artgan.discovery import load_plugin, resolve
from artgan.interfaces import Run
from artgan.training.from_noise import NoiseTrainer

SMALL = {"dcgan": {"width": 4}, "sngan": {"width": 32, "discriminator_width": 4}}


@pytest.mark.numerical
@pytest.mark.parametrize("name", SMALL)
def test_the_batch_norms_of_an_averaged_generator_have_the_statistics_of_its_own_weights(name: str) -> None:
    """Against those of what enters each norm for other noise."""
    plugin = load_plugin(name)
    config = parse(resolve(plugin, "config"), {"size": 32, **SMALL[name]}, where=name)
    networks = resolve(plugin, "networks")(config)
    trainer = NoiseTrainer(networks, config, Run(1))
    averaged = copy.deepcopy(networks.generators["pictures"])
    norms = [layer for layer in averaged.modules() if isinstance(layer, nn.BatchNorm2d)]
    assert len(norms) >= 3
    seen: dict[nn.Module, torch.Tensor] = {}
    for layer in norms:
        nn.init.uniform_(layer.weight, 0.5, 2)
        nn.init.normal_(layer.bias)
        layer.running_mean += 10
        layer.running_var *= 100
    trainer.refresh({"pictures": averaged})
    held = [(layer.running_mean.clone(), layer.running_var.sqrt()) for layer in norms]
    for layer in norms:
        layer.register_forward_pre_hook(lambda layer, given: seen.update({layer: given[0]}))
    with torch.no_grad():
        averaged.train()(averaged.noise(1024))
    for layer, (mean, deviation) in zip(norms, held, strict=True):
        spread = seen[layer].std((0, 2, 3))
        assert float(((mean - seen[layer].mean((0, 2, 3))) / spread).abs().max()) < 1
        assert float((deviation / spread).log().abs().max()) < 0.7
