"""What every set of pictures is, wherever it is kept."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence

from PIL import Image

from artgan import images


def evenly(total: int, count: int) -> list[int]:
    """``count`` places of ``total``, in order and evenly over them; some stand there twice if it is more."""
    return [number * total // count for number in range(count)]


class PictureSet(Sequence[Image.Image], ABC):
    """Pictures in a fixed order, decoded to RGB when asked for.

    A set may be used in another process than the one that made it (forked or pickled), and in both at once.

    Attributes:
        location: where it is, as its user wrote it.
        names: one a picture, relative to the location, with ``/`` between folders.
    """

    location: str
    names: Sequence[str]

    def __len__(self) -> int:
        return len(self.names)

    @abstractmethod
    def read(self, index: int) -> bytes:
        """The encoded bytes of a picture, as they are kept.

        Raises:
            PictureError: they cannot be read, or are not what was written (a checksum differs).
        """

    @abstractmethod
    def size_in_bytes(self, index: int) -> int:
        """How many bytes :meth:`read` will return, without reading them."""

    def __getitem__(self, index: int) -> Image.Image:  # type: ignore[override]  # no slices
        """The picture, upright, mode RGB.

        Raises:
            PictureError: it cannot be read.
        """
        return images.decode_bytes(self.read(index), f"{self.location}: {self.names[index]}").rgb

    def fingerprint(self) -> str:
        """A short hash of the names and sizes in bytes: another set of pictures gives another."""
        digest = hashlib.sha256()
        for index, name in enumerate(self.names):
            digest.update(f"{name}\0{self.size_in_bytes(index)}\n".encode("utf-8", "surrogateescape"))
        return digest.hexdigest()[:16]
