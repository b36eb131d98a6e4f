"""One step of CycleGAN's training (Zhu et al., 2017, section 4)."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from artgan.interfaces import Discriminator, Generator, Networks, Run, Trainer
from artgan.training.losses import discriminator_loss, generator_loss
from artgan_cyclegan.config import CycleGANConfig


class PicturePool:
    """A history of generated pictures (Shrivastava et al., 2017): half of what goes in comes back out later.

    Args:
        size: pictures kept; with 0, pictures pass unchanged.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.pictures: list[Tensor] = []

    def exchange(self, pictures: Tensor) -> Tensor:
        """N x 3 x H x W pictures in, as many out: each itself or, at random, an older one that it replaces."""
        returned = []
        for picture in pictures.detach():
            if len(self.pictures) < self.size:
                self.pictures.append(picture)
            elif self.size and torch.rand(()) < 0.5:
                slot = int(torch.randint(self.size, ()))
                picture, self.pictures[slot] = self.pictures[slot], picture
            returned.append(picture)
        return torch.stack(returned)


class CycleGANTrainer(Trainer):
    """Both translators and both discriminators, updated in turn."""

    config: CycleGANConfig

    def __init__(self, networks: Networks, config: CycleGANConfig, run: Run) -> None:
        super().__init__(networks, config, run)
        # How each domain is reached: by the generator named after it, from the other one.
        self.others = {"paintings": "photos", "photos": "paintings"}
        self.pools = {domain: PicturePool(config.pool) for domain in self.others}

        def adam(modules: Mapping[str, torch.nn.Module]) -> torch.optim.Optimizer:
            trainable = [p for m in modules.values() for p in m.parameters() if p.requires_grad]
            return torch.optim.Adam(trainable, config.lr, betas=(config.beta1, config.beta2))

        self.optimizers = {
            "generators": adam(networks.generators),
            "discriminators": adam(networks.discriminators),
        }

    def step(self, batch: Mapping[str, Tensor], index: int) -> Mapping[str, Tensor]:
        """Generators first, then discriminators; see :meth:`artgan.interfaces.Trainer.step`."""
        made, observed, losses = self._step_generators(batch, index)
        losses |= self._step_discriminators(batch, made, observed)
        return losses

    def _step_generators(
        self, batch: Mapping[str, Tensor], index: int
    ) -> tuple[dict[str, Tensor], dict[str, list[Tensor]], dict[str, Tensor]]:
        config, generators = self.config, self.networks.generators
        self._train_discriminators(False)
        with_identity = config.lambda_identity > 0 and index % config.identity_every == 0
        total = torch.zeros((), device=batch["photos"].device)
        made: dict[str, Tensor] = {}
        observed: dict[str, list[Tensor]] = {}
        losses: dict[str, Tensor] = {}
        for domain, other in self.others.items():
            made[domain] = generators[domain](batch[other])
            seen = self.networks.discriminators[domain].observe(made[domain])
            observed[domain] = [features.detach() for features in seen]
            adversarial = generator_loss(config.loss, self.networks.discriminators[domain].judge(seen))
            cycle = (generators[other](made[domain]) - batch[other]).abs().mean()
            total = total + adversarial + config.lambda_cycle * cycle
            losses |= {f"generator/{domain}": adversarial, f"cycle/{other}": cycle}
            if with_identity:
                identity = (generators[domain](batch[domain]) - batch[domain]).abs().mean()
                total = total + config.lambda_identity * identity
                losses[f"identity/{domain}"] = identity
        self.optimizers["generators"].zero_grad()
        self.run.backward(total)
        self.optimizers["generators"].step()
        return (
            {domain: picture.detach() for domain, picture in made.items()},
            observed,
            {name: loss.detach() for name, loss in losses.items()},
        )

    def _step_discriminators(
        self, batch: Mapping[str, Tensor], made: Mapping[str, Tensor], observed: Mapping[str, list[Tensor]]
    ) -> dict[str, Tensor]:
        self._train_discriminators(True)
        losses = {}
        for domain in self.others:
            discriminator: Discriminator = self.networks.discriminators[domain]
            with torch.no_grad():  # what observe() does holds nothing to train
                real = discriminator.observe(batch[domain])
                fake = observed[domain]
                if self.config.pool:
                    fake = list(discriminator.observe(self.pools[domain].exchange(made[domain])))
            losses[f"discriminator/{domain}"] = discriminator_loss(
                self.config.loss, discriminator.judge(real), discriminator.judge(fake)
            )
        self.optimizers["discriminators"].zero_grad()
        self.run.backward(torch.stack(list(losses.values())).sum())
        self.optimizers["discriminators"].step()
        return {name: loss.detach() for name, loss in losses.items()}

    def _train_discriminators(self, train: bool) -> None:
        """In the generators' step the discriminators take no gradient, which also saves its cost."""
        for parameter in self._trainable_of_discriminators():
            parameter.requires_grad_(train)

    def _trainable_of_discriminators(self) -> list[torch.nn.Parameter]:
        groups = self.optimizers["discriminators"].param_groups
        return list(itertools.chain.from_iterable(group["params"] for group in groups))

    def sample(self, batch: Mapping[str, Tensor], generators: Mapping[str, Generator]) -> Mapping[str, Tensor]:
        """Photos, their paintings, and the way back."""
        paintings = generators["paintings"](batch["photos"])
        return {"photo": batch["photos"], "painting": paintings, "and back": generators["photos"](paintings)}

    def state_dict(self) -> dict[str, Any]:
        """The histories of pictures."""
        return {domain: list(pool.pictures) for domain, pool in self.pools.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take the histories back."""
        for domain, pool in self.pools.items():
            pool.pictures = list(state[domain])
