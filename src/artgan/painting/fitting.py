"""Fits pictures to a generator: size and memory."""

from __future__ import annotations

from itertools import chain
from typing import Any

import numpy as np
import psutil
import torch
from torch import Tensor

from artgan.errors import PictureError
from artgan.interfaces import Generator

WORKING_MEMORY = 128_000_000
"""Target memory for painting one tile, in bytes; exceeded if the overlap would otherwise dominate the tile."""


_ASSUMED_PER_PIXEL = 2000  # bytes, if the generator does not say: about what the paper's CycleGAN needs


def memory_per_pixel(generator: Generator) -> int:
    """Working memory per pixel in float32, in bytes; a conservative estimate if the generator does not say."""
    return generator.memory_per_pixel or _ASSUMED_PER_PIXEL


def free_memory(device: torch.device) -> float:
    """Free memory of a device, in bytes; infinite if unknown."""
    if device.type == "cpu":
        return float(psutil.virtual_memory().available)
    if device.type == "cuda":
        held = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)  # cached by torch's allocator
        return float(torch.cuda.mem_get_info(device)[0] + held)
    return float("inf")


def round_up(length: int, step: int) -> int:
    """The smallest multiple of ``step`` that is at least ``length``."""
    return -(-length // step) * step


def extended(length: int, stride: int, minimum_size: int) -> np.ndarray[Any, np.dtype[np.intp]]:
    """Indices of the rows (or columns) that extend a picture to the length that a generator needs.

    The length is a multiple of ``stride`` and at least ``minimum_size``. The picture is mirrored at its edge; if it is
    too small for that, its last row is repeated.
    """
    extra = round_up(max(length, minimum_size), stride) - length
    return np.pad(np.arange(length), (0, extra), mode="reflect" if extra < length else "edge")


def take(x: Tensor, rows: np.ndarray[Any, Any], columns: np.ndarray[Any, Any]) -> Tensor:
    """Select rows and columns of N x C x H x W by index; returns ``x`` itself if all are selected in order."""
    for axis, numbers in ((2, rows), (3, columns)):
        if not np.array_equal(numbers, np.arange(x.shape[axis])):
            x = x.index_select(axis, torch.from_numpy(numbers).to(x.device))
    return x


def checked_output(y: Any, x: Tensor) -> Tensor:
    """Check that a generator's output for the pictures ``x`` is a tensor of the same shape, and return it.

    Raises:
        PictureError: it is not.
    """
    if not isinstance(y, Tensor) or y.shape != x.shape:
        got = tuple(y.shape) if isinstance(y, Tensor) else type(y).__name__
        raise PictureError(f"the model returned {got} for pictures of shape {tuple(x.shape)}")
    return y


def pad(x: Tensor, stride: int, minimum_size: int = 1) -> Tensor:
    """Extend N x C x H x W at the right and bottom; see :func:`artgan.painting.fitting.extended`."""
    rows, columns = (extended(length, stride, minimum_size) for length in x.shape[2:])
    return take(x, rows, columns)


def reference(generator: Generator) -> Tensor:
    """A tensor with the generator's device and dtype: its first floating-point parameter or buffer."""
    tensors = chain(generator.parameters(), generator.buffers())
    return next((tensor for tensor in tensors if tensor.is_floating_point()), torch.empty(0))
