"""One step of CycleGAN's training (Zhu et al., 2017, section 4)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from artgan.interfaces import Generator, Networks, Run, Trainer
from artgan.training.adversarial import Adversary, adam
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
        self.adversary = Adversary(networks.discriminators, config, run)
        self.rounds = self.adversary.rounds
        self.optimizers = {
            "generators": adam(networks.generators.values(), config),
            "discriminators": self.adversary.optimizer,
        }

    def step(self, batch: Mapping[str, Tensor], index: int) -> Mapping[str, Tensor]:
        """Generators first, then discriminators; see :meth:`artgan.interfaces.Trainer.step`."""
        if self.adversary.generators_turn(index):
            made, losses = self._step_generators(batch, index)
            to_judge = {}  # what generator_loss() saw, without observing it again
        else:
            with torch.no_grad():
                made = {domain: self.networks.generators[domain](batch[o]) for domain, o in self.others.items()}
            losses, to_judge = {}, made
        if self.config.pool:
            to_judge = {domain: self.pools[domain].exchange(pictures) for domain, pictures in made.items()}
        return losses | self.adversary.step(index, {domain: batch[domain] for domain in self.others}, to_judge)

    def _step_generators(self, batch: Mapping[str, Tensor], index: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        config, generators = self.config, self.networks.generators
        with_identity = config.lambda_identity > 0 and index // self.rounds % config.identity_every == 0
        total = torch.zeros((), device=batch["photos"].device)
        made: dict[str, Tensor] = {}
        losses: dict[str, Tensor] = {}
        for domain, other in self.others.items():
            made[domain] = generators[domain](batch[other])
            adversarial = self.adversary.generator_loss(domain, made[domain])
            cycle = (generators[other](made[domain]) - batch[other]).abs().mean()
            total = total + adversarial + config.lambda_cycle * cycle
            losses |= {f"generator/{domain}": adversarial, f"cycle/{other}": cycle}
            if with_identity:
                identity = (generators[domain](batch[domain]) - batch[domain]).abs().mean()
                total = total + config.lambda_identity * identity
                losses[f"identity/{domain}"] = identity
        self.run.minimise(total, self.optimizers["generators"])
        return (
            {domain: pictures.detach() for domain, pictures in made.items()},
            {name: loss.detach() for name, loss in losses.items()},
        )

    def sample(self, batch: Mapping[str, Tensor], generators: Mapping[str, Generator]) -> Mapping[str, Tensor]:
        """Photos, their paintings, and the way back."""
        paintings = generators["paintings"](batch["photos"])
        return {"photo": batch["photos"], "painting": paintings, "and back": generators["photos"](paintings)}

    def outputs(
        self, batch: Mapping[str, Tensor], generators: Mapping[str, Generator]
    ) -> Mapping[str, tuple[Tensor | None, Tensor]]:
        """Both translations."""
        return {domain: (batch[other], generators[domain](batch[other])) for domain, other in self.others.items()}

    def state_dict(self) -> dict[str, Any]:
        """The histories of pictures."""
        return {domain: list(pool.pictures) for domain, pool in self.pools.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take the histories back."""
        for domain, pool in self.pools.items():
            pool.pictures = list(state[domain])
