"""Style distance metrics: by VGG-19's style layers, by a deeper layer, and by filters without a network."""

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
    """How far generated pictures are from real ones in style, by VGG-19; about 0 for one style.

    It is the kernel distance between the means and deviations of the channels of the two sets. Columns are z-scored by
    the real pictures and the photos that went in, which are the same whatever model painted them; where the photos are
    not known, by the real and the generated pictures, and the unit is another one with every model. Beside it stands
    what two halves of the real pictures are from each other, and how far the photos were before they were painted.

    The interval is 1.96 standard errors of :func:`~artgan.metrics.style.kernel_distance_error` wide to either side:
    how far the figure would move with other pictures from the same sources, scores of z as they are.
    """

    name = "style"
    extractor_name = "vgg19"
    part = "style"
    wants_inputs = True

    def evaluate(self, real: Tensor, fake: Tensor, inputs: Tensor | None = None) -> Sequence[Score]:
        """The distance, not below 0 but for chance; at least 4 pictures of each set.

        Raises:
            ValueError: there are fewer.
        """
        require_pictures(real, fake, least=4)
        if inputs is not None:
            require_rows("pictures that went in", inputs, 2)
        scale = Scale([real, fake if inputs is None else inputs])
        x, y = Standardized(real, scale), Standardized(fake, scale)
        distances = {"real halves": kernel_distance(*(Standardized(real, scale, half) for half in _halves(len(real))))}
        if inputs is not None:
            distances["inputs"] = kernel_distance(Standardized(inputs, scale), x)
        value, error = kernel_distance(y, x), kernel_distance_error(y, x)
        notes = ["standardized without photos: not to be compared with figures that were standardized with them"]
        return [
            self.score(
                self.name,
                value,
                (len(real), len(fake)),
                interval=normal(value, error),
                notes=notes if inputs is None else (),
                **{"standardised by": "real and generated pictures" if inputs is None else "real pictures and inputs"},
                **distances,
            )
        ]


class DeepStyle(Style):
    """The style distance at a deeper layer of VGG-19, conv5_1, than models learn from."""

    name = "style-deep"
    part = "deep"


class FilterStyle(Style):
    """The style distance by colors, edges and spots at four scales, without any network.

    There is none that a model could have learnt from.
    """

    name = "style-filters"
    extractor_name = "filters"
    part = "style"


def _halves(count: int) -> Sequence[Tensor]:
    """The places of two halves of a set, drawn with a fixed seed; in order, for they may be read from disk."""
    order = torch.randperm(count, generator=torch.Generator().manual_seed(_HALVES))
    return [half.sort().values for half in order.chunk(2)]
