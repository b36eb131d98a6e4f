"""Image statistics of a set of pictures: palette, light, strokes and edges.

All are computed on the center square of each picture at one size, because strokes and edges are measured in pixels, and
in CIE L*a*b* (D65), where equal steps look about equal. The resolution of a photograph and the compression of its file
affect the finest strokes, edges and sharpness: compare sets of the same origin. Means over a set hide its subgroups: a
tenth of all pictures may be misty (faint contrast, few edges) and hardly change them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from artgan import images
from artgan.data.crops import center_square
from artgan.errors import ConfigError

OCTAVES = ("2 to 4", "4 to 8", "8 to 16", "16 to 32", "32 to 64")
"""Wavelengths in pixels: a stroke is half a wavelength wide. Finer ones, along diagonals, count in the first octave."""

ORIENTATIONS = 8
_PALETTE = 8
_EDGE = 4.0  # steps of L* from pixel to pixel
_WARM = np.radians(70)  # hue of orange, halfway between sRGB's red (40) and its yellow (103); sky blue is opposite

_Array = NDArray[np.float64]


@dataclass(frozen=True)
class Color:
    """A color of a palette.

    Attributes:
        rgb: sRGB, 0 to 255.
        share: of all pixels, those nearest to this color.
    """

    rgb: tuple[int, int, int]
    share: float


@dataclass(frozen=True)
class Statistic:
    """Mean and deviation of one measurement over the pictures of a set.

    Attributes:
        mean: over the pictures.
        deviation: between pictures (population standard deviation).
    """

    mean: float
    deviation: float


@dataclass(frozen=True)
class Profile:
    """Image statistics of a set of pictures.

    Attributes:
        n: number of pictures.
        size: side of the measured center square, in pixels.
        palette: at most 8 colors, the most common first: centers of clusters of all pixels.
        lightness: mean L*, 0 (black) to 100 (white).
        contrast: standard deviation of L* within a picture.
        chroma: mean distance from gray: 0 is gray, pure sRGB colors are at 50 (cyan) to 134 (blue).
        warmth: balance of the colors, -1 (all blue) to 1 (all orange), weighted by their strength.
        edges: share of pixels where L* changes by more than 4 from one pixel to the next.
        sharpness: deviation of the Laplacian of L* divided by that of L*: how abrupt the changes are, independent of
            contrast.
        octaves: energy in each band of wavelengths of :data:`OCTAVES`, as a share of the total variance of L*; the rest
            is in longer waves. Photographs have about as much in each octave as in the next (Field, 1987).
        orientations: of edges, weighted by strength: shares of 0 (horizontal), 22.5, 45, ..., 90 (vertical), ... 157.5
            degrees, counterclockwise, each with 11.25 degrees to either side.
    """

    n: int
    size: int
    palette: tuple[Color, ...]
    lightness: Statistic
    contrast: Statistic
    chroma: Statistic
    warmth: Statistic
    edges: Statistic
    sharpness: Statistic
    octaves: tuple[float, ...]
    orientations: tuple[float, ...]

    def to_dict(self) -> dict[str, Any]:
        """As JSON types."""
        return asdict(self)


SCALARS = ("lightness", "contrast", "chroma", "warmth", "edges", "sharpness")


def profile(pictures: Iterable[Image.Image], *, size: int = 256) -> Profile:
    """Profile a set, with one picture in memory at a time.

    Args:
        pictures: at least one.
        size: side of the center square to measure, in pixels; 64 or more. Only profiles of the same size are
            comparable.

    Raises:
        ConfigError: the size is smaller.
        ValueError: there are no pictures.
    """
    if size < 64:
        raise ConfigError(f"a profile needs pictures of 64 pixels or more, got a size of {size}")
    colors = _ColorHistogram()
    n, total, squares = 0, np.zeros(1), np.zeros(1)
    for picture in pictures:
        pixels = np.asarray(center_square(images.decode(picture).rgb, size))
        lab = to_lab(pixels)
        colors.add(pixels, lab)
        row = _measure(lab)
        n, total, squares = n + 1, total + row, squares + row**2
    if not n:
        raise ValueError("needs at least one picture")
    mean = total / n
    deviation = np.sqrt(np.maximum(squares / n - mean**2, 0))
    scalars = {
        name: Statistic(float(m), float(d))
        for name, m, d in zip(SCALARS, mean, deviation, strict=False)  # the rows are longer
    }
    octaves, orientations = np.split(mean[len(SCALARS) :], [len(OCTAVES)])
    return Profile(
        n,
        size,
        colors.palette(),
        **scalars,
        octaves=tuple(octaves.tolist()),
        orientations=tuple(orientations.tolist()),
    )


def _measure(lab: _Array) -> _Array:
    """The measurements of one picture: :data:`SCALARS`, octaves, orientations."""
    light, a, b = lab.transpose(2, 0, 1)
    contrast = light.std()
    chroma = np.hypot(a, b)
    colored = chroma.sum()
    warmth = (a * np.cos(_WARM) + b * np.sin(_WARM)).sum() / colored if colored > 1e-6 * a.size else 0.0
    down, across = np.gradient(light)
    strength = np.hypot(across, down)
    laplacian = light[1:-1, :-2] + light[1:-1, 2:] + light[:-2, 1:-1] + light[2:, 1:-1] - 4 * light[1:-1, 1:-1]
    sharpness = laplacian.std() / contrast if contrast > 1e-6 else 0.0
    scalars = [light.mean(), contrast, chroma.mean(), warmth, (strength > _EDGE).mean(), sharpness]
    return np.concatenate([scalars, _octaves(light), _orientations(across, down, strength)])


def _octaves(light: _Array) -> _Array:
    """Shares of the energy by :data:`OCTAVES`; the picture is windowed, since its opposite edges do not match."""
    size = len(light)
    window = np.outer(np.hanning(size), np.hanning(size))
    flat = light - (light * window).sum() / window.sum()
    energy = np.abs(np.fft.fft2(flat * window)) ** 2
    frequency = np.fft.fftfreq(size)
    radius = np.hypot(frequency[:, None], frequency)
    limits = [np.inf, *(1 / 2**k for k in range(2, 7))]  # cycles per pixel
    total = energy.sum()
    if total < 1e-6 * light.size:
        return np.zeros(len(OCTAVES))
    return np.array([energy[(radius > low) & (radius <= high)].sum() / total for high, low in pairwise(limits)])


def _orientations(across: _Array, down: _Array, strength: _Array) -> _Array:
    """Shares of the edge strength by orientation; an edge is perpendicular to its gradient."""
    total = strength.sum()
    if total < 1e-6 * strength.size:
        return np.zeros(ORIENTATIONS)
    along = np.arctan2(across, down)  # of the gradient rotated by 90 degrees; rows count downward, angles upward
    bins = np.rint(along / np.pi * ORIENTATIONS).astype(int) % ORIENTATIONS
    shares: _Array = np.bincount(bins.ravel(), strength.ravel(), ORIENTATIONS) / total
    return shares


# ---- colors

# sRGB (IEC 61966-2-1) to XYZ, and its white point, D65.
_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
_WHITE = _XYZ.sum(1)
_LINEAR = np.arange(256) / 255
_LINEAR = np.where(_LINEAR <= 0.04045, _LINEAR / 12.92, ((_LINEAR + 0.055) / 1.055) ** 2.4)


def to_lab(pixels: NDArray[np.uint8]) -> _Array:
    """sRGB bytes, ... x 3, to CIE L*a*b* (D65): L* 0 to 100, a* toward red and b* toward yellow."""
    x, y, z = np.moveaxis(_curve(_LINEAR[pixels] @ (_XYZ / _WHITE[:, None]).T), -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def _curve(t: _Array) -> _Array:
    """The nonlinearity of CIE 1976 L*a*b*."""
    return np.where(t > (6 / 29) ** 3, np.cbrt(t), t / (3 * (6 / 29) ** 2) + 4 / 29)


class _ColorHistogram:
    """A histogram of a set's pixels in bins of 8 x 8 x 8 RGB levels, with constant memory use."""

    def __init__(self) -> None:
        self._counts = np.zeros(32**3, np.int64)
        self._sums = np.zeros((6, 32**3))  # of RGB and L*a*b*

    def add(self, pixels: NDArray[np.uint8], lab: _Array) -> None:
        """Add a picture."""
        red, green, blue = (pixels >> 3).astype(np.int64).reshape(-1, 3).T
        cells = (red * 32 + green) * 32 + blue
        self._counts += np.bincount(cells, minlength=32**3)
        both = np.concatenate([pixels.reshape(-1, 3), lab.reshape(-1, 3)], axis=1)
        self._sums += [np.bincount(cells, channel, 32**3) for channel in both.T]

    def palette(self) -> tuple[Color, ...]:
        """The clusters' mean colors."""
        used = self._counts > 0
        counts = self._counts[used].astype(float)
        rgb, lab = np.split(self._sums[:, used].T / counts[:, None], 2, axis=1)
        nearest = _clusters(lab, counts)
        colors = []
        for cluster in np.unique(nearest):
            weights = counts * (nearest == cluster)
            red, green, blue = np.rint(weights @ rgb / weights.sum()).astype(int).tolist()
            colors.append(Color((red, green, blue), float(weights.sum() / counts.sum())))
        return tuple(sorted(colors, key=lambda color: -color.share))


def _clusters(points: _Array, weights: _Array) -> NDArray[np.int64]:
    """The cluster index of each weighted point, by k-means.

    The first center is the mean; each next one is the point that adds most to the remaining error: nothing is random.
    """
    centers = np.average(points, axis=0, weights=weights)[None]
    while len(centers) < min(_PALETTE, len(points)):
        left = weights * _squares(points, centers).min(1)
        centers = np.concatenate([centers, points[[left.argmax()]]])
    nearest = _nearest(points, centers)
    for _ in range(100):
        total = np.bincount(nearest, weights, len(centers))[:, None]
        sums = np.stack([np.bincount(nearest, weights * channel, len(centers)) for channel in points.T], axis=1)
        centers = np.where(total > 0, sums / np.maximum(total, 1), centers)
        before, nearest = nearest, _nearest(points, centers)
        if np.array_equal(nearest, before):
            break
    return nearest


def _nearest(points: _Array, centers: _Array) -> NDArray[np.int64]:
    numbers: NDArray[np.int64] = _squares(points, centers).argmin(1)
    return numbers


def _squares(points: _Array, centers: _Array) -> _Array:
    """Squared distances, points x centers."""
    return np.stack([np.square(points - center).sum(1) for center in centers], axis=1)
