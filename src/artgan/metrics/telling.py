"""Metrics that say how often a classifier tells generated pictures' patches from real ones', by several extractors.

The classifier is :func:`artgan.metrics.told.told`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from artgan.data.pictures import evenly
from artgan.interfaces import Score
from artgan.metrics.extractors import Extractor, Patches
from artgan.metrics.feature_metric import FeatureMetric, require_pictures
from artgan.metrics.told import FOLDS, STRENGTH, Told, logistic_regression, told

_MOST = 200  # pictures of a set: as many as a minute's work
_FEW = 50


class ToldByVGG19(FeatureMetric):
    """How often are patches told from real ones, by VGG-19? 0.5 is by chance, 1 always.

    A logistic regression is trained on the patches (64 px) of some pictures and judges those of others
    (:func:`artgan.metrics.told.told`), on equal numbers of real and generated pictures, 200 at most. A picture with the
    same name or content as a real one, such as a photo's painting told from the photo, is judged together with it.

    The details also give the result for two halves of the real pictures, which should be near 0.5.
    """

    name = "told-vgg19"
    extractor_name = "vgg19-patches"
    part = "patches"
    better = "lower"
    wants_origins = True

    def __init__(self, extractor: Extractor | None = None) -> None:
        super().__init__(extractor)
        logistic_regression()  # that it is missing is reported before features are extracted for minutes

    def evaluate(self, real: Tensor, fake: Tensor, inputs: Tensor | None = None) -> Sequence[Score]:
        """The accuracy, from at least 5 pictures of each set.

        Raises:
            ValueError: a set has fewer.
            ConfigError: scikit-learn is missing.
        """
        require_pictures(real, fake, least=FOLDS)
        n = min(len(real), len(fake), _MOST)
        origins = self.origins or [None] * len(fake)
        chosen = [evenly(len(rows), n) for rows in (real, fake)]
        of_fake = [-1 - place if (origin := origins[place]) is None else origin for place in chosen[1]]
        found = self._tell(real, fake, chosen, (chosen[0], of_fake))
        details = {
            "log loss": found.log_loss,
            "of real": found.real,
            "of generated": found.fake,
            "patches of a picture": self._count,
            "folds": FOLDS,
            "strength": STRENGTH,
        }
        if (half := min(len(real) // 2, n)) >= FOLDS:
            order = torch.randperm(len(real), generator=torch.Generator().manual_seed(0)).tolist()
            halves = [sorted(order[:half]), sorted(order[half : 2 * half])]
            details["real halves"] = self._tell(real, real, halves, halves).accuracy
        notes = [f"{n} pictures of each set are few: more is told with more; compare only scores of the same n"]
        return [
            self.score(
                self.name, found.accuracy, (n, n), interval=found.interval, notes=notes if n < _FEW else (), **details
            )
        ]

    @property
    def _count(self) -> int:
        """Number of patches of a picture; features that are given without their extractor are of one patch."""
        return self.extractor.count if isinstance(self.extractor, Patches) else 1

    def _tell(self, x: Tensor, y: Tensor, chosen: Sequence[Sequence[int]], names: Sequence[Sequence[int]]) -> Told:
        """Tell the chosen pictures of two sets apart; pictures of the same name are in one group."""
        rows = [self._patches(pictures, places) for pictures, places in zip((x, y), chosen, strict=True)]
        groups = [[name for name in own for _ in range(self._count)] for own in names]
        return told(rows[0], rows[1], groups[0], groups[1])

    def _patches(self, features: Tensor, chosen: Sequence[int]) -> NDArray[np.float32]:
        found: NDArray[np.float32] = features[list(chosen)].reshape(len(chosen) * self._count, -1).numpy()
        return found


class ToldByFilters(ToldByVGG19):
    """How often are patches told from real ones, by colors, edges and spots? 0.5 is by chance, 1 always.

    It is independent of the networks that models are trained against.
    """

    name = "told-filters"
    extractor_name = "filters-patches"


class ToldByInception(ToldByVGG19):
    """How often are patches told from real ones, by the Inception network? 0.5 is by chance, 1 always."""

    name = "told-inception"
    extractor_name = "inception-patches"


class ToldByDINOv2(ToldByVGG19):
    """How often are patches told from real ones, by DINOv2? 0.5 is by chance, 1 always."""

    name = "told-dinov2"
    extractor_name = "dinov2-patches"
