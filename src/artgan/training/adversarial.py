"""The discriminators' side of adversarial training, with everything that :class:`AdversarialOptions` offers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import _SpectralNorm, spectral_norm

from artgan.interfaces import Discriminator, Run
from artgan.training.augment import augment, augment_together
from artgan.training.losses import accuracy, discriminator_loss, generator_loss, r1_penalty
from artgan.training.options import AdversarialOptions

Pictures: TypeAlias = "Tensor | Sequence[Tensor]"
"""N x 3 x H x W pictures, or the same ones at several resolutions as a discriminator judges them, the largest last."""


class Adversary:
    """All discriminators of a model as one opponent of its generators.

    A trainer's step calls :meth:`generator_loss` for each fake batch that should fool a discriminator, if it is the
    :meth:`generators_turn`, and then :meth:`step` to update the discriminators. The trainer adds :attr:`optimizer` to
    its optimizers and uses :attr:`rounds` as its rounds.

    Args:
        discriminators: by name. With the option ``spectral_norm``, their layers are normalized in place.
        options: the plugin's config.
        run: the trainer's.

    Attributes:
        optimizer: Adam over the trainable parameters of all discriminators.
        rounds: the option ``discriminator_steps``: updates of the discriminators per update of the generators.
        observed_made: by discriminator, its features of the last fake batch of :meth:`generator_loss`, with
            gradients, for the trainer's own losses; cleared by :meth:`step`.
        observed_real: by discriminator, its features of the last real batch of :meth:`step`, without gradients.
    """

    def __init__(self, discriminators: Mapping[str, Discriminator], options: AdversarialOptions, run: Run) -> None:
        self.discriminators = discriminators
        self.options = options
        self.run = run
        self.rounds = options.discriminator_steps
        if options.spectral_norm:
            for discriminator in discriminators.values():
                normalize_spectrally(discriminator)
        self.optimizer = adam(discriminators.values(), options, options.lr_discriminator)
        self.observed_made: dict[str, Sequence[Tensor]] = {}
        self.observed_real: dict[str, Sequence[Tensor]] = {}

    def generators_turn(self, index: int) -> bool:
        """Whether the generators are updated in the round ``index``: only in the last round of each step."""
        return (index + 1) % self.rounds == 0

    def generator_loss(self, name: str, made: Pictures) -> Tensor:
        """The adversarial loss of generated pictures against the discriminator ``name``, a scalar.

        Args:
            name: of the discriminator.
            made: N x 3 x H x W pictures with gradients, or these at several resolutions, as for :meth:`step`.
        """
        discriminator = self.discriminators[name]
        observed = self.observed_made[name] = _observed(discriminator, self._augment(made))
        return generator_loss(self.options.loss, discriminator.judge(observed))

    def step(
        self,
        index: int,
        real: Mapping[str, Pictures],
        made: Mapping[str, Pictures],
        more: Mapping[str, Tensor] | None = None,
    ) -> dict[str, Tensor]:
        """One update of all discriminators.

        Args:
            index: of the round.
            real: by discriminator, N x 3 x H x W real pictures, or these at several resolutions, the largest last,
                as the discriminator judges them (its ``observe`` is not called then).
            made: by discriminator, generated pictures in the same form; no gradient flows to them. If a discriminator
                is missing here, the features of its last :meth:`generator_loss` call are used again.
            more: by discriminator, N x 3 x H x W further pictures that are not real, such as the generators' inputs;
                as many as the generated ones count half, the generated ones the other half.

        Returns:
            Values to log, scalars without gradient: by discriminator ``discriminator/NAME`` (the adversarial loss),
            ``accuracy/NAME`` (0 to 1) and, where there is one, ``auxiliary/NAME``; and ``r1/NAME`` (with the factor
            gamma / 2) in the rounds with this penalty.

        Raises:
            KeyError: no generated pictures for a discriminator, of which :meth:`generator_loss` has seen none either.
        """
        options = self.options
        losses, figures, penalties, auxiliary_losses = {}, {}, {}, {}
        for name, pictures in real.items():
            discriminator = self.discriminators[name]
            with torch.no_grad():  # observe() has no trainable parameters
                pictures = self._augment(pictures)
                observed = self.observed_real[name] = _observed(discriminator, pictures)
                seen = (
                    self.observed_made[name]
                    if name not in made
                    else _observed(discriminator, self._augment(made[name]))
                )
                seen = [features.detach() for features in seen]
                if more:
                    others = _observed(discriminator, self._augment(more[name]))
                    seen = [torch.cat(pair) for pair in zip(seen, others, strict=True)]
            says_real, says_fake = discriminator.judge(observed), discriminator.judge(seen)
            losses[f"discriminator/{name}"] = discriminator_loss(
                options.loss, says_real, says_fake, real_label=options.real_label, fake_label=options.fake_label
            )
            auxiliary = discriminator.auxiliary_loss(observed)
            if auxiliary is not None:
                auxiliary_losses[f"auxiliary/{name}"] = auxiliary
            figures[f"accuracy/{name}"] = accuracy(options.loss, says_real, says_fake)
            if options.r1 and index % options.r1_every == 0:
                with torch.autocast(says_real[0].device.type, enabled=False):  # squared gradients: float32's range
                    penalties[f"r1/{name}"] = options.r1 / 2 * _r1(discriminator, pictures)
        self.observed_made.clear()
        adversarial = torch.stack(list(losses.values()))
        total = adversarial.sum()
        if auxiliary_losses:
            total = total + torch.stack(list(auxiliary_losses.values())).sum()
        if penalties:  # lazy regularization (Karras et al., 2020): less often, but with the same mean weight
            total = total + options.r1_every * torch.stack(list(penalties.values())).sum()
        gate = (adversarial.detach().mean(), options.skip_below) if options.skip_below else None
        self.run.minimize(total, self.optimizer, gate=gate)
        return {name: figure.detach() for name, figure in (losses | figures | auxiliary_losses | penalties).items()}

    def _augment(self, pictures: Pictures) -> Pictures:
        if isinstance(pictures, Tensor):
            return augment(pictures, self.options.augmentations)
        return augment_together(pictures, self.options.augmentations)


def _observed(discriminator: Discriminator, pictures: Pictures) -> Sequence[Tensor]:
    """What the discriminator observes of pictures; those at several resolutions are what it judges."""
    return discriminator.observe(pictures) if isinstance(pictures, Tensor) else pictures


def _r1(discriminator: Discriminator, real: Pictures) -> Tensor:
    if isinstance(real, Tensor):
        return r1_penalty(discriminator, real.float())
    return r1_penalty(discriminator.judge, [scale.float() for scale in real])


def adam(modules: Iterable[nn.Module], options: AdversarialOptions, lr: float | None = None) -> torch.optim.Adam:
    """Adam (Kingma and Ba, 2015) over the trainable parameters of the modules, fused if all are on a GPU.

    Args:
        modules: networks; a parameter that several share is taken once.
        options: learning rate and betas.
        lr: a learning rate that goes before the option's; None, the default, or 0 for the option's.

    Raises:
        ValueError: there is nothing to train.
    """
    parameters = list(dict.fromkeys(p for module in modules for p in module.parameters() if p.requires_grad))
    fused = all(p.is_cuda for p in parameters) or None
    return torch.optim.Adam(parameters, lr or options.lr, betas=(options.beta1, options.beta2), fused=fused)


def normalize_spectrally(module: nn.Module) -> None:
    """Divide the weights of all convolutions and linear layers by their spectral norm (Miyato et al., 2018).

    In place, with one power iteration per step, whose vectors are buffers. Layers that already have it are skipped.
    """
    kinds = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.Linear)
    for part in list(module.modules()):
        if isinstance(part, kinds) and not any(isinstance(inner, _SpectralNorm) for inner in part.modules()):
            spectral_norm(part)
