"""An artist's palette: a photo's colors moved to those of a painting like it.

A palette is a table of mean colors and covariances, a few kilobytes. Of its entries the one nearest to the photo is
taken, and the colors of the photo are moved there by the optimal transport between Gaussians (Pitié and Kokaram, "The
linear Monge-Kantorovitch linear colour mapping for example-based colour transfer", 2007). All is done in CIE L*a*b*,
where distances are those that are seen. The photo's own statistics are taken from its small copy
(:func:`artgan.painting.brushwork.reduced`), so that tiles and strips are moved as the whole is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from artgan.errors import ConfigError
from artgan.painting.canvas import Floats, Pixels

Doubles: TypeAlias = "NDArray[np.float64]"

_LEAST_VARIANCE = 4.0  # added to all: gray photos have no colors that could be spread
_GAINS = (0.6, 1.35)  # of contrasts: beyond, noise and pale colors turn neon
_SHIFT = (12.0, 12.0)  # of lightness and of color: a photo all red does not turn green where it is gray
_ROUNDS = 12  # of k-means
_MOST_ENTRIES = 1000
_FARTHEST = 1e5  # of any number in a table: variances of L*a*b* are less

# Colors are converted by tables; those of linear light by its square root, for which they are nowhere steep.
_STEPS = 16  # to a level of sRGB
_ROOTS = 32768  # steps of the square root of linear light
_BEND, _SLOPE, _OFFSET = 6 / 29, 841 / 108, 4 / 29  # up to there L*a*b*'s root is straight
_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])  # IEC 61966-2-1
_XYZ /= _XYZ.sum(1, keepdims=True)  # of white
_TO_XYZ, _FROM_XYZ = _XYZ.astype(np.float32), np.linalg.inv(_XYZ).astype(np.float32)


def _tables() -> tuple[Floats, Floats, Pixels]:
    """Linear light of sRGB, L*a*b*'s root of linear light, and sRGB of linear light."""
    srgb = np.arange(255 * _STEPS + 1) / (255 * _STEPS)
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    light = ((np.arange(_ROOTS + 1) + 0.5) / _ROOTS) ** 2
    root = np.where(light > _BEND**3, np.cbrt(light), _SLOPE * light + _OFFSET)
    level = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return linear.astype(np.float32), root.astype(np.float32), np.rint(255 * level).clip(0, 255).astype(np.uint8)


_LINEAR, _ROOT, _LEVEL = _tables()


@dataclass(frozen=True, eq=False)
class Transfer:
    """An affine map of L*a*b* colors: ``matrix`` (3 x 3) about ``center`` (3), then ``shift`` (3)."""

    matrix: Doubles
    center: Doubles
    shift: Doubles

    def __call__(self, rgb: Pixels) -> Pixels:
        """A picture with its colors moved: H x W x 3, 8-bit RGB; each pixel by itself."""
        colors = lab(rgb)
        constant = (self.center + self.shift - self.matrix @ self.center).astype(np.float32)
        moved = np.empty_like(colors)
        # Number by number: the rounding of a product of matrices depends on how many pixels there are.
        for row, (a, b, c) in enumerate(self.matrix.astype(np.float32)):
            moved[..., row] = colors[..., 0] * a + colors[..., 1] * b + colors[..., 2] * c + constant[row]
        return rgb_of(moved)


@dataclass(frozen=True, eq=False)
class Palette:
    """An artist's colors, in CIE L*a*b* (D65): one Gaussian for each of K groups of paintings.

    A photo's colors are moved to the entry nearest to them by optimal transport (Pitié and Kokaram, 2007).

    Attributes:
        means: K x 3, K from 1 to 1000: lightness (0 to 100), a* and b*.
        covariances: K x 3 x 3.

    Raises:
        ConfigError: they have other shapes or are not finite, or there are none.
    """

    means: Doubles
    covariances: Doubles

    def __post_init__(self) -> None:
        count = len(self.means)
        if not count or self.means.shape != (count, 3) or self.covariances.shape != (count, 3, 3):
            raise ConfigError("palette: expected K x 3 means and K x 3 x 3 covariances, K at least 1")
        if count > _MOST_ENTRIES:
            raise ConfigError(f"palette: at most {_MOST_ENTRIES} entries are read, not {count}")
        if not all((np.abs(part) <= _FARTHEST).all() for part in (self.means, self.covariances)):  # false for NaN too
            raise ConfigError("palette: all numbers must be finite, and those of colors")

    @classmethod
    def of(cls, paintings: Iterable[Pixels], entries: int = 24) -> Palette:
        """The palette of paintings, of which similar ones share an entry (k-means).

        Args:
            paintings: each H x W x 3, 8-bit RGB.
            entries: the largest number K of entries.

        Raises:
            ConfigError: there are no paintings.
        """
        found = [statistics(painting) for painting in paintings]
        if not found:
            raise ConfigError("palette: there are no paintings")
        means, covariances = (np.stack(part) for part in zip(*found, strict=True))
        # The distance of means and roots is that of the Gaussians, as far as these have their axes in common.
        points = np.concatenate([means, np.stack([_root(one) for one in covariances]).reshape(-1, 9)], 1)
        by_lightness = means[:, 0].argsort(kind="stable")
        centers = points[by_lightness[np.linspace(0, len(points) - 1, min(entries, len(points))).astype(int)]]
        for _ in range(_ROUNDS):
            nearest = ((points[:, None] - centers) ** 2).sum(-1).argmin(1)
            centers = np.stack([points[nearest == n].mean(0) for n in np.unique(nearest)])
        roots = centers[:, 3:].reshape(-1, 3, 3)
        return cls(centers[:, :3], roots @ roots)

    def to_dict(self) -> dict[str, Any]:
        """As JSON types: ``means`` (K x 3) and ``covariances`` (K x 6, upper triangles), rounded to two decimals."""
        return {
            "means": self.means.round(2).tolist(),
            "covariances": self.covariances[(slice(None), *np.triu_indices(3))].round(2).tolist(),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], *, where: str = "palette") -> Palette:
        """A palette from what :meth:`to_dict` returns.

        Raises:
            ConfigError: it is something else.
        """
        try:
            means = np.asarray(values["means"], np.float64)
            upper = np.asarray(values["covariances"], np.float64)
            covariances = np.zeros((len(upper), 3, 3))
            rows, columns = np.triu_indices(3)
            covariances[:, rows, columns] = covariances[:, columns, rows] = upper
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise ConfigError(f"{where}: is not a valid palette: {error}") from None
        try:
            return cls(means, covariances)
        except ConfigError as error:
            raise ConfigError(str(error).replace("palette", where, 1)) from None

    def nearest(self, mean: Doubles, covariance: Doubles) -> int:
        """The number of the entry at the least Wasserstein distance from a picture's statistics.

        Args:
            mean: of the picture's colors in L*a*b*, 3 numbers.
            covariance: of them, 3 x 3.
        """
        root = _root(covariance)
        bures = [np.trace(covariance + one - 2 * _root(root @ one @ root)) for one in self.covariances]
        return int((((self.means - mean) ** 2).sum(1) + bures).argmin())

    def transfer(self, small: Pixels, strength: float = 1.0) -> Transfer:
        """How the colors of a picture are moved: a function from H x W x 3, 8-bit RGB, to the same.

        Contrasts change by factors of 0.6 to 1.35 at most, lightness and color by 12 units of L*a*b*.

        Args:
            small: the picture, or its small copy, H x W x 3, 8-bit RGB.
            strength: 0 leaves them as they are, 1 moves them all the way.

        Raises:
            ConfigError: ``strength`` is out of its range.
        """
        if not 0 <= strength <= 1:
            raise ConfigError(f"palette: must be from 0 to 1, not {strength!r}")
        mean, covariance = statistics(small)
        entry = self.nearest(mean, covariance)
        gains, axes = np.linalg.eigh(transport(covariance, self.covariances[entry]))
        matrix = (axes * np.clip(gains, *_GAINS)) @ axes.T
        shift = self.means[entry] - mean
        shift[0] = np.clip(shift[0], -_SHIFT[0], _SHIFT[0])
        shift[1:] *= min(1.0, _SHIFT[1] / max(float(np.hypot(*shift[1:])), 1e-6))
        return Transfer(np.eye(3) + strength * (matrix - np.eye(3)), mean, strength * shift)


def statistics(rgb: Pixels) -> tuple[Doubles, Doubles]:
    """The mean color (3) and the covariance (3 x 3) of a picture in L*a*b*, H x W x 3, 8-bit RGB."""
    colors = lab(rgb).reshape(-1, 3).astype(np.float64)
    mean = colors.mean(0)
    covariance = colors.T @ colors / len(colors) - np.outer(mean, mean)
    return mean, covariance + _LEAST_VARIANCE * np.eye(3)


def transport(source: Doubles, target: Doubles) -> Doubles:
    """The symmetric matrix that takes a Gaussian of covariance ``source`` to ``target`` by the least way (3 x 3)."""
    root = _root(source)
    inverse = np.linalg.inv(root)
    return np.asarray(inverse @ _root(root @ target @ root) @ inverse)


def lab(rgb: Pixels | Floats) -> Floats:
    """CIE L*a*b* (CIE 15; white D65) of sRGB from 0 to 255, H x W x 3: lightness 0 to 100; each pixel by itself.

    The three values of all pixels lie in memory one after the other, which NumPy is fastest with.
    """
    steps = np.rint(np.moveaxis(rgb, -1, 0) * np.float32(_STEPS)).astype(np.intp)
    red, green, blue = (_LINEAR.take(step, mode="clip") for step in steps)
    x, y, z = (
        _ROOT.take((np.sqrt(red * r + green * g + blue * b) * _ROOTS).astype(np.intp), mode="clip")
        for r, g, b in _TO_XYZ
    )
    return np.moveaxis(np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)]), 0, -1)


def rgb_of(colors: Floats) -> Pixels:
    """8-bit sRGB of L*a*b*, ... x 3; each color by itself."""
    y = (colors[..., 0] + 16) / 116
    roots = (y + colors[..., 1] / 500, y, y - colors[..., 2] / 200)
    x, y, z = (np.where(root > _BEND, root * root * root, (root - _OFFSET) * (1 / _SLOPE)) for root in roots)
    rgb = np.empty(colors.shape, np.uint8)
    for n, (r, g, b) in enumerate(_FROM_XYZ):
        light = np.sqrt(np.clip(x * r + y * g + z * b, 0, 1))
        rgb[..., n] = _LEVEL.take((light * _ROOTS).astype(np.intp), mode="clip")
    return rgb


def _root(matrix: Doubles) -> Doubles:
    values, vectors = np.linalg.eigh(matrix)
    return np.asarray((vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T)
