"""The training loop: devices, precision, schedule, average, checkpoints, log and samples; a step is the plugin's."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import yaml
from accelerate import Accelerator
from safetensors import SafetensorError
from torch import Tensor
from torch.utils.data import DataLoader

from artgan import config as configs
from artgan import sheets
from artgan.data import Draws, PictureSet, open_pictures
from artgan.data.draws import centre_crop, to_pictures
from artgan.errors import TrainingError
from artgan.interfaces import Networks, Run, Trainer
from artgan.loading import save_model, usable_device
from artgan.plugin import Plugin, resolve
from artgan.progress import progress
from artgan.training import checkpoint
from artgan.training.ema import EMA
from artgan.training.journal import Journal
from artgan.training.options import TrainingOptions

_SHEET_COLUMNS = 8


def train(
    plugin: Plugin,
    config: Any,
    options: TrainingOptions,
    folders: Mapping[str, Path],
    out: Path,
    *,
    resume: bool = False,
) -> Path | None:
    """Train a plugin's networks and write the run's folder.

    ``out`` receives ``config.yaml``, ``log.jsonl``, ``tensorboard/``, ``samples/``, ``checkpoints/`` and, at each
    checkpoint, ``model/``: the averaged generator, loadable as ``local-dir:OUT/model``.

    Args:
        plugin: whose networks and trainer.
        config: an instance of the plugin's config dataclass.
        options: what all plugins share.
        folders: a folder of pictures for each of the plugin's domains.
        out: the run's folder; must be new or empty unless ``resume``.
        resume: go on from the newest checkpoint of ``out``; only ``steps`` or ``epochs`` may differ then, and the
            learning rates follow the schedule of the new length.

    Returns:
        The folder of the trained model; None if the run was interrupted (a checkpoint is written first).

    Raises:
        TrainingError: the run's folder is taken, differs from what is asked, or holds no good checkpoint;
            a loss that is not finite.
        PictureError: a folder without pictures, or a picture that cannot be read.
    """
    trainer_class: type[Trainer] = resolve(plugin, "trainer")
    domains = {name: open_pictures(folders[name]) for name in plugin.domains}
    steps = options.total_steps(max(len(pictures) for pictures in domains.values()))
    accelerator = _accelerator(options)
    _settle_run_folder(out, _description(plugin, config, options, domains), resume=resume)

    torch.manual_seed(options.seed)
    networks: Networks = resolve(plugin, "networks")(config)
    networks = Networks(
        {name: accelerator.prepare(network) for name, network in networks.generators.items()},
        {name: accelerator.prepare(network) for name, network in networks.discriminators.items()},
    )
    trainer = trainer_class(networks, config, Run(steps, accelerator.backward))
    trainer.optimizers = {name: accelerator.prepare(o) for name, o in trainer.optimizers.items()}
    base_rates = {name: [g["lr"] for g in o.param_groups] for name, o in trainer.optimizers.items()}
    ema = EMA(networks.generators, options.ema)
    run = _State(networks, trainer, ema)
    done = run.restore(out / "checkpoints") if resume else 0

    draws = Draws(domains, size=options.size, batch=options.batch, seed=options.seed, steps=steps, zoom=options.zoom)
    fixed = to_pictures(
        {name: _fixed_pictures(pictures, options.size) for name, pictures in domains.items()},
        accelerator.device,
    )
    journal = Journal(out, resumed_at=done, every=options.log_every)
    try:
        with _interrupts() as interrupted, progress("training", steps, done=done) as advance:
            for step, batch in enumerate(_batches(draws, done), start=done + 1):
                began = time.perf_counter()
                factor = options.learning_rate_factor(step - 1, steps)
                for name, optimizer in trainer.optimizers.items():
                    for group, rate in zip(optimizer.param_groups, base_rates[name], strict=True):
                        group["lr"] = rate * factor
                with accelerator.autocast():
                    losses = trainer.step(to_pictures(batch, accelerator.device), step - 1)
                _check_finite(losses, step)
                ema.update(networks.generators, step - 1)
                journal.add(step, losses, factor * next(iter(base_rates.values()))[0], time.perf_counter() - began)
                advance()
                if step % options.sample_every == 0 or step == steps:
                    with torch.no_grad():
                        rows = trainer.sample(fixed, ema.generators)
                    sheets.write_rows(rows, out / "samples" / f"step-{step:08d}.jpg")
                if step % options.checkpoint_every == 0 or step == steps or interrupted:
                    run.save(out / "checkpoints", step, keep=options.keep)
                    _save_models(out, plugin, config, ema, step)
                if interrupted and step < steps:
                    return None
    except (OSError, SafetensorError) as error:  # a full disk, say; what was written before is whole
        raise TrainingError(f"{out}: cannot be written ({error}); the last checkpoint is intact") from None
    finally:
        journal.close()
    return out / "model"


class _State:
    """All that a run must remember, as one checkpoint."""

    def __init__(self, networks: Networks, trainer: Trainer, ema: EMA) -> None:
        self.networks = {**_prefixed("generator", networks.generators)}
        self.networks |= _prefixed("discriminator", networks.discriminators)
        self.trainer = trainer
        self.ema = ema

    def save(self, folder: Path, step: int, *, keep: int) -> None:
        state = {
            "networks": {name: network.state_dict() for name, network in self.networks.items()},
            "optimizers": {name: o.state_dict() for name, o in self.trainer.optimizers.items()},
            "trainer": self.trainer.state_dict(),
            "ema": self.ema.state_dict(),
            "random": torch.get_rng_state(),
            "cuda_random": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        }
        checkpoint.save(folder, step, state, keep=keep)

    def restore(self, folder: Path) -> int:
        step, state = checkpoint.load_newest(folder)
        for name, network in self.networks.items():
            network.load_state_dict(state["networks"][name])
        for name, optimizer in self.trainer.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][name])
        self.trainer.load_state_dict(state["trainer"])
        self.ema.load_state_dict(state["ema"])
        torch.set_rng_state(state["random"])
        if state["cuda_random"]:
            torch.cuda.set_rng_state_all(state["cuda_random"])
        return step


def _prefixed(kind: str, networks: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{kind}/{name}": network for name, network in networks.items()}


def _description(
    plugin: Plugin, config: Any, options: TrainingOptions, domains: Mapping[str, PictureSet]
) -> dict[str, Any]:
    """The resolved configuration of a run, as ``config.yaml`` holds it."""
    return {
        "plugin": plugin.name,
        "config": configs.to_dict(config),
        "training": asdict(options),
        "data": {
            name: {"folder": str(p.location), "pictures": len(p), "fingerprint": p.fingerprint()}
            for name, p in domains.items()
        },
    }


def _settle_run_folder(out: Path, description: dict[str, Any], *, resume: bool) -> None:
    """A new run's folder gets its ``config.yaml``; a resumed run's must agree with it, but for how long it goes on."""
    path = out / "config.yaml"
    if resume:
        stored = read_run_config(out)
        for section, wanted in description.items():
            length = {key: wanted[key] for key in ("steps", "epochs")} if section == "training" else {}
            old = {**stored[section], **length} if length and isinstance(stored[section], dict) else stored[section]
            if old != wanted:
                raise TrainingError(f"{path}: cannot resume with another {section}: {_difference(old, wanted)}")
    try:
        if not resume and out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise TrainingError(f"{out}: is not a new or empty folder; give another -o, or --resume to go on")
        out.mkdir(parents=True, exist_ok=True)
        beside = path.with_suffix(".part")
        beside.write_text(yaml.safe_dump(description, sort_keys=False))
        beside.replace(path)
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
        TrainingError: it is missing or not what a run writes.
    """
    path = out / "config.yaml"
    try:
        stored = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise TrainingError(f"{path}: cannot read the run's configuration ({type(error).__name__})") from None
    if not isinstance(stored, dict) or not {"plugin", "config", "training", "data"} <= stored.keys():
        raise TrainingError(f"{path}: not a run's configuration")
    return stored


def _accelerator(options: TrainingOptions) -> Accelerator:
    device = usable_device(options.device)
    if device.index is not None:
        os.environ["ACCELERATE_TORCH_DEVICE"] = str(device)
    on_cpu = options.device is not None and device.type == "cpu"
    accelerator = Accelerator(cpu=on_cpu, mixed_precision=options.precision)
    if accelerator.num_processes > 1:
        raise TrainingError("training runs in one process for now; start it without accelerate launch")
    return accelerator


def _batches(draws: Draws, start: int) -> Iterator[dict[str, Tensor]]:
    """The batches from step ``start`` on; one worker decodes ahead where there is a core to spare."""
    workers = 1 if (os.cpu_count() or 1) > 1 else 0
    # A generator of its own: by default the loader would draw from the one that a resumed run must find as it was.
    own = torch.Generator()
    steps = range(start, draws.steps)
    return iter(DataLoader(draws, batch_size=None, sampler=steps, num_workers=workers, generator=own))


def _fixed_pictures(pictures: PictureSet, size: int) -> Tensor:
    """A few pictures, evenly over the folder, for the sample sheets."""
    count = min(_SHEET_COLUMNS, len(pictures))
    return torch.stack([centre_crop(pictures[i * len(pictures) // count], size) for i in range(count)])


def _check_finite(losses: Mapping[str, Tensor], step: int) -> None:
    bad = [name for name, loss in losses.items() if not torch.isfinite(loss)]
    if bad:
        raise TrainingError(
            f"step {step}: the loss {bad[0]} is no longer finite; the last checkpoint is intact. "
            "Start again with a smaller --lr, or without mixed precision"
        )


def _save_models(out: Path, plugin: Plugin, config: Any, ema: EMA, step: int) -> None:
    for index, (name, generator) in enumerate(ema.generators.items()):
        folder = out / ("model" if index == 0 else f"model-{name}")
        save_model(folder, generator, plugin=plugin.name, config=configs.to_dict(config), extra={"step": step})


@contextmanager
def _interrupts() -> Iterator[list[int]]:
    """Ctrl-C is noted in the list, to be acted on when a step is complete; a second one ends at once."""
    noted: list[int] = []
    if threading.current_thread() is not threading.main_thread():  # signals are the main thread's
        yield noted
        return

    def note(number: int, frame: Any) -> None:
        noted.append(number)
        signal.signal(signal.SIGINT, previous)

    previous = signal.signal(signal.SIGINT, note)
    try:
        yield noted
    finally:
        signal.signal(signal.SIGINT, previous)
