"""Fits pictures to a network: size and memory."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np

from artgan.painting.network import Network

WORKING_MEMORY = 128_000_000
"""Target memory for painting one tile, in bytes; exceeded if the overlap would otherwise dominate the tile."""

_ASSUMED_PER_PIXEL = 2000  # bytes, if the network does not say: about what the paper's CycleGAN needs

Planes = TypeVar("Planes", bound=Any)
"""N x C x H x W: an array or a tensor."""


def memory_per_pixel(network: Network) -> int:
    """Working memory per pixel, in bytes; a conservative estimate if the network does not say."""
    return network.memory_per_pixel or _ASSUMED_PER_PIXEL


def round_up(length: int, step: int) -> int:
    """The smallest multiple of ``step`` that is at least ``length``."""
    return -(-length // step) * step


def extended(length: int, stride: int, minimum_size: int) -> np.ndarray[Any, np.dtype[np.intp]]:
    """Indices of the rows (or columns) that extend a picture to the length that a network needs.

    The length is a multiple of ``stride`` and at least ``minimum_size``. The picture is mirrored at its edge; if it is
    too small for that, its last row is repeated.
    """
    extra = round_up(max(length, minimum_size), stride) - length
    return np.pad(np.arange(length), (0, extra), mode="reflect" if extra < length else "edge")


def take(x: Planes, rows: np.ndarray[Any, Any], columns: np.ndarray[Any, Any]) -> Planes:
    """Select rows and columns of N x C x H x W by index; returns ``x`` itself if all are selected in order."""
    if not np.array_equal(rows, np.arange(x.shape[2])):
        x = x[:, :, rows]
    if not np.array_equal(columns, np.arange(x.shape[3])):
        x = x[:, :, :, columns]
    return x


def pad(x: Planes, stride: int, minimum_size: int = 1) -> Planes:
    """Extend N x C x H x W at the right and bottom; see :func:`extended`."""
    rows, columns = (extended(length, stride, minimum_size) for length in x.shape[2:])
    return take(x, rows, columns)
