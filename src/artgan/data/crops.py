"""Random crops for training, drawn anew at every step, and center crops."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from artgan.data.pictures import evenly, unfit_size
from artgan.errors import PictureError

Pixels: TypeAlias = "NDArray[np.uint8]"
Preparation: TypeAlias = "Callable[[Pixels, np.random.Generator], Pixels]"
"""Changes a crop, H x W x 3, into another of the same size, with random numbers of its own."""

_ATTEMPTS = 100  # failures in a row after which a set counts as unreadable as a whole


class Failure(NamedTuple):
    """A picture of a set that could not be read."""

    domain: str
    place: int  # its index in the set
    reason: str


class Batch(NamedTuple):
    """A batch of a training run.

    Attributes:
        pictures: for each domain B x 3 x S x S, uint8.
        failures: pictures that were drawn and could not be read; others were drawn in their place.
        complete: whether every draw came to a picture; if not, ``pictures`` is empty.
    """

    pictures: dict[str, Tensor]
    failures: list[Failure]
    complete: bool = True


class Draws(Dataset[Batch]):
    """The batches of a training run by number. Each domain is sampled independently, whatever the others' sizes.

    A batch depends only on seed, process and number, so that a resumed run sees the same batches. For a picture that
    cannot be read, the same stream of random numbers draws another one: which one depends neither on what is known of
    the set nor on what was drawn before.

    Args:
        domains: the pictures of each domain.
        size: side of the square crops, in pixels. A picture with a shorter side is enlarged to fit.
        batch: number of pictures per domain and batch.
        seed: the random seed.
        batches: the total number of batches.
        process: the index of this process in distributed training; each has its own random draws.
        zoom: the short side is first resized to a random length between ``size`` and this many times ``size``, but
            never enlarged further than needed; None crops at the picture's own scale.
        preparations: what is done to each crop, by domain; a domain without one stays as it is.
    """

    def __init__(
        self,
        domains: Mapping[str, Sequence[Image.Image]],
        *,
        size: int,
        batch: int,
        seed: int,
        batches: int,
        zoom: float | None = None,
        process: int = 0,
        preparations: Mapping[str, Preparation] | None = None,
    ) -> None:
        self.domains = domains
        self.size = size
        self.batch = batch
        self.seed = seed
        self.batches = batches
        self.zoom = zoom
        self.process = process
        self.preparations = preparations or {}

    def __len__(self) -> int:
        return self.batches

    def __getitem__(self, number: int) -> Batch:
        """A batch; in place of an unreadable picture there is another one."""
        rng = np.random.default_rng((self.seed, self.process, number))
        failures: list[Failure] = []
        made: dict[str, Tensor] = {}
        for name, pictures in self.domains.items():
            drawn = [self._draw(name, pictures, rng, failures) for _ in range(self.batch)]
            tensors = [tensor for tensor in drawn if tensor is not None]
            if len(tensors) < self.batch:
                return Batch({}, failures, complete=False)
            made[name] = torch.stack(tensors)
        return Batch(made, failures)

    def _draw(
        self, domain: str, pictures: Sequence[Image.Image], rng: np.random.Generator, failures: list[Failure]
    ) -> Tensor | None:
        """A crop of a random picture; None if picture after picture cannot be read."""
        for _ in range(_ATTEMPTS):
            index = int(rng.integers(len(pictures)))
            try:
                picture = pictures[index]
                unfit = unfit_size(picture.size, self.size)
                if unfit:
                    raise PictureError(unfit)
            except PictureError as error:
                failures.append(Failure(domain, index, str(error)))
                continue
            pixels = self._crop(picture, rng)
            if domain in self.preparations:
                # One number of the batch's own, so that the other draws do not depend on the preparation.
                pixels = self.preparations[domain](pixels, np.random.default_rng(int(rng.integers(2**63))))
            return to_tensor(pixels)
        return None

    def _crop(self, picture: Image.Image, rng: np.random.Generator) -> Pixels:
        short = min(picture.size)
        target = max(short, self.size)
        if self.zoom is not None:
            target = round(self.size * rng.uniform(1.0, max(1.0, min(self.zoom, target / self.size))))
        if target != short:
            picture = resize_short_side(picture, target)
        left = int(rng.integers(picture.width - self.size + 1))
        top = int(rng.integers(picture.height - self.size + 1))
        pixels = np.asarray(picture.crop((left, top, left + self.size, top + self.size)))
        return np.ascontiguousarray(pixels[:, ::-1]) if rng.random() < 0.5 else pixels


def to_tensor(pixels: Pixels) -> Tensor:
    """H x W x 3 pixels as a 3 x H x W uint8 tensor."""
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))


def resize_short_side(picture: Image.Image, pixels: int) -> Image.Image:
    """Resize ``picture`` so that its shorter side has ``pixels`` pixels, keeping its aspect ratio."""
    scale = pixels / min(picture.size)
    size = (max(pixels, round(picture.width * scale)), max(pixels, round(picture.height * scale)))
    return picture.resize(size, Image.Resampling.BICUBIC)


def center_square(picture: Image.Image, size: int) -> Image.Image:
    """The center square of ``picture``, resized to ``size``."""
    picture = resize_short_side(picture, size)
    left, top = (picture.width - size) // 2, (picture.height - size) // 2
    return picture.crop((left, top, left + size, top + size))


def center_crop(picture: Image.Image, size: int) -> Tensor:
    """The center square of ``picture`` as a 3 x S x S uint8 tensor."""
    return to_tensor(np.array(center_square(picture, size)))


def center_crops(
    pictures: Sequence[Image.Image],
    count: int,
    size: int,
    *,
    numbers: Sequence[int] | None = None,
    preparation: Preparation | None = None,
    failed: Callable[[int, str], None] = lambda index, reason: None,
) -> Tensor:
    """Center squares of ``count`` pictures, evenly spread over a set: N x 3 x S x S uint8.

    In place of a picture that cannot be read there is the next one that can.

    Args:
        pictures: the set.
        count: the number of pictures, at most the size of the set.
        size: S.
        numbers: which of them to return (0 to ``count`` - 1); None returns all.
        preparation: what is done to each square, with the same random numbers every time.
        failed: called with the index of each picture that cannot be read, and the reason.

    Raises:
        PictureError: no picture can be read.
    """
    places = evenly(len(pictures), count)

    def square(place: int) -> Image.Image:
        reason = ""
        for index in (*range(place, len(pictures)), *range(place)):
            try:
                return center_square(pictures[index], size)
            except PictureError as error:
                reason = str(error)
                failed(index, reason)
        raise PictureError(reason)

    def prepared(number: int) -> Tensor:
        pixels = np.array(square(places[number]))
        return to_tensor(pixels if preparation is None else preparation(pixels, np.random.default_rng(number)))

    return torch.stack([prepared(number) for number in (range(count) if numbers is None else numbers)])


def to_pictures(batch: Mapping[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    """Convert uint8 batches to float pictures in [-1, 1] on ``device``."""
    return {name: pixels.to(device, non_blocking=True).float().div_(127.5).sub_(1.0) for name, pixels in batch.items()}
