"""The interface of all sets of pictures, wherever they are stored."""

from __future__ import annotations

import hashlib
import io
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence

from PIL import Image

from artgan import images
from artgan.data.passed_over import PassedOver
from artgan.errors import PictureError


def evenly(total: int, count: int) -> list[int]:
    """``count`` evenly spaced indices into ``total`` items, in order; with repetitions if ``count`` is larger."""
    return [number * total // count for number in range(count)]


class PictureSet(Sequence[Image.Image], ABC):
    """Pictures in a fixed order, decoded to RGB on access.

    A set may be used in a process other than the one that created it (forked or pickled), and in both concurrently.

    Attributes:
        location: where the set is, as the user wrote it.
        names: one per picture, relative to the location, with ``/`` between folders.
        passed_over: what is at the location and not in the set.
        lists_sizes: whether sizes in bytes, and headers, can be read without reading all pictures.
    """

    location: str
    names: Sequence[str]
    passed_over: Sequence[PassedOver] = ()
    lists_sizes: bool = True

    def __len__(self) -> int:
        return len(self.names)

    @abstractmethod
    def read(self, index: int) -> bytes:
        """Read the encoded bytes of a picture, as stored.

        Raises:
            PictureError: they cannot be read, or a checksum differs.
        """

    @abstractmethod
    def size_in_bytes(self, index: int) -> int:
        """How many bytes :meth:`read` will return, without reading them."""

    def __getitem__(self, index: int) -> Image.Image:  # type: ignore[override]  # no slices
        """Decode a picture: upright, mode RGB.

        Raises:
            PictureError: it cannot be read.
        """
        return images.decode_bytes(self.read(index), f"{self.location}: {self.names[index]}").rgb

    def open(self, index: int) -> io.BufferedReader | io.BytesIO:
        """Open a picture's encoded bytes as a file, of which only the parts that are needed may be read.

        Raises:
            PictureError: they cannot be read, or a checksum differs.
        """
        return io.BytesIO(self.read(index))

    def fault(self, index: int, crop: int) -> str | None:
        """Why a picture cannot be used for training, as far as its header and its end show it; None if they are sound.

        Only a picture that may be incomplete is decoded for this.

        Args:
            index: of the picture.
            crop: side of the crops, in pixels.
        """
        try:
            with self.open(index) as file:
                try:
                    with images.open_image(file) as header:
                        size, format = header.size, header.format
                    sound = 0 < size[0] * size[1] <= images.MAX_PIXELS and _is_complete(format, file)
                except Exception:  # almost anything, see open_image
                    sound = False
            if not sound:
                size = self[index].size
            unfit = unfit_size(size, crop)
            return f"{self.location}: {self.names[index]}: {unfit}" if unfit else None
        except PictureError as error:
            return str(error)

    def listing(self) -> dict[str, int] | None:
        """Size in bytes by name, of which the fingerprint is made; None if the set does not list sizes."""
        if not self.lists_sizes:
            return None
        return {name: self.size_in_bytes(index) for index, name in enumerate(self.names)}

    def fingerprint(self) -> str:
        """A short hash of names and sizes in bytes, which identifies the set wherever it is."""
        return fingerprint_of((self.listing() or {}).items())


def fingerprint_of(listing: Iterable[tuple[str, int]]) -> str:
    """The fingerprint of a set with these names and sizes in bytes, in order."""
    digest = hashlib.sha256()
    for name, size in listing:
        digest.update(f"{name}\0{size}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:16]


_ENDS = {"JPEG": b"\xff\xd9", "PNG": b"IEND\xaeB`\x82", "GIF": b";"}


def _is_complete(format: str | None, file: io.BufferedReader | io.BytesIO) -> bool:
    """Whether a picture file ends as its format demands; False only means that it may be incomplete."""
    if format == "WEBP":  # its header holds its size
        file.seek(4)
        announced = 8 + int.from_bytes(file.read(4), "little")
        return file.seek(0, io.SEEK_END) >= announced
    end = _ENDS.get(format or "", b"")
    file.seek(-len(end), io.SEEK_END)
    return file.read() == end


LEAST_SIDE = 8
"""The shortest side of a picture to train on, in pixels: smaller ones are icons and tracking pixels."""


def unfit_size(size: tuple[int, int], crop: int) -> str | None:
    """Why no crop is taken of a picture of this width and height, as a clause; None if one can be.

    Small pictures are enlarged until a crop fits; the bound on the pixels also holds for the enlarged picture.
    """
    short = min(size)
    if short < LEAST_SIDE:
        return f"{size[0]} x {size[1]} pixels are too small to train on (at least {LEAST_SIDE} a side)"
    if size[0] * size[1] * max(1.0, crop / short) ** 2 > images.MAX_PIXELS:
        return f"{size[0]} x {size[1]} pixels are too narrow for crops of {crop} pixels"
    return None


class Subset(PictureSet):
    """Some pictures of a set.

    Args:
        pictures: the set.
        indices: which of its pictures, in order.
    """

    def __init__(self, pictures: PictureSet, indices: Sequence[int]) -> None:
        self.location = pictures.location
        self.names = [pictures.names[index] for index in indices]
        self.passed_over, self.lists_sizes = pictures.passed_over, pictures.lists_sizes
        self._pictures = pictures
        self._indices = indices

    def read(self, index: int) -> bytes:
        """See :meth:`PictureSet.read`."""
        return self._pictures.read(self._indices[index])

    def size_in_bytes(self, index: int) -> int:
        """See :meth:`PictureSet.size_in_bytes`."""
        return self._pictures.size_in_bytes(self._indices[index])
