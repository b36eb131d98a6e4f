"""Paints a picture tile by tile, with the same result as painting it whole, in a constant amount of memory.

Tiles overlap by the network's ``reach``, so that pixels outside a tile do not affect the part of it that is kept.
Only instance norm depends on the whole picture: its means and variances are measured first and then held fixed.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count, product
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np

from artgan.errors import ConfigError, Interrupted
from artgan.images import to_floats
from artgan.painting.canvas import Floats
from artgan.painting.fitting import WORKING_MEMORY, extended, memory_per_pixel, round_up, take
from artgan.painting.network import Network, Pictures, Place
from artgan.painting.statistics import WholePictureStatistics
from artgan.painting.underpainting import Raster
from artgan.progress import progress

_log = logging.getLogger(__name__)

_SAMPLES = 16  # windows along each side of a picture, for estimating statistics
_SLOW = 16  # passes over tiles beyond the first, from which it is said that they take long
_MARGIN = 8  # pixels ignored at the edge of such a window


@dataclass(frozen=True)
class Tiling:
    """How pictures are divided.

    Attributes:
        side: tile side without overlap, in pixels; rounded up to the network's stride. None: tiles are used only if
            the whole picture would take too much memory, and are as large as the memory for one tile allows.
        statistics: the instance norms' statistics over the whole picture. ``"exact"``: the result equals painting the
            picture whole. ``"estimated"``: measured on windows spread over the picture, many times faster. Without
            instance norms there is no difference.

    Raises:
        ConfigError: a value is out of range.
    """

    side: int | None = None
    statistics: Literal["exact", "estimated"] = "exact"

    def __post_init__(self) -> None:
        if self.side is not None and self.side < 1:
            raise ConfigError(f"tiles: their side must be at least 1 pixel, got {self.side}")
        if self.statistics not in ("exact", "estimated"):
            raise ConfigError(f"tiles: statistics are 'exact' or 'estimated', got {self.statistics!r}")


# ---- dividing a picture


def best_side(network: Network, free: float = math.inf) -> int:
    """The side, without overlap, of tiles that take about :data:`WORKING_MEMORY` bytes.

    Or half of the ``free`` memory, if that is less. The side is at least four times the overlap, whatever memory that
    takes: smaller tiles would waste too much work on the overlap.
    """
    overlap = round_up(network.reach or 0, network.stride)
    painted = int((min(WORKING_MEMORY, free / 2) / memory_per_pixel(network)) ** 0.5)
    return max(painted - 2 * overlap, 4 * overlap, 64)


class _Span(NamedTuple):
    """A tile along one axis of the extended picture: ``first`` to ``last`` is painted, ``start`` to ``stop`` kept."""

    first: int
    last: int
    start: int
    stop: int

    @property
    def kept(self) -> tuple[int, int, int]:
        """Start and end of the kept part, relative to the painted part, and the length of the painted part."""
        return self.start - self.first, self.stop - self.first, self.last - self.first


_Tile: TypeAlias = "tuple[_Span, _Span]"  # rows, columns


def _cover(length: int, side: int, overlap: int, least: int, stride: int) -> list[_Span]:
    """Spans whose kept parts cover a length, which is a multiple of ``stride``.

    All have the same painted length, so that memory is reused: about ``side`` plus an overlap on both sides. Those at
    the ends overlap on one side only, and keep more.
    """
    step = max(round_up(side, stride), least - 2 * overlap)
    inner = length - 2 * overlap
    if inner <= step:
        return [_Span(0, length, 0, length)]
    step = max(round_up(-(-inner // -(-inner // step)), stride), least - 2 * overlap)  # as many steps, of equal size
    firsts = [min(first, inner - step) for first in range(0, inner, step)]
    starts = [0, *(first + overlap for first in firsts[1:]), length]
    return [
        _Span(first, first + step + 2 * overlap, start, stop)
        for first, start, stop in zip(firsts, starts, starts[1:], strict=False)
    ]


def _spread(length: int, least: int, stride: int) -> list[_Span]:
    """Spans of equal size, evenly spread over a length; all but a margin of each is kept."""
    margin = round_up(_MARGIN, stride)
    side = max(8 * margin, least)
    if length <= side:
        return [_Span(0, length, 0, length)]
    count = min(_SAMPLES, -(-length // (side - 2 * margin)))
    firsts = [round(number * (length - side) / (count - 1) / stride) * stride for number in range(count)]
    return [_Span(first, first + side, first + margin, first + side - margin) for first in firsts]


# ---- painting


def paint_tiles(
    network: Network,
    source: Raster,
    lay: Callable[[Floats, tuple[int, int]], None],
    tiling: Tiling,
    options: Mapping[str, Any],
) -> None:
    """Paint a picture in tiles.

    Without instance norm, each tile is painted once. Exact statistics take one pass over all tiles per norm, which
    stops at that norm (together about half as many full passes as there are norms), followed by the pass that paints.
    (Keeping the inputs of the last norm would save most of this, but take memory that grows with the picture.)
    Estimated statistics take the same passes over small windows, or a single one if these fit in memory together.

    Args:
        network: has a ``reach``.
        source: the picture; each tile is cropped from it once per pass.
        lay: called with each part of the painting, 3 x h x w in [-1, 1], and the position of its upper left corner:
            (left, top). The parts cover the painting and do not overlap.
        tiling: ``side`` None means :func:`best_side`.
        options: the model's own.

    Raises:
        PictureError: the network makes something other than a picture, or its feature maps cannot be divided.
        KeyboardInterrupt: the user pressed Ctrl-C.
    """
    stride = network.stride
    picture = _Extended(source, stride, network.minimum_size)
    least = round_up(network.minimum_size, stride)
    overlap = round_up(network.reach or 0, stride)
    side = tiling.side or best_side(network, network.free_memory())
    rows, columns = (_cover(length, side, overlap, least, stride) for length in picture.shape)
    tiles = [*product(rows, columns)]
    statistics = WholePictureStatistics(network) if network.norms and len(tiles) > 1 else None

    def run(together: Sequence[_Tile]) -> Pictures | None:
        pictures = np.concatenate([picture.read(*tile) for tile in together])
        places = [Place(columns.first, rows.first, *source.size) for rows, columns in together]
        try:
            if statistics is None:
                return network.paint(pictures, options, places)
            return statistics.run(pictures, [span.kept for span in together[0]], options, places)
        except Interrupted:  # a partial painting is of no use
            raise KeyboardInterrupt from None

    if statistics is not None and tiling.statistics == "estimated":
        down, across = (_spread(length, least, stride) for length in picture.shape)
        batches = _batches([*product(down, across)], memory_per_pixel(network))
        statistics.all_at_once = len(batches) == 1
        with progress("measuring", None):
            while all(run(batch) is None for batch in batches):
                statistics.settle()
        statistics.all_at_once = False
    # A pass ends at the norm that it measures, and is as long as its number says; the one that paints is the last.
    last = network.norms + 1
    first = 1 if statistics is not None and tiling.statistics == "exact" else last
    if len(tiles) * (last - first) > _SLOW:
        _log.warning(
            "%d x %d pixels are painted in %d tiles and %d passes, one for each norm; --statistics estimated is faster",
            *source.size, len(tiles), last - first + 1,
        )  # fmt: skip
    with progress("tiles", len(tiles) * sum(range(first, last + 1)) / last) as advance:
        unfinished = True
        for number in count(first):
            if not unfinished:
                break
            for tile in tiles:
                made = run([tile])
                if made is not None:
                    lay(*picture.kept(made[0], tile))
                advance(steps=min(number, last) / last)
            unfinished = statistics is not None and statistics.settle()


def _batches(windows: Sequence[_Tile], bytes_per_pixel: int) -> list[Sequence[_Tile]]:
    """Windows of equal size, in batches as large as the working memory allows."""
    rows, columns = windows[0]
    pixels = (rows.last - rows.first) * (columns.last - columns.first)
    number = max(1, WORKING_MEMORY // (pixels * bytes_per_pixel))
    return [windows[first : first + number] for first in range(0, len(windows), number)]


class _Extended:
    """A picture extended to the size that a network needs."""

    def __init__(self, pixels: Raster, stride: int, minimum_size: int) -> None:
        self._pixels = pixels
        width, height = pixels.size
        self._rows = extended(height, stride, minimum_size)
        self._columns = extended(width, stride, minimum_size)
        self.shape = len(self._rows), len(self._columns)

    def read(self, rows: _Span, columns: _Span) -> Pictures:
        """The input for a tile: 1 x 3 x h x w in [-1, 1]."""
        down, across = self._rows[rows.first : rows.last], self._columns[columns.first : columns.last]
        top, left = int(down.min()), int(across.min())
        part = to_floats(self._pixels.crop((left, top, int(across.max()) + 1, int(down.max()) + 1)))
        return take(part[None], down - top, across - left)

    def kept(self, painted: Floats, tile: _Tile) -> tuple[Floats, tuple[int, int]]:
        """The kept part of a painted tile, 3 x h x w, cropped to the picture, and its position (left, top)."""
        width, height = self._pixels.size
        rows, columns = tile
        down = slice(rows.start - rows.first, min(rows.stop, height) - rows.first)
        across = slice(columns.start - columns.first, min(columns.stop, width) - columns.first)
        return painted[:, down, across], (columns.start, rows.start)
