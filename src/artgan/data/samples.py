"""Pictures to begin with: public sets that are on this machine already, and two sample photos. Free of torch."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from PIL import Image

from artgan import images
from artgan.data.public import PUBLIC
from artgan.errors import ConfigError, PictureError

KAGGLE_INPUT = "ARTGAN_KAGGLE_INPUT"
"""The environment variable for the folder in which Kaggle attaches data to a notebook; /kaggle/input by default."""

Kind: TypeAlias = Literal["photos", "paintings"]

_FOLDERS: Mapping[str, Mapping[Kind, str]] = {
    "gan-getting-started": {"photos": "photo_jpg", "paintings": "monet_jpg"},  # Kaggle's competition
    **{name: {"photos": "trainB", "paintings": "trainA"} for name in PUBLIC},
}
_LEAST, _MOST = 0.45, 0.9  # side of a crop, as a share of a sample photo's shorter side


def find_set(kind: Kind, folder: str | Path = ".") -> str | None:
    """Find the photos or the paintings of a public set: Kaggle's gan-getting-started, or one of the CycleGAN authors'.

    Args:
        kind: "photos" or "paintings".
        folder: where `artgan data fetch` has put the archives.

    Returns:
        What :func:`artgan.data.open_pictures` opens: a folder that Kaggle attached, in either of its layouts, or a
        folder in an archive. If there are several sets, both kinds come from the first one. None if there is none.

    Raises:
        ConfigError: the kind is neither.
    """
    if kind not in ("photos", "paintings"):
        raise ConfigError(f"a set has photos and paintings, and no {kind!r}")
    for name, folders in _FOLDERS.items():
        part = folders[kind]
        for attached in _attached(name):
            if (attached / part).is_dir():
                return str(attached / part)
        if name in PUBLIC and (archive := Path(folder, PUBLIC[name].file)).is_file():
            return f"{archive}:{name}/{part}"
    return None


def sample_photos() -> list[Path]:
    """Two photos of 640 x 427 pixels, a temple in China and a flower, both under CC BY 2.0, which scikit-learn ships.

    Raises:
        PictureError: scikit-learn is not installed.
    """
    spec = find_spec("sklearn")
    if spec is None or not spec.submodule_search_locations:
        raise PictureError("scikit-learn, which has the sample photos, is not installed: pip install scikit-learn")
    folder = Path(spec.submodule_search_locations[0], "datasets", "images")
    return [folder / "china.jpg", folder / "flower.jpg"]


def cut_samples(folder: str | Path, count: int = 64, size: int = 256) -> Path:
    """Cut squares from the sample photos, half of them mirrored: enough to try a training, not to learn anything.

    Args:
        folder: gets files 000.jpg, 001.jpg, ..., the same ones each time; existing files are replaced.
        count: number of pictures.
        size: their side in pixels.

    Returns:
        The folder.

    Raises:
        PictureError: scikit-learn is not installed, or the folder cannot be written.
    """
    photos = [images.decode(path).rgb for path in sample_photos()]
    folder, draw = Path(folder), np.random.default_rng(0)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PictureError(f"{folder}: cannot be created ({error.strerror or error})") from None
    for number in range(count):
        photo = photos[number % len(photos)]
        side = int(draw.uniform(_LEAST, _MOST) * min(photo.size))
        left, top = (int(draw.integers(length - side + 1)) for length in photo.size)
        crop = photo.resize((size, size), box=(left, top, left + side, top + side), reducing_gap=3.0)
        if draw.integers(2):
            crop = crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        images.encode(crop, folder / f"{number:03}.jpg", overwrite=True)
    return folder


def _attached(name: str) -> Iterator[Path]:
    """Where Kaggle may have attached a competition or a data set; it has changed its layout, and uses both."""
    root = Path(os.environ.get(KAGGLE_INPUT) or "/kaggle/input")
    yield root / name
    yield root / "competitions" / name
    yield from sorted(root.glob(f"datasets/*/{name}"))
