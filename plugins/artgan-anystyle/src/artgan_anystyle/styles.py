"""Styles for training: pictures varied at random, and textures that no one painted, so that unseen styles work."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

_MAGNIFIED = 3.0
_SIDES = (3, 6, 12, 24, 48, 96)  # of the grids of random values that textures are enlarged from


def recolored(pictures: Tensor, share: float) -> Tensor:
    """Mix the channels of a ``share`` of N x 3 x H x W pictures in [-1, 1] at random, and move their contrast."""
    count = len(pictures)
    mean = pictures.mean((2, 3), keepdim=True)
    turned = torch.linalg.qr(torch.randn(count, 3, 3, device=pictures.device))[0]
    mixed = torch.einsum("nij,njhw->nihw", turned.to(pictures.dtype), pictures - mean)
    contrast = _uniform(pictures, 0.5, 1.6)
    changed = (mixed * contrast + _uniform(pictures, -0.6, 0.6, channels=3)).clamp(-1, 1)
    return torch.where(_uniform(pictures, 0, 1) < share, changed, pictures)


def magnified(pictures: Tensor, share: float) -> Tensor:
    """Replace a ``share`` of N x 3 x H x W pictures by a part of them, magnified up to 3 times."""
    count = len(pictures)
    zoom = _uniform(pictures, 1 / _MAGNIFIED, 1.0)
    zoom = torch.where(_uniform(pictures, 0, 1) < share, zoom, torch.ones_like(zoom)).flatten()
    free = (1 - zoom)[:, None]
    where = (2 * torch.rand(count, 2, device=pictures.device, dtype=pictures.dtype) - 1) * free
    turned = zoom.new_zeros(count, 2, 3)
    turned[:, 0, 0], turned[:, 1, 1], turned[:, :, 2] = zoom, zoom, where
    grid = F.affine_grid(turned, list(pictures.shape), align_corners=False)
    return F.grid_sample(pictures, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def textures(count: int, side: int, like: Tensor) -> Tensor:
    """Random textures, N x 3 x S x S in [-1, 1]: stripes, blots and dots of a few colors, sharp or soft."""
    total = like.new_zeros(count, 3, side, side)
    for _ in range(2):
        rows, columns = (_SIDES[int(torch.randint(len(_SIDES), ()))] for _ in range(2))
        values = torch.randn(count, 3, rows, columns, device=like.device, dtype=like.dtype)
        wide = F.interpolate(values, (side, side), mode="bicubic", align_corners=False)
        sharp = (_uniform(like, -0.5, 2.5, rows=count)).exp()
        total = total + (wide * sharp).tanh() * _uniform(like, 0.1, 1.0, rows=count)
    colors = torch.randn(count, 3, 3, device=like.device, dtype=like.dtype) * 0.5
    return (torch.einsum("nij,njhw->nihw", colors, total) + _uniform(like, -0.7, 0.7, 3, count)).clamp(-1, 1)


def _uniform(like: Tensor, low: float, high: float, channels: int = 1, rows: int | None = None) -> Tensor:
    """N x C x 1 x 1."""
    shape = (len(like) if rows is None else rows, channels, 1, 1)
    return low + (high - low) * torch.rand(shape, device=like.device, dtype=like.dtype)
