"""How a picture is fitted to a generator: its size, and the memory that it takes."""

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
"""Bytes that a tile takes while it is painted, unless its overlap would be most of it."""


_ASSUMED_PER_PIXEL = 2000  # bytes, where the generator does not say: about what the paper's CycleGAN takes


def memory_per_pixel(generator: Generator) -> int:
    """Bytes of working memory that a pixel takes in float32; a guess on the safe side if the generator does not say."""
    return generator.memory_per_pixel or _ASSUMED_PER_PIXEL


def free_memory(device: torch.device) -> float:
    """Bytes; infinite where it is not known."""
    if device.type == "cpu":
        return float(psutil.virtual_memory().available)
    if device.type == "cuda":
        held = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)  # by torch, for such a purpose
        return float(torch.cuda.mem_get_info(device)[0] + held)
    return float("inf")


def round_up(length: int, step: int) -> int:
    """The least multiple of ``step`` that is not below ``length``."""
    return -(-length // step) * step


def extended(length: int, stride: int, minimum_size: int) -> np.ndarray[Any, np.dtype[np.intp]]:
    """The rows (or columns) of a picture that make it as long as a generator needs it, by their numbers.

    That is a multiple of ``stride``, at least ``minimum_size``. The picture is mirrored at its edge; where it is too
    small for that, its last row is repeated.
    """
    extra = round_up(max(length, minimum_size), stride) - length
    return np.pad(np.arange(length), (0, extra), mode="reflect" if extra < length else "edge")


def take(x: Tensor, rows: np.ndarray[Any, Any], columns: np.ndarray[Any, Any]) -> Tensor:
    """Rows and columns of N x C x H x W by their numbers; ``x`` itself if that is all of them."""
    for axis, numbers in ((2, rows), (3, columns)):
        if not np.array_equal(numbers, np.arange(x.shape[axis])):
            x = x.index_select(axis, torch.from_numpy(numbers).to(x.device))
    return x


def checked_output(y: Any, x: Tensor) -> Tensor:
    """What a generator made of the pictures ``x``, if pictures of their shape are what it is.

    Raises:
        PictureError: it is something else.
    """
    if not isinstance(y, Tensor) or y.shape != x.shape:
        got = tuple(y.shape) if isinstance(y, Tensor) else type(y).__name__
        raise PictureError(f"the model returned {got} for pictures of shape {tuple(x.shape)}")
    return y


def pad(x: Tensor, stride: int, minimum_size: int = 1) -> Tensor:
    """Extend N x C x H x W at the right and bottom, as :func:`artgan.painting.fitting.extended` says."""
    rows, columns = (extended(length, stride, minimum_size) for length in x.shape[2:])
    return take(x, rows, columns)


def reference(generator: Generator) -> Tensor:
    """A tensor with the generator's device and dtype: its first floating parameter or buffer."""
    tensors = chain(generator.parameters(), generator.buffers())
    return next((tensor for tensor in tensors if tensor.is_floating_point()), torch.empty(0))
