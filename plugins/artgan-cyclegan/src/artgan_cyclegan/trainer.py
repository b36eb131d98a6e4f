"""One step of CycleGAN's training (Zhu et al., 2017, section 4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from artgan.toolkit import Adversary, Generator, Networks, Run, Trainer, adam
from artgan_cyclegan.config import CycleGANConfig
from artgan_cyclegan.networks import ProjectedDiscriminator
from artgan_cyclegan.style import StyleMemory, self_similarity_loss

_STYLES = 64  # pictures of each kind
_SMEAR = 8  # pixels that the color loss averages over, along each side
_DEEPEST = len(
    ProjectedDiscriminator.layers
)  # its index in the output of a projected discriminator's observe(); moments follow


class PicturePool:
    """A history of generated pictures (Shrivastava et al., 2017): half of the input is returned later.

    Args:
        size: pictures kept; with 0, pictures pass unchanged.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.pictures: list[Tensor] = []

    def exchange(self, pictures: Tensor) -> Tensor:
        """N x 3 x H x W pictures to as many: each is returned or, at random, swapped for an older one."""
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
    """Alternating updates of generators and discriminators; without a cycle loss only those of paintings."""

    config: CycleGANConfig

    def __init__(self, networks: Networks, config: CycleGANConfig, run: Run) -> None:
        super().__init__(networks, config, run)
        # Each domain is generated from the other one, by the generator named after it.
        others = {"paintings": "photos", "photos": "paintings"}
        self.others = {domain: others[domain] for domain in networks.generators}
        self.pools = {domain: PicturePool(config.pool) for domain in self.others}
        self.styles = {domain: StyleMemory(_STYLES) for domain in self.others} if config.lambda_style else {}
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
            to_judge = {}  # fake batches of generator_loss(), whose features are reused
        else:
            with torch.no_grad():
                made = {domain: self.networks.generators[domain](batch[o]) for domain, o in self.others.items()}
            losses, to_judge = {}, made
        if self.config.pool:
            to_judge = {domain: self.pools[domain].exchange(pictures) for domain, pictures in made.items()}
        moments = {domain: self._moments(self.adversary.observed_made[domain]) for domain in self.styles if losses}
        more = {domain: batch[other] for domain, other in self.others.items()} if self.config.input_is_fake else {}
        figures = self.adversary.step(index, {domain: batch[domain] for domain in self.others}, to_judge, more)
        for domain, of_made in moments.items():
            self.styles[domain].remember(self._moments(self.adversary.observed_real[domain]), of_made)
        return losses | figures

    def _step_generators(self, batch: Mapping[str, Tensor], index: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        config, generators = self.config, self.networks.generators
        with_identity = config.lambda_identity > 0 and index // self.rounds % config.identity_every == 0
        total = torch.zeros((), device=batch["photos"].device)
        made: dict[str, Tensor] = {}
        losses: dict[str, Tensor] = {}
        for domain, other in self.others.items():
            made[domain] = generators[domain](batch[other])
            adversarial = self.adversary.generator_loss(domain, made[domain])
            total = total + adversarial
            losses[f"generator/{domain}"] = adversarial
            if config.lambda_cycle:
                cycle = (generators[other](made[domain]) - batch[other]).abs().mean()
                total = total + config.lambda_cycle * cycle
                losses[f"cycle/{other}"] = cycle
            if config.lambda_content:
                content = self._content_lost(domain, batch[other])
                total = total + config.lambda_content * content
                losses[f"content/{domain}"] = content
            if config.lambda_color:
                color = F.mse_loss(F.avg_pool2d(made[domain], _SMEAR), F.avg_pool2d(batch[other], _SMEAR))
                total = total + config.lambda_color * color
                losses[f"color/{domain}"] = color
            if self.styles:
                style = self.styles[domain].loss(self._moments(self.adversary.observed_made[domain]))
                total = total + config.lambda_style * style
                losses[f"style/{domain}"] = style
            if with_identity:
                identity = (generators[domain](batch[domain]) - batch[domain]).abs().mean()
                total = total + config.lambda_identity * identity
                losses[f"identity/{domain}"] = identity
        self.run.minimize(total, self.optimizers["generators"])
        return (
            {domain: pictures.detach() for domain, pictures in made.items()},
            {name: loss.detach() for name, loss in losses.items()},
        )

    def _content_lost(self, domain: str, photos: Tensor) -> Tensor:
        """How far the deepest features of photos and of their paintings are apart, a scalar."""
        discriminator = self.networks.discriminators[domain]
        assert isinstance(discriminator, ProjectedDiscriminator)
        with torch.no_grad():
            there = discriminator.content(photos)
        here = self.adversary.observed_made[domain][_DEEPEST]
        if self.config.content == "self-similarity":
            return self_similarity_loss(here, there)
        return 1 - F.cosine_similarity(here, there, dim=1).mean()

    @staticmethod
    def _moments(observed: Sequence[Tensor]) -> Sequence[Tensor]:
        return observed[_DEEPEST + 1 :]

    def sample(self, batch: Mapping[str, Tensor], generators: Mapping[str, Generator]) -> Mapping[str, Tensor]:
        """Photos, their paintings, and the way back."""
        rows = {"photo": batch["photos"], "painting": generators["paintings"](batch["photos"])}
        if "photos" in generators:
            rows["and back"] = generators["photos"](rows["painting"])
        return rows

    def outputs(
        self, batch: Mapping[str, Tensor], generators: Mapping[str, Generator]
    ) -> Mapping[str, tuple[Tensor | None, Tensor]]:
        """All translations."""
        return {domain: (batch[other], generators[domain](batch[other])) for domain, other in self.others.items()}

    def state_dict(self) -> dict[str, Any]:
        """The histories of pictures and of their moments."""
        state: dict[str, Any] = {domain: list(pool.pictures) for domain, pool in self.pools.items()}
        return state | {"styles": {domain: memory.state_dict() for domain, memory in self.styles.items()}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the histories."""
        for domain, pool in self.pools.items():
            pool.pictures = list(state[domain])
        for domain, memory in self.styles.items():
            memory.load_state_dict(state["styles"][domain])
