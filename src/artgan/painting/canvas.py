"""Strokes drawn at any size, whole or window by window: the pixels of a window are exactly those of the whole."""

from __future__ import annotations

from dataclasses import dataclass
from math import comb
from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from artgan.errors import PictureError

Floats: TypeAlias = "NDArray[np.floating[Any]]"
Pixels: TypeAlias = "NDArray[np.uint8]"
Window: TypeAlias = "tuple[int, int, int, int]"
"""Left, top, right and bottom in pixels of the whole picture; right and bottom are the first that are not in it."""

CONTROLS = 6
"""Control points of a stroke's spine, a Bézier curve: smooth at any size, and it never winds more than they do."""

_SHIFT = 4  # polygons have their corners at sixteenths of a pixel
_SEEN = 14.0  # from this radius on, in pixels, bristles can be seen
_BRISTLES = 11  # a stroke


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

    def draw(self, size: tuple[int, int], window: Window | None = None) -> Pixels:
        """The painting at ``size`` (width and height in pixels), or a window of it: rows x columns x 3, 8-bit RGB.

        Raises:
            PictureError: the window is empty, or is not within the picture.
        """
        left, top, right, bottom = window or (0, 0, *size)
        if not (0 <= left < right <= size[0] and 0 <= top < bottom <= size[1]):
            raise PictureError(f"there is no window {window} in a picture of {size[0]} x {size[1]} pixels")
        height, width = self.ground.shape[:2]
        rows = np.arange(top, bottom) * height // size[1]
        columns = np.arange(left, right) * width // size[0]
        return self.over(self.ground[:, columns][rows], size, (left, top))

    def over(self, canvas: Pixels, size: tuple[int, int], place: tuple[int, int] = (0, 0)) -> Pixels:
        """The strokes over ``canvas``, which is the part at ``place`` (left and top) of a picture of ``size``."""
        height, width = self.ground.shape[:2]
        scale = np.array([size[0] / width, size[1] / height], np.float32)
        start = np.array(place)
        end = start + canvas.shape[1::-1]
        # A Bézier curve lies within the hull of its control points.
        margin = self.radius[:, None] * scale.max() + 2
        low = np.minimum.reduce(list(self.points.swapaxes(0, 1))) * scale - margin
        high = np.maximum.reduce(list(self.points.swapaxes(0, 1))) * scale + margin
        which = ((high > start) & (low < end)).all(1).nonzero()[0]
        if not len(which):
            return canvas
        # A polygon that leaves the array would be clipped, which moves its edges by parts of a pixel: the array has a
        # margin that holds all of them, so that they are what they are in any other part.
        before = np.maximum(0, start - np.floor(low[which].min(0))).astype(int)
        after = np.maximum(0, np.ceil(high[which].max(0)) - end).astype(int)
        padded = np.pad(canvas, ((before[1], after[1]), (before[0], after[0]), (0, 0)))
        polygons, colors = self._polygons(which, scale)
        polygons -= (start - before).astype(np.int32) << _SHIFT
        for polygon, red, green, blue in zip(polygons, *colors.T.tolist(), strict=True):
            cv2.fillPoly(padded, [polygon], (red, green, blue), cv2.LINE_AA, _SHIFT)
        (left, top), (right, bottom) = before, before + end - start
        return padded[top:bottom, left:right]

    def _polygons(self, which: NDArray[np.intp], scale: Floats) -> tuple[NDArray[np.int32], Pixels]:
        """What is filled, in order: strokes, and over each its bristles where they can be seen.

        Returns:
            Corners in sixteenths of a pixel, N x corners x 2, and 8-bit RGB, N x 3.
        """
        stretch = float(np.sqrt(scale.prod()))
        largest = float(self.radius.max(initial=0)) * stretch
        along = 0.5 - 0.5 * np.cos(np.linspace(0, np.pi, 7 if largest < 12 else 13, dtype=np.float32))
        points, radius, colors = self.points[which] * scale, self.radius[which] * stretch, self.colors[which]
        combed = (radius >= _SEEN).nonzero()[0] if self.bristles else np.zeros(0, int)
        if not len(combed):
            return _ribbon(points, radius, along, self.taper), colors
        # Bristles run dry one after the other, which leaves a ragged end.
        short = np.where(radius >= _SEEN, np.float32(0.1), np.float32(0))[:, None]
        bodies = _ribbon(points, radius, short + (1 - 2 * short) * along, self.taper)
        random = uniform(self.seeds[which[combed]], range(4 * _BRISTLES)).reshape(-1, 4, _BRISTLES)
        across, begin, end, shade = random.swapaxes(0, 1)
        across = ((np.arange(_BRISTLES, dtype=np.float32) + across) * (2 / _BRISTLES) - 1) * 0.88
        first = 0.12 * begin + 0.1 * across**2
        last = 1 - 0.4 * end - 0.2 * across**2
        spread = first[..., None] + (last - first)[..., None] * along
        points, radius = points[combed, None], radius[combed, None]
        lines = _ribbon(points, radius * (1.2 / _BRISTLES), spread, 0.3, across * radius, self.taper)
        shades = colors[combed, None] + ((shade - 0.5) * (2 * self.bristles))[..., None]
        order = np.concatenate([np.arange(len(bodies)), np.repeat(combed, _BRISTLES)]).argsort(kind="stable")
        polygons = np.concatenate([bodies, lines.reshape(-1, *bodies.shape[1:])])[order]
        shades = np.clip(shades.reshape(-1, 3).round(), 0, 255).astype(np.uint8)
        return polygons, np.concatenate([colors, shades])[order]


def uniform(seeds: NDArray[np.uint64], numbers: range) -> Floats:
    """Numbers from 0 to 1, N x numbers: hashes (SplitMix64; Steele et al., OOPSLA 2014) of N seeds and the numbers."""
    stream = np.arange(numbers.start + 1, numbers.stop + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    return (mixed(seeds[:, None] + stream) >> np.uint64(40)).astype(np.float32) / np.float32(2**24)


def mixed(state: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Hashes of whole numbers."""
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))


def _ribbon(
    points: Floats, radius: Floats, along: Floats, taper: float, across: Floats | None = None, narrowing: float = 0
) -> NDArray[np.int32]:
    """Outlines of ribbons along Bézier curves: ... x 2 * samples x 2, in sixteenths of a pixel.

    All is done number by number, without products of matrices, whose rounding depends on how many ribbons there are.

    Args:
        points: control points in pixels, ... x CONTROLS x 2.
        radius: half the greatest width in pixels, ...
        along: where the outline has its corners, 0 to 1 along the curve, samples or ... x samples.
        taper: share of the width that is gone at the end.
        across: how far the ribbon lies beside the curve, in pixels, ...
        narrowing: share of ``across`` that is gone at the end of the curve.
    """
    x, y = _bezier(points[..., 0], along), _bezier(points[..., 1], along)
    dx, dy = (_bezier(np.diff(points[..., axis]), along) for axis in (0, 1))
    speed = np.maximum(np.sqrt(dx * dx + dy * dy), 1e-6)
    dx, dy, radius = dx / speed, dy / speed, radius[..., None]
    if across is not None:
        beside = across[..., None] * (1 - narrowing * along)
        x, y = x - dy * beside, y + dx * beside
    length = np.zeros_like(x)
    np.cumsum(np.sqrt(np.diff(x) ** 2 + np.diff(y) ** 2), -1, out=length[..., 1:])
    # Ends are round: within a radius of them the width is that of a circle.
    from_end = np.minimum(length, length[..., -1:] - length) / np.maximum(radius, 1e-6)
    width = radius * np.sqrt(1 - (1 - np.minimum(from_end, 1)) ** 2)
    width *= 1 - taper * length / np.maximum(length[..., -1:], 1e-6)
    dx, dy = dx * width, dy * width
    sides = [np.concatenate([left, right[..., ::-1]], -1) for left, right in ((x - dy, x + dy), (y + dx, y - dx))]
    return np.asarray(np.rint(np.stack(sides, -1) * (1 << _SHIFT)), np.int32)


def _bezier(points: Floats, at: Floats) -> Floats:
    """One coordinate of Bézier curves with control points ... x n, ``at`` 0 to 1: ... x samples (Bernstein)."""
    last = points.shape[-1] - 1
    return sum(
        (comb(last, n) * at**n * (1 - at) ** (last - n) * points[..., n, None] for n in range(last + 1)),
        start=np.zeros((), np.float32),
    )
