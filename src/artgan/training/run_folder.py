"""A run's folder: its ``config.yaml``, and the record of each session."""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Collection, Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
import yaml
from accelerate import Accelerator

from artgan import config as configs
from artgan.data import PictureSet, absolute, exists
from artgan.discovery import Plugin, find_plugins
from artgan.errors import TrainingError, WeightsError
from artgan.files import atomic_write
from artgan.models.folder import read_card
from artgan.training.options import TrainingOptions
from artgan.training.sets import RunSet, write_stored
from artgan.training.underpaint import Underpainter


def description(
    plugin: Plugin,
    config: Any,
    options: TrainingOptions,
    sets: Mapping[str, RunSet],
    held_out: Mapping[str, PictureSet],
    underpainter: Underpainter | None = None,
) -> dict[str, Any]:
    """The resolved configuration of a run, as written to ``config.yaml``.

    Args:
        plugin: the plugin.
        config: its config.
        options: of the run.
        sets: the pictures of each domain, with the held-out ones.
        held_out: the pictures that are never drawn, by domain.
        underpainter: of ``--underpaint``.
    """
    data: dict[str, dict[str, Any]] = {}
    for name, used in sets.items():
        location = used.pictures.location
        apart = {"held_out": len(held_out[name])} if name in held_out else {}
        data[name] = {
            "folder": str(location),
            "path": absolute(location),
            "pictures": len(used.pictures) - apart.get("held_out", 0),
            **apart,
            "fingerprint": used.fingerprint,
        }
    return {
        "plugin": plugin.name,
        "config": configs.to_dict(config),
        "training": configs.to_dict(options),
        "data": data,
        # As it was when the run began: the file or model that --underpaint names may change.
        **({"brushwork": underpainter.to_dict()} if underpainter else {}),
    }


def check_folder(
    out: Path,
    wanted: Mapping[str, Any],
    classes: Mapping[str, type],
    *,
    resume: bool,
    accelerator: Accelerator,
    may_change: Collection[str] | None = None,
) -> dict[str, tuple[Any, Any]]:
    """Check that a run may begin in a folder or, if it is resumed, that it may go on with these options.

    Args:
        out: the run's folder.
        wanted: the result of :func:`description`; the sets are compared elsewhere (:mod:`artgan.training.sets`).
        classes: the dataclass of each section; options added since the run began have their defaults.
        resume: whether the run is resumed.
        accelerator: of the run; all of its processes must call this.
        may_change: of the options declared ``resumable``, those that may differ; None: all.

    Returns:
        Options that change, with the old and the new value.

    Raises:
        TrainingError: the folder is in use or cannot be read, or an option has changed that must not.
        ConfigError: an option of the run no longer exists.
    """
    changed: dict[str, tuple[Any, Any]] = {}
    if resume:
        changed = _changed_options(out, wanted, classes, may_change)
    try:
        if not resume and out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise TrainingError(f"{out}: is not a new or empty folder; give another -o, or --resume to continue")
    except OSError as error:
        raise TrainingError(f"{out}: cannot read the run's folder: {error.strerror}") from None
    accelerator.wait_for_everyone()  # until all have checked
    return changed


def _changed_options(
    out: Path, wanted: Mapping[str, Any], classes: Mapping[str, type], may_change: Collection[str] | None
) -> dict[str, tuple[Any, Any]]:
    """The options that differ from those of a run, if it may be resumed with them."""
    path = out / "config.yaml"
    stored = read_run_config(out)
    for section in ("plugin", "brushwork"):
        if stored.get(section) != wanted.get(section):
            difference = _difference(stored.get(section), wanted.get(section))
            raise TrainingError(f"{path}: cannot resume with another {section}: {difference}")
    changed: dict[str, tuple[Any, Any]] = {}
    for section, cls in classes.items():
        old = configs.to_dict(configs.parse(cls, stored[section], where=f"{path}: {section}"))
        new = wanted[section]
        different = {name: (old[name], value) for name, value in new.items() if old[name] != value}
        free = configs.resumable_options(cls)
        free = free if may_change is None else free.intersection(may_change)
        fixed = {name: pair for name, pair in different.items() if name not in free}
        if fixed:
            was = ", ".join(f"--{name.replace('_', '-')} was {a!r}, now {b!r}" for name, (a, b) in fixed.items())
            why = ". The networks, their state or the pictures drawn depend on it; give another -o for a new run, with "
            why += f"--start-from local-dir:{out / 'model'} to go on from this one's model"
            raise TrainingError(
                f"{path}: cannot resume with another {section}: {was}{why if may_change is None else ''}"
            )
        changed |= different
    return changed


def is_complete(out: Path, steps: int) -> bool:
    """Whether a run has made all its steps: its model is the last one."""
    try:
        return bool(read_card(out / "model").get("step") == steps)
    except WeightsError:
        return False


def write_folder(
    out: Path, wanted: Mapping[str, Any], sets: Mapping[str, RunSet], held_out: Mapping[str, PictureSet]
) -> None:
    """Write ``config.yaml`` and the list of pictures; only the main process calls this.

    Raises:
        TrainingError: they cannot be written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        write_stored(out, sets, held_out)
        with atomic_write(out / "config.yaml") as part:
            part.write_text(yaml.safe_dump(wanted, sort_keys=False))
    except OSError as error:
        raise TrainingError(f"{out}: cannot write the run's folder: {error.strerror}") from None


def find_folders(stored: Mapping[str, Mapping[str, Any]], given: Mapping[str, str | Path]) -> dict[str, str | Path]:
    """Where the sets of a run are: as given now, else as they were given, from any working directory.

    Args:
        stored: the section ``data`` of a run's ``config.yaml``.
        given: locations by domain.

    Raises:
        TrainingError: a set of the run is no longer where it was.
    """
    folders = dict(given)
    for domain, known in stored.items():
        if domain in folders:
            continue
        places = [place for key in ("path", "folder") if (place := known.get(key)) is not None]
        found = next((place for place in places if exists(place)), None)
        if found is None and places:
            raise TrainingError(f"{places[0]}: no such folder or file; if the {domain} have moved, give --{domain} DIR")
        if found is not None:
            folders[domain] = found
    return folders


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
    if not all(isinstance(stored[section], dict) for section in ("config", "training", "data")) or not all(
        isinstance(domain, dict) for domain in stored["data"].values()
    ):
        raise TrainingError(f"{path}: not a run's configuration")
    if stored["training"].get("metrics_every_epochs") is not None:  # an older version stored the unused default too
        stored["training"].pop("metrics_every", None)
    return stored


def session_line(
    plugin: Plugin,
    options: TrainingOptions,
    accelerator: Accelerator,
    done: int,
    steps: int,
    *,
    sets: Mapping[str, RunSet],
    changed: Mapping[str, tuple[Any, Any]],
) -> dict[str, Any]:
    """The record of a session: a start or a resumption, with the options and pictures that change from its step on."""
    passed_over = {
        name: {found.what: found.count for found in used.pictures.passed_over}
        for name, used in sets.items()
        if used.pictures.passed_over
    }
    pictures = {name: asdict(used.change) for name, used in sets.items() if used.change}
    record = {"passed_over": passed_over, "changed": changed, "changed_pictures": pictures}
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
        **{name: value for name, value in record.items() if value},
    }
