"""What metrics share that see pictures as one vector of features each."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from artgan.interfaces import Metric, Score
from artgan.metrics.extractors import Extractor, load_extractor


class FeatureMetric(Metric):
    """A score of features; metrics of one extractor share its pass over the pictures where they are taken together.

    Args:
        extractor: the one that the class names, loaded; by default with its published weights.

    Attributes:
        extractor_name: one of :data:`artgan.metrics.extractors.EXTRACTORS`.
        part: of the extractor's features.
        wants_inputs: whether :meth:`judge` has a use for the pictures that went in.
    """

    extractor_name: ClassVar[str]
    part: ClassVar[str]
    wants_inputs: ClassVar[bool] = False

    def __init__(self, extractor: Extractor | None = None) -> None:
        self.extractor = extractor
        self._seen: dict[bool, list[Tensor]] = {True: [], False: []}

    @abstractmethod
    def judge(self, real: Tensor, fake: Tensor, inputs: Tensor | None = None) -> Sequence[Score]:
        """Scores of features.

        Args:
            real: N x D, float32, perhaps on disk (memory-mapped); without rows where :attr:`against` is "nothing".
            fake: M x D, the same.
            inputs: of the pictures that the generated ones were made from, K x D, where they are known.

        Raises:
            ValueError: too few rows for the score to be defined, or features that are not finite.
        """

    def score(
        self,
        name: str,
        value: float,
        n: tuple[int, int],
        *,
        interval: tuple[float, float] | None = None,
        notes: Sequence[str] = (),
        **details: Any,
    ) -> Score:
        """A score with what it was computed with."""
        if self.extractor is not None:
            used = self.extractor
            details = {"extractor": used.name, "resize": used.resize, "weights": used.weights, **details}
        return Score(name, value, n, details, interval, tuple(notes))

    def update(self, pictures: Tensor, *, real: bool) -> None:
        """Take in the features of N x 3 x H x W pictures in [-1, 1]."""
        if self.extractor is None:
            self.extractor = load_extractor(self.extractor_name)
        self._seen[real].append(self.extractor.features(pictures)[:, self.extractor.parts[self.part]])

    def compute(self) -> Score:
        """The first of :meth:`scores`."""
        return self.scores()[0]

    def scores(self) -> Sequence[Score]:
        """:meth:`judge` of all that was taken in, with what it was computed with."""
        real, fake = (torch.cat(rows) if rows else torch.empty(0, 0) for rows in self._seen.values())
        return self.judge(real, fake)


def need(real: Tensor | None, fake: Tensor, *, least: int) -> None:
    """:func:`need_rows` of both sets."""
    for kind, rows in (("real", real), ("generated", fake)):
        if rows is not None:
            need_rows(f"{kind} pictures", rows, least)


def need_rows(what: str, rows: Tensor, least: int) -> None:
    """Refuse too few pictures, and features of which nothing can be said.

    Raises:
        ValueError: there are fewer rows than ``least``, or their features are not finite.
    """
    if len(rows) < least:
        raise ValueError(f"needs at least {least} {what}, got {len(rows)}")
    need_finite(rows)


def need_finite(features: Tensor) -> None:
    """Refuse features of any shape that have infinite ones among them, or such as are no numbers.

    Raises:
        ValueError: they have.
    """
    if not math.isfinite(float(features.sum())):  # a sum takes no memory, and nothing evens these out
        raise ValueError("the features are not finite; are the weights whole?")
