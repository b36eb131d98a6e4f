"""The state of every random generator that a run uses."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


def seed_all(seed: int) -> None:
    """Seed torch, Python and NumPy."""
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed % 2**32)


def random_state() -> dict[str, Any]:
    """The states of torch, CUDA, Python and NumPy, as JSON types and tensors."""
    kind, keys, position, has_gauss, gauss = np.random.get_state()
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "python": random.getstate(),
        "numpy": [kind, [int(key) for key in keys], position, has_gauss, gauss],
    }


def set_random_state(state: Mapping[str, Any]) -> None:
    """Restore a state returned by :func:`random_state`."""
    torch.set_rng_state(state["torch"])
    if state["cuda"]:
        torch.cuda.set_rng_state_all(state["cuda"])
    kind, internal, gauss = state["python"]
    random.setstate((kind, tuple(internal), gauss))
    np.random.set_state(tuple(state["numpy"]))


@contextmanager
def own_random_state() -> Iterator[None]:
    """Restore the random state on exit, so that the code inside does not affect the run."""
    state = random_state()
    try:
        yield
    finally:
        set_random_state(state)
