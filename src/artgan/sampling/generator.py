"""The base class of generators that make pictures from noise."""

from __future__ import annotations

import torch
from torch import Tensor

from artgan.interfaces import Generator
from artgan.sampling.noise import Noise


class NoiseGenerator(Generator):
    """A generator of pictures from noise with a named distribution; a subclass adds ``forward``.

    Args:
        noise: the distribution.
        noise_size: the length Z of a noise vector.

    Attributes:
        distribution: the argument ``noise``.
        noise_size: the argument.
    """

    task = "noise-to-image"

    def __init__(self, noise: Noise, noise_size: int) -> None:
        super().__init__()
        self.distribution = noise
        self.noise_size = noise_size

    def noise(self, count: int, *, generator: torch.Generator | None = None) -> Tensor:
        """Draw ``count`` x Z numbers from the distribution that the network was built for."""
        return self.distribution.draw(count, self.noise_size, generator=generator)
