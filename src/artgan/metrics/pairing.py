"""Photos and their paintings, matched as they arrive, for metrics that compare the two."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from statistics import fmean

import numpy as np
from torch import Tensor

from artgan.metrics.intervals import normal


class Pairing:
    """Matches photos with their paintings, which arrive in the same order, in turn: few wait for their counterpart.

    Attributes:
        count: number of pairs so far.
    """

    def __init__(self) -> None:
        self._waiting: dict[bool, deque[Tensor]] = {True: deque(), False: deque()}
        self.count = 0

    def add(self, tensors: Iterable[Tensor], *, real: bool) -> Iterator[tuple[Tensor, Tensor]]:
        """Add photos (``real``) or paintings; iterates over the pairs that are now complete, photo first.

        Raises:
            ValueError: a photo and its painting have different shapes.
        """
        self._waiting[real].extend(tensors)
        photos, paintings = self._waiting[True], self._waiting[False]
        while photos and paintings:
            photo, painting = photos.popleft(), paintings.popleft()
            if photo.shape != painting.shape:
                raise ValueError(f"photo {self.count + 1} and its painting differ in size")
            self.count += 1
            yield photo, painting

    def require(self, least: int) -> int:
        """The number of pairs.

        Raises:
            ValueError: there are fewer than ``least``, or a photo is without its painting or vice versa.
        """
        for kind, other, real in (("photos", "painting", True), ("paintings", "photo", False)):
            if self._waiting[real]:
                raise ValueError(f"{len(self._waiting[real])} {kind} were given without their {other}")
        if self.count < least:
            raise ValueError(f"needs at least {least} photos and their paintings, got {self.count}")
        return self.count


def mean_and_interval(values: list[float]) -> tuple[float, tuple[float, float]]:
    """The mean of independent values, at least 2, with its normal 95 % interval."""
    value, error = fmean(values), float(np.std(values, ddof=1)) / len(values) ** 0.5
    return value, normal(value, error)
