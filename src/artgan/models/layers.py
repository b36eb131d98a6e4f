"""Layers that the networks of several plugins share."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class ResizeConv2d(nn.Conv2d):
    """Upsampling by 2, then a 3x3 convolution with reflected edges: no checkerboard (Odena et al., 2016).

    Args:
        in_channels: C.
        out_channels: C'.
        mode: ``"nearest"`` or ``"bilinear"``.
        bias: whether a bias is added.
    """

    def __init__(self, in_channels: int, out_channels: int, mode: str = "nearest", *, bias: bool = True) -> None:
        super().__init__(in_channels, out_channels, 3, padding=1, padding_mode="reflect", bias=bias)
        self.mode = mode

    def forward(self, x: Tensor) -> Tensor:
        """N x C x H x W to N x C' x 2H x 2W."""
        return super().forward(F.interpolate(x, scale_factor=2.0, mode=self.mode))
