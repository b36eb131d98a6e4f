"""FastGAN's training step."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor
from torch.nn.utils import parametrize

from artgan.toolkit import NoiseTrainer


class FastGANTrainer(NoiseTrainer):
    """The generator's update comes first, so that the discriminator's reuses what VGG-19 observed of its pictures."""

    def step(self, batch: Mapping[str, Tensor], index: int) -> Mapping[str, Tensor]:
        """The generator step, then the discriminator step on the same pictures; see :meth:`Trainer.step`."""
        if not self.adversary.generators_turn(index):
            return super().step(batch, index)
        real = batch["pictures"]
        made = self.generator(self.generator.noise(len(real)).to(real))
        loss = self.adversary.generator_loss("pictures", made)
        self.run.minimize(loss, self.optimizers["generator"])
        # Real and generated pictures are judged with the same spectral norms. The generator's step cannot share them:
        # compiled networks keep no part of a graph for a second backward pass.
        with parametrize.cached():
            figures = self.adversary.step(index, {"pictures": real}, {})
        return {**figures, "generator/pictures": loss.detach()}
