"""FastGAN's training step, and the batch statistics of its averaged generator."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.utils import parametrize
from torch.optim.swa_utils import update_bn

from artgan.toolkit import Generator, NoiseTrainer

_BATCHES, _PICTURES = 16, 32  # of noise, for batch statistics


class FastGANTrainer(NoiseTrainer):
    """The generator's update comes first, so that the discriminator's reuses what VGG-19 observed of its pictures."""

    def step(self, batch: Mapping[str, Tensor], index: int) -> Mapping[str, Tensor]:
        """The generator step, then the discriminator step on the same pictures; see :meth:`Trainer.step`."""
        if not self.adversary.generators_turn(index):
            return super().step(batch, index)
        real = batch["pictures"]
        made = self.generator(self.generator.noise(len(real)).to(real))
        loss = self.adversary.generator_loss("pictures", made)
        self.run.minimise(loss, self.optimizers["generator"])
        # Real and generated pictures are judged with the same spectral norms. The generator's step cannot share them:
        # compiled networks keep no part of a graph for a second backward pass.
        with parametrize.cached():
            figures = self.adversary.step(index, {"pictures": real}, {})
        return {**figures, "generator/pictures": loss.detach()}

    def refresh(self, generators: Mapping[str, Generator]) -> None:
        """Compute the batch statistics of the averaged generator: those of training are of other weights."""
        draws = torch.Generator().manual_seed(0)
        generator = generators["pictures"]
        device = next(generator.parameters()).device
        noise = [generator.noise(_PICTURES, generator=draws).to(device) for _ in range(_BATCHES)]
        update_bn(noise, generator)
