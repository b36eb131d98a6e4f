"""The features of a set of pictures: taken once, and kept by the pictures' content."""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby, islice
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from artgan import images
from artgan.cache import cache_folder, make_room
from artgan.data import PictureSet
from artgan.errors import PictureError
from artgan.metrics.extractors import Extractor
from artgan.progress import progress

_BATCH = 16
_BATCH_PIXELS = 2**22  # of a batch: networks that resize themselves get pictures as they are, however large
_AHEAD = 8  # pictures that are read while others go through the network
_CACHE_BYTES = 2e9

_T = TypeVar("_T")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Readable:
    """The pictures of a set that can be read, known by their content.

    Attributes:
        pictures: the set.
        indices: in it, of those that can be read.
        sizes: width and height of each of them.
        skipped: why each of the others cannot be read.
        digest: of the content of those that can be read.
    """

    pictures: PictureSet
    indices: Sequence[int]
    sizes: Sequence[tuple[int, int]]
    skipped: Sequence[str]
    digest: str

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def names(self) -> list[str]:
        """Of those that can be read."""
        return [self.pictures.names[index] for index in self.indices]

    def picture(self, place: int) -> Image.Image:
        """The picture at a place among those that can be read, RGB.

        Raises:
            PictureError: it cannot be read any more.
        """
        return self.pictures[self.indices[place]]

    def in_order(self, what: str, order: Sequence[int] | None = None) -> Iterator[Image.Image]:
        """The pictures, decoded ahead, with a progress bar; ``order`` names some of them by their place among these."""
        chosen = range(len(self)) if order is None else order
        with progress(f"{what} {self.pictures.location}", len(chosen)) as advance:
            for picture in _ahead(self.picture, chosen):
                yield picture
                advance()


def look_through(pictures: PictureSet, *, limit: int | None = None) -> Readable:
    """Decode each picture of a set once, to know what is there and what is broken.

    Args:
        pictures: the set.
        limit: how many at most, evenly over the set.
    """
    count = min(limit or len(pictures), len(pictures))
    chosen = [i * len(pictures) // count for i in range(count)]
    indices: list[int] = []
    sizes: list[tuple[int, int]] = []
    skipped: list[str] = []
    digest = hashlib.sha256()

    def look(index: int) -> tuple[bytes, tuple[int, int]] | str:
        try:
            data = pictures.read(index)
            size = images.decode_bytes(data, f"{pictures.location}: {pictures.names[index]}").size
        except PictureError as error:
            return str(error)
        return hashlib.sha256(data).digest(), size

    with progress(f"reading {pictures.location}", count) as advance:
        for index, found in zip(chosen, _ahead(look, chosen), strict=True):
            if isinstance(found, str):
                skipped.append(found)
            else:
                digest.update(found[0])
                indices.append(index)
                sizes.append(found[1])
            advance()
    return Readable(pictures, indices, sizes, skipped, digest.hexdigest())


def extract(readable: Readable, extractor: Extractor, *, cache: bool = True) -> Tensor:
    """The features of each readable picture: N x D float32 on the CPU, in a file that is mapped into memory.

    They stay in the user's cache under the hash of the pictures' content and of the extractor, with others up to 2 GB.
    Where they are not to be kept, the file is gone with the process.

    Raises:
        PictureError: a picture has changed since it was looked through; the cache cannot be written.
    """
    folder = cache_folder("features")
    key = hashlib.sha256(f"{extractor.digest} {readable.digest} {len(readable)}".encode()).hexdigest()[:32]
    path = folder / f"{key}.npy"
    if cache:
        with suppress(OSError, ValueError):
            kept = _mapped(path)
            os.utime(path)  # used just now
            if len(kept) == len(readable):
                return kept
    make_room(folder, "*.npy", _CACHE_BYTES)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle, part = tempfile.mkstemp(".part", f"{key}.", folder)
        os.close(handle)
    except OSError:  # a home that is not to be written to
        cache = False
        handle, part = tempfile.mkstemp(".npy", "artgan-")
        os.close(handle)
    try:
        _write(Path(part), readable, extractor)
        if cache:
            os.replace(part, path)
            return _mapped(path)
        return _mapped(Path(part))
    except OSError as error:
        raise PictureError(f"{part}: features cannot be written ({error.strerror})") from None
    finally:
        with suppress(OSError):  # Windows keeps what is mapped until it is not
            os.unlink(part)


def _mapped(path: Path) -> Tensor:
    """The file's numbers, read when they are looked at; a private copy where they are written to."""
    return torch.from_numpy(np.lib.format.open_memmap(path, "c"))


def _write(path: Path, readable: Readable, extractor: Extractor) -> None:
    rows: np.memmap | None = None  # whose width the first batch tells
    done = 0
    for batch in _batches(extractor.prepare(p) for p in readable.in_order(f"{extractor.name} of")):
        with torch.inference_mode():
            features = extractor(batch.to(extractor.device)).float().cpu().numpy()
        if rows is None:
            shape = (len(readable), features.shape[1])
            rows = np.lib.format.open_memmap(path, "w+", np.float32, shape)
        rows[done : done + len(features)] = features
        done += len(features)
    if rows is None:
        rows = np.lib.format.open_memmap(path, "w+", np.float32, (0, 1))
    rows.flush()


def _batches(prepared: Iterator[Tensor]) -> Iterator[Tensor]:
    """Tensors that follow one another and are of one size, stacked."""
    for (_, height, width), alike in groupby(prepared, key=lambda tensor: tensor.shape):
        most = max(1, min(_BATCH, _BATCH_PIXELS // (height * width)))
        while batch := list(islice(alike, most)):
            yield torch.stack(batch)


def _ahead(work: Callable[[int], _T], items: Sequence[int]) -> Iterator[_T]:
    """What ``work`` makes of each, in their order, done ahead by threads (decoding leaves Python's lock)."""
    with ThreadPoolExecutor(4) as pool:
        waiting: list[Future[_T]] = []
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) > _AHEAD:
                    yield waiting.pop(0).result()
            while waiting:
                yield waiting.pop(0).result()
        finally:
            for future in waiting:
                future.cancel()
