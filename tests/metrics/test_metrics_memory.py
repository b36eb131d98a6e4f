"""Scores take no more memory for more pictures: every tensor that is made on the way is small."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from artgan.metrics import batching
from artgan.metrics.frechet import FID, FIDInfinity
from artgan.metrics.neighbors import PRDC, Memorization, memorization_distance
from artgan.metrics.style_distance import Style


class _Largest(TorchDispatchMode):
    """Watches for the most numbers in a tensor that is made (not: looked at)."""

    numbers = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for tensor in made if isinstance(made, (tuple, list)) else (made,):
            if isinstance(tensor, Tensor) and not tensor._is_view():
                self.numbers = max(self.numbers, tensor.numel())
        return made


def features(count: int, seed: int, *, width: int = 30) -> Tensor:
    """Not negative, as those after a ReLU."""
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed)).abs()


@pytest.mark.slow
@pytest.mark.parametrize(
    "score",
    [
        lambda r, f: PRDC(k=1).evaluate(r, f),
        lambda r, f: Memorization().evaluate(r, f),
        memorization_distance,
        lambda r, f: Style().evaluate(r, f),
        lambda r, f: Style().evaluate(r, f, f),
    ],
    ids=["prdc", "memorization", "mifid", "style", "style of painted photos"],
)
def test_memory_is_that_of_a_batch_however_many_pictures_there_are(
    score: Callable[[Tensor, Tensor], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batching, "BATCH_ROWS", 8)
    real, fake = features(200, 0), features(150, 1)
    with _Largest() as largest:
        score(real, fake)
    assert 8 * 30 <= largest.numbers <= 8 * 30 + 8  # a set has 6000 numbers, the distances are 30,000


@pytest.mark.parametrize("cls", [FID, FIDInfinity])
def test_memory_of_a_frechet_distance_is_that_of_a_batch_or_of_a_covariance(
    cls: type[FID], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batching, "BATCH_ROWS", 16)
    real, fake = features(250, 0, width=15), features(200, 1, width=15)
    with _Largest() as largest:
        cls().evaluate(real, fake)
    assert 15 * 15 <= largest.numbers <= 250  # one number for each picture; a set has 3750, half of one 1500
