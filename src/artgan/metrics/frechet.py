"""The Frechet distance of features: FID and its variants.

Sets of features are compared as normal distributions with their means and covariances (Dowson and Landau, 1982):
d = |m1 - m2|^2 + tr S1 + tr S2 - 2 tr sqrt(S1 S2). With Inception's features it is the FID (Heusel et al., 2017,
arXiv:1706.08500).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from artgan.interfaces import Score
from artgan.metrics.batching import row_batches
from artgan.metrics.feature_metric import FeatureMetric, require_pictures
from artgan.metrics.intervals import normal

_TALL = 4  # how many times as many rows as columns are decomposed at once
_TOLERANCE = 1e-8  # of the distance, relative to the traces of the covariances
_NEGLIGIBLE = 1e-12  # eigenvalues that are ignored in the standard error, relative to the largest
_POINTS = 15  # as in Chong and Forsyth
_SEED = 0
_FEW = 2048
_HALF_MATTERS = 5000  # generated pictures: with fewer, the score of half of them is worth a note
_INTERVAL = "1.96 standard errors, by the influence of each picture of both sets; the bias by {} is not in it"
INTERVAL = _INTERVAL.format("n")
"""The meaning of a Frechet distance's interval, in words."""


def frechet_distance(real: Tensor, fake: Tensor) -> float:
    """The Frechet distance between two sets of features, in float64, with unbiased covariances.

    The result is at least 0: negative values by rounding, for equal sets, are clipped.

    Args:
        real: N x D, of any floating type, possibly memory-mapped: read in batches.
        fake: M x D.

    Raises:
        ValueError: fewer than two rows, or different widths.
    """
    return Comparison(Sample(real), Sample(fake)).distance


class Sample:
    """The mean and the covariance of features.

    Args:
        rows: N x D.
        chosen: indices of the rows to use; by default all.
    """

    def __init__(self, rows: Tensor, chosen: Tensor | None = None) -> None:
        self._rows, self._chosen = rows, chosen
        self._count = len(rows if chosen is None else chosen)
        if rows.ndim != 2 or self._count < 2:
            raise ValueError(f"need at least 2 rows of features, got {(self._count, *rows.shape[1:])}")

    def __len__(self) -> int:
        return self._count

    @property
    def width(self) -> int:
        """D."""
        return self._rows.shape[1]

    @property
    def mean(self) -> Tensor:
        """D."""
        return self._moments[0]

    @property
    def trace(self) -> float:
        """The trace of the covariance."""
        return self._moments[1]

    @cached_property
    def _moments(self) -> tuple[Tensor, float]:
        """In one pass, relative to the mean of the first batch, which is close to the rows compared to their spread."""
        origin = next(row_batches(self._rows, self._chosen)).mean(0, dtype=torch.float64)
        total, squares = torch.zeros_like(origin), 0.0
        for batch in row_batches(self._rows, self._chosen):
            moved = batch - origin
            total += moved.sum(0)
            squares += float(moved.flatten() @ moved.flatten())
        n = len(self)
        return origin + total / n, (squares - float(total @ total) / n) / (n - 1)

    @cached_property
    def covariance(self) -> Tensor:
        """D x D."""
        # NumPy recognizes the product of a matrix with its own transpose, and does half the work.
        return torch.from_numpy(sum(batch.T @ batch for batch in map(Tensor.numpy, self.centered())))

    def centered(self) -> Iterator[Tensor]:
        """Batches c of the rows in float64, such that the covariance is the sum of all c^T c."""
        for batch in row_batches(self._rows, self._chosen):
            yield (batch - self.mean).div_(math.sqrt(len(self) - 1))


@dataclass(frozen=True)
class _Overlap:
    """The overlap of two covariances.

    Attributes:
        factor: F, k x D, where F^T F = S1.
        gram: F S2 F^T, k x k, whose eigenvalues are those of S1 S2 except for zeros.
        roots: the square roots of these eigenvalues, computed in the most exact way.
        image: F S2, k x D, if it is known.
    """

    factor: Tensor
    gram: Tensor
    roots: Tensor
    image: Tensor | None = None


class Comparison:
    """The Frechet distance of two samples, and its standard error."""

    def __init__(self, real: Sample, fake: Sample) -> None:
        if real.width != fake.width:
            raise ValueError(f"features of {real.width} and of {fake.width} numbers cannot be compared")
        self.real = real
        self.fake = fake
        self._few, self._many = (real, fake) if len(real) <= len(fake) else (fake, real)

    @cached_property
    def distance(self) -> float:
        """See :func:`frechet_distance`."""
        shift = float((self.real.mean - self.fake.mean).square().sum())
        return max(0.0, shift + self.real.trace + self.fake.trace - 2 * float(self._overlap.roots.sum()))

    @cached_property
    def _overlap(self) -> _Overlap:
        """From the covariances if that is exact, which is fast; otherwise from the features themselves."""
        if len(self._few) > self._few.width:
            overlap = self._overlap_of_covariances()
            if overlap is not None:
                return overlap
        # tr sqrt(S1 S2) is the sum of the singular values of A B^T, where A and B are the centered features. A product
        # A^T A would square the condition number: values of 1e-8 of the largest would be lost, and with fewer pictures
        # than features most are 0. QR keeps them: with A = QF and B F^T = PR they are the singular values of R, and no
        # matrix is larger than D x D.
        factor = _triangle(self._few.centered())
        triangle = _triangle(batch @ factor.T for batch in self._many.centered())
        return _Overlap(factor, triangle.T @ triangle, torch.linalg.svdvals(triangle))

    def _overlap_of_covariances(self) -> _Overlap | None:
        """None if a covariance is so close to singular that the error could exceed the tolerance."""
        few, many = self._few, self._many
        factor, failed = torch.linalg.cholesky_ex(few.covariance, upper=True)
        if failed:
            return None
        image = factor @ many.covariance
        gram = image @ factor.T
        roots = torch.linalg.eigvalsh(gram).clamp_min(0).sqrt()
        # Rounding changes an eigenvalue by about the slack (Weyl), and hence its root r by about slack / r.
        slack = torch.finfo(gram.dtype).eps * few.covariance.norm() * many.covariance.norm()
        if (slack / (roots + slack.sqrt())).sum() > _TOLERANCE * (few.trace + many.trace):
            return None
        return _Overlap(factor, gram, roots, image)

    @cached_property
    def variances(self) -> tuple[float, float]:
        """The variances of the influence of one real and of one generated picture on the distance.

        With more weight on the i-th of n pictures the distance changes, to first order, by its influence (Hampel, 1974;
        Efron, 1982, the infinitesimal jackknife); the variance of the distance is that of the influence over n. For the
        i-th centered row c it is 2 (m - m') . c + c^T (I - T) c minus a constant, where T is the map from one normal
        distribution to the other, twice the derivative of tr sqrt(S S') with respect to S. This holds at any rank,
        since weights do not change the span of the rows.

        A bootstrap would need a new decomposition for each draw, and would be wrong with fewer pictures than features:
        a draw with repetitions has lower rank, which increases the distance and its spread.
        """
        overlap = self._overlap
        values, vectors = torch.linalg.eigh(overlap.gram)
        kept = values > _NEGLIGIBLE * values[-1].clamp_min(0)  # none if the sets do not vary
        roots = values[kept].sqrt().unsqueeze(1)
        aligned = vectors[:, kept].T
        image = overlap.image
        if image is None:
            image = torch.zeros_like(overlap.factor)
            for batch in self._many.centered():
                image.addmm_((batch @ overlap.factor.T).T, batch)
        # c^T T c = |X c|^2: with V R^2 V^T = F S2 F^T, the map from S2 is F^T V R^-1 V^T F, and the one from S1 is
        # S2 F^T V R^-3 V^T F S2.
        of_few = self._variance(self._few, self._many, roots**-1.5 * (aligned @ image))
        of_many = self._variance(self._many, self._few, roots**-0.5 * (aligned @ overlap.factor))
        return (of_few, of_many) if self._few is self.real else (of_many, of_few)

    @property
    def standard_error(self) -> float:
        """The standard error of the distance."""
        of_real, of_fake = self.variances
        return math.sqrt(of_real / len(self.real) + of_fake / len(self.fake))

    @staticmethod
    def _variance(sample: Sample, other: Sample, root: Tensor) -> float:
        n = len(sample)
        shift = 2 * math.sqrt(n - 1) * (sample.mean - other.mean)
        influences = [
            batch @ shift + n * (batch.square().sum(1) - (batch @ root.T).square().sum(1))
            for batch in sample.centered()
        ]
        return float(torch.cat(influences).var())


def _triangle(batches: Iterable[Tensor]) -> Tensor:
    """A matrix with the same M^T M as the stacked batches, and no more rows than columns."""
    waiting: list[Tensor] = []
    for batch in batches:
        waiting.append(batch)
        if sum(map(len, waiting)) > _TALL * batch.shape[1]:
            waiting = [torch.linalg.qr(torch.cat(waiting), mode="r").R]
    stacked = torch.cat(waiting)
    return torch.linalg.qr(stacked, mode="r").R if len(stacked) > stacked.shape[1] else stacked


class FrechetMetric(FeatureMetric):
    """The Frechet distance of an extractor's features: 0 for equal sets, with no upper bound."""

    better = "lower"

    def evaluate(self, real: Tensor, fake: Tensor, inputs: Tensor | None = None) -> Sequence[Score]:
        """One score, with its interval and the score of half of the generated pictures."""
        require_pictures(real, fake, least=2)
        comparison = Comparison(Sample(real), Sample(fake))
        value, n = comparison.distance, (len(real), len(fake))
        details: dict[str, Any] = {}
        notes = notes_on_n(*n, comparison.real.width)
        half = len(fake) // 2
        if half >= 2:
            chosen = _some(len(fake), half, np.random.default_rng(_SEED))
            of_half = Comparison(comparison.real, Sample(fake, chosen)).distance
            details["at half"] = of_half
            if len(fake) < _HALF_MATTERS:
                notes.append(
                    f"with half of the generated pictures it would be {of_half:.4g}: n still matters by about "
                    f"{of_half - value:.2g}"
                )
        low, high = normal(value, comparison.standard_error)
        interval = max(0.0, low), high
        return [self.score(self.name, value, n, interval=interval, notes=notes, interval_of=INTERVAL, **details)]


def _some(count: int, size: int, rng: np.random.Generator) -> Tensor:
    """The sorted indices of ``size`` random rows of ``count``."""
    return torch.from_numpy(np.sort(rng.choice(count, size, replace=False)))


def notes_on_n(real: int, fake: int, width: int) -> list[str]:
    """Caveats about a Frechet distance with these numbers of pictures and features."""
    n = min(real, fake)
    if n <= width:
        return [f"the covariance of {n} pictures has rank {n - 1} of {width}: compare only scores of the same n"]
    if n < _FEW:
        return [f"{n} pictures are few: the score falls as n grows; compare only scores of the same n"]
    return []


class FID(FrechetMetric):
    """How far generated pictures are from real ones by Inception's features, as published; 0 is best.

    This is the Frechet inception distance of Heusel et al. (2017).
    """

    name = "fid"
    extractor_name = "inception"
    part = "pool"


class CleanFID(FrechetMetric):
    """FID with pictures resized antialiased, as clean-fid does (Parmar et al., 2022, arXiv:2104.11222)."""

    name = "fid-clean"
    extractor_name = "inception-clean"
    part = "pool"


class FDVGG19(FrechetMetric):
    """Like FID, with 512 features of VGG-19 (the means of conv5_1): needs fewer pictures."""

    name = "fd-vgg19"
    extractor_name = "vgg19"
    part = "means"


class FDDINOv2(FrechetMetric):
    """FID with DINOv2's class token, closer to human judgment (Stein et al., 2023, arXiv:2306.04675)."""

    name = "fd-dinov2"
    extractor_name = "dinov2"
    part = "class token"


class FIDInfinity(FrechetMetric):
    """FID extrapolated to infinitely many generated pictures; can be less than 0.

    After Chong and Forsyth (2020, arXiv:1911.07023). FID has a bias of about a constant over n. A line fitted to the
    scores of random subsets of the generated pictures, against 1 / n, gives the score at 0. The subsets have from half
    of the pictures to all; the real set is always complete, so its bias remains.
    """

    name = "fid-infinity"
    better = "lower"
    extractor_name = "inception"
    part = "pool"

    def evaluate(self, real: Tensor, fake: Tensor, inputs: Tensor | None = None) -> Sequence[Score]:
        """One score, with the points of the fitted line."""
        require_pictures(real, fake, least=2)
        require_pictures(None, fake, least=2 * _POINTS)
        rng = np.random.default_rng(_SEED)
        sizes = np.linspace(len(fake) / 2, len(fake), _POINTS).round().astype(int)
        whole = Comparison(Sample(real), Sample(fake))
        # The least-squares result is a weighted sum of the scores at 1 / n, so its first-order error is a weighted sum
        # of the influences of the pictures.
        at_zero, slope = np.linalg.pinv(np.stack([np.ones(_POINTS), 1 / sizes], axis=1))
        weights = np.zeros(len(fake))
        values = []
        for size, share in zip(sizes, at_zero, strict=True):
            chosen = _some(len(fake), int(size), rng)
            weights[chosen.numpy()] += share / size
            values.append(Comparison(whole.real, Sample(fake, chosen)).distance)
        of_real, of_fake = whole.variances
        error = math.sqrt(of_real / len(real) + of_fake * float(np.square(weights).sum()))
        value = float(at_zero @ values)
        n = len(real), len(fake)
        # The bias by the real pictures remains; and if covariances lack full rank, the points may not be on a line.
        notes = notes_on_n(*n, whole.real.width)
        if min(n) > whole.real.width:
            notes = [f"{n[0]} real pictures are few: the score falls with more of them"] if n[0] < _FEW else []
        return [
            self.score(
                self.name,
                value,
                n,
                interval=normal(value, error),
                notes=notes,
                interval_of=_INTERVAL.format("the number of real pictures"),
                points=[[int(size), value] for size, value in zip(sizes, values, strict=True)],
                slope=float(slope @ values),
            )
        ]
