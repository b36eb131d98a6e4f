"""Pictures of soft colored spots, as tensors."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def some_pictures(count: int, height: int, width: int, *, seed: int) -> Tensor:
    """Soft spots of colors, N x 3 x H x W in [-1, 1]."""
    small = torch.randn(count, 3, 7, 9, generator=torch.Generator().manual_seed(seed))
    return functional.interpolate(small, (height, width), mode="bicubic").tanh()
