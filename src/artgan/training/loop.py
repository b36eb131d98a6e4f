"""The training loop: devices, processes, precision, schedule, average, checkpoints, log, samples and alarms.

What one step does is the plugin's.
"""

from __future__ import annotations

import logging
import os
import platform
import random
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from accelerate import Accelerator
from accelerate.utils import broadcast, broadcast_object_list
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
from artgan.plugin import Plugin, find_plugins, resolve
from artgan.progress import progress
from artgan.training import checkpoint
from artgan.training.ema import EMA
from artgan.training.health import Health
from artgan.training.journal import Journal
from artgan.training.options import TrainingOptions

_SHEET_COLUMNS = 8
_INSPECT_EVERY = 100  # steps; an inspection costs about as much as one
_INSPECTED = 4  # pictures
_REPORT_EVERY = 30.0  # seconds between two reports, at least

_log = logging.getLogger(__name__)


def train(
    plugin: Plugin,
    config: Any,
    options: TrainingOptions,
    folders: Mapping[str, str | Path],
    out: Path,
    *,
    resume: bool = False,
) -> Path | None:
    """Train a plugin's networks and write the run's folder.

    ``out`` receives ``config.yaml``, ``log.jsonl``, ``tensorboard/``, ``samples/``, ``checkpoints/``, ``report.html``
    and, at each checkpoint, ``model/``: the averaged generator, loadable as ``local-dir:OUT/model``.

    Started by ``accelerate launch`` as several processes, all of them call this with the same arguments; each draws
    pictures of its own, gradients are averaged, and ``out`` must be a folder that all of them see.

    Args:
        plugin: whose networks and trainer.
        config: an instance of the plugin's config dataclass.
        options: what all plugins share.
        folders: where the pictures of each of the plugin's domains are; see :func:`artgan.data.open_pictures`.
        out: the run's folder; must be new or empty unless ``resume``.
        resume: go on from the newest checkpoint of ``out``; only ``steps`` or ``epochs`` may differ then, and the
            learning rates follow the schedule of the new length.

    Returns:
        The folder of the trained model; None if the run was interrupted (a checkpoint is written first).

    Raises:
        TrainingError: the run's folder is taken, differs from what is asked, cannot be written, or holds no good
            checkpoint; the device cannot do what is asked; a loss that is not finite.
        PictureError: a folder without pictures, or a picture that cannot be read.
    """
    trainer_class: type[Trainer] = resolve(plugin, "trainer")
    domains = {name: open_pictures(folders[name]) for name in plugin.domains}
    accelerator = _accelerator(options)
    steps = options.total_steps(max(len(pictures) for pictures in domains.values()), accelerator.num_processes)
    torch.manual_seed(options.seed)
    networks = _build(plugin, config, options, accelerator.device)
    _check_size(networks, options.size)
    _settle_run_folder(out, _description(plugin, config, options, domains), resume=resume, accelerator=accelerator)

    minimiser = _Minimiser(accelerator)
    trainer = trainer_class(networks, config, Run(steps, minimiser))
    minimiser.take(trainer.optimizers)
    run = _Running(
        networks,
        trainer,
        EMA(networks.generators, options.ema),
        Journal(out, write=accelerator.is_main_process),
        accelerator,
    )
    if options.compile:
        _compile(networks)
    base_rates = {name: [group["lr"] for group in o.param_groups] for name, o in trainer.optimizers.items()}
    _seed(options.seed + accelerator.process_index)  # noise and dropout: each process its own
    done = run.restore(out / "checkpoints") if resume else 0

    rounds = trainer.rounds * options.accumulate  # batches of a step
    draws = Draws(
        domains,
        size=options.size,
        batch=options.batch,
        seed=options.seed,
        batches=steps * rounds,
        zoom=options.zoom,
        process=accelerator.process_index,
    )
    fixed = to_pictures(
        {name: _fixed_pictures(pictures, options.size) for name, pictures in domains.items()}, accelerator.device
    )
    batches = _batches(draws, done * rounds, options.workers, accelerator.device)
    report_due = time.monotonic()
    try:
        run.journal.begin(done)
        run.journal.begin_session(_session(plugin, options, accelerator, done, steps))
        with _interrupts() as interrupted, progress("training", steps, done=done) as advance:
            for step in range(done + 1, steps + 1):
                began = time.perf_counter()
                factor = options.learning_rate_factor(step - 1, steps)
                for name, optimizer in trainer.optimizers.items():
                    for group, rate in zip(optimizer.param_groups, base_rates[name], strict=True):
                        group["lr"] = rate * factor
                for index in range((step - 1) * trainer.rounds, step * trainer.rounds):
                    for _ in range(options.accumulate):
                        batch = to_pictures(next(batches), accelerator.device)
                        if options.channels_last:
                            batch = {n: p.contiguous(memory_format=torch.channels_last) for n, p in batch.items()}
                        with accelerator.accumulate(), accelerator.autocast():
                            run.journal.add(trainer.step(batch, index))
                run.share_buffers()
                run.ema.update(networks.generators, step - 1)
                run.journal.seconds.append(time.perf_counter() - began)
                advance()

                stopping = run.any(bool(interrupted))
                saving = step % options.checkpoint_every == 0 or step == steps or stopping
                line_due = step % options.log_every == 0 or step == steps
                if saving or line_due:
                    run.check_finite(step)
                if line_due:
                    run.log(step, {name: rates[0] * factor for name, rates in base_rates.items()})
                if step % _INSPECT_EVERY == 0:
                    run.inspect(step, fixed)
                if accelerator.is_main_process and (step % options.sample_every == 0 or step == steps):
                    run.draw_samples(fixed, out / "samples" / f"step-{step:08d}.jpg")
                if saving:
                    run.save(out / "checkpoints", step, keep=options.keep)
                    if accelerator.is_main_process:
                        _save_models(out, plugin, config, run.ema, step)
                        if step == steps or stopping or time.monotonic() > report_due:
                            _write_report(out)
                            report_due = time.monotonic() + _REPORT_EVERY
                    accelerator.wait_for_everyone()
                if stopping and step < steps:
                    return None
    except (OSError, SafetensorError) as error:  # a full disk, say; what was written before is whole
        raise TrainingError(f"{out}: cannot be written ({error}); the last checkpoint is intact") from None
    finally:
        run.journal.close()
    return out / "model"


class _Minimiser:
    """:class:`artgan.interfaces.Minimise` with loss scaling, accumulation, and gradients averaged over processes.

    The average is taken here and not by wrapping networks (DDP): in a GAN's step a network takes part in
    several losses, and in some without a gradient of its own, which the wrapper cannot know.
    """

    def __init__(self, accelerator: Accelerator) -> None:
        self.accelerator = accelerator
        self.optimizers: dict[int, Any] = {}
        self.gated: dict[int, list[Tensor]] = {}

    def take(self, optimizers: Mapping[str, torch.optim.Optimizer]) -> None:
        """The optimisers that will be stepped."""
        self.optimizers = {id(o): self.accelerator.prepare_optimizer(o) for o in optimizers.values()}

    def __call__(
        self, loss: Tensor, optimizer: torch.optim.Optimizer, *, gate: tuple[Tensor, float] | None = None
    ) -> None:
        parameters = [p for group in optimizer.param_groups for p in group["params"] if p.requires_grad]
        self.accelerator.backward(loss, inputs=parameters)
        figures = self.gated.setdefault(id(optimizer), [])
        if gate is not None:
            figures.append(gate[0].detach())
        if not self.accelerator.sync_gradients:
            return
        shut = gate is not None and float(self._mean(torch.stack(figures).mean())) < gate[1]
        if not shut:
            self._average([p.grad for p in parameters if p.grad is not None])
            self.optimizers[id(optimizer)].step()
        optimizer.zero_grad()
        figures.clear()

    def _average(self, gradients: list[Tensor]) -> None:
        if self.accelerator.num_processes > 1:
            flat = self._mean(torch.cat([gradient.flatten() for gradient in gradients]))
            _spread(flat, gradients)

    def _mean(self, tensor: Tensor) -> Tensor:
        mean: Tensor = self.accelerator.reduce(tensor, "mean")
        return mean


class _Running:
    """The moving parts of a run, and what is done with all of them: remembered, looked at, written."""

    def __init__(
        self, networks: Networks, trainer: Trainer, ema: EMA, journal: Journal, accelerator: Accelerator
    ) -> None:
        self.generators = networks.generators
        self.networks = _prefixed("generator", networks.generators)
        self.networks |= _prefixed("discriminator", networks.discriminators)
        self.trainer = trainer
        self.ema = ema
        self.journal = journal
        self.health = Health()
        self.accelerator = accelerator
        self.buffers = [
            buffer
            for network in self.networks.values()
            for name, buffer in network.named_buffers()
            if buffer.is_floating_point() and name in network.state_dict()
        ]

    def save(self, folder: Path, step: int, *, keep: int) -> None:
        """Write a checkpoint; all processes take part."""
        accelerator = self.accelerator
        own = {
            "trainer": self.trainer.state_dict(),
            "journal": self.journal.state_dict(),
            "random": _random_state(),
        }
        parts: dict[str, Any] = {f"process-{accelerator.process_index}": own}
        if accelerator.is_main_process:
            parts["shared"] = {
                "processes": accelerator.num_processes,
                "networks": {name: network.state_dict() for name, network in self.networks.items()},
                "optimizers": {name: o.state_dict() for name, o in self.trainer.optimizers.items()},
                "ema": self.ema.state_dict(),
                "scaler": accelerator.scaler.state_dict() if accelerator.scaler is not None else {},
                "health": self.health.state_dict(),
            }
        checkpoint.save(
            folder, step, parts, keep=keep, main=accelerator.is_main_process, wait=accelerator.wait_for_everyone
        )

    def restore(self, folder: Path) -> int:
        """Take back the newest checkpoint that is whole; returns its step."""
        accelerator = self.accelerator
        found: list[Any] = [checkpoint.newest(folder)] if accelerator.is_main_process else [None]
        if accelerator.num_processes > 1:
            broadcast_object_list(found)
        state = checkpoint.load(found[0], "shared")
        if state["processes"] != accelerator.num_processes:
            raise TrainingError(
                f"{found[0]}: of a run in {state['processes']} processes, which draw other pictures than "
                f"{accelerator.num_processes} would; resume with as many"
            )
        for name, network in self.networks.items():
            network.load_state_dict(state["networks"][name])
        for name, optimizer in self.trainer.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][name])
        self.ema.load_state_dict(state["ema"])
        if accelerator.scaler is not None:
            accelerator.scaler.load_state_dict(state["scaler"])
        self.health.load_state_dict(state["health"])
        own = checkpoint.load(found[0], f"process-{accelerator.process_index}")
        self.trainer.load_state_dict(_moved(own["trainer"], accelerator.device))
        self.journal.load_state_dict(own["journal"], accelerator.device)
        _set_random_state(own["random"])
        return checkpoint.step_of(found[0])

    def share_buffers(self) -> None:
        """Running statistics and the like are the main process's: without this, each would have its own."""
        if self.accelerator.num_processes > 1 and self.buffers:
            flat = broadcast(torch.cat([buffer.flatten().float() for buffer in self.buffers]))
            _spread(flat, self.buffers)

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process."""
        if self.accelerator.num_processes == 1:
            return flag
        return bool(self.accelerator.reduce(torch.tensor(float(flag), device=self.accelerator.device), "sum"))

    def figures(self) -> dict[str, float]:
        """The mean of each figure since the last line of the log, over all processes."""
        means = self.journal.means()
        together = self.accelerator.reduce(torch.stack(list(means.values())), "mean") if means else []
        return {name: float(value) for name, value in zip(means, together, strict=True)}

    def check_finite(self, step: int) -> None:
        """End the run before anything that is not finite is saved."""
        bad = [name for name, figure in self.figures().items() if not np.isfinite(figure)]
        if bad:
            self._tell(step, self.health.observe(step, self.figures()))
            raise TrainingError(
                f"step {step}: the loss {bad[0]} is no longer finite; the last checkpoint is intact. "
                "Start again with a smaller --lr, or without mixed precision"
            )

    def log(self, step: int, rates: Mapping[str, float]) -> None:
        """Write a line of the log, and tell what it says of the run's health."""
        figures = self.figures()
        self.journal.line(step, figures, rates)
        self._tell(step, self.health.observe(step, figures))

    def inspect(self, step: int, fixed: Mapping[str, Tensor]) -> None:
        """Look at what the generators make."""
        few = {name: pictures[:_INSPECTED] for name, pictures in fixed.items()}
        for generator in self.generators.values():
            generator.eval()
        with _own_random_state(), torch.no_grad(), self.accelerator.autocast():
            outputs = self.trainer.outputs(few, self.generators)
        for generator in self.generators.values():
            generator.train()
        self._tell(step, self.health.inspect(step, outputs))

    def draw_samples(self, fixed: Mapping[str, Tensor], path: Path) -> None:
        """Write a sheet of what the averaged generators make."""
        with _own_random_state(), torch.no_grad():
            rows = self.trainer.sample(fixed, self.ema.generators)
        sheets.write_rows(rows, path)

    def _tell(self, step: int, alarms: Any) -> None:
        for alarm in alarms:
            self.journal.append("health", asdict(alarm))
            if self.accelerator.is_main_process:
                _log.warning("artgan: step %d: %s", step, alarm.message)


def _build(plugin: Plugin, config: Any, options: TrainingOptions, device: torch.device) -> Networks:
    networks: Networks = resolve(plugin, "networks")(config)
    for network in (*networks.generators.values(), *networks.discriminators.values()):
        network.to(device)
        if options.channels_last:
            network.to(memory_format=torch.channels_last)
    return networks


def _spread(flat: Tensor, tensors: list[Tensor]) -> None:
    """Copy one flat tensor into several, one after the other."""
    start = 0
    for tensor in tensors:
        tensor.copy_(flat[start : start + tensor.numel()].view_as(tensor))
        start += tensor.numel()


def _check_size(networks: Networks, size: int) -> None:
    sizes = [g.minimum_size for g in networks.generators.values()]
    least = max(sizes + [d.minimum_size for d in networks.discriminators.values()])
    if size < least:
        raise TrainingError(f"--size {size}: these networks need pictures of at least {least} x {least} pixels")
    stride = max(generator.stride for generator in networks.generators.values())
    if size % stride:
        raise TrainingError(f"--size {size}: these networks need a multiple of {stride}")


def _compile(networks: Networks) -> None:
    """In place, and after the averages are copied from them."""
    for generator in networks.generators.values():
        generator.compile()
    for discriminator in networks.discriminators.values():
        for part in ("observe", "judge"):
            setattr(discriminator, part, torch.compile(getattr(discriminator, part)))


def _seed(seed: int) -> None:
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed % 2**32)


def _random_state() -> dict[str, Any]:
    kind, keys, position, has_gauss, gauss = np.random.get_state()
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "python": random.getstate(),
        "numpy": [kind, [int(key) for key in keys], position, has_gauss, gauss],
    }


def _set_random_state(state: Mapping[str, Any]) -> None:
    torch.set_rng_state(state["torch"])
    if state["cuda"]:
        torch.cuda.set_rng_state_all(state["cuda"])
    kind, internal, gauss = state["python"]
    random.setstate((kind, tuple(internal), gauss))
    np.random.set_state(tuple(state["numpy"]))


@contextmanager
def _own_random_state() -> Iterator[None]:
    """What happens inside draws nothing from the run."""
    state = _random_state()
    try:
        yield
    finally:
        _set_random_state(state)


def _moved(value: Any, device: torch.device) -> Any:
    """A nested state with its tensors on a device."""
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, dict):
        return {key: _moved(item, device) for key, item in value.items()}
    if isinstance(value, list):
        return [_moved(item, device) for item in value]
    return value


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


def _session(
    plugin: Plugin, options: TrainingOptions, accelerator: Accelerator, done: int, steps: int
) -> dict[str, Any]:
    """What a start or a resumption is noted with."""
    distribution = find_plugins()[plugin.name].distribution if plugin.name in find_plugins() else None
    versions = {name: version(name) for name in ("artgan", distribution, "torch", "accelerate") if name}
    on_gpu = accelerator.device.type == "cuda"
    return {
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


def _write_report(out: Path) -> None:
    """The run goes on if its report cannot be made."""
    from artgan.reports.run import write_run_report

    try:
        write_run_report(out)
    except Exception as error:  # whatever a plot or a picture may raise
        _log.warning("artgan: %s: the report could not be made (%s: %s)", out, type(error).__name__, error)


def _settle_run_folder(out: Path, description: dict[str, Any], *, resume: bool, accelerator: Accelerator) -> None:
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
        accelerator.wait_for_everyone()  # all have looked
        if not accelerator.is_main_process:
            return
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
    several = int(os.environ.get("WORLD_SIZE", "1")) > 1
    if device.index is not None:
        if several:
            raise TrainingError(f"--device {device}: several processes cannot share one; leave it to accelerate launch")
        os.environ["ACCELERATE_TORCH_DEVICE"] = str(device)
    on_cpu = options.device is not None and device.type == "cpu"
    _check_precision(options.precision, on_cpu or not _gpu_for_training())
    return Accelerator(cpu=on_cpu, mixed_precision=options.precision, gradient_accumulation_steps=options.accumulate)


def _gpu_for_training() -> bool:
    return (torch.cuda.is_available() or torch.backends.mps.is_available()) and not _true("ACCELERATE_USE_CPU")


def _true(variable: str) -> bool:
    return os.environ.get(variable, "").lower() in ("1", "true", "yes", "on")


def _check_precision(precision: str, on_cpu: bool) -> None:
    if on_cpu and precision == "fp16":
        raise TrainingError("--precision fp16 needs a GPU; on a CPU leave it out")
    if on_cpu and precision == "bf16" and not _cpu_has_bf16():
        raise TrainingError(
            "--precision bf16: this CPU has no bf16 instructions, and would be some hundred times slower; leave it out"
        )
    if not on_cpu and precision == "bf16" and torch.cuda.is_available() and not torch.cuda.is_bf16_supported():
        raise TrainingError(f"--precision bf16: {torch.cuda.get_device_name()} does not have it; take fp16")


def _cpu_has_bf16() -> bool:
    if platform.machine().lower() in ("x86_64", "amd64"):
        known = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
        return any(getattr(torch.cpu, name, lambda: False)() for name in known)
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _batches(draws: Draws, start: int, workers: int | None, device: torch.device) -> Iterator[dict[str, Tensor]]:
    """The batches from number ``start`` on, decoded ahead by other processes where there are cores to spare."""
    cores = os.cpu_count() or 1
    if workers is None:
        workers = min(8, cores) if device.type == "cuda" else int(cores > 1)
    # A generator of its own: by default the loader would draw from the one that a resumed run must find as it was.
    own = torch.Generator()
    loader = DataLoader(
        draws,
        batch_size=None,
        sampler=range(start, draws.batches),
        num_workers=workers,
        generator=own,
        pin_memory=device.type == "cuda",
    )
    return iter(loader)


def _fixed_pictures(pictures: PictureSet, size: int) -> Tensor:
    """A few pictures, evenly over the folder, for the sample sheets."""
    count = min(_SHEET_COLUMNS, len(pictures))
    return torch.stack([centre_crop(pictures[i * len(pictures) // count], size) for i in range(count)])


def _save_models(out: Path, plugin: Plugin, config: Any, ema: EMA, step: int) -> None:
    for index, (name, generator) in enumerate(ema.generators.items()):
        folder = out / ("model" if index == 0 else f"model-{name}")
        save_model(folder, generator, plugin=plugin.name, config=configs.to_dict(config), extra={"step": step})


@contextmanager
def _interrupts() -> Iterator[list[int]]:
    """Ctrl-C and SIGTERM are noted in the list, to be acted on when a step is complete; a second one ends at once."""
    noted: list[int] = []
    if threading.current_thread() is not threading.main_thread():  # signals are the main thread's
        yield noted
        return

    def note(number: int, frame: Any) -> None:
        noted.append(number)
        for kind, handler in previous.items():
            signal.signal(kind, handler)

    previous: dict[signal.Signals, Any] = {}
    for kind in (signal.SIGINT, signal.SIGTERM):
        previous[kind] = signal.signal(kind, note)
    try:
        yield noted
    finally:
        for kind, handler in previous.items():
            signal.signal(kind, handler)
