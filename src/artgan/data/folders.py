"""A folder of pictures."""

from __future__ import annotations

from pathlib import Path

from artgan import images
from artgan.data.pictures import PictureSet
from artgan.errors import PictureError


class PictureFolder(PictureSet):
    """The pictures in a folder and its sub-folders, sorted by path.

    Raises:
        PictureError: no such folder, or no picture in it.
    """

    def __init__(self, folder: str | Path) -> None:
        self.location = str(folder)
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise PictureError(f"{folder}: no such folder")
        found = (path for path in self.folder.rglob("*") if images.is_picture(path) and path.is_file())
        self.paths = sorted(path for path in found if not path.name.startswith("."))
        if not self.paths:
            raise PictureError(f"{folder}: no pictures in it")
        self.names = [path.relative_to(self.folder).as_posix() for path in self.paths]

    def read(self, index: int) -> bytes:
        """The bytes of the file; see :meth:`PictureSet.read`."""
        path = self.paths[index]
        try:
            return path.read_bytes()
        except OSError as error:
            raise PictureError(f"{path}: cannot be read ({error.strerror})") from None

    def size_in_bytes(self, index: int) -> int:
        """The size of the file."""
        return self.paths[index].stat().st_size
