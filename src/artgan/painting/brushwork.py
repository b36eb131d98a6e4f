"""An under-painting in curved brush strokes, for a network to paint over; NumPy and Pillow alone, no torch.

After Hertzmann, "Painterly rendering with curved brush strokes of multiple sizes" (SIGGRAPH 1998): in layers, from
large brushes to small ones, strokes are laid where the canvas is still far from the photo, along the direction in which
the photo changes least.

Which strokes there are is decided on a small copy of the picture, whose shorter side has :data:`WORKING` pixels
whatever the picture's size; all lengths are shares of that side. So a picture of 256 pixels and one of 12 megapixels
become the same painting, and as the strokes are known before the first is drawn at full size, a tile or a strip is
exactly that part of the whole.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from artgan import config
from artgan.config import option
from artgan.errors import ConfigError, PictureError
from artgan.painting.canvas import CONTROLS, Floats, Pixels, Strokes, Window, mixed, uniform
from artgan.painting.palette import lab, rgb_of
from artgan.painting.smoothing import blurred, enlarged, gradient, shrunk

Complexes: TypeAlias = "NDArray[np.complexfloating[Any, Any]]"
"""Places and directions: x is the real part, y the imaginary one."""

WORKING = 256
"""Pixels that the shorter side has where strokes are decided; the smallest strokes are 3 to 4 pixels wide there."""

STROKE_SIZES = (0.5, 3.0)
"""The least and the greatest multiple of an artist's stroke sizes."""

_LONG = 16  # a picture that is longer than so many times its height has strokes wider than its height would ask for
_ROWS = 64  # added up at once
_WIDEST = 1.25  # radius of the widest strokes of a brush, in its own; the narrowest are as much less
_CONTRAST = 25.0  # of pictures for which a brush's threshold is meant: standard deviation of lightness
_DARK = 35.0  # lightness from which on there are no shadows
_DENSE = 1.4  # how much closer the first strokes lie than others
_COVERS = 1.6  # their greatest grid before that: they cover the ground, which is as smooth as a photo
_CANDIDATES = 3  # places tried for the start of a stroke in a grid cell
_NUMBERS = 14  # random numbers a stroke
_COARSER = 0.4  # weight of the directions of a level of the pyramid, to that of a level twice as fine


@dataclass(frozen=True)
class Brush:
    """How an artist lays strokes (after Hertzmann, 1998): parameters, which say what they are where they are declared.

    Lengths are shares of the picture's shorter side, or multiples of a brush's radius.

    Raises:
        ConfigError: a value is of the wrong type or out of its range.
    """

    largest: float = option(0.032, "radius of the largest brush, a share of the shorter side", least=0.002, most=0.2)
    smallest: float = option(0.0065, "radius of the smallest brush, a share of the shorter side", least=0.002, most=0.2)
    layers: int = option(3, "number of brushes, each as much smaller than the one before", least=1, most=6)
    grid: float = option(1.6, "distance of strokes from each other in a layer, in radii", least=0.5, most=6)
    threshold: float = option(13.0, "how far the canvas must be from the photo for a stroke, CIE76", least=0, most=100)
    shortest: float = option(2.5, "length of the shortest strokes, in radii", least=1, most=40)
    longest: float = option(10.0, "length of the longest strokes, in radii", least=1, most=40)
    curvature: float = option(0.7, "how strokes follow the form: 0 are straight, 1 turn at once", least=0, most=1)
    opacity: float = option(0.9, "share of a stroke's color that is not what it picks up below", least=0, most=1)
    taper: float = option(0.4, "share of a stroke's width that is gone at its end", least=0, most=1)
    bristles: float = option(14.0, "lightness by which bristles differ, in 8-bit steps", least=0, most=64)
    lightness: float = option(2.5, "standard deviation of strokes in lightness, of 100", least=0, most=30)
    hue: float = option(12.0, "standard deviation of strokes in hue, in degrees", least=0, most=90)
    saturation: float = option(0.15, "standard deviation of strokes in saturation, a share of it", least=0, most=1)
    shadows: float = option(6.0, "how far black is lifted to a colored dark, of 100 in lightness", least=0, most=40)

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
    return max(float(min(width, height)), math.sqrt(width * height / _LONG))


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
    total = np.zeros((rows, columns, 3), np.int32)
    left = -(-np.arange(columns + 1) * width // columns)
    asis = []  # strips of a picture that is as small already
    top = 0
    for strip in strips:
        if strip.ndim != 3 or strip.shape[1:] != (width, 3) or strip.dtype != np.uint8 or top + len(strip) > height:
            raise PictureError(f"expected a strip of 8-bit RGB, {width} pixels wide, got {strip.shape}")
        if small == size:
            asis.append(strip)
            top += len(strip)
            continue
        for part in np.split(strip, range(_ROWS, len(strip), _ROWS)) if len(strip) else ():
            row = np.arange(top, top + len(part)) * rows // height
            starts = np.flatnonzero(np.diff(row, prepend=-1))
            flat = part.reshape(len(part), -1)
            sums = np.stack([flat[a:b].sum(0, dtype=np.int32) for a, b in pairwise([*starts.tolist(), len(part)])])
            total[row[starts]] += np.add.reduceat(sums.reshape(len(starts), width, 3), left[:-1], 1)
            top += len(part)
    if top != height or not width or not height:
        raise PictureError(f"expected a picture of {width} x {height} pixels, got {top} rows")
    if small == size:
        return np.concatenate(asis)
    down = -(-np.arange(rows + 1) * height // rows)
    mean = (total / np.outer(np.diff(down), np.diff(left))[..., None] + 0.5).astype(np.uint8)
    copy = Image.fromarray(mean)
    if (columns, rows) == (2 * small[0], 2 * small[1]):
        return np.asarray(copy.reduce(2))
    smaller = small[0] < columns or small[1] < rows
    return np.asarray(copy.resize(small, Image.Resampling.HAMMING if smaller else Image.Resampling.BILINEAR))


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
    photo = Photo.of(small)
    painted = ground_of(photo, brush, stroke_size)
    canvas = ground = rgb_of(np.moveaxis(painted, 0, -1))
    layers = []
    for layer, share in enumerate(brush.radii):
        radius = share * stroke_size * WORKING
        laid = lay(photo, painted, brush, radius, layer, seed)
        layers.append(laid)
        if layer + 1 < brush.layers:
            canvas = laid.over(canvas, brush)
            painted = planes(canvas)
    return visible(layers, ground, brush, photo.tint)


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
        raise PictureError(f"expected 8-bit RGB, rows x columns x 3, got {picture.shape}")
    size = (picture.shape[1], picture.shape[0])
    return trace(reduced([picture], size), brush, seed, stroke_size).draw(size, window)


@dataclass(frozen=True, eq=False)
class Photo:
    """What strokes are decided by.

    Attributes:
        colors: L*a*b*, 3 x H x W.
        gradient: see :func:`_gradient`.
        strength: the gradient's length, H x W.
        contrast: what the brush's threshold is multiplied by: in fog a smaller difference matters than in sunlight.
        tint: how colored grays may become: none in a black and white photo.
    """

    colors: Floats
    gradient: Floats
    strength: Floats
    contrast: float
    tint: float

    @classmethod
    def of(cls, small: Pixels) -> Photo:
        colors = planes(small)
        contrast = float(np.clip(np.sqrt(colors.std((1, 2)).max() / _CONTRAST), 0.5, 1.1))
        gradient = _gradient(colors)
        tint = min(6.0, float(length(colors[1:]).mean()))
        return cls(colors, gradient, length(gradient), contrast, tint)


@dataclass(frozen=True, eq=False)
class Laid:
    """Strokes of one layer, in the order in which they are laid; lengths are in pixels of the small copy.

    Attributes:
        points: control points of the spines, N x CONTROLS x 2.
        radius: half the width at the widest place, N.
        colors: as planned, before they are varied: L*a*b*, N x 3.
        seeds: every random number of a stroke is a hash of its seed, N.
    """

    points: Floats
    radius: Floats
    colors: Floats
    seeds: NDArray[np.uint64]

    def __len__(self) -> int:
        return len(self.points)

    @property
    def random(self) -> Floats:
        """Random numbers of the strokes, N x numbers; the first is their place in the order."""
        return _random(self.seeds)

    def over(self, canvas: Pixels, brush: Brush) -> Pixels:
        """The canvas with the strokes on it as the next layer sees it: H x W x 3, 8-bit RGB.

        In the planned colors: those that are off on purpose are not to be mended by smaller strokes.
        """
        strokes = Strokes(canvas, self.points, self.radius, rgb_of(self.colors), self.seeds, brush.taper, 0)
        return strokes.draw((canvas.shape[1], canvas.shape[0]), smooth=False)


def ground_of(photo: Photo, brush: Brush, stroke_size: float) -> Floats:
    """What shows between strokes, L*a*b*, 3 x H x W."""
    return blurred(photo.colors, 2 * brush.largest * stroke_size * WORKING)


def visible(layers: Sequence[Laid], ground: Pixels, brush: Brush, tint: float) -> Strokes:
    """The strokes of all layers over a ground, in the colors in which they are seen."""
    colors = [rgb_of(_varied(laid.colors.T, laid.random, brush, tint).T) for laid in layers]
    points, radius, seeds = (
        np.concatenate([getattr(laid, n) for laid in layers]) for n in ("points", "radius", "seeds")
    )
    return Strokes(ground, points, radius, np.concatenate(colors), mixed(seeds), brush.taper, brush.bristles)


def lay(
    photo: Photo,
    painted: Floats,
    brush: Brush,
    radius: float,
    layer: int,
    seed: int,
    free: Callable[[Floats, float], Floats] | None = None,
    again: int = 0,
) -> Laid:
    """The strokes of one layer.

    Args:
        photo: what is painted.
        painted: the canvas so far, L*a*b*, 3 x H x W.
        brush: the artist's.
        radius: of the layer's brush, in pixels.
        layer: its number.
        seed: of all random numbers.
        free: of frames after the first: given how much strokes are wanted at each pixel, H x W, and the distance
            between them in pixels, returns how much they are where others lie already.
        again: the number of the frame; places tried for strokes do not depend on it, the strokes themselves do.
    """
    reference, field = blurred(photo.colors, 0.5 * radius), _field(photo.gradient, radius)
    missing = length(reference - painted)
    # Contours matter more than foliage and fur, where gradients have no direction in common.
    order = np.abs(field) / (blurred(photo.strength, radius) + 1)
    wanted = blurred(missing * np.minimum(order + 0.4, 1.2), 0.5 * radius)
    threshold = brush.threshold * photo.contrast if layer else -1.0
    apart = spacing(brush, radius, layer)
    if free is not None:
        wanted = free(wanted, apart)
    start, seeds = _starts(wanted, apart, threshold, seed, layer)
    if again:
        seeds = mixed(seeds + np.uint64(again))
    random = _random(seeds)
    here = pixel(start, missing)
    color, below = reference[(slice(None), *here)], painted[(slice(None), *here)]
    points = _follow(start, color, random, reference, missing, field, brush, radius)
    color = below + brush.opacity * (color - below)
    widths = radius * (2 - _WIDEST + 2 * (_WIDEST - 1) * random[:, 1])
    last = random[:, 0].argsort(kind="stable")
    return Laid(points[last], widths[last], color.T[last], seeds[last])


def spacing(brush: Brush, radius: float, layer: int) -> float:
    """Distance between the strokes of a layer, whose brush has this radius, in pixels."""
    return max(brush.grid * radius if layer else min(brush.grid, _COVERS) * radius / _DENSE, 1.0)


def _random(seeds: NDArray[np.uint64]) -> Floats:
    return uniform(seeds, range(2 * _CANDIDATES, 2 * _CANDIDATES + _NUMBERS))


def _starts(
    wanted: Floats, spacing: float, threshold: float, seed: int, layer: int
) -> tuple[Complexes, NDArray[np.uint64]]:
    """Where strokes begin, and seeds of them, N: in each grid cell, of some places, where one is wanted most."""
    shape = wanted.shape
    cells = np.indices([ceil(length / spacing) for length in shape]).reshape(2, -1)
    seeds = np.full(cells.shape[1], seed % 2**64, np.uint64)
    for part in (np.uint64(layer), *cells.astype(np.uint64)):
        seeds = mixed(seeds + part + np.uint64(1))
    places = uniform(seeds, range(2 * _CANDIDATES)).reshape(-1, 2, _CANDIDATES)
    y, x = (np.minimum((cells[n, :, None] + places[:, n]) * spacing, shape[n] - 0.01) for n in (0, 1))
    start = (x + 1j * y).astype(np.complex64)
    most = wanted[pixel(start, wanted)]
    best = most.argmax(1)
    each = np.arange(len(best))
    chosen = most[each, best] > threshold
    return start[each, best][chosen], seeds[chosen]


def _follow(
    start: Complexes,
    color: Floats,
    random: Floats,
    reference: Floats,
    missing: Floats,
    field: Complexes,
    brush: Brush,
    radius: float,
) -> Floats:
    """Control points of strokes, N x CONTROLS x 2: all go on at once, a radius a step, until the last has ended."""
    height, width = missing.shape
    longest = brush.shortest + (brush.longest - brush.shortest) * random[:, 2]
    path = [start]
    steps = np.zeros(len(start), np.float32)
    going = np.ones(len(start), bool)
    before = _along(field[pixel(start, missing)]) * np.where(random[:, 3] < 0.5, np.float32(-1), np.float32(1))
    for n in range(ceil(brush.longest)):
        here = pixel(path[-1], missing)
        if n >= brush.shortest:  # on while the stroke's color serves better than what is there
            going &= missing[here] > length(reference[(slice(None), *here)] - color)
        ahead = _along(field[here])
        ahead *= np.where((ahead * before.conj()).real < 0, np.float32(-1), np.float32(1))
        ahead = before + brush.curvature * (ahead - before)
        before = ahead / np.maximum(np.abs(ahead), 1e-6)
        step = np.clip(longest - n, 0, 1) * going
        path.append(path[-1] + radius * step * before)
        steps += step
        going &= (np.abs(path[-1].real / width - 0.5) < 0.5) & (np.abs(path[-1].imag / height - 0.5) < 0.5)
    return _resampled(np.stack(path, 1), steps)


def _resampled(path: Complexes, steps: Floats) -> Floats:
    """Control points at equal distances along paths of so many steps, N x CONTROLS x 2."""
    at = steps[:, None] * np.linspace(0, 1, CONTROLS, dtype=np.float32)
    low = np.minimum(at.astype(int), path.shape[1] - 2)
    each = np.arange(len(path))[:, None]
    points = path[each, low] + (at - low) * (path[each, low + 1] - path[each, low])
    return np.stack([points.real, points.imag], -1).astype(np.float32)


def _gradient(colors: Floats) -> Floats:
    """Gradients of a photo with their angle doubled, so that opposite ones add up, 2 x H x W (Knutsson 1989).

    Of the structure tensor this is the part that has a direction. Its length is that of the gradient, not the square:
    a cloud's faint edge is to count beside a roof's.
    """
    dx, dy = gradient(blurred(colors, 1.0))
    doubled = np.stack([((dx - dy) * (dx + dy)).sum(0), 2 * (dx * dy).sum(0)])
    doubled /= np.sqrt(length(doubled) + 1)
    return doubled


def _field(gradients: Floats, radius: float) -> Complexes:
    """The smoothed field of doubled angles for a brush, H x W.

    Flat places have the direction of what surrounds them: each level of a pyramid adds its own directions to a fraction
    of the coarser ones, which so count where there is nothing else. Where there is nothing at all, strokes lie level.
    """
    sigma = max(1.5, 0.7 * radius)
    octaves = int(math.log2(sigma))
    share = 2**octaves
    levels = [blurred(shrunk(gradients, share), sigma / share)]
    while min(levels[-1].shape[1:]) > 2:
        levels.append(shrunk(levels[-1], 2))
    field = levels[-1] - np.array([0.05, 0], np.float32)[:, None, None]
    for level in levels[-2::-1]:
        field = enlarged(field, 2, level.shape[1:])
        field *= np.float32(_COARSER)
        field += level
    # Levels finer than the first one here would be as smooth as it is.
    field = field * np.float32(_COARSER**octaves)
    field += levels[0] * np.float32((1 - _COARSER**octaves) / (1 - _COARSER))
    x, y = enlarged(field, share, gradients.shape[1:]) if octaves else field
    return np.asarray(x + np.complex64(1j) * y, np.complex64)


def _along(doubled: Complexes) -> Complexes:
    """Unit vectors across gradients whose angles are doubled."""
    half = np.abs(doubled) + doubled + np.complex64(1e-12j)  # between the x axis and the doubled angle
    return np.asarray(1j * half / np.abs(half), np.complex64)


def _varied(color: Floats, random: Floats, brush: Brush, tint: float) -> Floats:
    """Colors in Lab, 3 x N, each a little off in lightness, hue and saturation; grays too, by at most ``tint``."""
    normal = 2 * (random[:, 4:7] + random[:, 7:10] + random[:, 11:14] - 1.5)  # of deviation 1, at most 3
    lightness, a, b = color
    angle = np.deg2rad(brush.hue) * normal[:, 1]
    angle /= 1 + np.hypot(a, b) / 40  # strong colors are as far from each other as pale
    scale = 1 + brush.saturation * normal[:, 2]
    turned = [scale * (a * np.cos(angle) - b * np.sin(angle)), scale * (a * np.sin(angle) + b * np.cos(angle))]
    warm = tint * np.deg2rad(brush.hue) * normal[:, 0]  # strokes in shadows and grays differ too: warm against cool
    dark = brush.shadows * np.clip(1 - lightness / _DARK, 0, 1)
    cool = dark * tint / 8
    lightness = lightness + dark + brush.lightness * normal[:, 1]
    return np.stack([lightness, turned[0] + warm + 0.4 * cool, turned[1] + 2 * warm - cool])


def pixel(place: Complexes, of: Floats) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Row and column of the pixels at places, or nearest to them."""
    y, x = (
        np.clip(part, 0, length - 1).astype(np.intp)
        for part, length in zip((place.imag, place.real), of.shape, strict=True)
    )
    return y, x


def planes(picture: Pixels) -> Floats:
    """L*a*b* of a picture, 3 x H x W."""
    return np.moveaxis(lab(picture), -1, 0)


def length(vectors: Floats) -> Floats:
    """Of vectors along the first axis."""
    return np.asarray(np.sqrt(sum(part * part for part in vectors)), np.float32)
