"""Nearest-neighbor scores: precision, recall, density and coverage, and memorization of real pictures.

Distances are Euclidean, in double precision and from differences: the usual computation from products is inexact for
the small distances of copies. It takes about D operations per pair of pictures, and memory for one batch of pairs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from artgan.interfaces import Better, Score
from artgan.metrics.batching import row_batches
from artgan.metrics.extractors import Extractor
from artgan.metrics.feature_metric import FeatureMetric, require_pictures, require_rows
from artgan.metrics.frechet import INTERVAL, Comparison, Sample, notes_on_n
from artgan.metrics.intervals import Z95, normal, wilson

_TAIL = 0.025  # on each side of an interval


def nearest_neighbors(
    fake: Tensor, real: Tensor, *, count: int, itself: bool = False, unit: bool = False
) -> tuple[Tensor, Tensor]:
    """The ``count`` rows of ``real`` nearest to each row of ``fake``, nearest first; ties go to the first row.

    Args:
        fake: M x D, possibly memory-mapped.
        real: N x D, likewise.
        count: number of neighbors.
        itself: whether both are the same set; then a row is not its own neighbor.
        unit: whether rows are normalized to length 1, so that only their direction counts.

    Returns:
        distances, float64, and indices in ``real``; M x ``count`` each.

    Raises:
        ValueError: there are fewer than ``count`` neighbors, or the widths differ.
    """
    if fake.shape[1] != real.shape[1]:
        raise ValueError(f"features of one width are needed, got {fake.shape[1]} and {real.shape[1]}")
    if itself and len(fake) != len(real):
        raise ValueError(f"one set was meant, got {len(fake)} and {len(real)} pictures")
    if not 1 <= count <= len(real) - itself:
        raise ValueError(f"neighbors to be found: {count}, pictures to find them among: {len(real) - itself}")
    distances = torch.empty(len(fake), count, dtype=torch.float64)
    indices = torch.empty(len(fake), count, dtype=torch.int64)
    for here, rows in _batches(fake, unit):
        near = distances.new_empty(len(rows), 0)
        places = indices.new_empty(len(rows), 0)
        for there, others in _batches(real, unit):
            between = _distances(rows, others)
            if itself:
                between.masked_fill_(here[:, None] == there, math.inf)
            near, order = torch.cat([near, between], dim=1).sort(dim=1, stable=True)
            places = torch.cat([places, there.expand(len(rows), -1)], dim=1).gather(1, order[:, :count])
            near = near[:, :count]
        distances[here], indices[here] = near, places
    return distances, indices


def _batches(features: Tensor, unit: bool = False) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of rows in float64, with their indices."""
    start = 0
    for rows in row_batches(features):
        batch = rows.double()
        yield torch.arange(start, start + len(batch)), F.normalize(batch) if unit else batch
        start += len(batch)


def _distances(a: Tensor, b: Tensor) -> Tensor:
    """The distances, M x N, of M x D and N x D rows."""
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")


class PRDC(FeatureMetric):
    """Are generated pictures like real ones (precision, density), and of all kinds (recall, coverage)?

    Around each picture of a set is a ball that extends to its k-th nearest neighbor in the set. Precision is the
    share of generated pictures inside the ball of some real one, recall the share of real pictures inside the ball of
    some generated one (Kynkäänniemi et al., 2019, arXiv:1904.06991). Density is the mean number of real balls around a
    generated picture, divided by k, and coverage the share of real balls that contain a generated picture (Naeem et
    al., 2020, arXiv:2002.09797). Inside means nearer than the k-th neighbor, as in the code of the latter paper.

    Args:
        extractor: see :class:`FeatureMetric`.
        k: 5 as in the paper on density and coverage; the one on precision and recall uses 3.
    """

    name = "prdc"
    better: ClassVar[Mapping[str, Better]] = {
        "precision": "higher",
        "recall": "higher",
        "density": "higher",
        "coverage": "higher",
    }
    extractor_name = "inception"
    part = "pool"
    nearest_k = 5
    _FEW = 1000

    def __init__(self, extractor: Extractor | None = None, *, k: int = nearest_k) -> None:
        super().__init__(extractor)
        if k < 1:
            raise ValueError(f"k must be at least 1, not {k}")
        self.k = k

    def evaluate(self, real: Tensor, fake: Tensor, inputs: Tensor | None = None) -> Sequence[Score]:
        """Scores ``precision``, ``recall``, ``density`` and ``coverage``; see :meth:`FeatureMetric.evaluate`.

        Those by another network than Inception have its name too: ``precision-vgg19``.
        """
        require_pictures(real, fake, least=self.k + 1)
        reach_real, reach_fake = (
            nearest_neighbors(rows, rows, count=self.k, itself=True)[0][:, -1] for rows in (real, fake)
        )
        balls_about = torch.zeros(len(fake), dtype=torch.int64)  # of real pictures, around each generated one
        recalled, covered = (torch.zeros(len(real), dtype=torch.bool) for _ in range(2))
        for here, rows in _batches(real):
            for there, others in _batches(fake):
                between = _distances(rows, others)
                inside = between < reach_real[here, None]
                balls_about[there] += inside.sum(0)
                covered[here] |= inside.any(1)
                recalled[here] |= (between < reach_fake[there]).any(1)

        n = (len(real), len(fake))
        network = self.name.removeprefix("prdc")
        notes = []
        if min(n) < self._FEW:
            notes.append(
                f"{n[0]} real and {n[1]} generated pictures are few for nearest-neighbor balls (the papers use 10,000 "
                "or more): compare only scores of the same n"
            )
        density = balls_about.double() / self.k
        spread = Z95 * float(density.std()) / math.sqrt(len(fake))
        mean = float(density.mean())
        shares = {
            "precision": (balls_about > 0, "generated", "real"),
            "recall": (recalled, "real", "generated"),
            "coverage": (covered, "real", "generated"),
        }
        scores = {
            name: self.score(
                name + network,
                float(held.double().mean()),
                n,
                interval=wilson(int(held.sum()), len(held)),
                notes=notes,
                k=self.k,
                interval_of=f"the share of {of} pictures (Wilson), for these {given} ones",
            )
            for name, (held, of, given) in shares.items()
        }
        scores["density"] = self.score(
            "density" + network,
            mean,
            n,
            interval=(max(mean - spread, 0.0), mean + spread),
            notes=notes,
            k=self.k,
            interval_of="the mean over generated pictures (normal), for these real ones",
        )
        return [scores[name] for name in ("precision", "recall", "density", "coverage")]


class PRDCVGG19(PRDC):
    """Precision, density, recall and coverage by 512 features of VGG-19, the means of conv5_1."""

    name = "prdc-vgg19"
    better: ClassVar[Mapping[str, Better]] = {f"{name}-vgg19": value for name, value in PRDC.better.items()}
    extractor_name = "vgg19"
    part = "means"


class MiFID(FeatureMetric):
    """FID with a penalty for memorized pictures: Kaggle's score for Monet paintings.

    It is the score of the competition gan-getting-started. The memorization distance d is the mean, over generated
    pictures, of the smallest 1 - |cos| to a real one. The score is FID / (d' + 1e-14), where d' is d below a threshold,
    otherwise 1 (Bai et al., 2021, arXiv:2106.03062).
    """

    name = "mifid"
    better = "lower"
    extractor_name = "inception"
    part = "pool"
    epsilon = 0.1

    def evaluate(self, real: Tensor, fake: Tensor, inputs: Tensor | None = None) -> Sequence[Score]:
        """One score, ``mifid``; see :meth:`FeatureMetric.evaluate`."""
        require_pictures(real, fake, least=2)
        comparison = Comparison(Sample(real), Sample(fake))
        fid = comparison.distance
        distance = memorization_distance(real, fake)
        notes = []
        copied = distance < self.epsilon
        if copied:
            notes.append(
                f"the FID is divided by d = {distance:.3g}, because generated pictures are very close to real ones "
                f"(under {self.epsilon:g})"
            )
        n = (len(real), len(fake))
        notes += notes_on_n(*n, comparison.real.width)
        divisor = (distance if copied else 1.0) + 1e-14
        low, high = normal(fid / divisor, comparison.standard_error / divisor)
        return [
            self.score(
                "mifid",
                fid / divisor,
                n,
                interval=(max(0.0, low), high),
                notes=notes,
                interval_of=f"the FID: {INTERVAL}; d is held fixed",
                fid=fid,
                d=distance,
                epsilon=self.epsilon,
            )
        ]


def memorization_distance(real: Tensor, fake: Tensor) -> float:
    """MiFID's d: the mean, over generated pictures, of the smallest 1 - |cos| to a real one, between 0 and 1.

    Args:
        real: N x D; rows that sum to 0 are ignored.
        fake: M x D, likewise.

    Raises:
        ValueError: no rows are left.
    """
    total, count = 0.0, 0
    for rows in _directions(fake):
        alike = rows.new_zeros(len(rows))
        for others in _directions(real):
            alike = torch.maximum(alike, (rows @ others.T).abs().amax(1))
        total += float((1 - alike.clamp_max(1)).sum())
        count += len(rows)
    if not count or not any(True for _ in _directions(real)):
        raise ValueError("the features of all pictures of a set are 0")
    return total / count


def _directions(rows: Tensor) -> Iterator[Tensor]:
    """Batches of normalized rows, without those that sum to 0."""
    for _, batch in _batches(rows):
        kept = batch[batch.sum(1) != 0]
        if len(kept):
            yield kept / kept.norm(dim=1, keepdim=True)


class Memorization(FeatureMetric):
    """The share of generated pictures that are near-copies of real ones; about 0.05 for new ones.

    A near-copy is closer to a real picture than most real pictures are to each other: at most as far from its nearest
    real picture as the nearest 5 % of the real ones are from their nearest other one. For new pictures of the same kind
    the share is about 0.05, for copies 1; for pictures of another kind it is lower, down to 0. With fewer than 100 real
    pictures it is some hundredths higher for new ones, since the nearest real ones come in pairs of equal distance.
    Nearly all recompressed, mirrored or slightly cropped paintings count as copies; copied parts are not detected.

    The features are the means of VGG-19's channels in conv5_1: the content, regardless of its position. They are
    normalized to length 1, which removes contrast, and compared by the Euclidean distance: it grows with the angle and
    orders pictures as the cosine does, which near copies is too flat to distinguish small distances from rounding.
    """

    name = "memorization"
    better = "lower"
    extractor_name = "vgg19"
    part = "means"
    expected = 0.05
    _LISTED = 12
    _FEW = 100
    _SAME = 1e-5  # two passes of one picture are no farther apart: rounding depends on the batch

    def evaluate(self, real: Tensor, fake: Tensor, inputs: Tensor | None = None) -> Sequence[Score]:
        """One score, ``memorization``; see :meth:`FeatureMetric.evaluate`.

        Its details contain the medians of both distances, and the nearest pairs: the generated picture's index, the
        real one's, and their distance.
        """
        require_pictures(real, fake, least=round(1 / self.expected))
        near, which = (found[:, 0] for found in nearest_neighbors(fake, real, count=1, unit=True))
        own = nearest_neighbors(real, real, count=1, itself=True, unit=True)[0][:, 0]
        # Each of N + 1 distances of one kind is equally likely to have any rank: Weibull's quantiles follow from that.
        threshold = max(float(np.quantile(own.numpy(), self.expected, method="weibull")), self._SAME)
        copied = int((near <= threshold).sum())
        notes = []
        if threshold == self._SAME:
            notes.append("the real pictures repeat each other: only exact copies of them count")
        if min(len(real), len(fake)) < self._FEW:
            notes.append(
                f"{len(real)} real and {len(fake)} generated pictures are few to distinguish a share from "
                f"{self.expected:g}, and with few real ones the share of new pictures is some hundredths higher"
            )
        order = near.argsort(stable=True)[: self._LISTED].tolist()
        return [
            self.score(
                "memorization",
                copied / len(fake),
                (len(real), len(fake)),
                interval=wilson(copied, len(fake)),
                notes=notes,
                interval_of="the share of generated pictures (Wilson), for these real ones",
                expected=self.expected,
                threshold=threshold,
                median=float(near.quantile(0.5)),
                median_real=float(own.quantile(0.5)),
                nearest=[[i, int(which[i]), float(near[i])] for i in order],
            )
        ]


@dataclass(frozen=True)
class Gap:
    """How much nearer generated pictures are to training pictures than to held-out ones.

    Attributes:
        train: the median distance of a generated picture to its nearest training picture.
        held_out: the same to as many held-out pictures.
        ratio: train / held_out: about 1 if nothing is memorized, less otherwise.
        interval: the 95 % confidence interval of the ratio, for these real pictures.
        size: number of real pictures of each kind.
    """

    train: float
    held_out: float
    ratio: float
    interval: tuple[float, float]
    size: int


def held_out_gap(
    fake: Tensor, train: Tensor, held_out: Tensor, *, repeats: int = 5, draws: int = 1000, seed: int = 0
) -> Gap:
    """How much nearer generated pictures are to training pictures than to held-out ones of the same kind.

    Distances are those of :class:`Memorization`. The larger set is subsampled several times to the size of the smaller
    one, and medians and ratios are averaged, since nearest neighbors are nearer in a larger set.

    Args:
        fake: features of generated pictures, M x D; not many more than there are held-out pictures, otherwise the
            interval is too narrow: it does not include the sampling of the real pictures.
        train: features of training pictures, N x D.
        held_out: features of held-out pictures, K x D.
        repeats: number of subsamples of the larger set.
        draws: number of bootstrap samples of the generated pictures, for the interval (percentiles).
        seed: of all draws.

    Raises:
        ValueError: a set is empty or its features are not finite, or so many of the generated pictures equal held-out
            ones that the ratio, or its interval, is unbounded.
    """
    for what, rows in (("generated", fake), ("learned-from", train), ("held-out", held_out)):
        require_rows(f"{what} pictures", rows, 1)
    size = min(len(train), len(held_out))
    random = np.random.default_rng(seed)

    def nearest(real: Tensor) -> NDArray[np.float64]:
        """Nearest distances: M columns, and a row for each subsample of ``real``."""
        chosen = [real]
        if len(real) > size:  # in file order, to read it sequentially
            chosen = [real[np.sort(random.permutation(len(real))[:size])] for _ in range(repeats)]
        return np.stack([nearest_neighbors(fake, some, count=1, unit=True)[0][:, 0].numpy() for some in chosen])

    near, far = nearest(train), nearest(held_out)

    def ratio(chosen: NDArray[np.int64] | slice) -> float:
        """The ratio of some generated pictures; NaN if it is undefined."""
        medians = np.median(far[:, chosen], axis=1)
        return float((np.median(near[:, chosen], axis=1) / medians).mean()) if medians.all() else math.nan

    value = ratio(slice(None))
    ratios = np.array([ratio(random.integers(len(fake), size=len(fake))) for _ in range(draws)])
    defined = ratios[~np.isnan(ratios)]
    if math.isnan(value) or len(defined) <= (1 - _TAIL) * draws:  # then an end of the interval is undefined
        equal = round(float((far == 0).sum(1).mean()))
        raise ValueError(f"{equal} of {len(fake)} generated pictures equal held-out ones: were those trained on too?")
    low, high = np.quantile(defined, [_TAIL, 1 - _TAIL])
    return Gap(
        train=float(np.median(near, axis=1).mean()),
        held_out=float(np.median(far, axis=1).mean()),
        ratio=value,
        interval=(float(low), float(high)),
        size=size,
    )
