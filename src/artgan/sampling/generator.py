"""What generators share beyond their interface."""

from __future__ import annotations

import torch
from torch import Tensor

from artgan.interfaces import Generator
from artgan.sampling.noise import Noise


class NoiseGenerator(Generator):
    """A generator of pictures from noise of a distribution that is known by name.

    Args:
        noise: the distribution.
        noise_size: the length Z of a vector.
    """

    task = "noise-to-image"

    def __init__(self, noise: Noise, noise_size: int) -> None:
        super().__init__()
        self.distribution = noise
        self.noise_size = noise_size

    def noise(self, count: int, *, generator: torch.Generator | None = None) -> Tensor:
        """``count`` x Z numbers of the distribution that the network was made for."""
        return self.distribution.draw(count, self.noise_size, generator=generator)
