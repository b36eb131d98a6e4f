"""Batches of feature rows, for features that need not fit in memory."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

BATCH_ROWS = 1024


def row_batches(features: Tensor, chosen: Tensor | None = None) -> Iterator[Tensor]:
    """Split N x D features, possibly memory-mapped, into views of all rows or copies of the ``chosen`` ones."""
    if chosen is None:
        yield from torch.split(features, BATCH_ROWS)
    else:
        for indices in torch.split(chosen, BATCH_ROWS):
            yield features[indices]
