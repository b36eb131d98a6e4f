"""A picture painted tile by tile, as if it had been painted whole, in memory that does not grow with it.

Tiles overlap by the generator's ``reach``, so that what a tile cannot see never matters to the part of it that is
kept. Instance norm alone looks at the whole picture: its means and variances are found first and then held fixed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias

import torch
from PIL import Image
from torch import Tensor

from artgan import images
from artgan.errors import ConfigError
from artgan.interfaces import Generator, Interrupted
from artgan.painting.fitting import (
    WORKING_MEMORY,
    checked_output,
    extended,
    free_memory,
    memory_per_pixel,
    round_up,
    take,
)
from artgan.painting.norms import HeldNorms, whole_picture_norms

_SAMPLES = 16  # windows along each side of a picture that statistics are estimated from
_MARGIN = 8  # pixels at the edge of such a window that do not count


@dataclass(frozen=True)
class Tiling:
    """How pictures are divided.

    Attributes:
        side: of a tile without its overlap, in pixels; rounded up to the generator's stride. None: tiles are used
            where the whole picture would take too much memory, as large as the memory for one allows.
        statistics: of instance norms over the whole picture. ``"exact"``: the painting is that of the whole picture.
            ``"estimated"``: from windows spread over the picture, many times faster. Without such norms there is no
            difference.

    Raises:
        ConfigError: a value out of range.
    """

    side: int | None = None
    statistics: Literal["exact", "estimated"] = "exact"

    def __post_init__(self) -> None:
        if self.side is not None and self.side < 1:
            raise ConfigError(f"tiles: their side must be at least 1 pixel, got {self.side}")
        if self.statistics not in ("exact", "estimated"):
            raise ConfigError(f"tiles: statistics are 'exact' or 'estimated', got {self.statistics!r}")


class Pixels(Protocol):
    """An upright 8-bit RGB picture, wherever it is; a Pillow image is one."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""

    def crop(self, box: tuple[int, int, int, int], /) -> Image.Image:
        """What lies in the box (left, top, right, bottom), mode RGB."""


# ---- how to divide


def best_side(generator: Generator, free: float = math.inf) -> int:
    """The side of tiles, without their overlap, that take about :data:`WORKING_MEMORY` bytes in float32.

    Half of what is ``free``, if that is less. The side is at least four times the overlap, whatever memory that takes:
    in smaller tiles, too much is painted in vain.
    """
    overlap = round_up(generator.reach or 0, generator.stride)
    painted = int((min(WORKING_MEMORY, free / 2) / memory_per_pixel(generator)) ** 0.5)
    return max(painted - 2 * overlap, 4 * overlap, 64)


class _Span(NamedTuple):
    """Of a tile, along one axis of the extended picture: what is painted, and what of that is kept."""

    first: int
    last: int
    start: int
    stop: int

    @property
    def kept(self) -> tuple[int, int, int]:
        """Where the kept part begins and ends in what is painted, and how much is painted."""
        return self.start - self.first, self.stop - self.first, self.last - self.first


_Tile: TypeAlias = "tuple[_Span, _Span]"  # rows, columns


def _cover(length: int, side: int, overlap: int, least: int, stride: int) -> list[_Span]:
    """Spans that keep all of a length, a multiple of ``stride``.

    All paint as much, so that memory is used again rather than anew: about ``side`` and an overlap on both sides. Those
    at the ends overlap on one side only, and keep more.
    """
    step = max(round_up(side, stride), least - 2 * overlap)
    inner = length - 2 * overlap
    if inner <= step:
        return [_Span(0, length, 0, length)]
    step = max(round_up(-(-inner // -(-inner // step)), stride), least - 2 * overlap)  # as few steps, of one size
    firsts = [min(first, inner - step) for first in range(0, inner, step)]
    starts = [0, *(first + overlap for first in firsts[1:]), length]
    return [
        _Span(first, first + step + 2 * overlap, start, stop)
        for first, start, stop in zip(firsts, starts, starts[1:], strict=False)
    ]


def _spread(length: int, least: int, stride: int) -> list[_Span]:
    """Spans of one size, evenly spread over a length, of which all but a margin is kept."""
    margin = round_up(_MARGIN, stride)
    side = max(8 * margin, least)
    if length <= side:
        return [_Span(0, length, 0, length)]
    count = min(_SAMPLES, -(-length // (side - 2 * margin)))
    firsts = [round(number * (length - side) / (count - 1) / stride) * stride for number in range(count)]
    return [_Span(first, first + side, first + margin, first + side - margin) for first in firsts]


# ---- the work


def paint_tiles(
    generator: Generator,
    like: Tensor,
    source: Pixels,
    lay: Callable[[Tensor, tuple[int, int]], None],
    tiling: Tiling,
    options: Mapping[str, Any],
) -> None:
    """Paint a picture in tiles.

    Without instance norm each tile is painted once. Exact statistics take a pass over all tiles for each norm, which
    goes no further than that norm: about half as many full passes as there are norms, and then one that paints.
    (Keeping what went into the last norm would save most of them, in memory that grows with the picture.) Estimated
    ones take the same passes over small windows, or a single run where these fit in memory at once.

    Args:
        generator: an image-to-image model with a ``reach``.
        like: a tensor with its device and dtype.
        source: the picture; each tile is cut from it once a pass.
        lay: is given each part of the painting, 3 x h x w floats, and where its upper left corner lies: (left, top).
            The parts are the whole painting and do not overlap.
        tiling: ``side`` None stands for :func:`best_side`.
        options: the model's own, passed to its ``generate``.

    Raises:
        PictureError: the model returned something else than a picture, or its feature maps cannot be divided.
        KeyboardInterrupt: the user pressed Ctrl-C.
    """
    stride = generator.stride
    picture = _Extended(source, stride, generator.minimum_size)
    least = round_up(generator.minimum_size, stride)
    overlap = round_up(generator.reach or 0, stride)
    side = tiling.side or best_side(generator, free_memory(like.device))
    rows, columns = (_cover(length, side, overlap, least, stride) for length in picture.shape)
    tiles = [*product(rows, columns)]
    norms = HeldNorms(whole_picture_norms(generator) if len(tiles) > 1 else [], stride)

    def run(together: Sequence[_Tile]) -> Tensor | None:
        x = torch.cat([picture.read(*tile) for tile in together]).to(like.device, like.dtype)
        try:
            return norms.run(
                [span.kept for span in together[0]], lambda: checked_output(generator.generate(x, **options), x)
            )
        except Interrupted:  # a part of a painting is none
            raise KeyboardInterrupt from None

    with norms:
        if norms and tiling.statistics == "estimated":
            down, across = (_spread(length, least, stride) for length in picture.shape)
            batches = _batches([*product(down, across)], memory_per_pixel(generator))
            norms.all_at_once = len(batches) == 1
            while all(run(batch) is None for batch in batches):
                norms.settle()
            norms.all_at_once = False
        unfinished = True
        while unfinished:
            for tile in tiles:
                made = run([tile])
                if made is not None:
                    lay(*picture.kept(made[0], tile))
            unfinished = norms.settle()


def _batches(windows: Sequence[_Tile], bytes_per_pixel: int) -> list[Sequence[_Tile]]:
    """Windows of one size, as many together as the working memory has room for."""
    rows, columns = windows[0]
    pixels = (rows.last - rows.first) * (columns.last - columns.first)
    number = max(1, WORKING_MEMORY // (pixels * bytes_per_pixel))
    return [windows[first : first + number] for first in range(0, len(windows), number)]


class _Extended:
    """A picture, extended to the size that a generator needs."""

    def __init__(self, pixels: Pixels, stride: int, minimum_size: int) -> None:
        self._pixels = pixels
        width, height = pixels.size
        self._rows = extended(height, stride, minimum_size)
        self._columns = extended(width, stride, minimum_size)
        self.shape = len(self._rows), len(self._columns)

    def read(self, rows: _Span, columns: _Span) -> Tensor:
        """What of a tile is painted: 1 x 3 x h x w in [-1, 1]."""
        down, across = self._rows[rows.first : rows.last], self._columns[columns.first : columns.last]
        top, left = int(down.min()), int(across.min())
        part = images.to_tensor(self._pixels.crop((left, top, int(across.max()) + 1, int(down.max()) + 1)))
        return take(part[None], down - top, across - left)

    def kept(self, painted: Tensor, tile: _Tile) -> tuple[Tensor, tuple[int, int]]:
        """What is kept of a painted tile, 3 x h x w, as far as it belongs to the picture, and where that begins."""
        width, height = self._pixels.size
        rows, columns = tile
        down = slice(rows.start - rows.first, min(rows.stop, height) - rows.first)
        across = slice(columns.start - columns.first, min(columns.stop, width) - columns.first)
        return painted[:, down, across], (columns.start, rows.start)
