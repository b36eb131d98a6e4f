"""One step of a GAN that generates pictures from noise: one generator against one discriminator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim.swa_utils import update_bn

from artgan.interfaces import Generator, Networks, Run, Trainer
from artgan.training.adversarial import Adversary, adam

PICTURES = "pictures"
"""The name of such a GAN's domain, generator and discriminator."""

_BATCHES, _PICTURES = 8, 32  # of noise, for batch statistics


class NoiseTrainer(Trainer):
    """Goodfellow et al., 2014, algorithm 1: each round updates the discriminator, the last one also the generator.

    The networks are ``{"pictures": generator}`` and ``{"pictures": discriminator}``, the config is a
    :class:`artgan.plugin.AdversarialOptions`, and the plugin's only domain is ``pictures``.

    Args:
        networks: of the plugin.
        config: of the plugin.
        run: what it may know about the run.

    Attributes:
        generator: the only generator.
        discriminator: the only discriminator.
        adversary: its training.
        fixed: the noise of all sample sheets, 64 x Z.
    """

    def __init__(self, networks: Networks, config: Any, run: Run) -> None:
        super().__init__(networks, config, run)
        self.generator = networks.generators[PICTURES]
        self.discriminator = networks.discriminators[PICTURES]
        self.adversary = Adversary(networks.discriminators, config, run)
        self.rounds = self.adversary.rounds
        self.optimizers = {"generator": adam([self.generator], config), "discriminator": self.adversary.optimizer}
        # All sample sheets use the same noise. A separate generator makes it independent of earlier draws.
        self.fixed = self.generator.noise(64, generator=torch.Generator().manual_seed(0))

    def step(self, batch: Mapping[str, Tensor], index: int) -> Mapping[str, Tensor]:
        """The discriminator's update, then the generator's on the same noise; see :meth:`Trainer.step`.

        Args:
            batch: ``pictures``, N x 3 x S x S in [-1, 1].
            index: the number of rounds before this one; the generator is updated in the last round of each step.
        """
        real = batch[PICTURES]
        noise = self.generator.noise(len(real)).to(real)
        turn = self.adversary.generators_turn(index)
        with torch.set_grad_enabled(turn):
            made = self.made(noise)
        figures = self.adversary.step(index, {PICTURES: self.seen(real)}, {PICTURES: made})
        if turn:
            loss = self.adversary.generator_loss(PICTURES, made)
            self.run.minimize(loss, self.optimizers["generator"])
            figures[f"generator/{PICTURES}"] = loss.detach()
        return figures

    def made(self, noise: Tensor) -> Tensor | Sequence[Tensor]:
        """What the discriminator is shown of N x Z noise: N x 3 x S x S pictures."""
        made: Tensor = self.generator(noise)
        return made

    def seen(self, real: Tensor) -> Tensor | Sequence[Tensor]:
        """What the discriminator is shown of N x 3 x S x S real pictures."""
        return real

    def sample(self, batch: Mapping[str, Tensor], generators: Mapping[str, Generator]) -> Mapping[str, Tensor]:
        """A row of real pictures, and up to four of pictures from the same noise each time."""
        real = batch[PICTURES]
        columns = len(real)
        rows = {"real": real}
        for row in range(min(4, len(self.fixed) // columns)):
            noise = self.fixed[row * columns : (row + 1) * columns]
            rows[f"made {row + 1}"] = generators[PICTURES](noise.to(real))
        return rows

    def outputs(
        self, batch: Mapping[str, Tensor], generators: Mapping[str, Generator]
    ) -> Mapping[str, tuple[Tensor | None, Tensor]]:
        """As many generated pictures as the batch has."""
        real = batch[PICTURES]
        return {PICTURES: (None, generators[PICTURES](self.generator.noise(len(real)).to(real)))}

    def refresh(self, generators: Mapping[str, Generator]) -> None:
        """Compute the batch norms' statistics of the averaged generator: those of training are of other weights.

        They are the means over 8 batches of 32 pictures, always of the same noise.
        """
        draws = torch.Generator().manual_seed(0)
        generator = generators[PICTURES]
        device = next(generator.parameters()).device
        noise = [generator.noise(_PICTURES, generator=draws).to(device) for _ in range(_BATCHES)]
        update_bn(noise, generator)
