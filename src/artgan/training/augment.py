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
    [changed] = augment_together([pictures], names)
    return changed


def augment_together(scales: Sequence[Tensor], names: Sequence[str]) -> Sequence[Tensor]:
    """Like :func:`augment`, of the same pictures at several resolutions, the largest last: all change alike.

    Shifts and edges are drawn in pixels of the largest ones, and rounded to pixels of the others.
    """
    for name, change in _CHANGES.items():
        if name in names:
            scales = change(scales)
    return scales


def _color(scales: Sequence[Tensor]) -> Sequence[Tensor]:
    """Brightness by -0.5 to 0.5, saturation by 0 to 2, contrast by 0.5 to 1.5."""
    brightness, saturation, contrast = (_random(scales[-1]) for _ in range(3))
    changed = []
    for x in scales:
        x = x + brightness - 0.5
        gray = x.mean(1, keepdim=True)
        x = gray + (x - gray) * (2 * saturation)
        mean = x.mean((1, 2, 3), keepdim=True)
        changed.append(mean + (x - mean) * (0.5 + contrast))
    return changed


def _translation(scales: Sequence[Tensor]) -> Sequence[Tensor]:
    """Shifts by up to an eighth of each side."""
    height, width = scales[-1].shape[2:]
    far_y, far_x = int(height / 8 + 0.5), int(width / 8 + 0.5)
    down, right = (_below(scales[-1], 2 * far + 1) - far for far in (far_y, far_x))
    which = torch.arange(len(down), device=down.device)[:, None, None]
    changed = []
    for x in scales:
        factor = height // x.shape[2]
        pad_y, pad_x = -(-far_y // factor), -(-far_x // factor)
        rows = (down / factor).round().long() + pad_y + torch.arange(x.shape[2], device=x.device)
        columns = (right / factor).round().long() + pad_x + torch.arange(x.shape[3], device=x.device)
        padded = F.pad(x, (pad_x, pad_x, pad_y, pad_y)).permute(0, 2, 3, 1)
        changed.append(padded[which, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2))
    return changed


def _cutout(scales: Sequence[Tensor]) -> Sequence[Tensor]:
    """A rectangle of half the height and width at a random place, possibly partly outside."""
    height, width = scales[-1].shape[2:]
    side_y, side_x = int(height / 2 + 0.5), int(width / 2 + 0.5)
    # The center lies anywhere in the picture.
    top = _below(scales[-1], height + 1 - side_y % 2) - side_y // 2
    left = _below(scales[-1], width + 1 - side_x % 2) - side_x // 2
    changed = []
    for x in scales:
        factor = height // x.shape[2]
        rows, columns = (factor * torch.arange(size, device=x.device) for size in x.shape[2:])
        in_rows = (rows >= top) & (rows < top + side_y)
        in_columns = (columns >= left) & (columns < left + side_x)
        changed.append(x * ~(in_rows[:, None, :, None] & in_columns[:, None, None, :]))
    return changed


def _random(x: Tensor) -> Tensor:
    """A number from [0, 1) for each picture."""
    return torch.rand(len(x), 1, 1, 1, device=x.device, dtype=x.dtype)


def _below(x: Tensor, bound: int) -> Tensor:
    """A whole number from 0 to ``bound`` - 1 for each picture, N x 1."""
    return torch.randint(bound, (len(x), 1), device=x.device)


_CHANGES: Mapping[str, Callable[[Sequence[Tensor]], Sequence[Tensor]]] = {
    "color": _color,
    "translation": _translation,
    "cutout": _cutout,
}
