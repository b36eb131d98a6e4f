"""How often can a classifier tell generated pictures' patches from real ones'? Free of torch.

The metrics built on it are in :mod:`artgan.metrics.telling`; this module works on any features.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from artgan.errors import ConfigError
from artgan.metrics.intervals import wilson

FOLDS = 5
STRENGTH = 1e-2  # scikit-learn's C: the inverse of the regularization
_FLAT = 1e-8  # a column's deviation, relative to its largest value, below which it says nothing


@dataclass(frozen=True)
class Told:
    """The result of :func:`told`.

    Attributes:
        accuracy: share of the patches that the classifier attributes to the right set, the mean of both sets': 0.5
            cannot be told apart, 1 always can.
        interval: 95 % confidence interval of the accuracy.
        log_loss: mean negative logarithm of the probability given to the right set; log 2 = 0.693 for a classifier that
            knows nothing. Unlike the accuracy it varies smoothly, also where all patches are told.
        real: the accuracy on the real patches alone.
        fake: the accuracy on the generated patches alone.
    """

    accuracy: float
    interval: tuple[float, float]
    log_loss: float
    real: float
    fake: float


def told(
    real: NDArray[Any],
    fake: NDArray[Any],
    real_groups: Sequence[Hashable],
    fake_groups: Sequence[Hashable],
    *,
    folds: int = FOLDS,
    strength: float = STRENGTH,
    seed: int = 0,
) -> Told:
    """Tell patches of generated pictures from patches of real ones, by cross-validation.

    The classifier is a logistic regression on z-scored features. It judges patches of groups that it was not trained
    on: patches of one picture are in one group, and so are a photo and its painting if they are told from each other.
    Both sets have equal weight, also where one has more patches.

    The interval is Wilson's, of as many independent patches as would have the same standard error: patches of one
    picture are judged alike, so they are worth fewer. It says how much the accuracy would vary with other pictures from
    the same sources, given as many to train on; with more of them a classifier tells more.

    Args:
        real: N x D features.
        fake: M x D features.
        real_groups: the group of each real patch, such as the number or the name of its picture.
        fake_groups: the group of each generated patch; groups of the same value as a real one are in its fold.
        folds: number of parts, each of which is judged by a classifier trained on the others.
        strength: the inverse of the regularization (scikit-learn's C).
        seed: of the folds.

    Raises:
        ValueError: a set has fewer groups than folds, numbers of patches and groups or the widths differ, or a feature
            is not finite.
        ConfigError: scikit-learn is missing.
    """
    _check(real, fake, real_groups, fake_groups, folds)
    classifier = logistic_regression()
    features = np.concatenate([real, fake]).astype(np.float64)
    labels = np.repeat([0, 1], [len(real), len(fake)])
    numbers: dict[Hashable, int] = {}  # of the groups, in the order of their first patch
    groups = np.array([numbers.setdefault(group, len(numbers)) for group in (*real_groups, *fake_groups)])
    fold = _folds(groups, labels, folds, seed)[groups]
    right = np.empty(len(labels))  # the probability of the right set
    for number in range(folds):
        held_out = fold == number
        known, judged = features[~held_out], features[held_out]
        mean, deviation = known.mean(0), known.std(0)
        deviation[deviation <= _FLAT * np.abs(known).max(0)] = np.inf
        model = classifier(C=strength, class_weight="balanced", max_iter=1000)
        for rows in (known, judged):  # in place: they are large
            rows -= mean
            rows /= deviation
        model.fit(known, labels[~held_out])
        guesses = model.predict_proba(judged)
        right[held_out] = guesses[np.arange(len(guesses)), labels[held_out]]
    hits = np.where(right == 0.5, 0.5, right > 0.5)  # half of what cannot be told is right by chance
    kinds = [labels == 0, labels == 1]
    by_kind = [float(hits[kind].mean()) for kind in kinds]
    losses = -np.log(right.clip(min=np.finfo(np.float64).tiny))
    value = float(np.mean(by_kind))
    spread = _error([(hits[kind], groups[kind]) for kind in kinds])
    count = value * (1 - value) / spread**2 if spread > 0 else len(numbers)  # no error: all patches are judged alike
    return Told(
        accuracy=value,
        interval=wilson(value * count, count),
        log_loss=float(np.mean([losses[kind].mean() for kind in kinds])),
        real=by_kind[0],
        fake=by_kind[1],
    )


def logistic_regression() -> Any:
    """scikit-learn's class.

    Raises:
        ConfigError: scikit-learn is missing.
    """
    try:
        from sklearn.linear_model import LogisticRegression
    except ImportError as error:
        raise ConfigError(
            f'telling generated from real pictures needs scikit-learn: pip install "artgan[metrics]" ({error})'
        ) from None
    return LogisticRegression


def _check(
    real: NDArray[Any],
    fake: NDArray[Any],
    real_groups: Sequence[Hashable],
    fake_groups: Sequence[Hashable],
    folds: int,
) -> None:
    if real.ndim != 2 or fake.ndim != 2 or real.shape[1] != fake.shape[1]:
        raise ValueError(f"features of one width are needed, got {real.shape} and {fake.shape}")
    if folds < 2:
        raise ValueError(f"at least 2 folds are needed, got {folds}")
    for kind, rows, groups in (("real", real, real_groups), ("generated", fake, fake_groups)):
        if len(rows) != len(groups):
            raise ValueError(f"{len(rows)} {kind} patches have {len(groups)} groups")
        if (count := len(set(groups))) < folds:
            raise ValueError(f"needs at least {folds} {kind} pictures, got {count}")
        if not np.isfinite(rows.sum(dtype=np.float64)):  # a sum propagates every NaN and infinity
            raise ValueError("the features are not finite; are the weights intact?")


def _folds(groups: NDArray[np.int64], labels: NDArray[np.int64], folds: int, seed: int) -> NDArray[np.int64]:
    """The fold of each group, so that each fold has as many groups of either set as any other, within one.

    Groups of both sets are dealt first. If they were dealt by one shuffle, a fold with many real groups would leave few
    for training, and a classifier that knows nothing would be wrong more often than not.
    """
    kinds = np.zeros((groups.max() + 1, 2), bool)
    kinds[groups, labels] = True
    found = np.empty(len(kinds), np.int64)
    rng = np.random.default_rng(seed)
    for kind in ((True, True), (True, False), (False, True)):
        [members] = np.nonzero((kinds == kind).all(1))
        found[rng.permutation(members)] = np.arange(len(members)) % folds
    return found


def _error(sets: Sequence[tuple[NDArray[np.float64], NDArray[np.int64]]]) -> float:
    """The standard error of the mean accuracy of two sets, from the hits and the group of each patch.

    Groups are independent of each other, so the variance is the sum of the squares of what each adds to the deviation
    from the mean; a group with patches in both sets adds both together.
    """
    parts = np.zeros(1 + max(int(groups.max()) for _, groups in sets))
    for hits, groups in sets:
        np.add.at(parts, groups, (hits - hits.mean()) / len(hits) / len(sets))
    used = len(np.unique(np.concatenate([groups for _, groups in sets])))
    return float(np.sqrt(np.square(parts).sum() * used / (used - 1)))
