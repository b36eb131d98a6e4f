"""Statistics of a set of pictures: sizes, colors, mean and variance images, outliers."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from artgan.data.pictures import PictureSet
from artgan.data.verify import Look, Reader, Report, each, judge
from artgan.errors import PictureError
from artgan.progress import progress

Canvas = Literal["oval", "bordered"]


@dataclass(frozen=True)
class Thumbnail:
    """A thumbnail of a picture, and its name."""

    name: str
    image: Image.Image


@dataclass(frozen=True, eq=False)
class Statistics:
    """Per-pixel statistics over a set, each picture cropped to a square: S x S x 3 in 0..255 (variance: squared).

    Attributes:
        count: number of pictures.
        minimum: uint8.
        maximum: uint8.
        mean: float64.
        variance: float64, the population variance (divided by ``count``).
    """

    count: int
    minimum: NDArray[np.uint8]
    maximum: NDArray[np.uint8]
    mean: NDArray[np.float64]
    variance: NDArray[np.float64]

    @property
    def deviation(self) -> NDArray[np.float64]:
        """The standard deviation."""
        return np.sqrt(self.variance)


class Sums:
    """Running statistics of square pictures. The sums are integers: exact, and independent of the order."""

    def __init__(self, size: int) -> None:
        shape = (size, size, 3)
        self.count = 0
        self._minimum = np.full(shape, 255, np.uint8)
        self._maximum = np.zeros(shape, np.uint8)
        self._sum = np.zeros(shape, np.int64)
        self._squares = np.zeros(shape, np.int64)

    def add(self, square: NDArray[np.uint8]) -> None:
        """Add an S x S x 3 picture."""
        self.count += 1
        np.minimum(self._minimum, square, out=self._minimum)
        np.maximum(self._maximum, square, out=self._maximum)
        self._sum += square
        self._squares += np.square(square, dtype=np.uint16)  # 255 x 255 fits

    def statistics(self) -> Statistics:
        """The statistics of all added pictures, of which there must be at least one."""
        n = self.count
        variance = (n * self._squares - self._sum**2) / n**2  # integers up to the division, so there is no cancellation
        return Statistics(n, self._minimum, self._maximum, self._sum / n, variance)


@dataclass(frozen=True, eq=False)
class Exploration:
    """Everything shown in the report.

    Attributes:
        report: the result of :func:`~artgan.data.verify.verify`.
        looks: the properties of every picture, in order.
        statistics: of the square pictures.
        brightness: 256 counts: histogram of the squares' luma.
        colors: 3 x 256 counts: histograms of the squares' red, green and blue.
        near: the first two pictures of some groups of near copies.
        sheet: pictures evenly spread over the set.
        darkest, brightest, unlike: the extreme pictures by mean luma and by distance from the mean picture, the most
            extreme first.
        ovals: the number of oval canvases, and the first ones.
        bordered: the number of canvases with a border, and the first ones.
    """

    report: Report
    looks: Sequence[Look]
    statistics: Statistics
    brightness: NDArray[np.int64]
    colors: NDArray[np.int64]
    near: Sequence[Sequence[Thumbnail]]
    sheet: Sequence[Thumbnail]
    darkest: Sequence[Thumbnail]
    brightest: Sequence[Thumbnail]
    unlike: Sequence[Thumbnail]
    ovals: tuple[int, Sequence[Thumbnail]]
    bordered: tuple[int, Sequence[Thumbnail]]


_SMALL = 16


@dataclass(frozen=True, eq=False)
class _View:
    """What is computed from one picture, in a worker thread."""

    look: Look
    square: NDArray[np.uint8] | None = None  # S x S x 3
    luma: NDArray[np.int64] | None = None  # 256
    small: NDArray[np.uint8] | None = None  # 16 x 16 x 3
    canvas: Canvas | None = None


def explore(
    pictures: PictureSet,
    *,
    size: int = 256,
    thumbnail: int = 160,
    sheet: int = 24,
    odd: int = 12,
    workers: int | None = None,
) -> Exploration:
    """Compute the statistics in one pass over a set, with a few pictures in memory at a time.

    Args:
        pictures: the set.
        size: side to which the center square of each picture is resized, in pixels.
        thumbnail: longer side of thumbnails, in pixels.
        sheet: pictures on the contact sheet.
        odd: number of pictures of each kind of outlier.
        workers: threads; None: as many as there are processors.

    Raises:
        PictureError: no picture of the set can be read.
    """
    reader = Reader(pictures)

    def view(index: int) -> _View:
        look, rgb = reader.inspect(index)
        if rgb is None:
            return _View(look)
        square = ImageOps.fit(rgb, (size, size), Image.Resampling.BICUBIC)
        small = square.resize((_SMALL, _SMALL), Image.Resampling.BOX)
        luma = np.array(square.convert("L").histogram())
        return _View(look, np.asarray(square), luma, np.asarray(small), canvas(rgb))

    sums = Sums(size)
    brightness, colors = np.zeros(256, np.int64), np.zeros((3, 256), np.int64)
    looks: list[Look] = []
    good: list[int] = []
    smalls: list[NDArray[np.uint8]] = []
    lumas: list[float] = []
    odd_canvases: dict[str, list[int]] = {"oval": [], "bordered": []}
    with progress("exploring", len(pictures)) as advance:
        for index, found in enumerate(each(view, len(pictures), workers)):
            looks.append(found.look)
            if found.square is not None and found.luma is not None and found.small is not None:
                sums.add(found.square)
                brightness += found.luma
                for channel in range(3):
                    colors[channel] += np.bincount(found.square[:, :, channel].ravel(), minlength=256)
                good.append(index)
                smalls.append(found.small)
                lumas.append(float(found.luma @ np.arange(256)) / size**2)
                if found.canvas is not None:
                    odd_canvases[found.canvas].append(index)
            advance()
    if not good:
        raise PictureError(f"{pictures.location}: none of its pictures can be read; `artgan data verify` says why")

    def thumbnails(indices: Sequence[int]) -> list[Thumbnail]:
        return [_thumbnail(pictures, index, thumbnail) for index in indices]

    def extreme(values: Sequence[float], sign: int) -> list[Thumbnail]:
        order = heapq.nsmallest(odd, range(len(good)), key=lambda k: sign * values[k])
        return thumbnails([good[k] for k in order])

    stack = np.array(smalls, dtype=np.float32).reshape(len(smalls), -1)
    distance = np.sqrt(np.square(stack - stack.mean(axis=0)).mean(axis=1))
    spread = np.unique(np.linspace(0, len(good) - 1, min(sheet, len(good))).round().astype(int))
    report = judge(pictures.location, looks)
    groups = [group for finding in report.findings if finding.kind == "near-copies" for group in finding.groups]
    position = {name: index for index, name in enumerate(pictures.names)}
    return Exploration(
        report,
        looks,
        sums.statistics(),
        brightness,
        colors,
        near=[thumbnails([position[name] for name in group[:2]]) for group in groups[:odd]],
        sheet=thumbnails([good[k] for k in spread]),
        darkest=extreme(lumas, 1),
        brightest=extreme(lumas, -1),
        unlike=extreme(distance.tolist(), -1),
        ovals=(len(odd_canvases["oval"]), thumbnails(odd_canvases["oval"][: 2 * odd])),
        bordered=(len(odd_canvases["bordered"]), thumbnails(odd_canvases["bordered"][: 2 * odd])),
    )


def _thumbnail(pictures: PictureSet, index: int, size: int) -> Thumbnail:
    image = pictures[index]
    image.thumbnail((size, size), Image.Resampling.LANCZOS)
    return Thumbnail(pictures.names[index], image)


# ---- canvases that do not fill the picture

_SIDE = 64
_CORNER = 3
_SEEN = 20.0  # levels by which a canvas differs from the background
_RIM = 70.0  # levels by which an oval differs just inside its rim; vignetted photographs, which fade out, reach 50


def canvas(rgb: Image.Image) -> Canvas | None:
    """Whether a picture shows an oval (or round) canvas, or one with a border, on a plain background.

    The background is defined by the four corners, each plain and all of nearly the same color; between them it is
    interpolated, because walls are seldom lit evenly. The canvas is everything that differs from the background. It is
    oval if it fills the ellipse in its bounding box but not the box's corners, and bordered if it fills its bounding
    box and the edge of the picture is background.
    """
    pixels = np.asarray(rgb.resize((_SIDE, _SIDE), Image.Resampling.BOX), dtype=np.float64)
    ends = (slice(None, _CORNER), slice(-_CORNER, None))
    patches = np.array([pixels[y, x].reshape(-1, 3) for y in ends for x in ends])  # 4 x pixels x RGB
    corners = np.median(patches, axis=1)
    rough = float(np.abs(patches - corners[:, None]).max(axis=2).mean(axis=1).max())
    spread = float(np.ptp(corners, axis=0).max())
    if rough > 20 or spread > 90:
        return None
    ramp = np.linspace(0, 1, _SIDE)
    weights = np.stack([1 - ramp, ramp])
    ground = np.einsum("ay,bx,abc->yxc", weights, weights, corners.reshape(2, 2, 3))
    difference = np.abs(pixels - ground).max(axis=2)
    shown = difference > _SEEN
    box = _box(shown, 0.08)
    if box is not None:
        y, x = (np.linspace(-1, 1, length) for length in shown[box].shape)
        radius = y[:, None] ** 2 + x**2
        inside, outside = float(shown[box][radius < 0.9].mean()), float(shown[box][radius > 1.2].mean())
        rim = float(np.median(difference[box][(radius > 0.7) & (radius < 0.95)]))
        if inside > 0.9 and outside < 0.25 and rim > _RIM:
            return "oval"
    box = _box(shown, 0.5)  # ignores a caption below
    edge = np.concatenate([shown[0], shown[-1], shown[:, 0], shown[:, -1]])
    if box is not None and edge.mean() < 0.05 and spread < 40:
        inner = shown[box]
        sides = (inner[:2], inner[-2:], inner[:, :2], inner[:, -2:])
        if inner.mean() > 0.85 and min(float(side.mean()) for side in sides) > 0.6:
            return "bordered"
    return None


def _box(shown: NDArray[np.bool_], share: float) -> tuple[slice, slice] | None:
    """The box of rows and columns with more than ``share`` of canvas; None if under a quarter of the picture."""
    rows, columns = (np.flatnonzero(shown.mean(axis=axis) > share) for axis in (1, 0))
    if not len(rows) or not len(columns):
        return None
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    return box if 4 * shown[box].size >= shown.size else None
