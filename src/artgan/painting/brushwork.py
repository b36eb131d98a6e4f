"""An under-painting in curved brush strokes, for a network to paint over; NumPy and OpenCV alone, no torch.

After Hertzmann, "Painterly rendering with curved brush strokes of multiple sizes" (SIGGRAPH 1998): in layers, from
large brushes to small ones, strokes are laid where the canvas is still far from the photo, along the direction in which
the photo changes least.

Which strokes there are is decided on a small copy of the picture, whose shorter side has :data:`WORKING` pixels
whatever the picture's size; all lengths are shares of that side. So a picture of 256 pixels and one of 12 megapixels
become the same painting, and as the strokes are known before the first is drawn at full size, a tile or a strip is
exactly that part of the whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from artgan import config
from artgan.config import option
from artgan.errors import ConfigError, PictureError
from artgan.painting.canvas import CONTROLS, Floats, Pixels, Strokes, Window

WORKING = 256
"""Pixels that the shorter side has where strokes are decided; the smallest strokes are 3 to 4 pixels wide there."""

STROKE_SIZES = (0.5, 3.0)
"""The least and the greatest multiple of an artist's stroke sizes."""

_LONG = 16  # a picture that is longer than so many times its height has strokes wider than its height would ask for
_CANDIDATES = 3  # places tried for the start of a stroke in a grid cell
_NUMBERS = 37  # random numbers a grid cell
_FIRST_FREE = 16  # of these, those from here on are for drawing


@dataclass(frozen=True)
class Brush:
    """How an artist lays strokes. Lengths are shares of the picture's shorter side, or multiples of a brush's radius.

    Raises:
        ConfigError: a value is of the wrong type or out of its range.
    """

    largest: float = option(0.03, "radius of the largest brush, a share of the shorter side", least=0.002, most=0.2)
    smallest: float = option(0.007, "radius of the smallest brush, a share of the shorter side", least=0.002, most=0.2)
    layers: int = option(3, "number of brushes, each as much smaller than the one before", least=1, most=6)
    grid: float = option(1.5, "distance of strokes from each other in a layer, in radii", least=0.5, most=6)
    threshold: float = option(9.0, "how far the canvas must be from the photo for a stroke, CIE76", least=0, most=100)
    shortest: float = option(3.0, "length of the shortest strokes, in radii", least=1, most=40)
    longest: float = option(9.0, "length of the longest strokes, in radii", least=1, most=40)
    curvature: float = option(0.7, "how strokes follow the form: 0 are straight, 1 turn at once", least=0, most=1)
    opacity: float = option(0.9, "share of a stroke's color that is not what it picks up below", least=0, most=1)
    taper: float = option(0.4, "share of a stroke's width that is gone at its end", least=0, most=1)
    bristles: float = option(14.0, "lightness by which bristles differ, in 8-bit steps", least=0, most=64)
    lightness: float = option(2.5, "standard deviation of strokes in lightness, of 100", least=0, most=30)
    hue: float = option(12.0, "standard deviation of strokes in hue, in degrees", least=0, most=90)
    saturation: float = option(0.15, "standard deviation of strokes in saturation, a share of it", least=0, most=1)

    def __post_init__(self) -> None:
        config.check(self, where="brush")
        for least, most in (("smallest", "largest"), ("shortest", "longest")):
            if getattr(self, least) > getattr(self, most):
                raise ConfigError(f"brush: {least} must be at most {most}, {getattr(self, most)}")

    @property
    def radii(self) -> tuple[float, ...]:
        """Of the brushes, from the largest to the smallest, shares of the shorter side."""
        return tuple(float(radius) for radius in np.geomspace(self.largest, self.smallest, self.layers))

    def to_dict(self) -> dict[str, Any]:
        """All parameters as JSON types."""
        return config.to_dict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], *, where: str = "brush") -> Brush:
        """A brush from its parameters by name, as JSON or YAML give them; what is left out has its default.

        Raises:
            ConfigError: as :func:`artgan.config.parse` says.
        """
        return config.parse(cls, values, where=where)


def unit(size: tuple[int, int]) -> float:
    """Pixels that all lengths are shares of: the shorter side, but for strips more than 16 times as long as wide."""
    width, height = size
    return max(min(width, height), (width * height / _LONG) ** 0.5)


def reach(brush: Brush, size: tuple[int, int], stroke_size: float = 1.0) -> int:
    """How far from a pixel a stroke that covers it may have begun, in pixels of a picture of ``size``."""
    return int(np.ceil(brush.largest * stroke_size * (brush.longest + 2) * unit(size))) + 2


def reduced(strips: Iterable[Pixels], size: tuple[int, int]) -> Pixels:
    """A copy of a picture as small as strokes are decided on, exactly the same however the picture is divided.

    Args:
        strips: the picture's rows from top to bottom in any portions, each rows x width x 3, 8-bit RGB.
        size: width and height of the whole.

    Raises:
        PictureError: these are not the rows of a picture of that size.
    """
    width, height = size
    scale = WORKING / unit(size) if min(size) > 0 else 1.0
    small = (max(1, round(width * scale)), max(1, round(height * scale)))
    # Whole numbers of rows and columns are added up first, which is exact, to twice the size at least.
    columns, rows = (min(length, 2 * least) for length, least in zip(size, small, strict=True))
    total = np.zeros((rows, columns, 3), np.int64)
    first = -(-np.arange(columns) * width // columns)
    top = 0
    for strip in strips:
        if strip.ndim != 3 or strip.shape[1:] != (width, 3) or strip.dtype != np.uint8 or top + len(strip) > height:
            raise PictureError(f"a strip of 8-bit RGB, {width} pixels wide, is asked for; got {strip.shape}")
        if len(strip):
            row = np.arange(top, top + len(strip)) * rows // height
            starts = np.flatnonzero(np.diff(row, prepend=-1))
            lines = np.add.reduceat(strip, starts, axis=0, dtype=np.uint32)
            total[row[starts]] += np.add.reduceat(lines, first, axis=1, dtype=np.int64)
            top += len(strip)
    if top != height or not width or not height:
        raise PictureError(f"a picture of {width} x {height} pixels is asked for; got {top} rows")
    taken = [
        np.bincount(np.arange(length) * n // length, minlength=n) for length, n in ((height, rows), (width, columns))
    ]
    count = np.outer(*taken)[..., None]
    mean = ((total + count // 2) // count).astype(np.uint8)
    smaller = small[0] < columns or small[1] < rows
    return np.asarray(cv2.resize(mean, small, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR), np.uint8)


def trace(small: Pixels, brush: Brush, seed: int = 0, stroke_size: float = 1.0) -> Strokes:
    """Decide the strokes of an under-painting.

    Args:
        small: what :func:`reduced` returns, H x W x 3, 8-bit RGB; its colors are what is painted.
        brush: the artist's.
        seed: any whole number; every random number is a hash of it, the layer and the place in the picture.
        stroke_size: multiple of the brush's radii, 0.5 to 3.

    Raises:
        ConfigError: ``stroke_size`` is out of its range.
    """
    if not STROKE_SIZES[0] <= stroke_size <= STROKE_SIZES[1]:
        raise ConfigError(f"stroke_size: must be from {STROKE_SIZES[0]} to {STROKE_SIZES[1]}, not {stroke_size!r}")
    photo = _lab(small)
    height, width = small.shape[:2]
    largest = brush.largest * stroke_size * WORKING
    ground = _rgb(_blurred(photo, 2 * largest))
    canvas, layers = ground, []
    gradient = _gradient(photo)
    tint = min(6.0, float(np.hypot(photo[..., 1], photo[..., 2]).mean()))
    for layer, share in enumerate(brush.radii):
        radius = share * stroke_size * WORKING
        points, color, random = _trace_layer(photo, _lab(canvas), gradient, brush, radius, seed, layer)
        paint = _rgb(_varied(color, random, brush, tint))
        order = np.argsort(random[:, 0], kind="stable")
        strokes = Strokes(
            ground,
            points[order],
            np.full(len(order), radius, np.float32) * (0.75 + 0.5 * random[order, 1]),
            paint[order],
            random[order, _FIRST_FREE:],
            brush.taper,
            brush.bristles,
        )
        layers.append(strokes)
        if layer + 1 < brush.layers:
            # Colors that are off on purpose are not to be mended by smaller strokes.
            canvas = replace(strokes, colors=_rgb(color[order])).over(canvas, (width, height))
    parts = [
        np.concatenate([getattr(one, name) for one in layers]) for name in ("points", "radius", "colors", "random")
    ]
    return Strokes(ground, *parts, brush.taper, brush.bristles)


def underpaint(
    picture: Pixels, brush: Brush, seed: int = 0, window: Window | None = None, *, stroke_size: float = 1.0
) -> Pixels:
    """An under-painting of a picture, H x W x 3, 8-bit RGB, or a window of it (left, top, right, bottom in pixels).

    :func:`reduced`, :func:`trace` and :meth:`Strokes.draw` in one; several windows of a picture share the first two.

    Raises:
        ConfigError: ``stroke_size`` is out of its range.
        PictureError: the picture is empty or not 8-bit RGB.
    """
    if picture.ndim != 3:
        raise PictureError(f"8-bit RGB, rows x columns x 3, is asked for; got {picture.shape}")
    size = (picture.shape[1], picture.shape[0])
    return trace(reduced([picture], size), brush, seed, stroke_size).draw(size, window)


def _trace_layer(
    photo: Floats, canvas: Floats, gradient: Floats, brush: Brush, radius: float, seed: int, layer: int
) -> tuple[Floats, Floats, Floats]:
    """Control points, N x CONTROLS x 2, colors in Lab, N x 3, and random numbers of the strokes of one layer."""
    height, width = photo.shape[:2]
    reference = _blurred(photo, 0.5 * radius)
    spacing = brush.grid * radius
    rows, columns = np.indices((int(np.ceil(height / spacing)), int(np.ceil(width / spacing)))).reshape(2, -1)
    random = _hashed(seed, layer, rows, columns)
    # Of some places in its cell, a stroke begins where the canvas is farthest from the photo.
    x, y = (
        np.minimum((corner[:, None] + random[:, n : n + _CANDIDATES]) * spacing, length - 0.01)
        for corner, n, length in ((columns, 2, width), (rows, 2 + _CANDIDATES, height))
    )
    missing = np.linalg.norm(reference - canvas, axis=-1)
    near = _blurred(missing, 0.5 * radius)[y.astype(int), x.astype(int)]
    best = near.argmax(1)
    each = np.arange(len(best))
    chosen = near[each, best] > brush.threshold if layer else np.ones(len(best), bool)
    start = np.stack([x[each, best], y[each, best]], -1)[chosen].astype(np.float32)
    random = random[chosen]
    at = start.astype(int)
    color = reference[at[:, 1], at[:, 0]]
    longest = brush.shortest + (brush.longest - brush.shortest) * random[:, 8]
    path, steps = _follow(start, color, reference, missing, _field(gradient, radius), brush, radius, longest, random)
    below = canvas[at[:, 1], at[:, 0]]
    return _resampled(path, steps), below + brush.opacity * (color - below), random


def _follow(
    start: Floats,
    color: Floats,
    reference: Floats,
    missing: Floats,
    field: Floats,
    brush: Brush,
    radius: float,
    longest: Floats,
    random: Floats,
) -> tuple[Floats, Floats]:
    """Paths of all strokes at once, N x steps + 1 x 2 in pixels, and how many steps each goes, N."""
    height, width = missing.shape
    count = int(np.ceil(brush.longest))
    path = np.repeat(start[:, None], count + 1, 1)
    steps = np.zeros(len(start), np.float32)
    going = np.ones(len(start), bool)
    place, before = start, None
    for n in range(count):
        at = np.clip(place, 0, (width - 1, height - 1)).astype(int)
        here = (at[:, 1], at[:, 0])
        if n >= brush.shortest:  # on while the stroke's color serves better than what is there
            going &= missing[here] > np.linalg.norm(reference[here] - color, axis=-1)
        angle = 0.5 * np.arctan2(field[..., 1][here], field[..., 0][here]) + np.pi / 2
        ahead = np.stack([np.cos(angle), np.sin(angle)], -1).astype(np.float32)
        if before is None:
            before = ahead * np.where(random[:, 9:10] < 0.5, -1, 1).astype(np.float32)
        ahead *= np.where((ahead * before).sum(1, keepdims=True) < 0, -1, 1)
        ahead = before + brush.curvature * (ahead - before)
        ahead /= np.maximum(np.linalg.norm(ahead, axis=1, keepdims=True), 1e-6)
        step = np.clip(longest - n, 0, 1) * going
        place = place + radius * step[:, None] * ahead
        path[:, n + 1], steps, before = place, steps + step, ahead
        going &= ((place >= 0) & (place < (width, height))).all(1)
    return path, steps


def _resampled(path: Floats, steps: Floats) -> Floats:
    """Control points at equal distances along paths, N x CONTROLS x 2."""
    at = steps[:, None] * np.linspace(0, 1, CONTROLS, dtype=np.float32)
    low = np.minimum(at.astype(int), path.shape[1] - 2)
    each = np.arange(len(path))[:, None]
    part = (at - low)[..., None]
    return np.asarray(path[each, low] * (1 - part) + path[each, low + 1] * part, np.float32)


def _gradient(photo: Floats) -> Floats:
    """Gradients of the photo with their angle doubled, so that opposite ones add up, H x W x 2 (Knutsson 1989).

    Of the structure tensor this is the part that has a direction. Its length is that of the gradient, not the square:
    a cloud's faint edge is to count beside a roof's.
    """
    smooth = _blurred(photo, 1.0)
    dx, dy = (cv2.Sobel(smooth, cv2.CV_32F, *order) for order in ((1, 0), (0, 1)))
    doubled = np.stack([(dx * dx - dy * dy).sum(-1), 2 * (dx * dy).sum(-1)], -1)
    length = np.linalg.norm(doubled, axis=-1, keepdims=True)
    return np.asarray(doubled / np.sqrt(length + 1.0), np.float32)


def _field(gradient: Floats, radius: float) -> Floats:
    """The smoothed field of doubled angles for a brush, H x W x 2: flat places have the direction of what surrounds them.

    Each level of a pyramid adds its own directions to a fraction of the coarser ones, which so count where there is
    nothing else. Where there is nothing at all, strokes lie level.
    """
    levels = [_blurred(gradient, max(1.5, 0.7 * radius))]
    while min(levels[-1].shape[:2]) > 2:
        levels.append(cv2.pyrDown(levels[-1]))
    field = levels[-1] + np.array([-0.05, 0], np.float32)
    for level in levels[-2::-1]:
        field = 0.4 * cv2.resize(field, level.shape[1::-1], interpolation=cv2.INTER_LINEAR) + level
    return np.asarray(field, np.float32)


def _varied(color: Floats, random: Floats, brush: Brush, tint: float) -> Floats:
    """Colors in Lab, N x 3, each a little off in lightness, hue and saturation; greys too, by at most ``tint``."""
    normal = 2 * (random[:, 10:13] + random[:, 13:16] + random[:, 2:5] - 1.5)  # of deviation 1, at most 3
    chroma = np.hypot(color[:, 1], color[:, 2])
    angle = np.deg2rad(brush.hue) * normal[:, 1] / (1 + chroma / 40)  # strong colors are as far from each other as pale
    scale = 1 + brush.saturation * normal[:, 2]
    a, b = color[:, 1], color[:, 2]
    turned = [scale * (a * np.cos(angle) - b * np.sin(angle)), scale * (a * np.sin(angle) + b * np.cos(angle))]
    warm = tint * np.deg2rad(brush.hue) * normal[:, 0]  # strokes in shadows and greys differ too: warm against cool
    return np.stack([color[:, 0] + brush.lightness * normal[:, 1], turned[0] + warm, turned[1] + 2 * warm], -1)


def _hashed(seed: int, layer: int, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> Floats:
    """Numbers from 0 to 1 of grid cells, N x 37: hashes (SplitMix64) of seed, layer, row, column and position."""
    state = np.full(rows.shape, seed % 2**64, np.uint64)
    for part in (np.uint64(layer), rows.astype(np.uint64), columns.astype(np.uint64)):
        state = _mixed(state + part)
    stream = np.arange(1, _NUMBERS + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    return (_mixed(state[:, None] + stream) >> np.uint64(40)).astype(np.float32) / np.float32(2**24)


def _mixed(state: NDArray[np.uint64]) -> NDArray[np.uint64]:
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9) + np.uint64(0x9E3779B97F4A7C15)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))


def _blurred(values: Floats, sigma: float) -> Floats:
    return np.asarray(cv2.GaussianBlur(values, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE), np.float32)


def _lab(rgb: Pixels) -> Floats:
    """CIE L*a*b*, H x W x 3: lightness 0 to 100."""
    return np.asarray(cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2Lab), np.float32)


def _rgb(lab: Floats) -> Pixels:
    """8-bit RGB of L*a*b*, N x 3 or H x W x 3."""
    if not lab.size:
        return np.zeros(lab.shape, np.uint8)
    rgb = cv2.cvtColor(np.ascontiguousarray(lab.reshape(-1, 1, 3), np.float32), cv2.COLOR_Lab2RGB)
    return np.asarray(np.clip(rgb * 255, 0, 255).round(), np.uint8).reshape(lab.shape)
