"""Instance norms that use the means and variances of the whole picture while processing a part of it."""

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
_Kept: TypeAlias = "tuple[int, int, int]"  # along an axis, in pixels: start and end of the kept part; total length


def whole_picture_norms(generator: Generator) -> list[nn.InstanceNorm2d]:
    """The norms whose statistics span the whole picture; a generator without any paints tiles in one pass.

    A norm in ``eval`` mode with running statistics is not one of them.
    """
    return [
        module
        for module in generator.modules()
        if isinstance(module, nn.InstanceNorm2d) and (module.training or not module.track_running_stats)
    ]


_holding = Lock()


class _Measured(BaseException):
    """Aborts a forward pass after a norm has been measured. A BaseException, so that no error handler catches it."""


class HeldNorms:
    """A generator's norms with fixed statistics: within ``with``, they use the statistics that have been measured.

    This applies to the entering thread only; in other threads the norms behave as usual. Only one thread can be inside
    at a time.

    Statistics are stored per call, in the order of the calls in the forward pass, so a norm may be used twice.

    They are measured in passes over all parts of the picture: :meth:`run` for each part, then :meth:`settle`, until
    there is nothing left to settle. The last pass is the one that paints.

    Args:
        norms: the generator's norms, in any order; may be empty.
        stride: the generator's stride; parts begin and end at multiples of it.

    Attributes:
        all_at_once: whether the next part is the only one, so that no forward pass has to stop at a norm.
    """

    def __init__(self, norms: Sequence[nn.InstanceNorm2d], stride: int) -> None:
        self.all_at_once = False
        self._norms = norms
        self._stride = stride
        self._found: list[tuple[Tensor, Tensor]] = []  # mean and variance of each call, C each, float64
        self._measured: tuple[int, Tensor, Tensor] | None = None  # for the next call, so far: count, mean, variance
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
            vars(norm).pop("forward", None)  # restores the class's method
        if self._norms:
            _holding.release()

    def run(self, kept: Sequence[_Kept], forward: Callable[[], _Made]) -> _Made | None:
        """Run the generator on a part of the picture, up to the first norm without statistics.

        Args:
            kept: which of the part's rows and columns count, in pixels.
            forward: runs the generator.

        Returns:
            The generator's output; None if there was such a norm, which has now been measured.

        Raises:
            PictureError: a feature map's size is not a whole number of values per stride.
        """
        self._call = 0
        self._kept = kept
        try:
            return forward()
        except _Measured:
            return None

    def settle(self) -> bool:
        """Turn the measurements of a norm over all parts into its statistics; False if nothing was measured."""
        if self._measured is None:
            return False
        _, mean, variance = self._measured
        self._found.append((mean, variance))
        self._measured = None
        return True

    def _normalize(self, norm: nn.InstanceNorm2d, x: Tensor) -> Tensor:
        """Replaces the norm's forward: N x C x H x W to the same shape."""
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
        """Merge the measurements of a part (Chan et al., 1979).

        Immediately: keeping a small tensor for each part would prevent the allocator from reusing memory.
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
        """The kept part, scaled to a feature map of this length."""
        start, stop, painted = kept
        if length * self._stride % painted:
            raise PictureError(
                f"this model cannot paint in tiles: of {painted} pixels it makes a feature map of {length}, "
                f"which does not divide by its stride of {self._stride} pixels"
            )
        return slice(start * length // painted, stop * length // painted)
