"""Data sets for training and evaluation. Only :mod:`artgan.data.crops` imports torch."""

from __future__ import annotations

import os
import re
from pathlib import Path

from artgan.data.archives import TarPictures, ZipPictures
from artgan.data.folders import PictureFolder, find_pictures
from artgan.data.hub import PREFIX, HubPictures
from artgan.data.pictures import PictureSet
from artgan.data.tfrecord import SUFFIXES, TFRecordPictures, record_files
from artgan.errors import PictureError

__all__ = [
    "HubPictures",
    "PictureFolder",
    "PictureSet",
    "TFRecordPictures",
    "TarPictures",
    "ZipPictures",
    "absolute",
    "exists",
    "open_pictures",
]

_ARCHIVE = re.compile(r"(?P<path>.+?\.(?P<kind>zip|tar|tar\.(gz|bz2|xz)|tgz|tbz2?|txz))(:(?P<folder>.+))?", re.I)


def open_pictures(location: str | Path) -> PictureSet:
    """Open a set of pictures, whatever its format.

    Args:
        location: one of

            - a folder of pictures or of TFRecord files;
            - a zip or tar archive, plain or compressed: ``FILE.zip``, or ``FILE.zip:FOLDER`` for a folder in it;
            - a TFRecord file: ``FILE.tfrec`` or ``FILE.tfrecord``;
            - a data set of the Hugging Face Hub: ``hf-hub:ORG/NAME[@REVISION][:SPLIT[/COLUMN]]``.

    Raises:
        PictureError: the location does not exist, is empty or damaged, or is not a set of pictures.
    """
    text, path = str(location), Path(location)
    if text.startswith(PREFIX):
        return HubPictures(text)
    if path.is_dir():
        if record_files(path) and not find_pictures(path).paths:
            return TFRecordPictures(path)
        return PictureFolder(path)
    if path.suffix.lower() in SUFFIXES:
        return TFRecordPictures(path)
    archive = _ARCHIVE.fullmatch(text)
    if archive is not None:
        kind = ZipPictures if archive["kind"].lower() == "zip" else TarPictures
        return kind(archive["path"], archive["folder"] or "")
    if not path.exists():
        raise PictureError(f"{location}: no such folder or file")
    raise PictureError(
        f"{location}: not a set of pictures; artgan reads folders, .zip, .tar (also .gz, .bz2, .xz), "
        f".tfrec and .tfrecord files, and {PREFIX}ORG/NAME"
    )


def absolute(location: str | Path) -> str:
    """A location that holds from any working directory; one on the Hub is returned as it is."""
    text = str(location)
    return text if text.startswith(PREFIX) else os.path.abspath(text)


def exists(location: str | Path) -> bool:
    """Whether there is a folder or file at a location; true for the Hub, which is not asked."""
    text = str(location)
    archive = _ARCHIVE.fullmatch(text)
    return text.startswith(PREFIX) or Path(text).exists() or (archive is not None and Path(archive["path"]).exists())
