"""Checkpoints: a folder with tensors as safetensors and everything else as JSON, written atomically.

A checkpoint has parts, which several processes may write at once: ``shared`` by the main one, ``process-N`` by each.
``manifest.json`` is written last and holds every file's sha256, so that any damage is detected.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from artgan.errors import TrainingError
from artgan.files import replace_durably, sha256

FORMAT = 2
_MANIFEST = "manifest.json"
_TENSOR = "$tensor"

_log = logging.getLogger(__name__)


def save(
    folder: Path,
    step: int,
    parts: Mapping[str, Mapping[str, Any]],
    *,
    keep: int,
    main: bool = True,
    wait: Callable[[], None] = lambda: None,
) -> Path:
    """Write the state of a run to ``folder/step-N``, which gets this name only when it is complete.

    Args:
        folder: of the run's checkpoints.
        step: steps done.
        parts: by name, the parts that this process adds: nested mappings and lists of JSON types and tensors.
        keep: how many of the newest checkpoints to keep; older ones are removed.
        main: whether this process completes the checkpoint; all processes must call this function.
        wait: a barrier, which returns when all processes have called it.
    """
    target = folder / f"step-{step:08d}"
    partial = folder / f".{target.name}.part"
    if main:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
    wait()
    for name, state in parts.items():
        tensors: dict[str, Tensor] = {}
        document = _flatten(state, "", tensors)
        save_file(tensors, partial / f"{name}.safetensors")
        (partial / f"{name}.json").write_text(json.dumps(document))
    wait()
    if main:
        files = {path.name: sha256(path) for path in sorted(partial.iterdir())}
        (partial / _MANIFEST).write_text(json.dumps({"format": FORMAT, "step": step, "files": files}))
        shutil.rmtree(target, ignore_errors=True)
        replace_durably(partial, target)
        for old in checkpoints(folder)[:-keep]:
            shutil.rmtree(old, ignore_errors=True)
    wait()
    return target


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoints of a run, oldest first."""
    return sorted(folder.glob("step-*"))


def newest(folder: Path) -> Path:
    """The newest intact checkpoint; damaged ones are skipped with a warning.

    Raises:
        TrainingError: there is none, all are damaged, or the newest was written by another version.
    """
    found = checkpoints(folder)
    if not found:
        raise TrainingError(f"{folder}: no checkpoint to resume from; start without --resume")
    problems: list[str] = []
    for path in reversed(found):
        problem = _problem(path)
        if problem is None:
            for damaged in problems:
                _log.warning("%s; resuming from %s, before it", damaged, path.name)
            return path
        problems.append(f"{path}: {problem}")
    raise TrainingError(f"{problems[0]}; no older checkpoint is intact, start again with another -o")


def load(path: Path, name: str) -> dict[str, Any]:
    """One part of a checkpoint found by :func:`newest`.

    Raises:
        TrainingError: the checkpoint does not have that part.
    """
    try:
        document = json.loads((path / f"{name}.json").read_text())
        restored: dict[str, Any] = _restore(document, load_file(path / f"{name}.safetensors"))
    except FileNotFoundError:
        raise TrainingError(f"{path}: has no part {name}") from None
    return restored


def step_of(path: Path) -> int:
    """The step after which a checkpoint was written."""
    return int(path.name.removeprefix("step-"))


def _problem(path: Path) -> str | None:
    """Why a checkpoint cannot be used, or None."""
    if not (path / _MANIFEST).exists() and (path / "state.json").exists():  # as format 1 was
        raise TrainingError(f"{path}: written by an older artgan, whose checkpoints this one cannot resume from")
    try:
        manifest = json.loads((path / _MANIFEST).read_text())
        if manifest["format"] != FORMAT:
            raise TrainingError(
                f"{path}: written by another version of artgan (format {manifest['format']}, this one reads {FORMAT})"
            )
        changed = [name for name, digest in manifest["files"].items() if sha256(path / name) != digest]
        if manifest["step"] != step_of(path):
            return "damaged checkpoint (renamed)"
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return f"damaged checkpoint ({type(error).__name__}: {error})"
    return f"damaged checkpoint ({changed[0]} is not what was written)" if changed else None


def _flatten(value: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    """``value`` as JSON types, with its tensors moved to ``tensors`` under their paths."""
    if isinstance(value, Tensor):
        # A copy: safetensors refuses tensors that share memory.
        tensors[name] = value.detach().cpu().contiguous().clone()
        return {_TENSOR: name}
    if isinstance(value, Mapping):
        items = [[key, _flatten(item, f"{name}/{key}", tensors)] for key, item in value.items()]
        return {"$items": items}  # as pairs: an optimizer's state has integer keys
    if isinstance(value, (list, tuple)):
        return [_flatten(item, f"{name}/{index}", tensors) for index, item in enumerate(value)]
    return value


def _restore(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    if isinstance(value, dict):
        if _TENSOR in value:
            # A copy, which begins where PyTorch's tensors do: tensors of a file begin anywhere, and on some processors
            # the rounding of a dot product depends on it.
            return tensors[value[_TENSOR]].clone()
        return {key: _restore(item, tensors) for key, item in value["$items"]}
    if isinstance(value, list):
        return [_restore(item, tensors) for item in value]
    return value
