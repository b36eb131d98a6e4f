"""A run's folder: its ``config.yaml``, and the record of each session."""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
import yaml
from accelerate import Accelerator

from artgan import config as configs
from artgan.data import PictureSet
from artgan.discovery import Plugin, find_plugins
from artgan.errors import TrainingError
from artgan.files import atomic_write
from artgan.training.options import TrainingOptions
from artgan.training.underpaint import Underpainter


def description(
    plugin: Plugin,
    config: Any,
    options: TrainingOptions,
    domains: Mapping[str, PictureSet],
    underpainter: Underpainter | None = None,
) -> dict[str, Any]:
    """The resolved configuration of a run, as written to ``config.yaml``; ``domains`` with the held-out pictures."""
    apart = {"held_out": options.held_out} if options.held_out else {}
    return {
        "plugin": plugin.name,
        "config": configs.to_dict(config),
        "training": configs.to_dict(options),
        "data": {
            name: {
                "folder": str(p.location),
                "pictures": len(p) - options.held_out,
                **apart,
                "fingerprint": p.fingerprint(),
            }
            for name, p in domains.items()
        },
        # As it was when the run began: the file or model that --underpaint names may change.
        **({"brushwork": underpainter.to_dict()} if underpainter else {}),
    }


def prepare_folder(
    out: Path, wanted: dict[str, Any], classes: Mapping[str, type], *, resume: bool, accelerator: Accelerator
) -> None:
    """Write ``config.yaml`` for a new run, or compare it for a resumed one, which may differ only in its length.

    Args:
        out: the run's folder.
        wanted: the result of :func:`description`.
        classes: the dataclass of each section; options added since the run began have their defaults.
        resume: whether the run is resumed.
        accelerator: of the run; all of its processes must call this.

    Raises:
        TrainingError: the folder is in use, holds a run with other options, or cannot be written.
        ConfigError: an option of the run no longer exists.
    """
    path = out / "config.yaml"
    if resume:
        stored = read_run_config(out)
        for section, new in wanted.items():
            old = stored.get(section, {})
            if section in classes:
                old = configs.to_dict(configs.parse(classes[section], old, where=f"{path}: {section}"))
            if section == "training":
                old |= {key: new[key] for key in ("steps", "epochs")}
            if old != new:
                raise TrainingError(f"{path}: cannot resume with another {section}: {_difference(old, new)}")
    try:
        if not resume and out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise TrainingError(f"{out}: is not a new or empty folder; give another -o, or --resume to continue")
        accelerator.wait_for_everyone()  # until all have checked
        if not accelerator.is_main_process:
            return
        out.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as part:
            part.write_text(yaml.safe_dump(wanted, sort_keys=False))
    except OSError as error:
        raise TrainingError(f"{out}: cannot write the run's folder: {error.strerror}") from None


def _difference(old: Any, new: Any) -> str:
    if isinstance(old, dict) and isinstance(new, dict):
        changed = [key for key in new if old.get(key) != new[key]]
        return ", ".join(f"{key} was {old.get(key)!r}, now {new[key]!r}" for key in changed) or "keys differ"
    return f"was {old!r}, now {new!r}"


def read_run_config(out: Path) -> dict[str, Any]:
    """The ``config.yaml`` of a run.

    Raises:
        TrainingError: it is missing or was not written by a run.
    """
    path = out / "config.yaml"
    try:
        stored = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise TrainingError(f"{path}: cannot read the run's configuration ({type(error).__name__})") from None
    if not isinstance(stored, dict) or not {"plugin", "config", "training", "data"} <= stored.keys():
        raise TrainingError(f"{path}: not a run's configuration")
    return stored


def session_line(
    plugin: Plugin, options: TrainingOptions, accelerator: Accelerator, done: int, steps: int
) -> dict[str, Any]:
    """The record of a session: a start or a resumption."""
    versions = {name: version(name) for name in ("artgan", "torch", "accelerate")}
    found = find_plugins().get(plugin.name)
    if found is not None:
        versions[found.distribution] = found.version
    on_gpu = accelerator.device.type == "cuda"
    return {
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "step": done,
        "steps": steps,
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "versions": {**versions, "python": platform.python_version()},
        "device": str(accelerator.device),
        "processes": accelerator.num_processes,
        "threads": torch.get_num_threads(),
        "machine": torch.cuda.get_device_name() if on_gpu else f"{platform.machine()}, {os.cpu_count()} cores",
        "precision": options.precision,
    }
