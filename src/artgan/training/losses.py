"""Adversarial losses, by name."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def discriminator_loss(kind: str, real: Sequence[Tensor], fake: Sequence[Tensor]) -> Tensor:
    """What the discriminator minimises; the mean over each head's entries, summed over the heads.

    ``"lsgan"``: ((r - 1)^2 + f^2) / 2 (Mao et al., 2017, halved as in Zhu et al., 2017).
    ``"hinge"``: max(0, 1 - r) + max(0, 1 + f) (Lim and Ye, 2017).
    """
    if kind == "lsgan":
        losses = [((r - 1).square().mean() + f.square().mean()) / 2 for r, f in zip(real, fake, strict=True)]
    elif kind == "hinge":
        losses = [F.relu(1 - r).mean() + F.relu(1 + f).mean() for r, f in zip(real, fake, strict=True)]
    else:
        raise ValueError(f"unknown adversarial loss {kind!r}")
    return torch.stack(losses).sum()


def generator_loss(kind: str, fake: Sequence[Tensor]) -> Tensor:
    """What the generator minimises: ``"lsgan"`` (f - 1)^2, ``"hinge"`` -f; mean and sum as above."""
    if kind == "lsgan":
        losses = [(f - 1).square().mean() for f in fake]
    elif kind == "hinge":
        losses = [-f.mean() for f in fake]
    else:
        raise ValueError(f"unknown adversarial loss {kind!r}")
    return torch.stack(losses).sum()
