"""The Inception Score (Salimans et al., 2016, arXiv:1606.03498): many classes overall, one clear class per picture."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from artgan.interfaces import Score
from artgan.metrics.feature_metric import FeatureMetric, require_rows

_SPLITS = 10
_SEED = 2020  # torch-fidelity's
_T95 = 2.262  # two-sided 95 % quantile of Student's t with 9 degrees of freedom
_FEW = 5000


def inception_scores(logits: Tensor, splits: int = _SPLITS) -> list[float]:
    """The score of each of ``splits`` parts of the pictures, shuffled as in torch-fidelity.

    The score is exp(mean of KL(p(y|x) || p(y))): 1 if all rows are alike, at most the number of classes.

    Args:
        logits: N x C.
        splits: number of parts.

    Raises:
        ValueError: there are fewer rows than parts, or the logits are not finite.
    """
    require_rows("generated pictures", logits, splits)
    n = len(logits)
    order = torch.from_numpy(np.random.RandomState(_SEED).permutation(n))
    scores = []
    for part in range(splits):
        rows = logits[order[part * n // splits : (part + 1) * n // splits]].double()
        log_p = rows.log_softmax(1)
        log_mean = log_p.logsumexp(0) - math.log(len(rows))
        scores.append(float((log_p.exp() * (log_p - log_mean)).sum(1).mean().exp()))
    return scores


class InceptionScore(FeatureMetric):
    """Do generated pictures show clear objects, and many different ones? At least 1; higher is better.

    It does not use real pictures, and its classes are those of photos.
    """

    name = "is"
    against = "nothing"
    better = "higher"
    extractor_name = "inception"
    part = "logits"

    def evaluate(self, real: Tensor, fake: Tensor, inputs: Tensor | None = None) -> Sequence[Score]:
        """The mean over ten disjoint parts of the pictures, with a Student's t interval."""
        scores = inception_scores(fake)
        value = float(np.mean(scores))
        error = float(np.std(scores, ddof=1)) / math.sqrt(_SPLITS)
        notes = []
        if len(fake) < _FEW:
            notes.append(f"{len(fake)} pictures are few: the score grows with n; compare only scores of the same n")
        return [
            self.score(
                self.name,
                value,
                (0, len(fake)),
                interval=(max(1.0, value - _T95 * error), value + _T95 * error),
                notes=notes,
                splits=_SPLITS,
                deviation=float(np.std(scores)),
                interval_of="Student's t over the parts",
            )
        ]
