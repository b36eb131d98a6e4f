"""Base class of metrics on feature vectors, and validation of features."""

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
    """A metric on feature vectors; metrics evaluated together share one pass of their extractor.

    Args:
        extractor: the extractor named by the class; by default loaded with its published weights.

    Attributes:
        extractor_name: one of :data:`artgan.metrics.extractors.EXTRACTORS`.
        part: the name of a part of the extractor's features.
        wants_inputs: whether :meth:`evaluate` uses the features of the input pictures.
        wants_origins: whether :attr:`origins` should be set, if known.
        origins: by generated picture, the index of the real one that has its name or its content, or None.
    """

    extractor_name: ClassVar[str]
    part: ClassVar[str]
    wants_inputs: ClassVar[bool] = False
    wants_origins: ClassVar[bool] = False
    origins: Sequence[int | None] | None = None

    def __init__(self, extractor: Extractor | None = None) -> None:
        self.extractor = extractor
        self._seen: dict[bool, list[Tensor]] = {True: [], False: []}

    @abstractmethod
    def evaluate(self, real: Tensor, fake: Tensor, inputs: Tensor | None = None) -> Sequence[Score]:
        """Compute the scores from features.

        Args:
            real: N x D, float32, possibly memory-mapped; without rows if :attr:`against` is "nothing".
            fake: M x D, likewise.
            inputs: K x D, of the pictures that the generated ones were made from, if known.

        Raises:
            ValueError: there are too few rows for the score to be defined, or the features are not finite.
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
        """A score whose details name the extractor."""
        if self.extractor is not None:
            used = self.extractor
            details = {"extractor": used.name, "resize": used.resize, "weights": used.weights, **details}
        return Score(name, value, n, details, interval, tuple(notes))

    def update(self, pictures: Tensor, *, real: bool) -> None:
        """Extract and collect the features of N x 3 x H x W pictures in [-1, 1]."""
        if self.extractor is None:
            self.extractor = load_extractor(self.extractor_name)
        self._seen[real].append(self.extractor.features(pictures)[:, self.extractor.parts[self.part]])

    def compute(self) -> Score:
        """The first of :meth:`scores`."""
        return self.scores()[0]

    def scores(self) -> Sequence[Score]:
        """:meth:`evaluate` of all collected features."""
        real, fake = (torch.cat(rows) if rows else torch.empty(0, 0) for rows in self._seen.values())
        return self.evaluate(real, fake)


def require_pictures(real: Tensor | None, fake: Tensor, *, least: int) -> None:
    """:func:`require_rows` for each given set."""
    for kind, rows in (("real", real), ("generated", fake)):
        if rows is not None:
            require_rows(f"{kind} pictures", rows, least)


def require_rows(what: str, rows: Tensor, least: int) -> None:
    """Check that there are enough rows, and that they are finite.

    Raises:
        ValueError: there are fewer rows than ``least``, or a feature is not finite.
    """
    if len(rows) < least:
        raise ValueError(f"needs at least {least} {what}, got {len(rows)}")
    require_finite(rows)


def require_finite(features: Tensor) -> None:
    """Check features of any shape.

    Raises:
        ValueError: a feature is infinite or NaN.
    """
    if not math.isfinite(float(features.sum())):  # a sum needs no memory, and propagates every NaN and infinity
        raise ValueError("the features are not finite; are the weights intact?")
