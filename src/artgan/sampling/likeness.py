"""Finds the noise vector whose picture is most like a photo: projection into a generator's latent space."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from artgan import images, sheets
from artgan.data.crops import center_square
from artgan.errors import ConfigError, PictureError
from artgan.features import VGG19, load_vgg19
from artgan.files import check_writable
from artgan.interfaces import Generator
from artgan.progress import progress
from artgan.sampling.sampling import BATCH, draw, vectors
from artgan.sampling.vector_file import vector_file, write_vector

LAYERS = ("conv1_2", "conv2_2", "conv3_2", "conv4_2")
"""The layers of VGG-19 by which pictures are compared, from fine to coarse."""

SEEDS = 64
"""Seeds whose pictures are compared with the photo; the best ones are where the search begins."""

_STARTS = 4
_RATE = 0.1  # of Adam, in standard deviations of the noise; falls to 0 along a cosine
_PRIOR = 0.1
_LEAST, _MOST = 64, 256  # sides between which pictures are compared
_COARSE = 8  # side at which colors are compared
_COLUMNS = 4  # of the sheet


@dataclass(frozen=True)
class Found:
    """What was found for a photo.

    Attributes:
        vector: the noise vector, Z.
        score: the distance of its picture to the photo; 0 is the same picture.
        seeds: the seeds that were compared, from the most to the least similar.
        scores: the distances of their pictures, in this order.
    """

    vector: Tensor
    score: float
    seeds: Sequence[int]
    scores: Sequence[float]


class Likeness:
    """Distances of pictures to a photo, in features of VGG-19 and in coarse colors.

    Args:
        vgg: with some layers.
        photo: 1 x 3 x S x S in [-1, 1].
    """

    def __init__(self, vgg: VGG19, photo: Tensor) -> None:
        self._vgg = vgg
        self._colors, self._features = self._look(photo)
        self._scales = [feature.square().mean().clamp_min(1e-12) for feature in self._features]

    def __call__(self, pictures: Tensor) -> Tensor:
        """N x 3 x S x S pictures in [-1, 1] to N distances: means over the layers of relative squared differences."""
        colors, features = self._look(pictures)
        distances = [
            (own - wanted).square().mean((1, 2, 3)) / scale
            for own, wanted, scale in zip(features, self._features, self._scales, strict=True)
        ]
        return torch.stack(distances).mean(0) + (colors - self._colors).square().mean((1, 2, 3))

    def _look(self, pictures: Tensor) -> tuple[Tensor, list[Tensor]]:
        side = min(max(pictures.shape[-1], _LEAST), _MOST)
        if side != pictures.shape[-1]:
            pictures = F.interpolate(pictures, size=(side, side), mode="bilinear", antialias=True)
        return F.adaptive_avg_pool2d(pictures, _COARSE), self._vgg(pictures)


def find_like(
    generator: Generator,
    photo: Image.Image,
    vgg: VGG19,
    *,
    seed: int = 0,
    steps: int = 200,
    noise: str | None = None,
    advance: Callable[[], None] = lambda: None,
) -> Found:
    """Find the noise vector whose picture is most like a photo.

    The pictures of :data:`SEEDS` seeds are compared with it; from the best ones Adam descends, and the best vector met
    is returned, so that it is never worse than a seed. Vectors stay within the range of the numbers that were drawn,
    and a prior keeps their length at that of drawn ones.

    Args:
        generator: a noise-to-image model.
        photo: its center square is compared.
        vgg: with the layers by which pictures are compared, on the generator's device.
        seed: the first of the seeds.
        steps: of the descent.
        noise: as for :func:`artgan.sampling.sampling.sample`.
        advance: called after each step.

    Raises:
        ArtganError: as for :func:`artgan.sampling.sampling.sample`.
    """
    like = next(generator.parameters())
    vector = vectors(generator, noise)
    seeds = range(seed, seed + SEEDS)
    drawn = torch.stack([vector(each) for each in seeds]).to(like)
    side = generator.generate(drawn[:1]).shape[-1]
    distance = Likeness(vgg, images.to_tensor(center_square(photo, side))[None].to(like))
    with torch.no_grad():
        scores = torch.cat([distance(generator(part)) for part in torch.split(drawn, BATCH)])
    order = [int(index) for index in scores.argsort(stable=True)]
    mean, deviation = drawn.mean(), drawn.std()
    low, high = drawn.min(), drawn.max()

    now = drawn[order[:_STARTS]].clone().requires_grad_()
    best, best_scores = now.detach().clone(), scores[order[:_STARTS]].clone()
    optimizer = torch.optim.Adam([now], lr=_RATE * float(deviation))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        own = distance(generator(now))
        _keep_better(best, best_scores, now, own)
        length = ((now - mean) / deviation).square().mean(1)
        [gradient] = torch.autograd.grad((own + _PRIOR * (length - 1).square()).sum(), now)
        now.grad = gradient
        optimizer.step()
        schedule.step()
        with torch.no_grad():
            now.clamp_(low, high)
        advance()
    with torch.no_grad():
        _keep_better(best, best_scores, now, distance(generator(now)))
    chosen = int(best_scores.argmin())
    return Found(
        best[chosen].float().cpu(),
        float(best_scores[chosen]),
        [seeds[index] for index in order],
        [float(scores[index]) for index in order],
    )


def _keep_better(best: Tensor, best_scores: Tensor, now: Tensor, scores: Tensor) -> None:
    better = scores.detach() < best_scores
    best[better] = now.detach()[better]
    best_scores[better] = scores.detach()[better]


def write_like(
    generator: Generator,
    photo: str | Path,
    path: Path,
    *,
    model: str,
    digest: str,
    count: int = 4,
    seed: int = 0,
    steps: int = 200,
    vgg19: str | Path | None = None,
    noise: str | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Write a sheet: a photo, the picture found for it, and the pictures of the seeds that are most like the photo.

    Beside it, the found vector is written to a JSON file.

    Args:
        generator: a noise-to-image model.
        photo: a picture file.
        path: the sheet.
        model: the model's name, for the vector's file.
        digest: of its weights, likewise.
        count: the number of seeds shown, at most :data:`SEEDS`.
        seed, steps, noise: as for :func:`find_like`.
        vgg19: the file of VGG-19's weights; see :func:`artgan.features.load_vgg19`.
        overwrite: whether the files may exist.

    Returns:
        A description as JSON types.

    Raises:
        ConfigError: there are not so many seeds to be shown.
        PictureError: the photo cannot be read, or a file exists or cannot be written.
        WeightsError: VGG-19's weights cannot be read.
        ArtganError: as for :func:`artgan.sampling.sampling.sample`.
    """
    if count > SEEDS:
        raise ConfigError(f"-n {count}: --like compares {SEEDS} seeds, and can show no more")
    saved = vector_file(path)
    images.check_writable(path, overwrite=overwrite)
    check_writable(saved, overwrite=overwrite, error=PictureError)
    rgb = images.decode(photo).rgb
    vgg = load_vgg19(LAYERS, vgg19).to(next(generator.parameters()).device)
    with progress("searching", steps) as advance:
        found = find_like(generator, rgb, vgg, seed=seed, steps=steps, noise=noise, advance=advance)
    nearest = list(zip(found.seeds, found.scores, strict=True))[:count]
    likeness, *others = draw(generator, [found.vector, *(each for each, _ in nearest)], noise=noise)
    rows = {"photo, found": [center_square(rgb, likeness.width), likeness]}
    for row in range(0, len(nearest), _COLUMNS):
        names = ", ".join(str(each) for each, _ in nearest[row : row + _COLUMNS])
        rows[f"seeds {names}"] = others[row : row + _COLUMNS]
    write_vector(saved, found.vector, model=model, digest=digest, overwrite=overwrite)
    images.encode(sheets.sheet(rows, cell=likeness.width), path, overwrite=overwrite)
    return {
        "like": str(photo),
        "output": str(path),
        "vector": str(saved),
        "score": round(found.score, 6),
        "nearest": [{"seed": each, "score": round(score, 6)} for each, score in nearest],
    }
