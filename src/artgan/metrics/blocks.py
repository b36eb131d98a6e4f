"""Features that need not fit in memory, read some rows at a time."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

BLOCK = 1024
"""How many rows are read at once."""


def blocks(rows: Tensor, chosen: Tensor | None = None) -> Iterator[Tensor]:
    """N x D, perhaps on disk (memory-mapped), as blocks of rows: views of all, or copies of the ``chosen`` ones."""
    if chosen is None:
        yield from torch.split(rows, BLOCK)
    else:
        for places in torch.split(chosen, BLOCK):
            yield rows[places]
