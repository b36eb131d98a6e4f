"""Instance norms that take the means and variances of a whole picture while they see a part of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from types import TracebackType
from typing import TypeAlias, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from artgan.errors import PictureError
from artgan.interfaces import Generator

_Part = TypeVar("_Part")
_Kept: TypeAlias = "tuple[int, int, int]"  # along an axis, in pixels: where the kept part begins, ends; the length


def whole_picture_norms(generator: Generator) -> list[nn.InstanceNorm2d]:
    """The norms that look at the whole picture; a generator without any paints tiles in one pass.

    A norm that is in ``eval`` and has running statistics does not.
    """
    return [
        module
        for module in generator.modules()
        if isinstance(module, nn.InstanceNorm2d) and (module.training or not module.track_running_stats)
    ]


class _Measured(BaseException):
    """Ends a forward whose norm has been measured; no handler of errors is to stop it on its way."""


class HeldNorms:
    """The norms of a generator; within ``with`` their statistics are those that were found, in all threads.

    Statistics belong to calls, in the order in which the forward makes them, so that a norm may be used twice.

    Args:
        norms: of the generator, in any order; none is fine.
        stride: the generator's; parts begin and end at multiples of it.
    """

    def __init__(self, norms: Sequence[nn.InstanceNorm2d], stride: int) -> None:
        self._norms = norms
        self._stride = stride
        self._found: list[tuple[Tensor, Tensor]] = []  # mean and variance of each call, C each, float64
        self._measured: list[tuple[int, Tensor, Tensor]] = []  # of the next call in each part: count, mean, variance
        self._call = 0
        self._kept: Sequence[_Kept] = ()
        self._single = False

    def __bool__(self) -> bool:
        return bool(self._norms)

    def __enter__(self) -> None:
        for norm in self._norms:
            norm.forward = partial(self._normalise, norm)  # type: ignore[method-assign]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for norm in self._norms:
            vars(norm).pop("forward", None)  # the class's own is there again

    def begin(self, kept: Sequence[_Kept]) -> None:
        """To be called before each forward: what of its rows and columns counts, in pixels."""
        self._call = 0
        self._kept = kept

    def find(self, parts: Sequence[_Part], run: Callable[[_Part], object]) -> None:
        """Find the statistics of all that is kept of the parts.

        There is a pass over the parts for each norm, in which those before it have their statistics already; if there
        is one part only, a single pass.

        Args:
            parts: of the picture.
            run: runs the generator on one, after :meth:`begin`.

        Raises:
            PictureError: a feature map does not have a whole number of values for each stride.
        """
        self._single = len(parts) == 1
        while True:
            for part in parts:
                try:
                    run(part)
                except _Measured:
                    pass
                else:  # every norm had its statistics
                    return
            self._settle()

    def _normalise(self, norm: nn.InstanceNorm2d, x: Tensor) -> Tensor:
        """In place of the norm's forward: N x C x H x W to the same."""
        if self._call == len(self._found):
            self._measure(x)
        dtype = torch.promote_types(x.dtype, torch.float32)
        mean, variance, weight, bias = (
            None if values is None else values.to(x.device, dtype)
            for values in (*self._found[self._call], norm.weight, norm.bias)
        )
        self._call += 1
        return functional.batch_norm(x, mean, variance, weight, bias, eps=norm.eps)

    def _measure(self, x: Tensor) -> None:
        rows, columns = (self._scaled(kept, length) for kept, length in zip(self._kept, x.shape[2:], strict=True))
        kept = x.detach()[:, :, rows, columns]
        kept = kept.to(torch.promote_types(x.dtype, torch.float32))
        variance, mean = torch.var_mean(kept, dim=(0, 2, 3), correction=0)
        self._measured.append((kept[:, 0].numel(), mean.cpu().double(), variance.cpu().double()))
        if not self._single:
            raise _Measured
        self._settle()

    def _scaled(self, kept: _Kept, length: int) -> slice:
        """The kept part in a feature map of that length."""
        start, stop, painted = kept
        if length * self._stride % painted:
            raise PictureError(
                f"this model cannot paint in tiles: of {painted} pixels it makes a feature map of {length}, "
                f"which does not divide by its stride of {self._stride} pixels"
            )
        return slice(start * length // painted, stop * length // painted)

    def _settle(self) -> None:
        """The statistics of the parts together (Chan et al., 1979) are those of the next call."""
        counts, means, variances = zip(*self._measured, strict=True)
        shares = torch.tensor(counts, dtype=torch.float64)[:, None] / sum(counts)
        mean = (shares * torch.stack(means)).sum(0)
        variance = (shares * (torch.stack(variances) + (torch.stack(means) - mean) ** 2)).sum(0)
        self._found.append((mean, variance))
        self._measured.clear()
