"""Pictures to train and measure on."""

from __future__ import annotations

from pathlib import Path

from artgan.data.draws import Draws
from artgan.data.folders import PictureFolder
from artgan.data.pictures import PictureSet

__all__ = ["Draws", "PictureFolder", "PictureSet", "open_pictures"]


def open_pictures(location: str | Path) -> PictureSet:
    """The pictures of a location: a folder.

    Raises:
        PictureError: there is nothing of that name, nothing in it, or it is damaged.
    """
    return PictureFolder(location)
