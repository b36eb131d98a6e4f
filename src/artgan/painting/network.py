"""What painting asks of a network, whatever runs it: arrays in, arrays out. Imports no torch."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

Pictures: TypeAlias = "NDArray[np.floating[Any]]"
"""N x 3 x H x W, RGB, in [-1, 1]; float32, or float64 if the network computes in it."""


class Place(NamedTuple):
    """Where a part of a picture lies in it, in pixels.

    Attributes:
        left: of the part.
        top: of the part.
        width: of the whole picture.
        height: of the whole picture.
    """

    left: int
    top: int
    width: int
    height: int


@dataclass(frozen=True, eq=False)
class Moments:
    """Mean and variance (not corrected) of each of C channels over ``count`` values, in float64."""

    count: int
    mean: NDArray[np.float64]
    variance: NDArray[np.float64]


class Features(Protocol):
    """What enters an instance norm, N x C x H x W, wherever the network keeps it."""

    @property
    def size(self) -> tuple[int, int]:
        """H and W."""

    def moments(self, rows: slice, columns: slice) -> Moments:
        """Of each channel over all pictures, in a window."""


Norm: TypeAlias = "Callable[[int, Features], Moments]"
"""Gives the statistics that an instance norm uses, by the number of its call in the forward pass and what enters it."""


class Network(ABC):
    """Paints pictures, given as arrays.

    Attributes:
        runtime: what runs it, for people to read.
        device: where.
        stride: sides of a picture must be multiples of this many pixels; callers extend pictures.
        minimum_size: the smallest side, in pixels.
        reach: radius of the receptive field, in pixels, apart from the statistics of instance norms; None if unbounded.
        norms: how many instance norms use the statistics of the whole picture.
        memory_per_pixel: approximate working memory per pixel, in bytes; 0 if unknown.
        one_at_a_time: whether batching has no benefit.
        thread_safe: whether several threads may run it, and one picture for each thread is faster than all threads for
            one picture if pictures are small.
        portable: whether it can be sent to another process (pickled).
    """

    runtime: str = ""
    device: str = "cpu"
    stride: int = 1
    minimum_size: int = 1
    reach: int | None = None
    norms: int = 0
    memory_per_pixel: int = 0
    one_at_a_time: bool = False
    thread_safe: bool = False
    portable: bool = False

    @abstractmethod
    def paint(self, pictures: Pictures, options: Mapping[str, Any], places: Sequence[Place] | None = None) -> Pictures:
        """Paintings of the same shape. Row ``i`` of the result depends only on row ``i`` of the pictures.

        Args:
            pictures: whole ones, or parts.
            options: the model's own.
            places: where each row lies in its picture; it may extend beyond the right and the lower edge. None: each
                row is a whole picture.

        Raises:
            PictureError: what the model makes is no such array.
            MemoryError: it does not fit in the device's memory.
            Interrupted: the user pressed Ctrl-C, and some pictures were already finished.
        """

    def paint_part(
        self, pictures: Pictures, norm: Norm, options: Mapping[str, Any], places: Sequence[Place] | None = None
    ) -> Pictures:
        """As :meth:`paint`, for parts of a picture: instance norms use what ``norm`` returns, which may also raise."""
        return self.paint(pictures, options, places)

    def free_memory(self) -> float:
        """Free memory of its device, in bytes; infinite if unknown."""
        import psutil

        return float(psutil.virtual_memory().available)

    @property
    def threads(self) -> int:
        """The number of threads that work on one picture."""
        return 1

    @contextmanager
    def one_thread_each(self) -> Iterator[tuple[Network, Callable[[], None]]]:
        """The network for threads that paint one picture each, and what each of them has to call first."""
        yield self, lambda: None


def usable_threads() -> int:
    """How many threads computations should use: ``OMP_NUM_THREADS``, or one for each core that this process may use."""
    named = os.environ.get("OMP_NUM_THREADS", "")
    if named.isdecimal() and int(named) > 0:
        return int(named)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
