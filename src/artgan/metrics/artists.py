"""Which artist would a classifier attribute pictures to?

It uses the same features as the style distance, one vector of statistics per picture (the part "style" of
:class:`artgan.metrics.extractors.VGG19Statistics`), so a share only says how a style appears in these statistics. It
flatters a model that was trained against the same layers, and attributes pictures by other artists to a known one too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from artgan.errors import ConfigError
from artgan.metrics.intervals import wilson

_LEAST = 10  # pictures of an artist
_FOLDS = 5
_STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0)  # inverse of the regularization, scikit-learn's C


@dataclass(frozen=True)
class Share:
    """The share of a set that the classifier attributes to an artist.

    Attributes:
        share: of its pictures, 0 to 1.
        interval: the 95 % Wilson interval of the share.
        probability: the artist's mean probability, 0 to 1.
    """

    share: float
    interval: tuple[float, float]
    probability: float


@dataclass(frozen=True)
class Attribution:
    """The artists that the classifier attributes the pictures of a set to.

    Attributes:
        n: number of pictures.
        shares: by artist; they sum to 1.
    """

    n: int
    shares: Mapping[str, Share]


@dataclass(frozen=True)
class ArtistReport:
    """The result of :func:`classify`.

    Attributes:
        names: of the artists.
        counts: number of pictures by artist.
        accuracy: of the classifier on the artists' own pictures, cross-validated.
        accuracy_interval: the 95 % Wilson interval of the accuracy.
        balanced_accuracy: mean recall over the artists.
        confusion: pictures of each artist (row) attributed to each artist (column).
        sets: the attributions by name of the set.
        strength: the inverse of the chosen regularization (scikit-learn's C).
        seed: of the folds.
    """

    names: tuple[str, ...]
    counts: Mapping[str, int]
    accuracy: float
    accuracy_interval: tuple[float, float]
    balanced_accuracy: float
    confusion: tuple[tuple[int, ...], ...]
    sets: Mapping[str, Attribution]
    strength: float
    seed: int

    def to_dict(self) -> dict[str, Any]:
        """As JSON types."""
        return asdict(self)

    def lines(self) -> list[str]:
        """A text table: the accuracy and confusion of the classifier, then the attributions of each set."""
        low, high = self.accuracy_interval
        wide = max(map(len, ("taken for", *self.names, *self.sets)))
        columns = [max(len(name), 18) for name in self.names]

        def row(name: str, cells: Sequence[str]) -> str:
            padded = (cell.rjust(width) for cell, width in zip(cells, columns, strict=True))
            return "  ".join((name.ljust(wide), *padded))

        return [
            f"cross-validated accuracy: {self.accuracy:.1%} ({low:.1%} to {high:.1%}); "
            f"mean over artists {self.balanced_accuracy:.1%}, by chance {1 / len(self.names):.1%}",
            row("taken for", self.names),
            *(
                row(name, [f"{count} of {sum(counts)}" for count in counts])
                for name, counts in zip(self.names, self.confusion, strict=True)
            ),
            *(row(name, [_cell(taken.shares[artist]) for artist in self.names]) for name, taken in self.sets.items()),
        ]


def _cell(share: Share) -> str:
    low, high = share.interval
    return f"{share.share:.0%} ({low:.0%} to {high:.0%})"


def classify(classes: Mapping[str, Tensor], sets: Mapping[str, Tensor], *, seed: int = 0) -> ArtistReport:
    """Train a classifier of artists, and attribute other pictures with it.

    The classifier is a multinomial logistic regression on z-scored features; artists have equal weight however many
    pictures they have. The regularization is chosen from a few values by the likelihood of held-out pictures. Accuracy
    and confusion come from 5 folds, each with its own choice of the regularization (nested cross-validation), so that
    no picture influences its own prediction.

    Args:
        classes: features of real pictures by artist, N x D each; photographs can be one of the classes. No picture
            should also be in ``sets``.
        sets: features of the pictures to attribute, by the name of their set.
        seed: of the folds.

    Raises:
        ValueError: fewer than 2 artists, or one with fewer than 10 pictures; a set without pictures; features of
            different widths.
        ConfigError: scikit-learn is missing.
    """
    _check(classes, sets)
    try:
        from sklearn.linear_model import LogisticRegression
        from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_predict
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler
    except ImportError as error:
        raise ConfigError(
            f'the artist classifier needs scikit-learn: pip install "artgan[metrics]" ({error})'
        ) from None

    names = tuple(classes)
    features = np.concatenate([rows.double().numpy() for rows in classes.values()])
    artist = np.repeat(np.arange(len(names)), [len(rows) for rows in classes.values()])

    def folds(count: int) -> Any:
        return StratifiedKFold(count, shuffle=True, random_state=seed)

    model = GridSearchCV(
        make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=1000)),
        {"logisticregression__C": _STRENGTHS},
        scoring="neg_log_loss",
        cv=folds(3),
    )
    guesses = cross_val_predict(model, features, artist, cv=folds(_FOLDS))
    confusion = np.zeros((len(names), len(names)), np.int64)
    np.add.at(confusion, (artist, guesses), 1)
    right = int(confusion.trace())
    model.fit(features, artist)
    return ArtistReport(
        names,
        {name: len(rows) for name, rows in classes.items()},
        right / len(artist),
        wilson(right, len(artist)),
        float((confusion.diagonal() / confusion.sum(1)).mean()),
        tuple(tuple(row) for row in confusion.tolist()),
        {name: _attribute(model.predict_proba(rows.double().numpy()), names) for name, rows in sets.items()},
        float(model.best_params_["logisticregression__C"]),
        seed,
    )


def _check(classes: Mapping[str, Tensor], sets: Mapping[str, Tensor]) -> None:
    if len(classes) < 2:
        raise ValueError(f"needs at least 2 artists to distinguish, got {len(classes)}")
    for name, rows in classes.items():
        if len(rows) < _LEAST:
            raise ValueError(f"needs at least {_LEAST} pictures of each artist, got {len(rows)} of {name}")
    for name, rows in sets.items():
        if not len(rows):
            raise ValueError(f"{name} has no pictures")
    widths = {rows.shape[1] for rows in (*classes.values(), *sets.values())}
    if len(widths) > 1:
        raise ValueError(f"features of one extractor are needed, got widths of {', '.join(map(str, sorted(widths)))}")


def _attribute(probabilities: NDArray[np.float64], names: Sequence[str]) -> Attribution:
    """Turn probabilities, pictures x artists, into shares."""
    n = len(probabilities)
    counts = np.bincount(probabilities.argmax(1), minlength=len(names)).tolist()
    means = probabilities.mean(0).tolist()
    shares = {
        name: Share(count / n, wilson(count, n), mean) for name, count, mean in zip(names, counts, means, strict=True)
    }
    return Attribution(n, shares)
