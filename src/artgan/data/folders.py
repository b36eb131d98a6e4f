"""A folder of pictures."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from artgan import images
from artgan.errors import PictureError


class PictureFolder(Sequence[Image.Image]):
    """The pictures of a folder and its sub-folders, in the order of their paths, decoded to RGB when asked for.

    Raises:
        PictureError: no such folder, no picture in it, or (when asked for) a picture that cannot be read.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise PictureError(f"{folder}: no such folder")
        found = (path for path in self.folder.rglob("*") if images.is_picture(path) and path.is_file())
        self.paths = sorted(path for path in found if not path.name.startswith("."))
        if not self.paths:
            raise PictureError(f"{folder}: no pictures in it")

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Image.Image:  # type: ignore[override]  # no slices
        return images.decode(self.paths[index]).rgb

    def fingerprint(self) -> str:
        """A short hash of the names and sizes in bytes: another set of pictures gives another."""
        digest = hashlib.sha256()
        for path in self.paths:
            digest.update(f"{path.relative_to(self.folder)}\0{path.stat().st_size}\n".encode())
        return digest.hexdigest()[:16]
