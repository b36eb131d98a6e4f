"""A small generator of pictures from noise: not trained, but with contrast."""

from __future__ import annotations

import torch
from artgan_dcgan.config import DCGANConfig
from artgan_dcgan.networks import DCGANGenerator, build_generator

CONFIG = DCGANConfig(size=32, width=8, noise_size=16)


def contrasting_generator() -> DCGANGenerator:
    """Its batch norm knows its statistics, and its last layer is strong."""
    torch.manual_seed(0)
    generator = build_generator(CONFIG)
    with torch.no_grad():
        generator.model[-2].weight.mul_(20)
        for _ in range(30):
            generator(generator.noise(64))
    return generator.eval()
