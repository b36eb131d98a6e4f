"""A noise vector as a small JSON file, which is read as untrusted input."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

import torch
from torch import Tensor

from artgan.errors import ConfigError, PictureError, printable
from artgan.files import atomic_write, check_writable

_FORMAT = 1
_MOST = 2**20  # bytes: a vector has at most some thousand numbers
_LARGEST = 1e6  # as of noise that is given by name


def vector_file(picture: Path) -> Path:
    """The name of the vector's file beside a picture."""
    return picture.with_suffix(".json")


def write_vector(path: Path, vector: Tensor, *, model: str, digest: str, overwrite: bool = False) -> None:
    """Write a vector with the name and the digest of the model that it belongs to.

    Raises:
        PictureError: the file exists, or cannot be written.
    """
    check_writable(path, overwrite=overwrite, error=PictureError)
    about = {"format": _FORMAT, "model": model, "weights": digest, "vector": vector.tolist()}
    try:
        with atomic_write(path) as part:
            part.write_text(json.dumps(about) + "\n")
    except OSError as error:
        raise PictureError(f"{path}: cannot be written ({error.strerror or error})") from None


def read_vector(path: str | os.PathLike[str], *, size: int, digest: str) -> Tensor:
    """Read the vector of a file.

    Args:
        path: the file.
        size: Z, the length that the model's vectors have.
        digest: of the model that it is to be used with.

    Returns:
        The vector, Z numbers.

    Raises:
        ConfigError: the file cannot be read, is no vector's, or is that of another model.
    """
    try:
        with Path(path).open("rb") as file:
            data = file.read(_MOST + 1)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from None
    if len(data) > _MOST:
        raise ConfigError(f"{path}: is larger than {_MOST} bytes, too large for a vector file")
    try:
        about = json.loads(data)
    except (ValueError, RecursionError):
        raise ConfigError(f"{path}: is not JSON; give a file that --like wrote") from None
    if not isinstance(about, dict) or about.get("format") != _FORMAT or not isinstance(about.get("vector"), list):
        raise ConfigError(f"{path}: is not a vector file of this version; give a file that --like wrote")
    if about.get("weights") != digest:
        raise ConfigError(
            f"{path}: was found for different weights, those of {printable(str(about.get('model'))[:100])}"
        )
    numbers = about["vector"]
    if len(numbers) != size:
        raise ConfigError(f"{path}: has {len(numbers)} numbers, where the model's vectors have {size}")
    if not all(type(x) in (int, float) and abs(x) <= _LARGEST and math.isfinite(x) for x in numbers):
        raise ConfigError(f"{path}: its vector must hold finite numbers, of at most {_LARGEST:g}")
    return torch.tensor(numbers, dtype=torch.float32)
