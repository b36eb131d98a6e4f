"""The style distance between paintings and an artist's, and how much of a photo's content they preserve.

The style distance is the kernel distance (Binkowski et al., 2018, arXiv:1801.01401: squared maximum mean
discrepancy, cubic polynomial kernel, unbiased) between statistics of pictures: the means and standard deviations
of each channel of some features, as in adaptive instance normalization (Huang and Belongie, 2017).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from artgan.metrics.batching import row_batches

STYLE_LAYERS = ("conv1_1", "conv2_1", "conv3_1", "conv4_1")
CONTENT_LAYER = "conv4_2"

# Opponent colors (gray, red-green, blue-yellow), scaled to the range of a channel.
_OPPONENT = ((1 / 3, 1 / 3, 1 / 3), (0.5, -0.5, 0.0), (0.25, 0.25, -0.5))


def statistics(features: Sequence[Tensor]) -> Tensor:
    """Each channel's mean and standard deviation, N x D, from N x C x H x W features of some layers."""
    return torch.cat([_moments(layer) for layer in features], dim=1)


def filter_statistics(pictures: Tensor) -> Tensor:
    """Statistics that need no network: colors, and edges and spots at four scales.

    For each opponent color, its mean and deviation, and at full, half, quarter and eighth size the mean and
    deviation of the absolute horizontal and vertical differences and of the Laplacian.

    Args:
        pictures: N x 3 x H x W in [-1, 1], sides at least 24.

    Returns:
        N x 78.
    """
    x = torch.einsum("oc,nchw->nohw", pictures.new_tensor(_OPPONENT), pictures)
    parts = [_moments(x)]
    for _ in range(4):
        across, down = x[..., :, 1:] - x[..., :, :-1], x[..., 1:, :] - x[..., :-1, :]
        spots = x[..., 1:-1, 1:-1] - F.avg_pool2d(x, 3, stride=1)
        parts += [_moments(response.abs()) for response in (across, down, spots)]
        x = F.avg_pool2d(x, 2)
    return torch.cat(parts, dim=1)


def _moments(features: Tensor) -> Tensor:
    """Each channel's mean and standard deviation, N x 2C, from N x C x H x W."""
    flat = features.flatten(2)
    return torch.cat([flat.mean(2), flat.std(2, correction=0)], dim=1)


def standardize(reference: Sequence[Tensor], *sets: Tensor) -> list[Tensor]:
    """Each of ``sets`` (N x D) with every column z-scored by the rows of all ``reference`` sets together.

    A column without variance, of a channel that is never active, is only centered.
    """
    scale = Scale(reference)
    mean, deviation = scale.mean.to(reference[0].dtype), scale.deviation.to(reference[0].dtype)
    return [(values - mean) / deviation for values in sets]


class Scale:
    """The mean and the deviation of each column of some sets together, in float64; see :func:`standardize`.

    Args:
        reference: N x D each, possibly memory-mapped: read in batches.
    """

    def __init__(self, reference: Sequence[Tensor]) -> None:
        n = sum(map(len, reference))
        mean = torch.zeros(reference[0].shape[1], dtype=torch.float64, device=reference[0].device)
        for batch in self._batches(reference):
            mean += batch.sum(0)
        mean /= n
        squares = torch.zeros_like(mean)
        for batch in self._batches(reference):
            squares += (batch - mean).square().sum(0)
        deviation = (squares / (n - 1)).sqrt()
        self.mean = mean
        self.deviation = torch.where(deviation < 1e-12, 1.0, deviation)

    @staticmethod
    def _batches(reference: Sequence[Tensor]) -> Iterator[Tensor]:
        return (batch.double() for rows in reference for batch in row_batches(rows))


class Standardized:
    """Features standardized as by :func:`standardize`, but lazily, in float64 and a batch at a time.

    Args:
        rows: N x D.
        scale: mean and deviation of the columns.
        chosen: indices of the rows to use; by default all.
    """

    def __init__(self, rows: Tensor, scale: Scale, chosen: Tensor | None = None) -> None:
        self.shape: tuple[int, ...] = (len(rows if chosen is None else chosen), *rows.shape[1:])
        self._rows, self._scale, self._chosen = rows, scale, chosen

    def __len__(self) -> int:
        return self.shape[0]

    def batches(self) -> Iterator[Tensor]:
        """The standardized rows in float64, a batch at a time."""
        for batch in row_batches(self._rows, self._chosen):
            yield (batch - self._scale.mean) / self._scale.deviation


def kernel_distance(x: Tensor | Standardized, y: Tensor | Standardized) -> float:
    """Unbiased squared MMD of two samples, N x D and M x D, with the kernel (a.b / D + 1)^3.

    About 0 (and sometimes slightly less) for samples of one distribution.

    Raises:
        ValueError: fewer than two rows, or different widths.
    """
    _check(x, y, least=2)

    def within(a: Tensor | Standardized) -> Tensor:
        return _others(a).sum() / (len(a) * (len(a) - 1))

    return float(within(x) + within(y) - 2 * _kernel_sums(x, y).sum() / (len(x) * len(y)))


def kernel_distance_error(x: Tensor | Standardized, y: Tensor | Standardized) -> float:
    """The standard error of :func:`kernel_distance`, by the jackknife.

    Each picture of either sample is left out in turn, which needs only row sums of the kernel; the variances of the
    two samples add up. The estimate is biased upward (Efron and Stein, 1981): by the square root of 2 for samples of
    one distribution, by little for samples that are far apart.

    Raises:
        ValueError: fewer than three rows, or different widths.
    """
    _check(x, y, least=3)
    across, down = _kernel_sums(x, y), _kernel_sums(y, x)

    def variance(own: Tensor, other: Tensor, others: int) -> Tensor:
        """The jackknife variance; ``own`` and ``other`` are a row's kernel sums over its own and the other sample."""
        n = len(own)
        left = (own.sum() - 2 * own) / ((n - 1) * (n - 2)) - 2 * (other.sum() - other) / ((n - 1) * others)
        return (n - 1) * left.var(correction=0)

    return float((variance(_others(x), across, len(y)) + variance(_others(y), down, len(x))).sqrt())


def _check(x: Tensor | Standardized, y: Tensor | Standardized, *, least: int) -> None:
    if not len(x.shape) == len(y.shape) == 2 or x.shape[1] != y.shape[1] or min(len(x), len(y)) < least:
        raise ValueError(f"need at least {least} rows of one width each, got {tuple(x.shape)} and {tuple(y.shape)}")


def _batches(a: Tensor | Standardized) -> Iterator[Tensor]:
    return a.batches() if isinstance(a, Standardized) else row_batches(a)


def _kernel_sums(a: Tensor | Standardized, b: Tensor | Standardized) -> Tensor:
    """For each row of ``a``, the sum of its kernel with all rows of ``b``, in batches that fit in memory."""
    sums = []
    for rows in _batches(a):
        total = rows.new_zeros(len(rows))
        for others in _batches(b):
            total += ((rows @ others.T / a.shape[1] + 1) ** 3).sum(1)
        sums.append(total)
    return torch.cat(sums)


def _others(a: Tensor | Standardized) -> Tensor:
    """For each row, the sum of its kernel with the other rows of its sample."""
    own = torch.cat([(rows.square().sum(1) / a.shape[1] + 1) ** 3 for rows in _batches(a)])
    return _kernel_sums(a, a) - own


def content_kept(photo: Tensor, painting: Tensor) -> Tensor:
    """The cosines, N, between the features of photos and of their paintings, both N x C x H x W; 1 if equal."""
    return F.cosine_similarity(photo.flatten(1), painting.flatten(1))
