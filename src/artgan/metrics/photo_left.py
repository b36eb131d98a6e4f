"""How much of a photo's own detail is still in its painting, by the size of the detail.

The luminance of both is split into bands, differences of Gaussian blurs, and each band of the painting is correlated
with that of the photo, pixel by pixel. A painter lays strokes in place of fine detail; a filter leaves the detail where
it was. No network takes part.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor

from artgan.interfaces import Better, Metric, Score
from artgan.metrics.feature_metric import require_finite
from artgan.metrics.pairing import Pairing, mean_and_interval

SIGMAS = (1, 2, 4, 8, 16)
"""The coarser end of each band, in pixels; the finer end is that of the band before, and of the first the picture."""

_LUMA = (0.299, 0.587, 0.114)
_CUT = 4  # standard deviations at which a Gaussian ends
# Root mean square of a band, of a range of 2, below which a picture has no such detail. Rounding errors give 1e-16; one
# pixel of 12 million that differs by one level of 255 gives 4e-8 in the coarsest band.
_FLAT = 1e-9


def luminance(pictures: Tensor) -> Tensor:
    """N x H x W in float64, on the CPU, from N x 3 x H x W."""
    return torch.einsum("c,nchw->nhw", torch.tensor(_LUMA, dtype=torch.float64), pictures.cpu().double())


def bands(light: Tensor) -> Tensor:
    """Split N x H x W in float64 into N x 5 x H x W, from fine to coarse; outside, the picture is reflected."""
    height, width = light.shape[-2:]
    blurred = [light, *(_blur(height, sigma) @ light @ _blur(width, sigma).T for sigma in SIGMAS)]
    return torch.stack([fine - coarse for fine, coarse in pairwise(blurred)], dim=1)


@lru_cache(maxsize=2 * len(SIGMAS))
def _blur(length: int, sigma: int) -> Tensor:
    """The matrix that blurs a column of ``length`` pixels."""
    reach = torch.arange(-_CUT * sigma, _CUT * sigma + 1)
    weights = torch.exp(-0.5 * (reach.double() / sigma) ** 2)
    places = (torch.arange(length)[:, None] + reach) % (2 * length)
    places = torch.minimum(places, 2 * length - 1 - places)  # reflected, as often as needed
    matrix = torch.zeros(length, length, dtype=torch.float64)
    return matrix.scatter_add_(1, places, (weights / weights.sum()).expand(length, -1))


def photo_left(photo: Tensor, painting: Tensor) -> Tensor:
    """The correlations between the bands of photos and of their paintings, N x 5, from :func:`luminance` of both.

    NaN where a photo has no such detail; 0 where only its painting has none.
    """
    x, y = (bands(light).flatten(2) for light in (photo, painting))
    x, y = x - x.mean(2, keepdim=True), y - y.mean(2, keepdim=True)
    flat_x, flat_y = (band.square().mean(2).sqrt() < _FLAT for band in (x, y))
    found = (x * y).sum(2) / (x.square().sum(2) * y.square().sum(2)).sqrt()
    return torch.where(flat_x, torch.nan, torch.where(flat_y, 0.0, found.clamp(-1, 1)))


class PhotoLeft(Metric):
    """How much of the photo's own detail is left in its painting, by size; 1 is all, 0 none.

    Five scores, of detail of up to 1, 1 to 2, 2 to 4, 4 to 8 and 8 to 16 pixels: ``photo-left-1`` to ``photo-left-16``,
    each the mean over the pictures of :func:`photo_left`. A photo without detail of a size does not count for it.
    Photos are given as real pictures and paintings as generated ones, in the same order and alternating.
    """

    name = "photo-left"
    against = "inputs"
    # Fine detail should be the painter's; the coarse bands hold the subject.
    better: ClassVar[Mapping[str, Better]] = {
        f"photo-left-{sigma}": "lower" if sigma <= 4 else "higher" for sigma in SIGMAS
    }

    def __init__(self) -> None:
        self._pairing = Pairing()
        self._left: list[Tensor] = []
        self._sizes: dict[tuple[int, int], None] = {}

    def update(self, pictures: Tensor, *, real: bool) -> None:
        """Compare each photo with its painting, N x 3 x H x W in [-1, 1], once both have arrived.

        Raises:
            ValueError: a photo and its painting differ in size, or a picture is not finite.
        """
        require_finite(pictures)
        self._sizes[pictures.shape[-2], pictures.shape[-1]] = None
        for photo, painting in self._pairing.add(torch.split(luminance(pictures), 1), real=real):
            self._left.append(photo_left(photo, painting)[0])

    def compute(self) -> Score:
        """The score of the finest band; raises the errors of :meth:`scores`."""
        return self.scores()[0]

    def scores(self) -> Sequence[Score]:
        """The mean of each band, with a normal interval.

        Raises:
            ValueError: there are fewer than 2 pairs, or fewer than 2 photos with detail of a size; a photo without its
                painting or vice versa.
        """
        self._pairing.require(2)
        sizes = ", ".join(f"{height} x {width}" for height, width in self._sizes)
        found = []
        for sigma, column in zip(SIGMAS, torch.stack(self._left).T, strict=True):
            kept = column[~column.isnan()].tolist()
            if (n := len(kept)) < 2:
                raise ValueError(f"needs at least 2 photos that are not plain, got {n} with detail of up to {sigma} px")
            value, interval = mean_and_interval(kept)
            band = f"{sigma // 2} to {sigma} px" if sigma > 1 else "up to 1 px"
            found.append(
                Score(f"{self.name}-{sigma}", value, (n, n), {"band": band, "resize": f"pictures of {sizes}"}, interval)
            )
        return found
