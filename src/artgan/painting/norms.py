"""Instance norms that take the means and variances of a whole picture while they see a part of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from threading import Lock, get_ident
from types import TracebackType
from typing import TypeAlias, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from artgan.errors import PictureError
from artgan.interfaces import Generator

_Made = TypeVar("_Made")
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


_holding = Lock()


class _Measured(BaseException):
    """Ends a forward whose norm has been measured; no handler of errors is to stop it on its way."""


class HeldNorms:
    """The norms of a generator; within ``with`` their statistics are those that were found.

    That is so in the thread that entered; in others the norms are what they always are. One thread enters at a time.

    Statistics belong to calls, in the order in which the forward makes them, so that a norm may be used twice.

    They are found by passes over all parts of the picture: :meth:`run` for each part, then :meth:`settle`, until there
    is nothing to settle. The last of these passes is the one that paints.

    Args:
        norms: of the generator, in any order; none is fine.
        stride: the generator's; parts begin and end at multiples of it.

    Attributes:
        all_at_once: whether the next part is all there is, so that no forward need end at a norm.
    """

    def __init__(self, norms: Sequence[nn.InstanceNorm2d], stride: int) -> None:
        self.all_at_once = False
        self._norms = norms
        self._stride = stride
        self._found: list[tuple[Tensor, Tensor]] = []  # mean and variance of each call, C each, float64
        self._measured: tuple[int, Tensor, Tensor] | None = None  # of the next call so far: count, mean, variance
        self._call = 0
        self._kept: Sequence[_Kept] = ()
        self._thread = 0

    def __bool__(self) -> bool:
        return bool(self._norms)

    def __enter__(self) -> None:
        if self._norms:
            _holding.acquire()
            self._thread = get_ident()
        for norm in self._norms:
            norm.forward = partial(self._normalize, norm)  # type: ignore[method-assign]  # until __exit__

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for norm in self._norms:
            vars(norm).pop("forward", None)  # the class's own is there again
        if self._norms:
            _holding.release()

    def run(self, kept: Sequence[_Kept], forward: Callable[[], _Made]) -> _Made | None:
        """Run the generator on a part of the picture, as far as the first norm without statistics.

        Args:
            kept: what counts of the part's rows and columns, in pixels.
            forward: runs it.

        Returns:
            What it made; None if there was such a norm, which has been measured now.

        Raises:
            PictureError: a feature map does not have a whole number of values for each stride.
        """
        self._call = 0
        self._kept = kept
        try:
            return forward()
        except _Measured:
            return None

    def settle(self) -> bool:
        """Make statistics of what was measured of a norm in all parts; False if nothing was."""
        if self._measured is None:
            return False
        _, mean, variance = self._measured
        self._found.append((mean, variance))
        self._measured = None
        return True

    def _normalize(self, norm: nn.InstanceNorm2d, x: Tensor) -> Tensor:
        """In place of the norm's forward: N x C x H x W to the same."""
        if get_ident() != self._thread:
            return type(norm).forward(norm, x)
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
        self._merge(kept[:, 0].numel(), mean.cpu().double(), variance.cpu().double())
        if not self.all_at_once:
            raise _Measured
        self.settle()

    def _merge(self, count: int, mean: Tensor, variance: Tensor) -> None:
        """Add what was measured of a part (Chan et al., 1979).

        At once: small tensors that stay, one for each part, would keep the allocator from using memory again.
        """
        if self._measured is not None:
            before, mean_before, variance_before = self._measured
            count += before
            share = before / count
            off = mean_before - mean
            variance = variance + share * (variance_before - variance) + share * (1 - share) * off**2
            mean = mean + share * off
        self._measured = count, mean, variance

    def _scaled(self, kept: _Kept, length: int) -> slice:
        """The kept part in a feature map of that length."""
        start, stop, painted = kept
        if length * self._stride % painted:
            raise PictureError(
                f"this model cannot paint in tiles: of {painted} pixels it makes a feature map of {length}, "
                f"which does not divide by its stride of {self._stride} pixels"
            )
        return slice(start * length // painted, stop * length // painted)
