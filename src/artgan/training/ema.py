"""Exponential moving averages of networks."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from artgan.interfaces import Generator


class EMA:
    """An exponential moving average of each generator's parameters, and a copy of its buffers.

    The decay after n updates is min(``decay``, (1 + n) / (10 + n)): the average follows quickly at first, so that in
    a short run it does not keep the random initialization.
    """

    def __init__(self, generators: Mapping[str, Generator], decay: float) -> None:
        self.generators = {name: copy.deepcopy(g).eval().requires_grad_(False) for name, g in generators.items()}
        self.decay = decay

    @torch.no_grad()
    def update(self, generators: Mapping[str, Generator], step: int) -> None:
        """Update the average with the generators' current state; ``step`` updates (from 0) came before."""
        # All tensors at once: on a GPU, a kernel for each would take longer than the arithmetic.
        decay = min(self.decay, (1 + step) / (10 + step))
        average_with = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]  # of torch
        for name, generator in generators.items():
            average = self.generators[name]
            if parameters := list(generator.parameters()):
                average_with(list(average.parameters()), parameters, 0)
            if buffers := list(generator.buffers()):
                torch._foreach_copy_(list(average.buffers()), buffers)

    def state_dict(self) -> dict[str, dict[str, Tensor]]:
        """The averaged state of each generator, by name."""
        return {name: generator.state_dict() for name, generator in self.generators.items()}

    def load_state_dict(self, state: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Restore a state returned by :meth:`state_dict`."""
        for name, generator in self.generators.items():
            generator.load_state_dict(state[name])
