"""Feature extraction from sets of pictures, cached by the pictures' content."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import groupby, islice
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from artgan import images
from artgan.data import PictureSet
from artgan.data.pictures import evenly
from artgan.data.prefetch import prefetch
from artgan.errors import PictureError
from artgan.files import atomic_write, cache_folder, make_room
from artgan.metrics.extractors import Extractor
from artgan.progress import progress

_BATCH = 16
_BATCH_PIXELS = 2**22  # in a batch: networks with their own resizing get pictures of any size
_CACHE_BYTES = 2e9
_prefetch = partial(prefetch, threads=4, count=16, weight=2**25)  # pictures, and their pixels, in memory at once

_T = TypeVar("_T")


@dataclass(frozen=True)
class Readable:
    """The readable pictures of a set, identified by their content.

    Attributes:
        pictures: the set.
        indices: positions in the set of the readable pictures.
        sizes: width and height of each readable picture.
        contents: hash of each readable picture's file.
        skipped: why each of the other pictures cannot be read.
    """

    pictures: PictureSet
    indices: Sequence[int]
    sizes: Sequence[tuple[int, int]]
    contents: Sequence[bytes]
    skipped: Sequence[str]

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def names(self) -> list[str]:
        """Names of the readable pictures."""
        return [self.pictures.names[index] for index in self.indices]

    def picture(self, place: int) -> Image.Image:
        """The readable picture at an index, RGB.

        Raises:
            PictureError: it is no longer readable.
        """
        return self.pictures[self.indices[place]]

    def each(self, what: str, work: Callable[[Image.Image], _T], order: Sequence[int] | None = None) -> Iterator[_T]:
        """Map ``work`` over the pictures, with prefetching and a progress bar.

        Args:
            what: text of the progress bar.
            work: is called by several threads.
            order: indices of readable pictures; by default all.
        """
        chosen = range(len(self)) if order is None else order
        with progress(f"{what} {self.pictures.location}", len(chosen)) as advance:
            pixels = [self.sizes[place][0] * self.sizes[place][1] for place in chosen]
            for made in _prefetch(lambda place: work(self.picture(place)), chosen, weights=pixels):
                yield made
                advance()


def scan(
    pictures: PictureSet, *, limit: int | None = None, wanted: Callable[[str], bool] = lambda name: True
) -> Readable:
    """Decode each picture of a set once, to find the readable ones.

    Args:
        pictures: the set.
        limit: maximum number of pictures, spread evenly over the set.
        wanted: predicate on names; if there is a limit, only pictures that satisfy it are used, if there are any.
    """
    chosen: Sequence[int] = range(len(pictures))
    if limit is not None and limit < len(pictures):
        chosen = [index for index in chosen if wanted(pictures.names[index])] or chosen
        chosen = [chosen[place] for place in evenly(len(chosen), min(limit, len(chosen)))]
    indices: list[int] = []
    sizes: list[tuple[int, int]] = []
    contents: list[bytes] = []
    skipped: list[str] = []

    def decode(index: int) -> tuple[bytes, tuple[int, int]] | str:
        try:
            data = pictures.read(index)
            size = images.decode_bytes(data, f"{pictures.location}: {pictures.names[index]}").size
        except PictureError as error:
            return str(error)
        return hashlib.sha256(data).digest(), size

    with progress(f"reading {pictures.location}", len(chosen)) as advance:
        for index, found in zip(chosen, _prefetch(decode, chosen), strict=True):
            if isinstance(found, str):
                skipped.append(found)
            else:
                contents.append(found[0])
                indices.append(index)
                sizes.append(found[1])
            advance()
    return Readable(pictures, indices, sizes, contents, skipped)


def extract(readable: Readable, extractor: Extractor, *, cache: bool = True) -> Tensor:
    """Extract features of the readable pictures: N x D float32 on the CPU, memory-mapped.

    They are cached under a hash of the pictures' content and the extractor, in at most 2 GB. Without the cache, the
    file is temporary.

    Raises:
        PictureError: a picture has changed since the scan, or the features cannot be written.
    """
    folder = cache_folder("features")
    key = hashlib.sha256(extractor.digest.encode() + b"".join(readable.contents)).hexdigest()[:32]
    path = folder / f"{key}.npy"
    if cache:
        with suppress(OSError, ValueError):
            kept = _mapped(path)
            if len(kept) == len(readable) and _fits(kept, extractor):
                os.utime(path)  # used just now
                return kept
    try:
        if cache and _takes_files(folder):
            with atomic_write(path) as part:
                _write(part, readable, extractor)
            make_room(folder, "*.npy", _CACHE_BYTES)
            return _mapped(path)
        with tempfile.TemporaryDirectory(prefix="artgan-", ignore_cleanup_errors=True) as own:
            path = Path(own, path.name)
            _write(path, readable, extractor)
            return _mapped(path)  # POSIX keeps removed files while they are mapped; Windows refuses to remove them
    except OSError as error:
        raise PictureError(f"{path}: features cannot be written ({error.strerror})") from None


def _takes_files(folder: Path) -> bool:
    """Whether files can be created in a folder, which is created if necessary."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        return False
    return True


def _mapped(path: Path) -> Tensor:
    """Memory-map a file of features, copy-on-write.

    Raises:
        OSError, ValueError: it cannot be read, or does not hold features.
    """
    rows = np.lib.format.open_memmap(path, "c")
    if rows.ndim != 2 or rows.dtype != np.float32 or not rows.flags.c_contiguous:
        raise ValueError(f"{path} holds no features")
    return torch.from_numpy(rows)


def _fits(features: Tensor, extractor: Extractor) -> bool:
    """Whether cached features have the extractor's width and are finite."""
    return features.shape[1] == extractor.width and all(
        bool(rows.isfinite().all()) for rows in torch.split(features, 4096)
    )


def _write(path: Path, readable: Readable, extractor: Extractor) -> None:
    rows = np.lib.format.open_memmap(path, "w+", np.float32, (len(readable), extractor.width))
    done = 0
    for batch in _batches(readable.each(f"{extractor.name} of", extractor.prepare)):
        with torch.inference_mode():
            rows[done : done + len(batch)] = extractor(batch.to(extractor.device)).float().cpu().numpy()
        done += len(batch)
    rows.flush()


def _batches(prepared: Iterator[Tensor]) -> Iterator[Tensor]:
    """Stack consecutive tensors of one size."""
    for (_, height, width), alike in groupby(prepared, key=lambda tensor: tensor.shape):
        most = max(1, min(_BATCH, _BATCH_PIXELS // (height * width)))
        while batch := list(islice(alike, most)):
            yield torch.stack(batch)
