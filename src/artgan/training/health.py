"""Alarms during GAN training: frequent failures, detected early, with the usual remedies.

Each sign must persist before it is reported, since a healthy run shows most of them in its first steps: a generator
begins with pictures that are alike, or with a copy of its input, and a discriminator is ahead for a while.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Sign:
    """When a sign becomes an alarm: once it has persisted for ``lasting`` steps, not counting those before ``after``.

    Both together are at most 400 steps, so that a failure from the start, or a slower one, is reported within 500.
    """

    after: int
    lasting: int
    bound: float


# The share of logits on the right side, averaged over some steps. A healthy run stays between 0.5 and 0.95, but in
# the first 200 steps a discriminator may well classify everything correctly.
WON = Sign(after=100, lasting=250, bound=0.98)
_NEWEST = 0.2  # weight of the newest accuracy in the running mean: even a dominant discriminator slips now and then
# The distance between generated pictures: from noise, as a share of a picture's own contrast; from pictures, as a
# share of the distance between the inputs.
COLLAPSE = Sign(after=100, lasting=150, bound=0.1)
# The mean change as a share of the input's contrast. A mild style changes photographs by 0.15 and more.
COPIES = Sign(after=150, lasting=200, bound=0.12)
# Below this distance, five gray levels of 256, pictures count as alike whatever their contrast.
_VISIBLE = 0.04


REMEDIES = {
    "non-finite": "start again with a lower --lr (and --lr-discriminator), --precision no, --r1 or --spectral-norm",
    "discriminator-won": "a lower --lr-discriminator, --skip-below, --r1, --real-label 0.9, --spectral-norm, "
    "or --diffaugment color,translation,cutout for a small set",
    "collapse": "a lower --lr, more --discriminator-steps, --r1, --spectral-norm, "
    "--diffaugment color,translation,cutout for a small set, or another --seed",
    "copies-input": "lower the weights of the losses that hold it to its input, or raise --lr; "
    "with a discriminator that has won, lower --lr-discriminator too",
}
"""The usual remedies, by kind of alarm; a plugin's manifest may override them."""


@dataclass(frozen=True)
class Alarm:
    """What was detected at ``step``, with the measured value, and the likely remedies as option names."""

    step: int
    kind: str
    message: str


class Health:
    """Watches a run's losses and pictures; reports each problem once, and again only after it has gone away.

    Args:
        remedies: by kind of alarm; they override :data:`REMEDIES`.
    """

    def __init__(self, remedies: Mapping[str, str] | None = None) -> None:
        self.remedies = {**REMEDIES, **(remedies or {})}
        self.since: dict[str, int] = {}  # by kind and name, the step at which a sign was first seen
        self.told: list[str] = []
        self.accuracy: dict[str, float] = {}  # by discriminator, its running mean

    def observe(self, step: int, figures: Mapping[str, float]) -> list[Alarm]:
        """Check the means of the last few steps; called every 10 steps or so.

        Args:
            step: steps done.
            figures: losses by name, and as ``accuracy/NAME`` the share of a discriminator's logits on the right side,
                over real and generated pictures together.
        """
        alarms = []
        bad = [name for name, figure in figures.items() if not math.isfinite(figure)]
        if self._begins("non-finite/figures", step, seen=bool(bad)):
            alarms.append(self._alarm(step, "non-finite", f"no longer finite: {', '.join(bad)}"))
        for name, accuracy in figures.items():
            kind, _, network = name.partition("/")
            if kind != "accuracy" or not math.isfinite(accuracy):
                continue
            mean = self.accuracy.get(network, accuracy)
            self.accuracy[network] = mean = mean + _NEWEST * (accuracy - mean)
            if self._begins(f"discriminator-won/{network}", step, WON, seen=mean >= WON.bound):
                seen = (
                    f"the discriminator of {network} has won: {mean:.0%} of its logits have been right for "
                    f"{WON.lasting} steps, and the generator learns little from it"
                )
                alarms.append(self._alarm(step, "discriminator-won", seen))
        return alarms

    @torch.no_grad()
    def inspect(self, step: int, outputs: Mapping[str, tuple[Tensor | None, Tensor]]) -> list[Alarm]:
        """Check the generators' outputs for a fixed batch; called every 50 steps or so.

        Args:
            step: steps done.
            outputs: by generator, its input (None for noise) and its output, each N x 3 x H x W in [-1, 1].
                With N = 1 only non-finite values can be detected.
        """
        alarms = []
        for name, (inputs, pictures) in outputs.items():
            pictures = pictures.float().cpu()
            finite = bool(pictures.isfinite().all())
            if self._begins(f"non-finite/{name}", step, seen=not finite):
                alarms.append(self._alarm(step, "non-finite", f"the pictures of generator {name} are no longer finite"))
            if not finite or len(pictures) < 2:
                continue
            inputs = None if inputs is None else inputs.float().cpu()
            alarms += self._judge_likeness(step, name, inputs, pictures)
            if inputs is not None:
                alarms += self._judge_change(step, name, inputs, pictures)
        return alarms

    def _judge_likeness(self, step: int, name: str, inputs: Tensor | None, pictures: Tensor) -> list[Alarm]:
        distance = _distance(pictures)
        if inputs is None:
            expected, unit = _contrast(pictures), "their contrast"
            alike = distance < max(COLLAPSE.bound * expected, _VISIBLE)
        else:
            expected, unit = _distance(inputs), "their inputs' distance"
            # If the inputs themselves are alike, nothing follows from similar outputs.
            alike = distance < COLLAPSE.bound * expected and expected > _VISIBLE
        if not self._begins(f"collapse/{name}", step, COLLAPSE, seen=alike):
            return []
        seen = (
            f"collapse: the pictures of generator {name} are alike (their distance is {distance:.3f}, "
            f"{unit} {expected:.3f})"
        )
        return [self._alarm(step, "collapse", seen)]

    def _judge_change(self, step: int, name: str, inputs: Tensor, pictures: Tensor) -> list[Alarm]:
        change, contrast = float((pictures - inputs).abs().mean()), _contrast(inputs)
        copied = change < COPIES.bound * contrast
        if not self._begins(f"copies-input/{name}", step, COPIES, seen=copied):
            return []
        seen = (
            f"generator {name} copies its input: it changes pictures by {change * 127.5:.1f} of 255 gray levels, "
            f"{change / contrast:.1%} of their contrast"
        )
        return [self._alarm(step, "copies-input", seen)]

    def _alarm(self, step: int, kind: str, seen: str) -> Alarm:
        return Alarm(step, kind, f"{seen}. Likely remedies: {self.remedies[kind]}")

    def _begins(self, key: str, step: int, sign: Sign | None = None, *, seen: bool) -> bool:
        """Whether to report ``key`` now, given whether it is ``seen`` at ``step``."""
        if not seen:
            self.since.pop(key, None)
            if key in self.told:
                self.told.remove(key)
            return False
        if sign is not None:
            since = self.since.setdefault(key, max(step, sign.after))
            if step - since < sign.lasting:
                return False
        if key in self.told:
            return False
        self.told.append(key)
        return True

    def state_dict(self) -> dict[str, Any]:
        """What was seen and reported so far, as JSON types."""
        return {"since": dict(self.since), "told": list(self.told), "accuracy": dict(self.accuracy)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore a state returned by :meth:`state_dict`."""
        self.since, self.told, self.accuracy = dict(state["since"]), list(state["told"]), dict(state["accuracy"])


def _distance(pictures: Tensor) -> float:
    """The mean root-mean-square distance between two of N pictures, N at least 2."""
    return float(torch.pdist(pictures.flatten(1)).mean() / pictures[0].numel() ** 0.5)


def _contrast(pictures: Tensor) -> float:
    """The mean standard deviation within a picture."""
    return float(pictures.flatten(1).std(1).mean())
