"""The interface of all sets of pictures, wherever they are stored."""

from __future__ import annotations

import hashlib
import io
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import NamedTuple

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

    def glance(self, index: int, crop: int) -> Glance:
        """Look at a picture's header and end; only one that may be incomplete is decoded for this.

        Args:
            index: of the picture.
            crop: side of the crops to be taken for training, in pixels.
        """
        digest = ""
        try:
            with self.open(index) as file:
                digest = _digest(file)
                try:
                    file.seek(0)
                    with images.open_image(file) as header:
                        size, format = header.size, header.format
                    sound = 0 < size[0] * size[1] <= images.MAX_PIXELS and _is_complete(format, file)
                except Exception:  # almost anything, see open_image
                    sound = False
            if not sound:
                size = self[index].size
            unfit = unfit_size(size, crop)
            return Glance(f"{self.location}: {self.names[index]}: {unfit}" if unfit else None, digest)
        except PictureError as error:
            return Glance(str(error), digest)
        except OSError as error:  # of reading the file that is open
            return Glance(f"{self.location}: {self.names[index]}: cannot be read ({error.strerror})", digest)

    def sizes(self) -> dict[str, int]:
        """Sizes in bytes by name."""
        return {name: self.size_in_bytes(index) for index, name in enumerate(self.names)}

    def fingerprint(self) -> str:
        """A short hash of names and sizes in bytes, which identifies the set wherever it is."""
        return fingerprint_of(self.sizes())


def fingerprint_of(sizes: Mapping[str, int]) -> str:
    """The fingerprint of a set with these sizes in bytes by name, in order."""
    digest = hashlib.sha256()
    for name, size in sizes.items():
        digest.update(f"{name}\0{size}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:16]


class Glance(NamedTuple):
    """What the header and the end of a picture's file show.

    Attributes:
        fault: why the picture cannot be used for training; None if nothing is wrong there.
        digest: a short hash of the first and the last 16 KiB; "" if they cannot be read.
    """

    fault: str | None
    digest: str


def _digest(file: io.BufferedReader | io.BytesIO) -> str:
    hashed = hashlib.sha256(file.read(_PART))
    file.seek(max(0, file.seek(0, io.SEEK_END) - _PART))
    hashed.update(file.read(_PART))
    return hashed.hexdigest()[:16]


_PART = 16 << 10
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
