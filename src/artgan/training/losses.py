"""Adversarial losses by name, and the R1 penalty."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


def discriminator_loss(
    kind: str,
    real: Sequence[Tensor],
    fake: Sequence[Tensor],
    *,
    real_label: float = 1.0,
    fake_label: float = 0.0,
) -> Tensor:
    """The discriminator's loss: the mean over each head's entries, summed over the heads.

    ``"nonsaturating"``: cross-entropy, -log s(r) - log(1 - s(f)) with the sigmoid s (Goodfellow et al., 2014); with
    labels a and b other than 1 and 0, -a log s(r) - (1 - a) log(1 - s(r)) and likewise for f and b (label smoothing:
    Salimans et al., 2016).
    ``"lsgan"``: ((r - a)^2 + (f - b)^2) / 2 (Mao et al., 2017, halved as in Zhu et al., 2017).
    ``"hinge"``: max(0, 1 - r) + max(0, 1 + f) (Lim and Ye, 2017); it has no labels, and ignores those given.

    Args:
        kind: "nonsaturating", "lsgan" or "hinge".
        real: logits r of real pictures, one N x ... tensor per head.
        fake: logits f of generated pictures, as many heads.
        real_label: a.
        fake_label: b.

    Returns:
        A scalar.

    Raises:
        ValueError: the kind is unknown, or the numbers of heads differ.
    """
    a, b = real_label, fake_label
    if kind == "nonsaturating":
        losses = [_cross_entropy(r, a) + _cross_entropy(f, b) for r, f in zip(real, fake, strict=True)]
    elif kind == "lsgan":
        losses = [((r - a).square().mean() + (f - b).square().mean()) / 2 for r, f in zip(real, fake, strict=True)]
    elif kind == "hinge":
        losses = [F.relu(1 - r).mean() + F.relu(1 + f).mean() for r, f in zip(real, fake, strict=True)]
    else:
        raise ValueError(f"unknown adversarial loss {kind!r}")
    return torch.stack(losses).sum()


def generator_loss(kind: str, fake: Sequence[Tensor]) -> Tensor:
    """The generator's loss, a scalar: ``"nonsaturating"`` -log s(f), ``"lsgan"`` (f - 1)^2, ``"hinge"`` -f.

    Averaged and summed as in :func:`discriminator_loss`, whose logits f and sigmoid s these are.

    Raises:
        ValueError: the kind is unknown.
    """
    if kind == "nonsaturating":
        losses = [_cross_entropy(f, 1.0) for f in fake]
    elif kind == "lsgan":
        losses = [(f - 1).square().mean() for f in fake]
    elif kind == "hinge":
        losses = [-f.mean() for f in fake]
    else:
        raise ValueError(f"unknown adversarial loss {kind!r}")
    return torch.stack(losses).sum()


def accuracy(kind: str, real: Sequence[Tensor], fake: Sequence[Tensor]) -> Tensor:
    """The share of logits on the right side, a scalar from 0 to 1: the mean over real and fake, entries and heads.

    Args:
        kind: of the loss: the sides meet at 0.5 for "lsgan", whose labels are 1 and 0, and at 0 for all others. A logit
            that is exactly there is wrong.
        real: logits of real pictures, one N x ... tensor per head.
        fake: logits of generated pictures, as many heads.

    Raises:
        ValueError: the numbers of heads differ.
    """
    boundary = 0.5 if kind == "lsgan" else 0.0
    right = [
        ((r > boundary).float().mean() + (f < boundary).float().mean()) / 2 for r, f in zip(real, fake, strict=True)
    ]
    return torch.stack(right).mean()


def r1_penalty(discriminator: Callable[[Any], Sequence[Tensor]], real: Tensor | Sequence[Tensor]) -> Tensor:
    """|gradient of D at the real pictures|^2, averaged over the pictures (Mescheder et al., 2018, without gamma / 2).

    D of a picture is the mean over each head's entries, summed over the heads. If D takes several inputs, the penalty
    is averaged over them (Karnewar and Wang, 2020).

    Args:
        discriminator: maps N x 3 x H x W pictures, or several such tensors, to logits, one N x ... tensor per head.
        real: N x 3 x H x W pictures, or several such tensors; no gradient flows beyond them.

    Returns:
        A scalar, of which the discriminator's parameters have gradients.
    """
    inputs = [one.detach().requires_grad_() for one in ([real] if isinstance(real, Tensor) else real)]
    logits = discriminator(inputs[0] if isinstance(real, Tensor) else inputs)
    total = torch.stack([head.flatten(1).mean(1).sum() for head in logits]).sum()
    gradients = torch.autograd.grad(total, inputs, create_graph=True)
    return torch.stack([gradient.square().flatten(1).sum(1).mean() for gradient in gradients]).mean()


def _cross_entropy(logits: Tensor, label: float) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, label))
