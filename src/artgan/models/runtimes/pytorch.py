"""Generators run by PyTorch, on any of its devices and in any precision."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import chain
from threading import Lock, get_ident
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from artgan.devices import free_memory
from artgan.errors import ArtganError, Interrupted, PictureError
from artgan.interfaces import Generator
from artgan.painting.network import Moments, Network, Norm, Pictures, Place
from artgan.progress import progress, shown

_LARGE = 1_000_000  # pixels from which a bar shows the layers


class TorchNetwork(Network):
    """A generator as painting sees it.

    Args:
        generator: paints pictures, on the device and in the precision of its parameters.

    Raises:
        ArtganError: it makes pictures from noise.
    """

    def __init__(self, generator: Generator) -> None:
        if generator.task != "image-to-image":
            raise ArtganError(f"this model paints no photos, its task is {generator.task}")
        self.generator = generator
        self._like = reference(generator)
        self.runtime = f"PyTorch {torch.__version__}"
        self.device = str(self._like.device)
        self.stride = generator.stride
        self.minimum_size = generator.minimum_size
        self.reach = generator.reach
        self.norms = len(whole_picture_norms(generator))
        self.memory_per_pixel = generator.memory_per_pixel * self._like.element_size() // 4
        self.one_at_a_time = generator.one_at_a_time
        self.thread_safe = generator.thread_safe and self._like.device.type == "cpu"

    def paint(self, pictures: Pictures, options: Mapping[str, Any], places: Sequence[Place] | None = None) -> Pictures:
        """See :meth:`Network.paint`."""
        if self.generator.placed and places is not None:
            options = {**options, "places": places}
        x = torch.from_numpy(np.ascontiguousarray(pictures)).to(self._like.device, self._like.dtype)
        try:
            with self._progress(x):
                made = self.generator.generate(x, **options)
            return self._array(made, x)
        except Interrupted as stop:
            raise Interrupted(self._array(stop.made, x[: len(stop.made)])) from None
        except (RuntimeError, MemoryError) as error:
            if not _out_of_memory(error):
                raise
            raise MemoryError(str(error)) from None

    @contextmanager
    def _progress(self, x: Tensor) -> Iterator[None]:
        """A bar with a step for each layer, for a large picture that is painted whole."""
        layers = [module for module in self.generator.modules() if not [*module.children()]]
        if x.shape[2] * x.shape[3] < _LARGE or not shown():
            yield
            return
        with progress("layers", len(layers)) as advance, ExitStack() as hooks:
            for layer in layers:
                hooks.callback(layer.register_forward_hook(lambda *_: advance()).remove)
            yield

    def paint_part(
        self, pictures: Pictures, norm: Norm, options: Mapping[str, Any], places: Sequence[Place] | None = None
    ) -> Pictures:
        """See :meth:`Network.paint_part`."""
        with _held(self.generator, norm):
            return self.paint(pictures, options, places)

    def free_memory(self) -> float:
        """See :meth:`Network.free_memory`."""
        return free_memory(self._like.device)

    @property
    def threads(self) -> int:
        """See :attr:`Network.threads`."""
        return torch.get_num_threads()

    @contextmanager
    def one_thread_each(self) -> Iterator[tuple[Network, Callable[[], None]]]:
        """See :meth:`Network.one_thread_each`."""
        before = torch.get_num_threads()
        try:
            yield self, partial(torch.set_num_threads, 1)
        finally:
            torch.set_num_threads(before)  # torch would use the changed number for threads started later

    def _array(self, y: Any, x: Tensor) -> Pictures:
        if not isinstance(y, Tensor) or y.shape != x.shape:
            got = tuple(y.shape) if isinstance(y, Tensor) else type(y).__name__
            raise PictureError(f"the model returned {got} for pictures of shape {tuple(x.shape)}")
        y = y.detach()
        if y.dtype in (torch.float16, torch.bfloat16):
            if not bool(y.isfinite().all()):
                raise PictureError(
                    f"the model made values that are not finite: the range of {y.dtype} is too small; try dtype float32"
                )
            y = y.float()
        made: Pictures = y.cpu().numpy()
        return made


def reference(generator: Generator) -> Tensor:
    """A tensor with the generator's device and dtype: its first floating-point parameter or buffer."""
    tensors = chain(generator.parameters(), generator.buffers())
    return next((tensor for tensor in tensors if tensor.is_floating_point()), torch.empty(0))


def whole_picture_norms(generator: Generator) -> list[nn.InstanceNorm2d]:
    """The norms whose statistics span the whole picture; a generator without any paints tiles in one pass.

    A norm in ``eval`` mode with running statistics is not one of them.
    """
    return [
        module
        for module in generator.modules()
        if isinstance(module, nn.InstanceNorm2d) and (module.training or not module.track_running_stats)
    ]


class _TensorFeatures:
    """Features that stay on their device."""

    def __init__(self, x: Tensor) -> None:
        self._x = x
        self.size = (x.shape[2], x.shape[3])

    def moments(self, rows: slice, columns: slice) -> Moments:
        """See :meth:`artgan.painting.network.Features.moments`."""
        kept = self._x.detach()[:, :, rows, columns]
        kept = kept.to(torch.promote_types(kept.dtype, torch.float32))
        variance, mean = (part.cpu().double().numpy() for part in torch.var_mean(kept, dim=(0, 2, 3), correction=0))
        return Moments(kept[:, 0].numel(), mean, variance)


_holding = Lock()


@contextmanager
def _held(generator: Generator, norm: Norm) -> Iterator[None]:
    """Let a generator's instance norms use the statistics that ``norm`` returns.

    This applies to the entering thread only; in other threads the norms behave as usual. Only one thread can be inside
    at a time.
    """
    thread, calls = get_ident(), iter(range(2**31))

    def normalized(module: nn.InstanceNorm2d, x: Tensor) -> Tensor:
        if get_ident() != thread:
            return type(module).forward(module, x)
        moments = norm(next(calls), _TensorFeatures(x))
        dtype = torch.promote_types(x.dtype, torch.float32)
        mean, variance = (
            torch.from_numpy(np.ascontiguousarray(values)).to(x.device, dtype)
            for values in (moments.mean, moments.variance)
        )
        weight, bias = (None if own is None else own.to(x.device, dtype) for own in (module.weight, module.bias))
        return functional.batch_norm(x, mean, variance, weight, bias, eps=module.eps)

    with _holding, norms_computed_by(generator, normalized):
        yield


@contextmanager
def norms_computed_by(generator: Generator, forward: Callable[[nn.InstanceNorm2d, Tensor], Tensor]) -> Iterator[None]:
    """Compute the norms whose statistics span the whole picture by a function, in place of their own forward pass."""
    norms = whole_picture_norms(generator)
    try:
        for norm in norms:
            norm.forward = partial(forward, norm)  # type: ignore[method-assign]  # until the end of the block
        yield
    finally:
        for norm in norms:
            vars(norm).pop("forward", None)  # restores the class's method


def _out_of_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    text = str(error).lower()
    return "out of memory" in text or "can't allocate memory" in text  # CUDA libraries; torch on a CPU
