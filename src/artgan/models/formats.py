"""Formats of files with weights, told by names and first bytes: which can be converted, and what to do with the rest.

Free of torch.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

HEAD = 512
"""How many of a file's first bytes show its format."""

_SUFFIXES = {
    *(".pth", ".pt", ".pth.tar", ".tar", ".ckpt", ".bin", ".pkl", ".pickle", ".safetensors", ".npz"),
    *(".t7", ".h5", ".hdf5", ".keras", ".pb", ".onnx", ".index", ".tflite", ".weights", ".mlmodel", ".npy"),
}
_ARRAYS = 'save the arrays: np.savez("generator.npz", *generator.get_weights())'


def looks_like_weights(path: Path) -> bool:
    """Whether a name is usual for a file of weights, be there one or not."""
    return path.suffix.lower() in _SUFFIXES or ".data-0" in path.name


def convert_first(path: Path) -> str:
    """What is wrong with a file of weights in the place of a model, and what to do; begins with a verb."""
    folder = path.parent
    if path.name == "model.safetensors" and (folder / "config.json").is_file():
        return f"is one file of a model; name its folder: local-dir:{folder}"
    try:
        with path.open("rb") as file:
            reason = unconvertible(path, file.read(HEAD))
    except OSError:
        reason = None
    if reason is not None:
        return reason
    if not path.is_file():
        return "no such file; name a model by its registry name, local-dir:FOLDER or hf-hub:ORG/NAME"
    return (
        f"is a weights file, not a model; convert it first: artgan convert {shlex.quote(str(path))} --to FOLDER, "
        "then --model local-dir:FOLDER"
    )


def unconvertible(path: Path, head: bytes) -> str | None:
    """Why a file is in no format that artgan converts, and what to do; None if it may be in one.

    Args:
        path: its name.
        head: its first bytes, up to :data:`HEAD`.
    """
    if head.startswith((b"PK\x03\x04", b"\x80")) or head[8:9] == b"{":
        return None
    if not head:
        return "is empty"
    if head.startswith(b"version https://git-lfs"):
        return "is a Git LFS pointer, not the file itself; fetch that with git lfs pull"
    if head.lstrip().lower().startswith((b"<!doctype html", b"<html")):
        return "is a web page, so the download failed; fetch the file again"
    if head.startswith(b"\x89HDF\r\n"):
        return f"is HDF5, as Keras writes it; {_ARRAYS}"
    if re.match(rb"\x04\0\0\0.\0\0\0", head, re.DOTALL):
        return (
            "is a file of Lua Torch (.t7), which PyTorch no longer reads; the package torchfile does, and its arrays "
            "can be saved by np.savez or, as tensors by name, by torch.save"
        )
    if re.search(r"\.(index|data-\d{5}-of-\d{5})$", path.name):
        return f"is part of a TensorFlow checkpoint; restore it in TensorFlow, and {_ARRAYS}"
    if head.startswith(b"\x08\x01\x12"):
        return f"is a TensorFlow SavedModel; load it in TensorFlow, and {_ARRAYS}"
    if head.startswith(b"\x08") and head[2:3] in (b"\x12", b"\x1a", b":", b"B"):  # a version, then producer, graph ...
        return "is ONNX, a network without its weights' names; save its state_dict() where it was exported from"
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 4:  # else the text was cut within a character
            return "is neither PyTorch's, safetensors nor .npz; artgan converts these"
    return "is a text file, not weights"


def unconvertible_folder(folder: Path) -> str:
    """Why a folder cannot be converted, and what to do."""
    if (folder / "saved_model.pb").is_file():
        return f"is a TensorFlow SavedModel; load it in TensorFlow, and {_ARRAYS}"
    if (folder / "config.json").is_file() and (folder / "model.safetensors").is_file():
        return f"is a folder with a model.safetensors; if artgan made it, it is a model: local-dir:{folder}"
    return "is a folder; give the file of weights in it"
