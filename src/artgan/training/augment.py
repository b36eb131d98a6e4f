"""Differentiable augmentation of everything a discriminator sees (Zhao et al., 2020, arXiv:2006.10738)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def augment(pictures: Tensor, names: Sequence[str]) -> Tensor:
    """Change each of N x 3 x H x W pictures in [-1, 1] at random; the result has the same shape and is differentiable.

    Colors may leave [-1, 1]; areas shifted in or cut out are 0 (gray).

    Args:
        pictures: from the data or from a generator.
        names: some of ``color``, ``translation`` and ``cutout``.
    """
    for name, change in _CHANGES.items():
        if name in names:
            pictures = change(pictures)
    return pictures


def _color(x: Tensor) -> Tensor:
    """Brightness by -0.5 to 0.5, saturation by 0 to 2, contrast by 0.5 to 1.5."""
    x = x + _random(x) - 0.5
    grey = x.mean(1, keepdim=True)
    x = grey + (x - grey) * (2 * _random(x))
    mean = x.mean((1, 2, 3), keepdim=True)
    return mean + (x - mean) * (0.5 + _random(x))


def _translation(x: Tensor) -> Tensor:
    """Shifts by up to an eighth of each side."""
    height, width = x.shape[2:]
    far_y, far_x = int(height / 8 + 0.5), int(width / 8 + 0.5)
    rows = _below(x, 2 * far_y + 1) + torch.arange(height, device=x.device)
    columns = _below(x, 2 * far_x + 1) + torch.arange(width, device=x.device)
    padded = F.pad(x, (far_x, far_x, far_y, far_y)).permute(0, 2, 3, 1)
    which = torch.arange(len(x), device=x.device)[:, None, None]
    return padded[which, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def _cutout(x: Tensor) -> Tensor:
    """A rectangle of half the height and width at a random place, possibly partly outside."""
    height, width = x.shape[2:]
    side_y, side_x = int(height / 2 + 0.5), int(width / 2 + 0.5)
    # The center lies anywhere in the picture.
    top = _below(x, height + 1 - side_y % 2) - side_y // 2
    left = _below(x, width + 1 - side_x % 2) - side_x // 2
    rows, columns = torch.arange(height, device=x.device), torch.arange(width, device=x.device)
    in_rows = (rows >= top) & (rows < top + side_y)
    in_columns = (columns >= left) & (columns < left + side_x)
    return x * ~(in_rows[:, None, :, None] & in_columns[:, None, None, :])


def _random(x: Tensor) -> Tensor:
    """A number from [0, 1) for each picture."""
    return torch.rand(len(x), 1, 1, 1, device=x.device, dtype=x.dtype)


def _below(x: Tensor, bound: int) -> Tensor:
    """A whole number from 0 to ``bound`` - 1 for each picture, N x 1."""
    return torch.randint(bound, (len(x), 1), device=x.device)


_CHANGES: Mapping[str, Callable[[Tensor], Tensor]] = {
    "color": _color,
    "translation": _translation,
    "cutout": _cutout,
}
