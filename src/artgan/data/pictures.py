"""The interface of all sets of pictures, wherever they are stored."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence

from PIL import Image

from artgan import images


def evenly(total: int, count: int) -> list[int]:
    """``count`` evenly spaced indices into ``total`` items, in order; with repetitions if ``count`` is larger."""
    return [number * total // count for number in range(count)]


class PictureSet(Sequence[Image.Image], ABC):
    """Pictures in a fixed order, decoded to RGB on access.

    A set may be used in a process other than the one that created it (forked or pickled), and in both concurrently.

    Attributes:
        location: where the set is, as the user wrote it.
        names: one per picture, relative to the location, with ``/`` between folders.
    """

    location: str
    names: Sequence[str]

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

    def fingerprint(self) -> str:
        """A short hash of names and sizes in bytes, which identifies the set."""
        digest = hashlib.sha256()
        for index, name in enumerate(self.names):
            digest.update(f"{name}\0{self.size_in_bytes(index)}\n".encode("utf-8", "surrogateescape"))
        return digest.hexdigest()[:16]


class Subset(PictureSet):
    """Some pictures of a set.

    Args:
        pictures: the set.
        indices: which of its pictures, in order.
    """

    def __init__(self, pictures: PictureSet, indices: Sequence[int]) -> None:
        self.location = pictures.location
        self.names = [pictures.names[index] for index in indices]
        self._pictures = pictures
        self._indices = indices

    def read(self, index: int) -> bytes:
        """See :meth:`PictureSet.read`."""
        return self._pictures.read(self._indices[index])

    def size_in_bytes(self, index: int) -> int:
        """See :meth:`PictureSet.size_in_bytes`."""
        return self._pictures.size_in_bytes(self._indices[index])
