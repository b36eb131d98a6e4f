"""Color preservation (Gatys et al., 2016, "Preserving color in neural artistic style transfer")."""

from __future__ import annotations

import torch
from torch import Tensor

# Luminance and two color differences (ITU-R BT.601's weights; YIQ, as in the paper).
_YIQ = torch.tensor([[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]], dtype=torch.float64)


def luminance(picture: Tensor) -> Tensor:
    """1 x 3 x H x W in [-1, 1] without its colors: three equal channels."""
    gray: Tensor = torch.einsum("ij,njhw->nihw", _YIQ[:1].to(picture), picture)
    return gray.expand(-1, 3, -1, -1)


def match_luminance(style: Tensor, photo: Tensor) -> Tensor:
    """The style's luminance with mean and deviation of the photo's (the paper's equation 10), clamped to [-1, 1]."""
    a, b = luminance(style), luminance(photo)
    return ((a - a.mean()) * (b.std() / a.std().clamp_min(1e-6)) + b.mean()).clamp(-1, 1)


def with_colors_of(painting: Tensor, photo: Tensor) -> Tensor:
    """The painting's luminance with the photo's colors; both 1 x 3 x H x W in [-1, 1], as is the result."""
    to_yiq = _YIQ.to(painting)
    luminance = torch.einsum("ij,njhw->nihw", to_yiq[:1], painting)
    colors = torch.einsum("ij,njhw->nihw", to_yiq[1:], photo)
    kept: Tensor = torch.einsum("ij,njhw->nihw", to_yiq.inverse(), torch.cat([luminance, colors], 1))
    return kept.clamp(-1, 1)


def match_colors(style: Tensor, photo: Tensor) -> Tensor:
    """The style with the mean and covariance of the photo's colors; each 1 x 3 x H x W in [-1, 1], of any size.

    Uses the symmetric square roots of the covariances (the paper's second method, from image analogies). Values beyond
    the range are clamped, so mean and covariance match only approximately.
    """
    a, b = (picture.double().transpose(0, 1).flatten(1) for picture in (style, photo))
    move = _root(torch.cov(b)) @ torch.linalg.pinv(_root(torch.cov(a)), hermitian=True)
    moved: Tensor = move @ (a - a.mean(1, keepdim=True)) + b.mean(1, keepdim=True)
    return moved.to(style.dtype).view(3, *style.shape[-2:]).unsqueeze(0).clamp(-1, 1)


def _root(covariance: Tensor) -> Tensor:
    """The symmetric square root of a positive semi-definite matrix."""
    values, vectors = torch.linalg.eigh(covariance)
    root: Tensor = vectors @ torch.diag(values.clamp_min(0).sqrt()) @ vectors.T
    return root
