"""Generates pictures from noise: by seed, interpolated between two seeds, or shown with their nearest real pictures."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from artgan import images, sheets
from artgan.data import PictureSet, open_pictures
from artgan.data.crops import centre_square
from artgan.errors import ArtganError
from artgan.interfaces import Generator
from artgan.progress import progress
from artgan.sampling.generator import NoiseGenerator
from artgan.sampling.noise import Noise

_BATCH = 32
_LOOK = 32  # side at which pictures are compared, in pixels
_STRAIGHT = ("uniform", "gamma")  # interpolated linearly; normal noise is interpolated spherically


def sample(generator: Generator, count: int, *, seed: int = 0, noise: str | None = None) -> list[Image.Image]:
    """Generate pictures from noise. Each has its own seed (``seed``, ``seed + 1``, ...) and depends on nothing else.

    Args:
        generator: a noise-to-image model.
        count: the number of pictures.
        seed: the seed of the first picture.
        noise: a distribution (:class:`artgan.sampling.noise.Noise`) to use instead of the model's own.

    Raises:
        ArtganError: the model does not generate from noise, or ``noise`` is invalid.
    """
    return list(draw(generator, range(seed, seed + count), noise=noise))


def draw(generator: Generator, seeds: Sequence[int], *, noise: str | None = None) -> Iterator[Image.Image]:
    """Like :func:`sample`, but one by one and for any seeds (0 to 2^63 - 1)."""
    vector = _vectors(generator, noise)
    for start in range(0, len(seeds), _BATCH):
        yield from _pictures(generator, torch.stack([vector(seed) for seed in seeds[start : start + _BATCH]]))


def interpolate(
    generator: Generator, seed: int, other: int, count: int, *, noise: str | None = None
) -> list[Image.Image]:
    """Generate ``count`` pictures (2 or more), interpolating from one seed to another.

    Normal noise lies near a sphere around its mean and is interpolated along it (Shoemake, 1985; White, 2016,
    arXiv:1609.04468); other noise is interpolated linearly.

    Raises:
        ArtganError: as for :func:`sample`; or ``count`` is less than 2.
    """
    if count < 2:
        raise ArtganError(f"a way between two seeds has at least 2 pictures, not {count}")
    vector = _vectors(generator, noise)
    distribution = _distribution(generator, noise)
    start, end = vector(seed), vector(other)
    shares = torch.linspace(0, 1, count, dtype=start.dtype)
    if distribution is not None and distribution.kind in _STRAIGHT:
        way = torch.lerp(start, end, shares[:, None])
    else:
        mean = distribution.mean if distribution is not None else 0.0
        way = spherical(start - mean, end - mean, shares) + mean
    return [
        picture for start in range(0, count, _BATCH) for picture in _pictures(generator, way[start : start + _BATCH])
    ]


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
class Neighbour:
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
) -> list[list[Neighbour]]:
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
        found.append(
            [Neighbour(real.names[i], centre_square(real[int(i)], picture.width), float(row[i])) for i in best]
        )
    return found


def _look(picture: Image.Image) -> NDArray[np.float64]:
    """The center square at comparison size, H x W x 3."""
    return np.asarray(centre_square(picture, _LOOK), np.float64)


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


def _vectors(generator: Generator, noise: str | None) -> Callable[[int], Tensor]:
    """A function that draws the noise vector (Z) for a seed."""
    if generator.task != "noise-to-image":
        raise ArtganError(f"this model makes no pictures from noise, its task is {generator.task}; use paint()")
    distribution = _distribution(generator, noise)

    def vector(seed: int) -> Tensor:
        state = torch.Generator().manual_seed(seed)
        if noise is not None and distribution is not None:
            return distribution.draw(1, generator.noise_size, generator=state)[0]
        return generator.noise(1, generator=state)[0]

    return vector


def _pictures(generator: Generator, noise: Tensor) -> list[Image.Image]:
    like = next(generator.parameters())
    made = generator.generate(noise.to(like.device, like.dtype))
    return [images.to_rgb(picture) for picture in made]


def write_grid(
    generator: Generator, seeds: Sequence[int], path: Path, *, noise: str | None = None, overwrite: bool = False
) -> list[dict[str, Any]]:
    """Write pictures in a square grid, each row labeled with its first seed; returns a description as JSON types.

    Raises:
        PictureError: the file exists, or cannot be written.
        ArtganError: as for :func:`sample`.
    """
    images.check_writable(path, overwrite=overwrite)
    pictures = _drawn(generator, seeds, noise)
    columns = math.ceil(math.sqrt(len(pictures)))
    rows = {f"seed {seeds[i]}": pictures[i : i + columns] for i in range(0, len(pictures), columns)}
    images.encode(sheets.sheet(rows, cell=pictures[0].width), path, overwrite=overwrite)
    return [{"seed": seed, "output": str(path)} for seed in seeds]


def write_files(
    generator: Generator, seeds: Sequence[int], folder: Path, *, noise: str | None = None, overwrite: bool = False
) -> list[dict[str, Any]]:
    """Write each picture as ``seed-000000.png`` to a folder; otherwise like :func:`write_grid`."""
    paths = [folder / f"seed-{seed:06d}.png" for seed in seeds]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ArtganError(f"{folder}: cannot be made a folder ({error.strerror})") from None
    for path in paths:
        images.check_writable(path, overwrite=overwrite)
    with progress("drawing", len(seeds)) as advance:
        for picture, path in zip(draw(generator, seeds, noise=noise), paths, strict=True):
            images.encode(picture, path, overwrite=overwrite)
            advance()
    return [{"seed": seed, "output": str(path)} for seed, path in zip(seeds, paths, strict=True)]


def write_way(
    generator: Generator,
    seed: int,
    other: int,
    count: int,
    path: Path,
    *,
    noise: str | None = None,
    overwrite: bool = False,
) -> list[dict[str, Any]]:
    """Write the pictures of :func:`interpolate` in one row; otherwise like :func:`write_grid`."""
    images.check_writable(path, overwrite=overwrite)
    pictures = interpolate(generator, seed, other, count, noise=noise)
    row = {f"seed {seed} to {other}": pictures}
    images.encode(sheets.sheet(row, cell=pictures[0].width), path, overwrite=overwrite)
    return [{"seed": seed, "to": other, "output": str(path)}]


def write_neighbours(
    generator: Generator,
    seeds: Sequence[int],
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
    pictures = _drawn(generator, seeds, noise)
    with progress("comparing", len(known)) as advance:
        found = nearest(pictures, known, count, advance=advance)
    rows = {
        f"seed {seed}: {near[0].distance:.0f}": [picture, *(neighbour.picture for neighbour in near)]
        for seed, picture, near in zip(seeds, pictures, found, strict=True)
    }
    images.encode(sheets.sheet(rows, cell=pictures[0].width), path, overwrite=overwrite)
    return [
        {
            "seed": seed,
            "output": str(path),
            "nearest": [{"name": n.name, "distance": round(n.distance, 3)} for n in near],
        }
        for seed, near in zip(seeds, found, strict=True)
    ]


def _drawn(generator: Generator, seeds: Sequence[int], noise: str | None) -> list[Image.Image]:
    with progress("drawing", len(seeds)) as advance:
        pictures = []
        for picture in draw(generator, seeds, noise=noise):
            pictures.append(picture)
            advance()
    return pictures
