"""Checkpoints: a folder with the tensors as safetensors and everything else as JSON, written beside and renamed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from artgan.errors import TrainingError

FORMAT = 1
_TENSOR = "$tensor"


def save(folder: Path, step: int, state: Mapping[str, Any], *, keep: int) -> Path:
    """Write ``state`` (nested mappings and lists of JSON types and tensors) as ``folder/step-N``.

    The folder appears under its name when it is complete. The ``keep`` newest stay, older ones are removed.
    """
    tensors: dict[str, Tensor] = {}
    document = {"format": FORMAT, "step": step, "state": _flatten(state, "", tensors)}
    target = folder / f"step-{step:08d}"
    partial = folder / f".{target.name}.part"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    save_file(tensors, partial / "tensors.safetensors")
    (partial / "state.json").write_text(json.dumps(document))
    shutil.rmtree(target, ignore_errors=True)
    partial.rename(target)
    for old in checkpoints(folder)[:-keep]:
        shutil.rmtree(old, ignore_errors=True)
    return target


def checkpoints(folder: Path) -> list[Path]:
    """The complete checkpoints of a run, oldest first."""
    return sorted(folder.glob("step-*"))


def load_newest(folder: Path) -> tuple[int, dict[str, Any]]:
    """The step and state of the newest checkpoint.

    Raises:
        TrainingError: there is none, it is damaged, or it was written by another version.
    """
    found = checkpoints(folder)
    if not found:
        raise TrainingError(f"{folder}: no checkpoint to resume from; start without --resume")
    newest = found[-1]
    try:
        document = json.loads((newest / "state.json").read_text())
        tensors = load_file(newest / "tensors.safetensors")
        if document["format"] != FORMAT:
            raise TrainingError(
                f"{newest}: written by another version of artgan (format {document['format']}, this one reads {FORMAT})"
            )
        return int(document["step"]), _restore(document["state"], tensors)
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise TrainingError(
            f"{newest}: damaged checkpoint ({error}); remove it to resume from the one before"
        ) from None


def _flatten(value: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    """``value`` as JSON types, its tensors moved to ``tensors`` under the path that leads to them."""
    if isinstance(value, Tensor):
        # A copy: safetensors refuses tensors that share memory.
        tensors[name] = value.detach().cpu().contiguous().clone()
        return {_TENSOR: name}
    if isinstance(value, Mapping):
        items = [[key, _flatten(item, f"{name}/{key}", tensors)] for key, item in value.items()]
        return {"$items": items}  # as pairs: an optimiser's state has whole numbers as keys
    if isinstance(value, (list, tuple)):
        return [_flatten(item, f"{name}/{index}", tensors) for index, item in enumerate(value)]
    return value


def _restore(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    if isinstance(value, dict):
        if _TENSOR in value:
            return tensors[value[_TENSOR]]
        return {key: _restore(item, tensors) for key, item in value["$items"]}
    if isinstance(value, list):
        return [_restore(item, tensors) for item in value]
    return value
