"""Strokes drawn at any size, whole or window by window: the pixels of a window are exactly those of the whole.

A stroke is a polygon, which Pillow fills on a canvas a few times as large as the painting (supersampling). Pillow's
rounding depends on where the canvas begins, so everything is drawn in blocks of one grid that begins at the picture's
top left corner, and a window is assembled from parts of blocks.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import comb, inf
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from artgan.errors import PictureError

Floats: TypeAlias = "NDArray[np.floating[Any]]"
Pixels: TypeAlias = "NDArray[np.uint8]"
Window: TypeAlias = "tuple[int, int, int, int]"
"""Left, top, right and bottom in pixels of the whole picture; right and bottom are the first that are not in it."""

CONTROLS = 6
"""Control points of a stroke's spine, a Bézier curve: smooth at any size, and it never winds more than they do."""

BLOCK = 512
"""Side of the blocks in which strokes are drawn, in pixels; windows made of whole blocks draw nothing twice."""

# Up to which shorter side, in pixels, a pixel is drawn as so many columns and rows; rows are what takes time.
_SUBPIXELS = ((384, (4, 3)), (768, (3, 2)), (inf, (2, 2)))
_WIDER = 0.75  # pixels that a stroke is wider on each side: networks were trained on strokes drawn so, by OpenCV
_SEEN = 14.0  # from this radius on, in pixels, bristles can be seen
_BRISTLES = 11  # a stroke
# Up to which radius, in pixels, the outline of a stroke has so many pairs of corners.
_SAMPLES = ((2.5, 5), (5.0, 7), (16.0, 9), (inf, 13))
_THIN = 3.0  # times that radius for bristles, whose ends are too small to be seen as round
_AT_ONCE = 2048  # outlines computed at once, so that intermediate results stay in the processor's cache


@dataclass(frozen=True, eq=False)
class Strokes:
    """Strokes over a ground, in the order in which they are laid; lengths are in pixels of the ground.

    Attributes:
        ground: what shows between strokes, H x W x 3, 8-bit RGB.
        points: control points of the spines, x and y from the top left corner, N x CONTROLS x 2.
        radius: half the width at the widest place, N.
        colors: 8-bit RGB, N x 3.
        seeds: of the strokes' bristles, N.
        taper: share of the width that is gone at a stroke's end.
        bristles: how far bristles differ in lightness from their stroke, in 8-bit steps.
    """

    ground: Pixels
    points: Floats
    radius: Floats
    colors: Pixels
    seeds: NDArray[np.uint64]
    taper: float
    bristles: float

    def __len__(self) -> int:
        return len(self.points)

    def draw(self, size: tuple[int, int], window: Window | None = None, *, smooth: bool = True) -> Pixels:
        """The painting at ``size`` (width and height in pixels), or a window of it: rows x columns x 3, 8-bit RGB.

        Args:
            size: of the whole.
            window: part of it.
            smooth: edges are; otherwise they are jagged, which is faster.

        Raises:
            PictureError: the window is empty, or is not within the picture.
        """
        left, top, right, bottom = window or (0, 0, *size)
        if not (0 <= left < right <= size[0] and 0 <= top < bottom <= size[1]):
            raise PictureError(f"there is no window {window} in a picture of {size[0]} x {size[1]} pixels")
        subpixels = next(fine for most, fine in _SUBPIXELS if min(size) <= most) if smooth else (1, 1)
        blocks = [
            (x, y, min(x + BLOCK, size[0]), min(y + BLOCK, size[1]))
            for y in range(top // BLOCK * BLOCK, bottom, BLOCK)
            for x in range(left // BLOCK * BLOCK, right, BLOCK)
        ]
        outlines = self._outlines(size, (*blocks[0][:2], *blocks[-1][2:]), subpixels)
        painting = np.empty((bottom - top, right - left, 3), np.uint8)
        for block in blocks:
            drawn = self._block(outlines, size, block, subpixels)
            x, y = block[:2]
            rows, columns = slice(max(y, top), min(block[3], bottom)), slice(max(x, left), min(block[2], right))
            part = drawn[rows.start - y : rows.stop - y, columns.start - x : columns.stop - x]
            painting[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left] = part
        return painting

    def _block(self, outlines: _Outlines, size: tuple[int, int], block: Window, subpixels: tuple[int, int]) -> Pixels:
        left, top, right, bottom = block
        height, width = self.ground.shape[:2]
        rows = np.arange(top, bottom) * height // size[1]
        columns = np.arange(left, right) * width // size[0]
        ground = Image.fromarray(self.ground[:, columns][rows])
        canvas = ground.resize((ground.width * subpixels[0], ground.height * subpixels[1]), Image.Resampling.NEAREST)
        outlines.fill(canvas, (left * subpixels[0], top * subpixels[1]))
        return np.asarray(canvas.reduce(subpixels))

    def _outlines(self, size: tuple[int, int], window: Window, subpixels: tuple[int, int]) -> _Outlines:
        """What is filled: the strokes that touch a window, each followed by its bristles where they can be seen."""
        height, width = self.ground.shape[:2]
        scale = np.array([size[0] / width, size[1] / height], np.float32)
        # A Bézier curve lies within the hull of its control points.
        margin = self.radius[:, None] * scale.max() + 2
        low = np.minimum.reduce(list(self.points.swapaxes(0, 1))) * scale - margin
        high = np.maximum.reduce(list(self.points.swapaxes(0, 1))) * scale + margin
        which = ((high > window[:2]) & (low < window[2:])).all(1).nonzero()[0]
        radius = self.radius[which] * np.sqrt(scale.prod())
        combed = radius >= (_SEEN if self.bristles else inf)
        stroke = np.arange(len(which)).repeat(np.where(combed, 1 + _BRISTLES, 1))
        bristle = np.diff(stroke, prepend=-1) == 0
        colors = self.colors[which][stroke]
        # Bristles run dry one after the other, which leaves a ragged end.
        bare = np.where(combed, 0.1, 0)[stroke]
        ribbons = np.zeros((6, len(stroke)), np.float32)
        ribbons[:4] = radius[stroke], bare, 1 - bare, np.full(len(stroke), self.taper)
        if combed.any():
            random = uniform(self.seeds[which[combed]], range(4 * _BRISTLES)).reshape(-1, 4, _BRISTLES)
            across, begin, end, shade = (part.ravel() for part in random.swapaxes(0, 1))
            number = np.tile(np.arange(_BRISTLES, dtype=np.float32), len(random))
            across = ((number + across) * (2 / _BRISTLES) - 1) * 0.88
            begin, end = 0.12 * begin + 0.1 * across**2, 1 - 0.4 * end - 0.2 * across**2
            wide = ribbons[0, bristle]
            taper, narrowing = np.full_like(wide, 0.3), np.full_like(wide, self.taper)
            ribbons[:, bristle] = wide * (1.2 / _BRISTLES), begin, end, taper, across * wide, narrowing
            shades = colors[bristle] + ((shade - 0.5) * (2 * self.bristles))[:, None]
            colors[bristle] = np.clip(shades.round(), 0, 255).astype(np.uint8)
        points = np.ascontiguousarray((self.points[which] * scale).T)
        detail = radius[stroke] * np.where(bristle, np.float32(1 / _THIN), np.float32(1))
        return _Outlines.of(points, stroke, ribbons, detail, colors, subpixels)


@dataclass(frozen=True, eq=False)
class _Outlines:
    """Polygons in the order in which they are filled, in subpixels from the picture's top left corner.

    Attributes:
        corners: x and y one after the other, whole numbers, N x numbers.
        counts: how many of these numbers are a polygon's, N.
        inks: red + 256 * green + 65536 * blue, N.
        low: the least x and y of a polygon, 2 x N.
        high: the greatest.
    """

    corners: NDArray[np.float32]
    counts: NDArray[np.intp]
    inks: NDArray[np.int32]
    low: Floats
    high: Floats

    @classmethod
    def of(
        cls,
        points: Floats,
        stroke: NDArray[np.intp],
        ribbons: Floats,
        detail: Floats,
        colors: Pixels,
        subpixels: tuple[int, int],
    ) -> _Outlines:
        """The outlines of ribbons along strokes.

        Args:
            points: control points of the strokes in pixels, 2 x CONTROLS x strokes.
            stroke: number of each ribbon's stroke, N.
            ribbons: see :func:`_ribbon`, 6 x N.
            detail: radii in pixels by which :data:`_SAMPLES` says how many corners there are, N.
            colors: 8-bit RGB, N x 3.
            subpixels: columns and rows of a pixel.
        """
        limits, samples = (np.array(row) for row in zip(*_SAMPLES, strict=True))
        kind = np.searchsorted(limits, detail)
        corners = np.zeros((len(stroke), 2 * samples.max(), 2), np.float32)
        low, high = np.empty((2, 2, len(stroke)), np.float32)
        fine = np.array(subpixels, np.float32)[:, None, None]
        for number, count in enumerate(samples.tolist()):
            chosen = np.flatnonzero(kind == number)
            for part in np.split(chosen, range(_AT_ONCE, len(chosen), _AT_ONCE)):
                outline = _ribbon(points[..., stroke[part]], ribbons[:, part], count, _WIDER - 0.5 / fine)
                # A pixel's number is the place of its center, as it was when the networks were trained.
                outline = np.rint(outline * fine + (fine - 1) / 2)
                corners[part, : 2 * count] = outline.T
                low[:, part], high[:, part] = outline.min(1), outline.max(1)
        inks = colors.astype(np.int32) @ np.array([1, 256, 65536], np.int32)
        return cls(corners.reshape(len(stroke), 4 * samples.max()), 4 * samples[kind], inks, low, high)

    def fill(self, canvas: Image.Image, place: tuple[int, int]) -> None:
        """Fill the polygons on a canvas, the part at ``place`` (left and top) of the whole."""
        start = np.array(place, np.float32)[:, None]
        end = start + np.array(canvas.size, np.float32)[:, None]
        which = np.flatnonzero(((self.high >= start) & (self.low < end)).all(0))
        corners = self.corners[which]
        for axis in (0, 1):
            corners[:, axis::2] -= start[axis]
        numbers, polygon = corners.reshape(-1).data, ImageDraw.Draw(canvas).polygon
        first = np.arange(len(corners)) * corners.shape[1]
        last = first + self.counts[which]
        for begin, stop, ink in zip(first.tolist(), last.tolist(), self.inks[which].tolist(), strict=True):
            polygon(numbers[begin:stop], ink)


def uniform(seeds: NDArray[np.uint64], numbers: range) -> Floats:
    """Numbers from 0 to 1, N x numbers: hashes (SplitMix64; Steele et al., OOPSLA 2014) of N seeds and the numbers."""
    stream = np.arange(numbers.start + 1, numbers.stop + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    return (mixed(seeds[:, None] + stream) >> np.uint64(40)).astype(np.float32) / np.float32(2**24)


def mixed(state: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Hashes of whole numbers."""
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))


def _ribbon(points: Floats, ribbons: Floats, samples: int, wider: Floats) -> Floats:
    """Outlines of ribbons along Bézier curves, in pixels: 2 x 2 * samples x N.

    All is done number by number, without products of matrices, whose rounding depends on how many ribbons there are.

    Args:
        points: control points in pixels, 2 x CONTROLS x N.
        ribbons: 6 x N: half the greatest width in pixels; where on the curve a ribbon begins and where it ends, 0 to 1;
            the share of the width that is gone at its end; how far it lies beside the curve, in pixels; the share of
            that which is gone at the end of the curve.
        samples: of a curve, denser at its ends.
        wider: pixels that an outline lies beyond the ribbon, to the sides and up and down, 2 x 1 x 1.
    """
    radius, begin, end, taper, across, narrowing = ribbons
    spread = 0.5 - 0.5 * np.cos(np.linspace(0, np.pi, samples, dtype=np.float32))[:, None]
    along = begin + (end - begin) * spread
    x, y, dx, dy = _curves(points, along)
    beside = across * (1 - narrowing * along)
    x, y = x - dy * beside, y + dx * beside
    length = np.zeros_like(x)
    np.cumsum(np.sqrt(np.diff(x, axis=0) ** 2 + np.diff(y, axis=0) ** 2), 0, out=length[1:])
    # Ends are round: within a radius of them the width is that of a circle.
    from_end = np.minimum(length, length[-1] - length) / np.maximum(radius, 1e-6)
    width = radius * np.sqrt(1 - (1 - np.minimum(from_end, 1)) ** 2)
    width *= 1 - taper * length / np.maximum(length[-1], 1e-6)
    for tip, way in ((0, -1), (-1, 1)):
        x[tip] += way * wider[0, 0] * dx[tip]
        y[tip] += way * wider[1, 0] * dy[tip]
    dx, dy = dx * (width + wider[1]), dy * (width + wider[0])
    return np.stack([np.concatenate([x - dy, (x + dy)[::-1]]), np.concatenate([y + dx, (y - dx)[::-1]])])


def _curves(points: Floats, at: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Places on Bézier curves, x and y, and their directions, x and y of unit vectors; each samples x N.

    Args:
        points: control points, 2 x CONTROLS x N.
        at: 0 to 1 along each curve, samples x N.
    """
    # The coefficients of the powers of ``at`` are multiples of finite differences at the first control point.
    degree, start, differences = CONTROLS - 1, points[:, :1], points
    coefficients = []
    for power in range(1, CONTROLS):
        differences = np.diff(differences, axis=1)
        coefficients.append(differences[:, :1] * comb(degree, power))
    place, slope = coefficients[-1] * at, np.empty_like(at)
    slope = np.broadcast_to(coefficients[-1] * degree, place.shape).copy()
    for power, coefficient in zip(range(degree - 1, 0, -1), coefficients[-2::-1], strict=True):
        place += coefficient
        place *= at
        slope *= at
        slope += coefficient * power
    (x, y), (dx, dy) = place + start, slope
    speed = np.maximum(np.sqrt(dx * dx + dy * dy), 1e-6)
    return x, y, dx / speed, dy / speed
