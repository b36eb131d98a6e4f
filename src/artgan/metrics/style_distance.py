"""Style distance metrics: with VGG-19's style layers, a deeper layer, or filters without a network."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from artgan.interfaces import Score
from artgan.metrics.feature_metric import FeatureMetric, require_pictures, require_rows
from artgan.metrics.intervals import normal
from artgan.metrics.style import Scale, Standardized, kernel_distance, kernel_distance_error

_HALVES = 0  # seed


class Style(FeatureMetric):
    """How far generated pictures are from real ones in style, by VGG-19; about 0 for the same style.

    It is the kernel distance between the means and deviations of the channels of the two sets. Columns are z-scored by
    the real pictures and the input photos, which are the same for every model; if the photos are unknown, by the real
    and the generated pictures, so that the unit differs between models. The details also give the distance between two
    halves of the real pictures, and that of the unpainted photos from the real pictures.

    The interval is 1.96 standard errors (:func:`~artgan.metrics.style.kernel_distance_error`) to either side: how much
    the score would vary with other pictures from the same sources and the same z-scoring.
    """

    name = "style"
    better = "lower"
    extractor_name = "vgg19"
    part = "style"
    wants_inputs = True

    def evaluate(self, real: Tensor, fake: Tensor, inputs: Tensor | None = None) -> Sequence[Score]:
        """The distance, below 0 only by chance, from at least 4 pictures of each set.

        Raises:
            ValueError: a set has fewer.
        """
        require_pictures(real, fake, least=4)
        if inputs is not None:
            require_rows("input pictures", inputs, 2)
        scale = Scale([real, fake if inputs is None else inputs])
        x, y = Standardized(real, scale), Standardized(fake, scale)
        distances = {"real halves": kernel_distance(*(Standardized(real, scale, half) for half in _halves(len(real))))}
        if inputs is not None:
            distances["inputs"] = kernel_distance(Standardized(inputs, scale), x)
        value, error = kernel_distance(y, x), kernel_distance_error(y, x)
        notes = ["standardized without photos: not comparable with scores that were standardized with them"]
        return [
            self.score(
                self.name,
                value,
                (len(real), len(fake)),
                interval=normal(value, error),
                notes=notes if inputs is None else (),
                **{"standardized by": "real and generated pictures" if inputs is None else "real pictures and inputs"},
                **distances,
            )
        ]


class DeepStyle(Style):
    """The style distance at conv5_1, a deeper layer of VGG-19 than those that models are trained on."""

    name = "style-deep"
    part = "deep"


class FilterStyle(Style):
    """The style distance by colors, edges and spots at four scales, without any network.

    It is independent of the networks that models are trained against.
    """

    name = "style-filters"
    extractor_name = "filters"
    part = "style"


def _halves(count: int) -> Sequence[Tensor]:
    """The indices of two random halves of a set, with a fixed seed; sorted, since they may be read from disk."""
    order = torch.randperm(count, generator=torch.Generator().manual_seed(_HALVES))
    return [half.sort().values for half in order.chunk(2)]
