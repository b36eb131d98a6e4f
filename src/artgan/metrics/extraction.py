"""Feature extraction from sets of pictures, cached by the pictures' content."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import groupby, islice
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from artgan import images
from artgan.data import PictureSet, open_pictures
from artgan.data.cluster import Cluster, Lost, Spool, Work
from artgan.data.pictures import evenly
from artgan.data.prefetch import prefetch
from artgan.errors import PictureError, WeightsError, one_line
from artgan.files import atomic_write, cache_folder, make_room
from artgan.metrics.extractors import Extractor
from artgan.progress import progress

_BATCH = 16
_BATCH_PIXELS = 2**22  # in a batch: networks with their own resizing get pictures of any size
_CACHE_BYTES = 2e9
_TASK, _PICTURES = 4, 64  # batches and pictures that a process of a cluster gets at once
_prefetch = partial(prefetch, threads=4, count=16, weight=2**25)  # pictures, and their pixels, in memory at once

_T = TypeVar("_T")
Rows: TypeAlias = "NDArray[np.float32]"
"""Features, one row for each picture."""


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
    pictures: PictureSet,
    *,
    limit: int | None = None,
    wanted: Callable[[str], bool] = lambda name: True,
    cluster: Cluster | None = None,
) -> Readable:
    """Decode each picture of a set once, to find the readable ones.

    Args:
        pictures: the set.
        limit: maximum number of pictures, spread evenly over the set.
        wanted: predicate on names; if there is a limit, only pictures that satisfy it are used, if there are any.
        cluster: where pictures are decoded; by default here.

    Raises:
        ArtganError: a machine of the cluster does not see the set.
    """
    chosen: Sequence[int] = range(len(pictures))
    if limit is not None and limit < len(pictures):
        chosen = [index for index in chosen if wanted(pictures.names[index])] or chosen
        chosen = [chosen[place] for place in evenly(len(chosen), min(limit, len(chosen)))]
    indices: list[int] = []
    sizes: list[tuple[int, int]] = []
    contents: list[bytes] = []
    skipped: list[str] = []

    with progress(f"reading {pictures.location}", len(chosen)) as advance:
        decoded: Iterable[_Decoded]
        if cluster is None:
            decoded = _prefetch(partial(_decode, pictures), chosen)
        else:
            decoded = _decode_on(cluster, pictures, chosen)
        for index, found in zip(chosen, decoded, strict=True):
            if isinstance(found, str):
                skipped.append(found)
            else:
                contents.append(found[0])
                indices.append(index)
                sizes.append(found[1])
            advance()
    return Readable(pictures, indices, sizes, contents, skipped)


_Decoded: TypeAlias = "tuple[bytes, tuple[int, int]] | str"  # hash and size, or why it cannot be read


def _decode(pictures: PictureSet, index: int) -> _Decoded:
    try:
        data = pictures.read(index)
        size = images.decode_bytes(data, f"{pictures.location}: {pictures.names[index]}").size
    except PictureError as error:
        return str(error)
    return hashlib.sha256(data).digest(), size


def extract(
    readable: Readable, extractor: Extractor, *, cache: bool = True, machines: Machines | None = None
) -> Tensor:
    """Extract features of the readable pictures: N x D float32 on the CPU, memory-mapped.

    They are cached under a hash of the pictures' content and the extractor, in at most 2 GB. Without the cache, the
    file is temporary.

    Args:
        readable: the pictures.
        extractor: of features.
        cache: whether features are cached.
        machines: where they are extracted; by default here. Batches are the same, in the same order.

    Raises:
        PictureError: a picture has changed since the scan, or the features cannot be written.
        ArtganError: a machine cannot load the extractor, or does not see the set.
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
                _write(part, readable, extractor, machines)
            make_room(folder, "*.npy", _CACHE_BYTES)
            return _mapped(path)
        with tempfile.TemporaryDirectory(prefix="artgan-", ignore_cleanup_errors=True) as own:
            path = Path(own, path.name)
            _write(path, readable, extractor, machines)
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


def _write(path: Path, readable: Readable, extractor: Extractor, machines: Machines | None) -> None:
    rows = np.lib.format.open_memmap(path, "w+", np.float32, (len(readable), extractor.width))
    found = _features(readable, extractor) if machines is None else machines.features(readable, extractor)
    for start, features in found:
        rows[start : start + len(features)] = features
    rows.flush()


def _features(readable: Readable, extractor: Extractor) -> Iterator[tuple[int, Rows]]:
    """The features of each batch, and where they begin."""
    prepared = readable.each(f"{extractor.name} of", extractor.prepare)
    for batch in _batches(readable, extractor):
        yield batch.start, _extracted(extractor, islice(prepared, len(batch)))


def _batches(readable: Readable, extractor: Extractor) -> Iterator[range]:
    """The pictures of each batch: consecutive ones that are prepared to one shape."""
    start = 0
    for (_, height, width), alike in groupby(map(extractor.shape, readable.sizes)):
        most = max(1, min(_BATCH, _BATCH_PIXELS // (height * width)))
        while size := sum(1 for _ in islice(alike, most)):
            yield range(start, start + size)
            start += size


def _extracted(extractor: Extractor, prepared: Iterable[Tensor]) -> Rows:
    batch = torch.stack([*prepared])
    with torch.inference_mode():
        features: Rows = extractor(batch.to(extractor.device)).float().cpu().numpy()
    return features


# ---- on a cluster


@dataclass(frozen=True)
class Machines:
    """A cluster whose processes extract features.

    Attributes:
        cluster: the machines.
        load: loads an extractor by name on any of them; can be pickled.
        gpu: whether each process needs a GPU.
    """

    cluster: Cluster
    load: Callable[[str], Extractor]
    gpu: bool = False

    def features(self, readable: Readable, extractor: Extractor) -> Iterator[tuple[int, Rows]]:
        """The features of some batches at a time, and where they begin; raises as :func:`extract`."""
        batches = _batches(readable, extractor)
        parts = iter(
            lambda: [[batch.start, [readable.indices[i] for i in batch]] for batch in islice(batches, _TASK)], []
        )
        make = _MakeExtracting(_SameSet.of(readable.pictures), partial(self.load, extractor.name), extractor.digest)
        location = readable.pictures.location
        with Spool(parts) as spool, progress(f"{extractor.name} of {location}", len(readable)) as advance:
            for part, found in self.cluster.map(make, spool, gpu=self.gpu):
                if isinstance(found, Lost):
                    name = readable.names[part[0][0]]
                    raise PictureError(
                        f"{location}: {name} and the pictures after it have no features: the process that extracted "
                        "them crashed (out of memory?)"
                    )
                yield part[0][0], found
                advance(steps=len(found))


def _decode_on(cluster: Cluster, pictures: PictureSet, chosen: Sequence[int]) -> Sequence[_Decoded]:
    """What :func:`_decode` returns for each picture, in order."""
    decoded: list[_Decoded] = [""] * len(chosen)
    parts = ([start, [*chosen[start : start + _PICTURES]]] for start in range(0, len(chosen), _PICTURES))

    def split(part: list[Any]) -> Iterator[list[Any]]:
        start, indices = part
        return ([start + place, [index]] for place, index in enumerate(indices))

    with Spool(parts) as spool:
        for (start, indices), found in cluster.map(_MakeDecoding(_SameSet.of(pictures)), spool, split=split):
            if isinstance(found, Lost):
                name = f"{pictures.location}: {pictures.names[indices[0]]}"
                found = [f"{name}: cannot be read (its process ended: too little memory?)"]
            decoded[start : start + len(indices)] = found
    return decoded


@dataclass(frozen=True)
class _SameSet:
    """A set to be opened on another machine."""

    location: str
    folder: str  # from which the location is meant
    digest: str

    @classmethod
    def of(cls, pictures: PictureSet) -> _SameSet:
        return cls(pictures.location, os.getcwd(), _names_digest(pictures))

    def open(self) -> PictureSet:
        """The set.

        Raises:
            PictureError: it is not there, or has other pictures.
        """
        try:
            os.chdir(self.folder)
            pictures = open_pictures(self.location)
        except (OSError, PictureError) as error:
            raise PictureError(f"{one_line(error)}; all nodes must see {self.location}") from None
        if _names_digest(pictures) != self.digest:
            raise PictureError(f"{self.location}: is not the same set here; all nodes must see the same")
        return pictures


def _names_digest(pictures: PictureSet) -> str:
    digest = hashlib.sha256()
    for name in pictures.names:
        digest.update(name.encode("utf-8", "surrogateescape") + b"\0")
    return digest.hexdigest()


@dataclass(frozen=True)
class _MakeDecoding:
    pictures: _SameSet

    def __call__(self) -> Work:
        pictures = self.pictures.open()
        return lambda part: [_decode(pictures, index) for index in part[1]]


@dataclass(frozen=True)
class _MakeExtracting:
    pictures: _SameSet
    load: Callable[[], Extractor]
    digest: str

    def __call__(self) -> Work:
        torch.set_num_threads(1)  # there are as many processes as processors
        pictures, extractor = self.pictures.open(), self.load()
        if extractor.digest != self.digest:
            raise WeightsError(f"{extractor.name}: has different weights here than where the command was run")

        def work(part: list[tuple[int, list[int]]]) -> Rows:
            batches = ((extractor.prepare(pictures[index]) for index in batch) for _, batch in part)
            return np.concatenate([_extracted(extractor, batch) for batch in batches])

        return work
