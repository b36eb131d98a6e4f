"""The style distance as scores: by VGG-19's style layers, by a deeper layer, and by filters without a network."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from artgan.interfaces import Score
from artgan.metrics.feature_metric import FeatureMetric, need
from artgan.metrics.intervals import normal
from artgan.metrics.style import kernel_distance, kernel_distance_error, standardise

_HALVES = 0  # seed


class Style(FeatureMetric):
    """The kernel distance between the channels' means and deviations of two sets of pictures; 0 for one style.

    Columns are z-scored by the real pictures and the photos that went in, which are the same whatever model painted
    them; where the photos are not known, by the real and the generated pictures, and the unit is another one with
    every model. Beside it stands what two halves of the real pictures are from each other, and how far the photos
    were before they were painted.

    The interval is 1.96 standard errors of :func:`~artgan.metrics.style.kernel_distance_error` wide to either side:
    how far the figure would move with other pictures from the same sources, scores of z as they are.
    """

    name = "style"
    extractor_name = "vgg19"
    part = "style"

    def judge(self, real: Tensor, fake: Tensor, inputs: Tensor | None = None) -> Sequence[Score]:
        """The distance, not below 0 but for chance; at least 4 pictures of each set.

        Raises:
            ValueError: there are fewer.
        """
        need(real, fake, least=4)
        if inputs is not None and len(inputs) < 2:
            raise ValueError(f"needs at least 2 pictures that went in, got {len(inputs)}")
        x, y = real.double(), fake.double()
        photos = None if inputs is None else inputs.double()
        reference = [x, y if photos is None else photos]
        x, y = standardise(reference, x, y)
        distances = {"real halves": kernel_distance(*halves(x))}
        if photos is not None:
            distances["inputs"] = kernel_distance(standardise(reference, photos)[0], x)
        value, error = kernel_distance(y, x), kernel_distance_error(y, x)
        notes = ["standardised without photos: not to be compared with figures that were standardised with them"]
        return [
            self.score(
                self.name,
                value,
                (len(real), len(fake)),
                interval=normal(value, error),
                notes=notes if photos is None else (),
                **{"standardised by": "real and generated pictures" if photos is None else "real pictures and inputs"},
                **distances,
            )
        ]


class DeepStyle(Style):
    """The style distance at VGG-19's conv5_1, a deeper layer than discriminators of style look at."""

    name = "style-deep"
    part = "deep"


class FilterStyle(Style):
    """The style distance by colours, edges and spots at four scales: no network that a model could have learnt from."""

    name = "style-filters"
    extractor_name = "filters"
    part = "style"


def halves(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Two halves of a set, drawn with a fixed seed."""
    first, second = rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(_HALVES))].chunk(2)
    return first, second
