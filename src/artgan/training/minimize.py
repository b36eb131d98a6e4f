"""The parameter update of a run, with loss scaling, accumulation, and averaging over processes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor


class RunMinimize:
    """:class:`artgan.interfaces.Minimize` with loss scaling, accumulation, and gradients averaged over processes.

    The gradients are averaged here instead of wrapping the networks in DDP: in a GAN's step a network takes part in
    several losses, some of them without gradients of its own, which the wrapper cannot know.
    """

    def __init__(self, accelerator: Accelerator) -> None:
        self.accelerator = accelerator
        self.optimizers: dict[int, Any] = {}
        self.gated: dict[int, list[Tensor]] = {}

    def take(self, optimizers: Mapping[str, torch.optim.Optimizer]) -> None:
        """Set the optimizers to step."""
        self.optimizers = {id(o): self.accelerator.prepare_optimizer(o) for o in optimizers.values()}

    def __call__(
        self, loss: Tensor, optimizer: torch.optim.Optimizer, *, gate: tuple[Tensor, float] | None = None
    ) -> None:
        parameters = [p for group in optimizer.param_groups for p in group["params"] if p.requires_grad]
        self.accelerator.backward(loss, inputs=parameters)
        figures = self.gated.setdefault(id(optimizer), [])
        if gate is not None:
            figures.append(gate[0].detach())
        if not self.accelerator.sync_gradients:
            return
        shut = gate is not None and float(self._mean(torch.stack(figures).mean())) < gate[1]
        if not shut:
            self._average([p.grad for p in parameters if p.grad is not None])
            self.optimizers[id(optimizer)].step()
        optimizer.zero_grad()
        figures.clear()

    def _average(self, gradients: list[Tensor]) -> None:
        if self.accelerator.num_processes > 1:
            flat = self._mean(torch.cat([gradient.flatten() for gradient in gradients]))
            spread(flat, gradients)

    def _mean(self, tensor: Tensor) -> Tensor:
        mean: Tensor = self.accelerator.reduce(tensor, "mean")
        return mean


def spread(flat: Tensor, tensors: list[Tensor]) -> None:
    """Copy one flat tensor into several, one after the other."""
    start = 0
    for tensor in tensors:
        tensor.copy_(flat[start : start + tensor.numel()].view_as(tensor))
        start += tensor.numel()
