"""A model's folder: its contents, and reading and writing it. Importing this module does not load torch."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from artgan.errors import WeightsError
from artgan.files import atomic_write

if TYPE_CHECKING:
    import torch

    from artgan.interfaces import Generator
    from artgan.painting.manner import Brushwork

WEIGHTS, EXPORTED, CONFIG = "model.safetensors", "model.onnx", "config.json"
"""The files in a model's folder and in its repository on the Hub: one of the first two, and the third."""

THUMBNAIL = "style.jpg"
"""In a saved style's folder: the pictures that it is of."""

_ABOUT = ("plugin", "config", "artgan_version", "license")  # what the header of the weights repeats

LIMITS = {CONFIG: 2**20, WEIGHTS: 4 * 2**30, EXPORTED: 2**31}
"""The maximum size of each, in bytes."""

HUB_MODEL = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+)(@(?P<revision>\S+))?", re.ASCII)


def names_a_folder(source: str, paths: type[PurePath] = Path) -> bool:
    """Whether a text without a prefix can only be meant as a folder: it is absolute, or begins with "." or "~".

    Args:
        source: the text.
        paths: whose rules decide what is absolute; those of this machine by default.
    """
    return source.startswith((".", "~")) or paths(source).is_absolute()


def model_file(folder: Path, name: str) -> Path:
    """The path of one of the files in a model's folder.

    Raises:
        WeightsError: the folder or the file does not exist, or the file is too large.
    """
    with suppress(RuntimeError):  # unknown user: the folder then does not exist
        folder = folder.expanduser()
    path = folder / name
    if not folder.is_dir():
        raise WeightsError(f"{folder}: no such folder")
    if not path.is_file():
        raise WeightsError(f"{folder}: holds no {name}; a model's folder holds {CONFIG} and {WEIGHTS} or {EXPORTED}")
    if path.stat().st_size > LIMITS[name]:
        raise WeightsError(f"{path}: larger than {LIMITS[name]} bytes")
    return path


def read_card(folder: Path) -> dict[str, Any]:
    """Read ``config.json`` of a model's folder: "plugin" (a string), "config" (a mapping), and more.

    Raises:
        WeightsError: the file is missing, too large or not valid JSON, or lacks one of these two.
    """
    path = model_file(folder, CONFIG)
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise WeightsError(f"{path}: not valid JSON ({error})") from None
    if not (isinstance(card, dict) and isinstance(card.get("plugin"), str) and isinstance(card.get("config"), dict)):
        raise WeightsError(f"{path}: must name the plugin (a text) and the config (a mapping)")
    return card


def document(
    plugin: str, config: Mapping[str, Any], extra: Mapping[str, Any] | None, brushwork: Brushwork | None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The content of ``config.json``, and what the header of the weights repeats, with the palette's table."""
    card = {"plugin": plugin, "config": dict(config), "artgan_version": version("artgan"), **(extra or {})}
    if brushwork is not None:
        card["brushwork"] = brushwork.to_card()
    about: dict[str, Any] = {key: card[key] for key in _ABOUT if key in card}
    if brushwork is not None and brushwork.palette is not None:
        about["palette"] = brushwork.palette.to_dict()
    return card, about


def config_file(card: Mapping[str, Any]) -> bytes:
    """The bytes of ``config.json``."""
    return (json.dumps(card, indent=2) + "\n").encode()


def save_model(
    folder: Path,
    generator: Generator,
    *,
    plugin: str,
    config: Mapping[str, Any],
    extra: Mapping[str, Any] | None = None,
    dtype: torch.dtype | None = None,
    brushwork: Brushwork | None = None,
    only: Collection[str] | None = None,
) -> None:
    """Write a generator as ``model.safetensors`` and ``config.json``; each file is written atomically.

    Args:
        folder: created if needed.
        generator: the generator whose state is written.
        plugin: the name of its plugin.
        config: the config that rebuilds it.
        extra: more keys for ``config.json``, as JSON types.
        dtype: dtype of the floating-point tensors in the file; None keeps theirs.
        brushwork: what the network paints over: its brush goes to ``config.json``, its palette into the header of the
            weights. None: the network paints photos as they are.
        only: the names of the entries of the state that are written, where ``extra`` names a base that has the others;
            None writes all.

    Raises:
        WeightsError: the folder cannot be written.
    """
    from safetensors.torch import save as save_safetensors

    card, about = document(plugin, config, extra, brushwork)
    state = {
        key: (value.to(dtype) if dtype and value.is_floating_point() else value).detach().cpu().contiguous()
        for key, value in generator.state_dict().items()
        if only is None or key in only
    }
    # A single key: safetensors writes several in an order that varies between files, and so would their hashes.
    metadata = {"artgan": json.dumps(about)}
    write_files(folder, {WEIGHTS: save_safetensors(state, metadata), CONFIG: config_file(card)})


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files atomically into a folder, which is created if necessary."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in files.items():
            with atomic_write(folder / name) as part:
                part.write_bytes(data)
    except OSError as error:
        raise WeightsError(f"{folder}: the model cannot be written here ({error.strerror})") from None
