"""A picture's under-painting, and what a network makes of it: the same for the whole, for tiles and for strips.

A network is trained on strokes of one size in pixels. So what it paints over is a small under-painting: the strokes
drawn so that the picture's shorter side has at most :data:`FINISHING` pixels. What it changes there is enlarged
smoothly and added to the strokes at the picture's own size. A picture that is no larger is exactly what the network
paints. All but the last step happens once for a picture, so that any window of it is that part of the whole.

All is done on arrays, without torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from math import ceil, floor
from typing import Protocol

import numpy as np
from PIL import Image

from artgan.painting.brushwork import reduced, trace, unit
from artgan.painting.canvas import BLOCK, Floats, Pixels, Strokes, Window
from artgan.painting.manner import Manner
from artgan.painting.palette import Transfer, lab, rgb_of

FINISHING = 512
"""Pixels that the shorter side has at most where the network paints over strokes."""

DRAWN = 6144
"""Pixels that the shorter side has at most where strokes are drawn; beyond, they are enlarged, which bounds memory."""

_AT_ONCE = 1_000_000  # pixels that are finished in floats at once
_TAPS = (-1, 0, 1, 2)  # of a Catmull-Rom spline
_SIDE = 2048  # of the windows in which a large picture is rendered


class Raster(Protocol):
    """An upright 8-bit RGB picture, in memory or in a file; a Pillow image is one."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""

    def crop(self, box: Window, /) -> Image.Image:
        """The pixels in the box (left, top, right, bottom), mode RGB."""


@dataclass(frozen=True, eq=False)
class Study:
    """What is known of a picture before it is painted, in a :class:`Manner` that is not plain.

    Attributes:
        manner: how it is painted.
        size: width and height of the picture.
        small: its small copy, as :func:`artgan.painting.brushwork.reduced` makes it; None if only the strength differs.
        transfer: how its colors are moved to the palette, or None.
        strokes: of its under-painting, or None.
        drawn: the small under-painting, which the network paints over, or None.
        steadied: given what the network adds to it, rows x columns x 3, returns what is added; of a film's frames.
    """

    manner: Manner
    size: tuple[int, int]
    small: Pixels | None
    transfer: Transfer | None
    strokes: Strokes | None
    drawn: Pixels | None
    steadied: Callable[[Floats], Floats] | None = None

    @classmethod
    def of(cls, source: Raster, manner: Manner) -> Study:
        """Look at a picture, strip by strip, decide on the strokes, and draw them for the network."""
        if manner.brush is None and not manner.moves_colors and not manner.keep_colors:
            return cls(manner, source.size, None, None, None, None)
        small = small_copy(source)
        transfer = strokes = drawn = None
        if manner.palette is not None and manner.moves_colors:
            transfer = manner.palette.transfer(small, manner.palette_strength)
        if manner.brush is not None:
            colors = small if transfer is None else transfer(small)
            strokes = trace(colors, manner.brush, manner.seed, manner.stroke_size)
            drawn = strokes.draw(finishing_size(source.size))
        return cls(manner, source.size, small, transfer, strokes, drawn)

    @property
    def under(self) -> Pixels:
        """What the network paints over."""
        assert self.drawn is not None
        return self.drawn

    @property
    def finishing(self) -> tuple[int, int]:
        """Its width and height."""
        return self.under.shape[1], self.under.shape[0]

    def shown(self, photo: Image.Image) -> Image.Image:
        """What a network that paints without strokes is shown of any part of the photo."""
        return photo if self.transfer is None else Image.fromarray(self.transfer(np.asarray(photo)))

    def finished(self, photo: Image.Image, painted: Floats, place: tuple[int, int]) -> Image.Image:
        """A part of a painting without strokes.

        Args:
            photo: that part of the photo.
            painted: what the network made of it as :meth:`shown`, rows x columns x 3, 0 to 255, not rounded.
            place: its left and top.
        """
        left, top = place
        parts = []
        for first, last in _rows(photo.height, photo.width):
            rows = photo.crop((0, first, photo.width, last))
            under = np.asarray(self.shown(rows), np.float32) if self.manner.strength > 1 else None
            parts.append(self._finished(rows, under, painted[first:last], (left, top + first)))
        return Image.fromarray(np.concatenate(parts))

    def render(
        self,
        painted: Floats,
        source: Raster,
        lay: Callable[[Image.Image, tuple[int, int]], None],
        side: int | None = None,
    ) -> None:
        """Paint the picture over strokes, window by window.

        Args:
            painted: what the network made of :attr:`under`, rows x columns x 3, 0 to 255, not rounded.
            source: the photo.
            lay: called with each part of the painting and its place, left and top.
            side: of the windows, in pixels; rounded up to whole blocks of strokes, so that none is drawn twice.
        """
        assert self.strokes is not None
        exaggerated = self.manner.strength > 1
        drawn = _bounded(self.size, DRAWN)
        side = BLOCK * ceil((side or _SIDE) / BLOCK)
        change = painted - self.under
        if self.steadied is not None:
            change = self.steadied(change)
            painted = self.under + change
        for window in windows(self.size, side):
            left, top, right, bottom = window
            photo = source.crop(window)
            if self.finishing == self.size:
                made = painted[top:bottom, left:right]
                under = self.under[top:bottom, left:right].astype(np.float32) if exaggerated else None
                lay(Image.fromarray(self._finished(photo, under, made, (left, top))), (left, top))
                continue
            needed = _needed(drawn, self.size, window)
            strokes = self.strokes.draw(drawn, needed)
            parts = []
            for first, last in _rows(bottom - top, right - left):
                here = (left, top + first, right, top + last)
                under = enlarged(strokes, self.size, here, drawn, needed[:2])
                made = under + enlarged(change, self.size, here)
                rows = photo.crop((0, first, right - left, last))
                parts.append(self._finished(rows, under if exaggerated else None, made, (left, top + first)))
            lay(Image.fromarray(np.concatenate(parts)), (left, top))

    def _finished(self, photo: Image.Image, under: Floats | None, painted: Floats, place: tuple[int, int]) -> Pixels:
        """8-bit RGB of a part; ``under`` is what the network painted over, needed where its change is exaggerated."""
        manner, (left, top) = self.manner, place
        if under is not None:
            painted = under + np.float32(manner.strength) * (painted - under)
        painted = np.clip(painted, 0, 255)
        if manner.keep_colors:
            colors = lab(painted)
            window = (left, top, left + photo.width, top + photo.height)
            colors[..., 1:] = enlarged(self._own_colors, self.size, window)
            painted = rgb_of(colors).astype(np.float32)
        if manner.strength < 1:
            share = np.float32(manner.strength)
            painted = share * painted + (1 - share) * np.asarray(photo, np.float32)
        return np.rint(painted).astype(np.uint8)

    @cached_property
    def _own_colors(self) -> Floats:
        """The photo's a* and b*, on its small copy."""
        assert self.small is not None
        return lab(self.small)[..., 1:]


def small_copy(source: Raster) -> Pixels:
    """The copy of a picture on which strokes are decided; see :func:`artgan.painting.brushwork.reduced`."""
    return reduced(_strips(source), source.size)


def finishing_size(size: tuple[int, int]) -> tuple[int, int]:
    """Width and height at which the network paints over the strokes of a picture of this size."""
    return _bounded(size, FINISHING)


def enlarged(
    values: Floats | Pixels,
    size: tuple[int, int],
    window: Window,
    own: tuple[int, int] | None = None,
    place: tuple[int, int] = (0, 0),
) -> Floats:
    """A window of ``values``, rows x columns x n, enlarged to ``size`` (width and height) by Catmull-Rom splines.

    Number by number, so that a window is exactly that part of the whole.

    Args:
        values: what is enlarged.
        size: of the whole, enlarged.
        window: of it.
        own: width and height of the whole, not enlarged, if ``values`` is a part of it.
        place: left and top of that part.
    """
    left, top, right, bottom = window
    width, height = own or (values.shape[1], values.shape[0])
    axes = ((top, bottom, size[1], height, place[1]), (left, right, size[0], width, place[0]))
    for axis, (start, stop, whole, length, offset) in enumerate(axes):
        if length == whole:
            span = slice(start - offset, stop - offset)
            values = values[span] if axis == 0 else values[:, span]
            continue
        at = (np.arange(start, stop) + 0.5) * (length / whole) - 0.5
        low = np.floor(at).astype(int)
        t = (at - low).astype(np.float32).reshape((-1, 1, 1) if axis == 0 else (-1, 1))
        weights = (
            ((2 - t) * t - 1) * t / 2,
            ((3 * t - 5) * t * t + 2) / 2,
            ((4 - 3 * t) * t + 1) * t / 2,
            (t - 1) * t * t / 2,
        )
        taps = [np.clip(low + step, 0, length - 1) - offset for step in _TAPS]
        total = values.take(taps[0], axis) * weights[0]
        for tap, weight in zip(taps[1:], weights[1:], strict=True):
            total += values.take(tap, axis) * weight
        values = total
    return np.asarray(values, np.float32)


def _needed(own: tuple[int, int], size: tuple[int, int], window: Window) -> Window:
    """The window of a picture, ``own`` pixels wide and high, that a window of it enlarged to ``size`` depends on."""
    spans = []
    for start, stop, length, whole in zip(window[:2], window[2:], own, size, strict=True):
        if length == whole:
            spans.append((start, stop))
            continue
        first, last = (floor((at + 0.5) * (length / whole) - 0.5) for at in (start, stop - 1))
        spans.append((min(max(0, first + _TAPS[0]), length - 1), min(max(1, last + _TAPS[-1] + 1), length)))
    (left, right), (top, bottom) = spans
    return left, top, right, bottom


def _bounded(size: tuple[int, int], most: int) -> tuple[int, int]:
    """The size, or a smaller one of the same form whose shorter side has at most so many pixels."""
    share = most / unit(size)
    if share >= 1:
        return size
    width, height = (max(1, round(length * share)) for length in size)
    return width, height


def windows(size: tuple[int, int], side: int) -> Iterator[Window]:
    """Squares that cover a picture, row by row; those at the right and the bottom are smaller."""
    width, height = size
    for top in range(0, height, side):
        for left in range(0, width, side):
            yield left, top, min(left + side, width), min(top + side, height)


def _rows(height: int, width: int) -> Iterator[tuple[int, int]]:
    """Portions of rows, first and last, of a limited number of pixels."""
    step = max(1, _AT_ONCE // width)
    for first in range(0, height, step):
        yield first, min(first + step, height)


def _strips(source: Raster) -> Iterable[Pixels]:
    width, height = source.size
    for first, last in _rows(height, width):
        yield np.asarray(source.crop((0, first, width, last)))
