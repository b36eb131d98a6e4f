"""Generates pictures from noise: by seed, interpolated, as a film, or shown with their nearest real pictures."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from artgan import images, sheets
from artgan.data import PictureSet, open_pictures
from artgan.data.crops import center_square
from artgan.errors import ArtganError, ConfigError
from artgan.interfaces import Generator
from artgan.progress import progress
from artgan.sampling.generator import NoiseGenerator
from artgan.sampling.noise import Noise

BATCH = 32
"""Pictures that are generated at once."""

_QUALITY = 95  # of films: the pictures are small
_LOOK = 32  # side at which pictures are compared, in pixels
_STRAIGHT = ("uniform", "gamma")  # interpolated linearly; normal noise is interpolated spherically


Point: TypeAlias = "int | Tensor"
"""What a picture is made from: a seed (0 to 2^63 - 1), or a noise vector (Z)."""


def sample(generator: Generator, count: int, *, seed: int = 0, noise: str | None = None) -> list[Image.Image]:
    """Generate pictures from noise. Each has its own seed (``seed``, ``seed + 1``, ...) and depends on nothing else.

    Args:
        generator: a noise-to-image model.
        count: the number of pictures, 1 or more.
        seed: the seed of the first picture.
        noise: a distribution (:class:`artgan.sampling.noise.Noise`) to use instead of the model's own.

    Raises:
        ArtganError: the model does not generate from noise, ``noise`` is invalid, or ``count`` is less than 1.
    """
    if count < 1:
        raise ArtganError(f"count: {count} pictures cannot be made; it is 1 or more")
    return list(draw(generator, range(seed, seed + count), noise=noise))


def draw(generator: Generator, points: Sequence[Point], *, noise: str | None = None) -> Iterator[Image.Image]:
    """Like :func:`sample`, but one by one and for any points."""
    vector = vectors(generator, noise)
    for start in range(0, len(points), BATCH):
        yield from _pictures(generator, torch.stack([vector(point) for point in points[start : start + BATCH]]))


def interpolate(
    generator: Generator, start: Point, end: Point, count: int, *, noise: str | None = None
) -> list[Image.Image]:
    """Generate ``count`` pictures (2 or more), interpolating from one point to another.

    Normal noise lies near a sphere around its mean and is interpolated along it (Shoemake, 1985; White, 2016,
    arXiv:1609.04468); other noise is interpolated linearly.

    Raises:
        ArtganError: as for :func:`sample`; or ``count`` is less than 2.
    """
    if count < 2:
        raise ArtganError(f"an interpolation between two seeds needs at least 2 pictures, not {count}")
    vector = vectors(generator, noise)
    way = _between(_distribution(generator, noise), vector(start), vector(end), torch.linspace(0, 1, count))
    return list(_in_batches(generator, way))


def loop(
    generator: Generator, points: Sequence[Point], frames: int, *, noise: str | None = None
) -> Iterator[Image.Image]:
    """Generate the frames of a film through the pictures of several points and back to the first.

    Args:
        generator: a noise-to-image model.
        points: 2 or more.
        frames: from each picture to the next, which is not counted: frame n * ``frames`` is the picture of point n.
        noise: as for :func:`sample`.

    Raises:
        ArtganError: as for :func:`sample`; or there are fewer than 2 points.
    """
    if len(points) < 2:
        raise ArtganError(f"a film needs at least 2 pictures, not {len(points)}")
    vector, distribution = vectors(generator, noise), _distribution(generator, noise)
    for point, following in zip(points, [*points[1:], points[0]], strict=True):
        start, end = vector(point), vector(following)
        yield from _in_batches(generator, _between(distribution, start, end, torch.arange(frames) / frames))


def _between(distribution: Noise | None, start: Tensor, end: Tensor, shares: Tensor) -> Tensor:
    """From one vector (Z) to another at each of the fractions ``shares`` (N): N x Z; see :func:`interpolate`."""
    if distribution is not None and distribution.kind in _STRAIGHT:
        return torch.lerp(start, end, shares[:, None])
    mean = distribution.mean if distribution is not None else 0.0
    return spherical(start - mean, end - mean, shares) + mean


def spherical(start: Tensor, end: Tensor, shares: Tensor) -> Tensor:
    """Interpolate from one vector (Z) to another along the great circle, at each of the fractions ``shares`` (N).

    The length is interpolated linearly. Returns N x Z.
    """
    lengths = start.norm(), end.norm()
    one, other = start / lengths[0], end / lengths[1]
    angle = torch.arccos((one @ other).clamp(-1, 1))
    if angle.sin() < 1e-6:  # same direction, or opposite ones, with no unique shortest path
        return torch.lerp(start, end, shares[:, None])
    between: Tensor = torch.sin((1 - shares) * angle)[:, None] * one + torch.sin(shares * angle)[:, None] * other
    return between / angle.sin() * torch.lerp(lengths[0], lengths[1], shares)[:, None]


@dataclass(frozen=True)
class Neighbor:
    """A real picture near a generated one.

    Attributes:
        name: its name in the set.
        picture: its center square, as compared, but at the generated picture's size.
        distance: root mean square pixel difference at 32 x 32, on the scale 0..255, of it or its mirror image.
    """

    name: str
    picture: Image.Image
    distance: float


def nearest(
    pictures: Sequence[Image.Image],
    real: PictureSet,
    count: int,
    *,
    advance: Callable[[], None] = lambda: None,
) -> list[list[Neighbor]]:
    """Find the most similar real pictures for each picture, to see whether a model copies its training data.

    Args:
        pictures: square pictures.
        real: the set to search; the center square of each picture is compared.
        count: the number of real pictures per picture.
        advance: called after each real picture.

    Raises:
        PictureError: a real picture cannot be read.
    """
    looks = np.stack([_look(picture) for picture in pictures])
    distances = np.empty((len(pictures), len(real)))
    for index in range(len(real)):
        look = _look(real[index])
        distances[:, index] = np.minimum(_distances(looks, look), _distances(looks, look[:, ::-1]))
        advance()
    found = []
    for picture, row in zip(pictures, distances, strict=True):
        best = np.argsort(row, kind="stable")[:count]
        found.append([Neighbor(real.names[i], center_square(real[int(i)], picture.width), float(row[i])) for i in best])
    return found


def _look(picture: Image.Image) -> NDArray[np.float64]:
    """The center square at comparison size, H x W x 3."""
    return np.asarray(center_square(picture, _LOOK), np.float64)


def _distances(looks: NDArray[np.float64], look: NDArray[np.float64]) -> NDArray[np.float64]:
    distances: NDArray[np.float64] = np.sqrt(np.square(looks - look).mean((1, 2, 3)))
    return distances


def _distribution(generator: Generator, noise: str | None) -> Noise | None:
    """The named distribution, or the generator's if it is known."""
    if noise is None:
        return generator.distribution if isinstance(generator, NoiseGenerator) else None
    try:
        return Noise.parse(noise)
    except ValueError as error:
        raise ArtganError(str(error)) from None


def vectors(generator: Generator, noise: str | None) -> Callable[[Point], Tensor]:
    """A function that gives the noise vector (Z) of a point.

    Raises:
        ArtganError: as for :func:`sample`.
    """
    if generator.task != "noise-to-image":
        raise ArtganError(f"this model makes no pictures from noise, its task is {generator.task}; use paint()")
    distribution = _distribution(generator, noise)

    def vector(point: Point) -> Tensor:
        if isinstance(point, Tensor):
            return point
        state = torch.Generator().manual_seed(point)
        if noise is not None and distribution is not None:
            return distribution.draw(1, generator.noise_size, generator=state)[0]
        return generator.noise(1, generator=state)[0]

    return vector


def _in_batches(generator: Generator, noise: Tensor) -> Iterator[Image.Image]:
    """The pictures of N x Z noise vectors, one by one."""
    for part in torch.split(noise, BATCH):
        yield from _pictures(generator, part)


def _pictures(generator: Generator, noise: Tensor) -> list[Image.Image]:
    like = next(generator.parameters())
    made = generator.generate(noise.to(like.device, like.dtype))
    return [images.to_rgb(picture) for picture in made]


def write_grid(
    generator: Generator, points: Sequence[Point], path: Path, *, noise: str | None = None, overwrite: bool = False
) -> list[dict[str, Any]]:
    """Write pictures in a square grid, each row labeled with its first seed; returns a description as JSON types.

    Raises:
        PictureError: the file exists, or cannot be written.
        ArtganError: as for :func:`sample`.
    """
    images.check_writable(path, overwrite=overwrite)
    pictures = _drawn(generator, points, noise)
    columns = math.ceil(math.sqrt(len(pictures)))
    rows = {_label(points[i]): pictures[i : i + columns] for i in range(0, len(pictures), columns)}
    images.encode(sheets.sheet(rows, cell=pictures[0].width), path, overwrite=overwrite)
    return [{**_named(point), "output": str(path)} for point in points]


def write_files(
    generator: Generator, points: Sequence[Point], folder: Path, *, noise: str | None = None, overwrite: bool = False
) -> list[dict[str, Any]]:
    """Write each picture as ``seed-000000.png`` to a folder; otherwise like :func:`write_grid`."""
    names = [f"seed-{point:06d}" if isinstance(point, int) else "vector" for point in points]
    paths = [folder / f"{name}.png" for name in names]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ArtganError(f"{folder}: cannot be created as a folder ({error.strerror})") from None
    for path in paths:
        images.check_writable(path, overwrite=overwrite)
    with progress("drawing", len(points)) as advance:
        for picture, path in zip(draw(generator, points, noise=noise), paths, strict=True):
            images.encode(picture, path, overwrite=overwrite)
            advance()
    return [{**_named(point), "output": str(path)} for point, path in zip(points, paths, strict=True)]


def write_way(
    generator: Generator,
    start: Point,
    other: int,
    count: int,
    path: Path,
    *,
    noise: str | None = None,
    overwrite: bool = False,
) -> list[dict[str, Any]]:
    """Write the pictures of :func:`interpolate` in one row; otherwise like :func:`write_grid`."""
    images.check_writable(path, overwrite=overwrite)
    pictures = interpolate(generator, start, other, count, noise=noise)
    row = {f"{_label(start)} to {other}": pictures}
    images.encode(sheets.sheet(row, cell=pictures[0].width), path, overwrite=overwrite)
    return [{**_named(start), "to": other, "output": str(path)}]


def _holds_loop(path: Path) -> bool:
    """Whether a file of this name can hold a film, or an animation."""
    return images.film_format(path) is not None or (images.holds_frames(path) and not images.holds_pages(path))


def write_loop(
    generator: Generator,
    points: Sequence[Point],
    path: Path,
    *,
    frames: int,
    rate: int,
    noise: str | None = None,
    overwrite: bool = False,
) -> list[dict[str, Any]]:
    """Write the frames of :func:`loop` as a film, or as an animation that is repeated without end.

    Args:
        generator, points, frames, noise: as for :func:`loop`.
        path: a name with the suffix of a film, or of a format of animations.
        rate: frames a second.
        overwrite: whether the file may exist.

    Raises:
        PictureError: the file exists, or cannot be written, or would be too large.
        ConfigError: the name is none of a film, or films need a package that is not installed.
        ArtganError: as for :func:`loop`.
    """
    if not _holds_loop(path):
        raise ConfigError(f"{path}: cannot hold a film; write .gif, .webp, .avif, .png, .mp4 or another film")
    count = len(points) * frames
    with progress("drawing", count) as advance:

        def drawn() -> Iterator[Image.Image]:
            for picture in loop(generator, points, frames, noise=noise):
                yield picture
                advance()

        if images.film_format(path) is not None:
            from artgan.images.films import encode_film

            encode_film(drawn(), path, rate=Fraction(rate), quality=_QUALITY, overwrite=overwrite)
        else:
            images.check_writable(path, overwrite=overwrite)
            images.encode_frames(drawn(), count, path, duration=round(1000 / rate), overwrite=overwrite)
    return [{**_named(point), "output": str(path)} for point in points]


def write_neighbors(
    generator: Generator,
    points: Sequence[Point],
    real: str,
    count: int,
    path: Path,
    *,
    noise: str | None = None,
    overwrite: bool = False,
) -> list[dict[str, Any]]:
    """Write one row per picture: the picture, then those of :func:`nearest`; otherwise like :func:`write_grid`.

    Raises:
        PictureError: also if ``real`` is not a set of pictures (see :func:`artgan.data.open_pictures`).
    """
    images.check_writable(path, overwrite=overwrite)
    known = open_pictures(real)
    pictures = _drawn(generator, points, noise)
    with progress("comparing", len(known)) as advance:
        found = nearest(pictures, known, count, advance=advance)
    rows = {
        f"{_label(point)}: {near[0].distance:.0f}": [picture, *(neighbor.picture for neighbor in near)]
        for point, picture, near in zip(points, pictures, found, strict=True)
    }
    images.encode(sheets.sheet(rows, cell=pictures[0].width), path, overwrite=overwrite)
    return [
        {
            **_named(point),
            "output": str(path),
            "nearest": [{"name": n.name, "distance": round(n.distance, 3)} for n in near],
        }
        for point, near in zip(points, found, strict=True)
    ]


def _label(point: Point) -> str:
    return f"seed {point}" if isinstance(point, int) else "vector"


def _named(point: Point) -> dict[str, Any]:
    return {"seed": point} if isinstance(point, int) else {}


def _drawn(generator: Generator, points: Sequence[Point], noise: str | None) -> list[Image.Image]:
    with progress("drawing", len(points)) as advance:
        pictures = []
        for picture in draw(generator, points, noise=noise):
            pictures.append(picture)
            advance()
    return pictures
