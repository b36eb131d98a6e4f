"""Nearest-neighbor scores: precision, recall, density and coverage, and memorization of real pictures.

Distances are Euclidean, in double precision and from differences: the usual way by products loses what is small, and
copies are what is looked for. It takes about D operations for each pair of pictures, and memory for a batch of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from artgan.interfaces import Score
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
        fake: M x D, perhaps on disk (memory-mapped).
        real: N x D, the same.
        count: how many.
        itself: whether both are the same set; then a row is not its own neighbor.
        unit: whether rows are normalized to length 1, so that only their direction counts.

    Returns:
        distances, float64, and indices in ``real``; M x ``count`` each.

    Raises:
        ValueError: fewer neighbors than that, or widths that differ.
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
    """M x D and N x D to M x N."""
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")


class PRDC(FeatureMetric):
    """Are generated pictures like real ones (precision, density), and of all kinds (recall, coverage)?

    About each picture of a set lies a ball that reaches to its k-th nearest neighbor in the set. Precision is the
    share of generated pictures inside the ball of some real one, recall the share of real pictures inside the ball of
    some generated one (Kynkäänniemi et al., 2019, arXiv:1904.06991); density is the mean number of real balls about a
    generated picture, divided by k, and coverage the share of real balls that hold a generated picture (Naeem et al.,
    2020, arXiv:2002.09797). Inside means nearer than the k-th neighbor, as in the code of the latter paper.

    Args:
        extractor: see :class:`FeatureMetric`.
        k: 5 as in the paper of density and coverage; that of precision and recall has 3.
    """

    name = "prdc"
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
        """Scores ``precision``, ``recall``, ``density`` and ``coverage``; see :meth:`FeatureMetric.evaluate`."""
        require_pictures(real, fake, least=self.k + 1)
        reach_real, reach_fake = (
            nearest_neighbors(rows, rows, count=self.k, itself=True)[0][:, -1] for rows in (real, fake)
        )
        balls_about = torch.zeros(len(fake), dtype=torch.int64)  # of real pictures, about each generated one
        recalled, covered = (torch.zeros(len(real), dtype=torch.bool) for _ in range(2))
        for here, rows in _batches(real):
            for there, others in _batches(fake):
                between = _distances(rows, others)
                inside = between < reach_real[here, None]
                balls_about[there] += inside.sum(0)
                covered[here] |= inside.any(1)
                recalled[here] |= (between < reach_fake[there]).any(1)

        n = (len(real), len(fake))
        notes = []
        if min(n) < self._FEW:
            notes.append(
                f"{n[0]} real and {n[1]} generated pictures are few for balls to neighbors (the papers take 10,000 or "
                "more): only scores of as many pictures compare"
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
                name,
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
            "density",
            mean,
            n,
            interval=(max(mean - spread, 0.0), mean + spread),
            notes=notes,
            k=self.k,
            interval_of="the mean over generated pictures (normal), for these real ones",
        )
        return [scores[name] for name in ("precision", "recall", "density", "coverage")]


class MiFID(FeatureMetric):
    """FID, made worse where generated pictures repeat real ones: Kaggle's score for Monet paintings.

    That is how it scores its competition gan-getting-started. The memorization distance d is the mean, over generated
    pictures, of the least 1 - |cos| to a real one. The score is FID / (d' + 1e-14), where d' is d below a threshold and
    1 from there on (Bai et al., 2021, arXiv:2106.03062).
    """

    name = "mifid"
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
                f"the FID is divided by d = {distance:.3g}, for generated pictures lie so near to real ones (under "
                f"{self.epsilon:g})"
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
    """MiFID's d: the mean, over generated pictures, of the least 1 - |cos| to a real one, between 0 and 1.

    Rows whose numbers add up to 0 are left out, of N x D and M x D.

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
    """Batches of unit rows, without those that add up to 0."""
    for _, batch in _batches(rows):
        kept = batch[batch.sum(1) != 0]
        if len(kept):
            yield kept / kept.norm(dim=1, keepdim=True)


class Memorization(FeatureMetric):
    """The share of generated pictures that are next to copies of real ones; about 0.05 for fresh ones.

    Next to means as near as real pictures hardly ever lie to each other: at most as far from the nearest real picture
    as the nearest 5 % of the real ones are from their nearest other one. For fresh pictures of the same kind the share
    is about 0.05, for copies 1; for pictures of another kind it is less, down to 0. With less than 100 real pictures it
    is some hundredths more for fresh ones: the nearest real ones come in pairs of one distance. Of recompressed,
    mirrored or slightly cropped paintings nearly all count as copies; copied parts are not looked for.

    The features are means of VGG-19's channels in conv5_1: what is to be seen, wherever it stands. They are compared at
    length 1, which takes out contrast, and by the Euclidean distance: it grows with the angle and orders pictures as
    the cosine does, which is too flat near copies to tell small distances from rounding.
    """

    name = "memorisation"
    extractor_name = "vgg19"
    part = "means"
    expected = 0.05
    _LISTED = 12
    _FEW = 100
    _SAME = 1e-5  # two passes of one picture lie no farther apart: the network rounds as the batch has it

    def evaluate(self, real: Tensor, fake: Tensor, inputs: Tensor | None = None) -> Sequence[Score]:
        """One score, ``memorisation``; see :meth:`FeatureMetric.evaluate`.

        Its details have the medians of both distances, and the nearest pairs: the generated picture's index, the
        real one's, and their distance.
        """
        require_pictures(real, fake, least=round(1 / self.expected))
        near, which = (found[:, 0] for found in nearest_neighbors(fake, real, count=1, unit=True))
        own = nearest_neighbors(real, real, count=1, itself=True, unit=True)[0][:, 0]
        # Of N + 1 distances of one kind each is equally likely to be any in order: Weibull's quantiles keep to that.
        threshold = max(float(np.quantile(own.numpy(), self.expected, method="weibull")), self._SAME)
        copied = int((near <= threshold).sum())
        notes = []
        if threshold == self._SAME:
            notes.append("the real pictures repeat each other: only exact copies of them count")
        if min(len(real), len(fake)) < self._FEW:
            notes.append(
                f"{len(real)} real and {len(fake)} generated pictures are few to tell a share from {self.expected:g}, "
                "and with few real ones fresh pictures have some hundredths more"
            )
        order = near.argsort(stable=True)[: self._LISTED].tolist()
        return [
            self.score(
                "memorisation",
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
        ratio: of both: about 1 where nothing is memorized, less where something is.
        interval: of 95 % confidence for the ratio, for these real pictures.
        size: how many real pictures of each kind.
    """

    train: float
    held_out: float
    ratio: float
    interval: tuple[float, float]
    size: int


def held_out_gap(
    fake: Tensor, train: Tensor, held_out: Tensor, *, repeats: int = 5, draws: int = 1000, seed: int = 0
) -> Gap:
    """Whether generated pictures are nearer to training pictures than to held-out ones of the same kind.

    Distances are those of :class:`Memorization`. From the larger set as many pictures as the smaller one has are drawn
    several times, and medians and ratios averaged: a nearest neighbor is the nearer the more there are to choose from.

    Args:
        fake: features of generated pictures, M x D; not many more than there are held-out pictures, or the interval is
            too narrow: it does not include the sampling of the real pictures.
        train: features of training pictures, N x D.
        held_out: features of held-out pictures, K x D.
        repeats: how often the larger set is drawn from.
        draws: of the generated pictures, for the interval (bootstrap, percentiles).
        seed: of all that is drawn.

    Raises:
        ValueError: a set is empty or its features are not finite, or so many of the generated pictures equal held-out
            ones that the ratio, or its interval, has no bound.
    """
    for what, rows in (("generated", fake), ("learned-from", train), ("held-out", held_out)):
        require_rows(f"{what} pictures", rows, 1)
    size = min(len(train), len(held_out))
    random = np.random.default_rng(seed)

    def nearest(real: Tensor) -> NDArray[np.float64]:
        """M columns; a row for each time that ``real`` is drawn from."""
        chosen = [real]
        if len(real) > size:  # in the order of the file, which is then read in one go
            chosen = [real[np.sort(random.permutation(len(real))[:size])] for _ in range(repeats)]
        return np.stack([nearest_neighbors(fake, some, count=1, unit=True)[0][:, 0].numpy() for some in chosen])

    near, far = nearest(train), nearest(held_out)

    def ratio(chosen: NDArray[np.int64] | slice) -> float:
        """NaN where there is none."""
        medians = np.median(far[:, chosen], axis=1)
        return float((np.median(near[:, chosen], axis=1) / medians).mean()) if medians.all() else math.nan

    value = ratio(slice(None))
    ratios = np.array([ratio(random.integers(len(fake), size=len(fake))) for _ in range(draws)])
    defined = ratios[~np.isnan(ratios)]
    if math.isnan(value) or len(defined) <= (1 - _TAIL) * draws:  # then the interval's end is among those without
        equal = round(float((far == 0).sum(1).mean()))
        raise ValueError(f"{equal} of {len(fake)} generated pictures equal held-out ones: were those learned from too?")
    low, high = np.quantile(defined, [_TAIL, 1 - _TAIL])
    return Gap(
        train=float(np.median(near, axis=1).mean()),
        held_out=float(np.median(far, axis=1).mean()),
        ratio=value,
        interval=(float(low), float(high)),
        size=size,
    )
