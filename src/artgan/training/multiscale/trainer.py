"""One step of a GAN from noise at several resolutions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from artgan.errors import ConfigError, PluginError
from artgan.interfaces import Generator, Networks, Run
from artgan.training.from_noise import PICTURES, NoiseTrainer
from artgan.training.multiscale.growth import Growth, placed
from artgan.training.multiscale.networks import (
    MultiscaleDiscriminator,
    MultiscaleGenerator,
    ProgressiveDiscriminator,
    enlarged,
)
from artgan.training.options import MultiscaleOptions


class MultiscaleTrainer(NoiseTrainer):
    """A :class:`NoiseTrainer` of networks that may have several resolutions, by the option ``multiscale``.

    The networks are then a :class:`MultiscaleGenerator` and a :class:`ProgressiveDiscriminator` or a
    :class:`MultiscaleGradientDiscriminator`; the config is a :class:`MultiscaleOptions`. How far the networks have
    grown follows from the number of the step, and the length of a phase.

    Args:
        networks: of the plugin.
        config: of the plugin.
        run: what it may know about the run.

    Attributes:
        pair: the two networks, if they have several resolutions.
        growth: the schedule of growing, for a :class:`ProgressiveDiscriminator`.

    Raises:
        PluginError: the networks are not those of the option ``multiscale``.
        ConfigError: the run ends before networks with ``phase_steps`` have grown.
    """

    def __init__(self, networks: Networks, config: MultiscaleOptions, run: Run) -> None:
        generator, discriminator = networks.generators[PICTURES], networks.discriminators[PICTURES]
        self.pair: tuple[MultiscaleGenerator, MultiscaleDiscriminator] | None = None
        if isinstance(generator, MultiscaleGenerator) and isinstance(discriminator, MultiscaleDiscriminator):
            self.pair = generator, discriminator
            for network in self.pair:  # the optimizers also hold the layers that do not take part yet
                network.requires_grad_(True)
        if (self.pair is None) != (config.multiscale == "none"):
            raise PluginError(f"multiscale is {config.multiscale!r}, but the plugin built other networks")
        super().__init__(networks, config, run)
        self.growth: Growth | None = None
        if isinstance(discriminator, ProgressiveDiscriminator):
            count = len(discriminator.sides)
            self.growth = Growth(count, config.phase_steps or max(1, run.steps // count), config.fade_in)
            if config.phase_steps is not None:
                self._check_growth(self.growth)
            self._grow(0)

    @property
    def milestones(self) -> frozenset[int]:
        """The ends of the phases, for a sheet of each resolution."""
        return frozenset() if self.growth is None else self.growth.phase_ends

    def step(self, batch: Mapping[str, Tensor], index: int) -> Mapping[str, Tensor]:
        """Grow to the level of the step, then see :meth:`NoiseTrainer.step`."""
        side = self._grow(index // self.rounds)
        figures = super().step(batch, index)
        if side is None:
            return figures
        return {**figures, f"resolution/{PICTURES}": torch.full((), float(side), device=batch[PICTURES].device)}

    def made(self, noise: Tensor) -> Tensor | Sequence[Tensor]:
        """The pictures that the discriminator judges, made of N x Z noise: one tensor, or one for each resolution."""
        if self.pair is None:
            return super().made(noise)
        generator, discriminator = self.pair
        return discriminator.shown(generator.pictures(noise))

    def seen(self, real: Tensor) -> Tensor | Sequence[Tensor]:
        """The same of N x 3 x S x S real pictures."""
        return real if self.pair is None else self.discriminator.observe(real)

    def sample(self, batch: Mapping[str, Tensor], generators: Mapping[str, Generator]) -> Mapping[str, Tensor]:
        """A row of real pictures, one of generated ones at each resolution so far, and more at the highest."""
        real, generator = batch[PICTURES], generators[PICTURES]
        if not isinstance(generator, MultiscaleGenerator):
            return super().sample(batch, generators)
        columns, side = len(real), generator.sides[-1]
        rows = {"real": real}
        for row in range(min(4, len(self.fixed) // columns)):
            pictures = generator.pictures(self.fixed[row * columns : (row + 1) * columns].to(real))
            if row == 0:
                rows |= {f"{p.shape[-1]} px": enlarged(p, side) for p in pictures[:-1]}
            top = pictures[-1]
            rows[f"{top.shape[-1]} px, {row + 1}"] = enlarged(top, side)
        return rows

    def state_dict(self) -> dict[str, Any]:
        """The length of a phase, which a run that is resumed with more steps keeps."""
        return {} if self.growth is None else {"phase_steps": self.growth.phase_steps}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what :meth:`state_dict` returned.

        Raises:
            ConfigError: the run ends before the networks have grown.
        """
        if self.growth is None:
            super().load_state_dict(state)
            return
        if state["phase_steps"] != self.growth.phase_steps:  # the number of steps is another than it was
            self.growth = replace(self.growth, phase_steps=state["phase_steps"])
            self._check_growth(self.growth)

    def _grow(self, step: int) -> int | None:
        """Grow both networks to the level of the step, counted from 0; the side of their pictures, if they do grow."""
        if self.pair is None or self.growth is None:
            return None
        generator, discriminator = self.pair
        assert isinstance(discriminator, ProgressiveDiscriminator)  # no other has a growth
        level = self.growth.level(step)
        generator.grow(level)
        discriminator.grow(level)
        return generator.sides[placed(level)[0]]

    def _check_growth(self, growth: Growth) -> None:
        """Refuse a run that ends before the networks have grown.

        Raises:
            ConfigError: it has too few steps.
        """
        if self.run.steps < growth.complete_after:
            raise ConfigError(
                f"--phase-steps {growth.phase_steps}: growing through {growth.resolutions} resolutions takes "
                f"{growth.complete_after} steps, and the run has {self.run.steps}; give fewer --phase-steps, or more "
                "--steps"
            )
