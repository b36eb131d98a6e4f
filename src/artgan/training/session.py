"""The state of a run: networks, optimizers, average, log and alarms, in one or several processes."""

from __future__ import annotations

import copy
import logging
import math
import shutil
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from textwrap import shorten
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast, broadcast_object_list
from torch import Tensor

from artgan import sheets
from artgan.config import to_dict
from artgan.data.crops import to_pictures
from artgan.discovery import Plugin, resolve
from artgan.errors import TrainingError
from artgan.interfaces import Generator, Networks, Run, Trainer
from artgan.models.folder import save_model
from artgan.models.loading import load_torch_model
from artgan.training import checkpoint
from artgan.training.best import Best
from artgan.training.ema import EMA
from artgan.training.health import Health
from artgan.training.journal import Journal
from artgan.training.minimize import RunMinimize, spread
from artgan.training.options import TrainingOptions
from artgan.training.randomness import own_random_state, random_state, seed_all, set_random_state
from artgan.training.scores import Scores
from artgan.training.underpaint import Underpainter

_INSPECTED = 4  # pictures

_log = logging.getLogger(__name__)


class Session:
    """The state of a run, with methods that step, save and restore, inspect, and log it."""

    def __init__(
        self,
        plugin: Plugin,
        config: Any,
        options: TrainingOptions,
        steps: int,
        accelerator: Accelerator,
        out: Path,
        underpainter: Underpainter | None = None,
    ) -> None:
        self.options = options
        self.steps = steps
        self.done = 0
        self._refreshed = False
        self.accelerator = accelerator
        self.is_main = accelerator.is_main_process
        torch.manual_seed(options.seed)
        networks = _build(plugin, config, options, accelerator.device)
        minimize = RunMinimize(accelerator)
        self.trainer: Trainer = resolve(plugin, "trainer")(networks, config, Run(steps, minimize))
        minimize.take(self.trainer.optimizers)
        self._built_by = networks.built_by or (plugin.name, to_dict(config))
        self._target = plugin.target_domain
        self._training: Mapping[str, Any] = {}
        self._brushwork = None if underpainter is None else underpainter.brushwork
        self.generators = networks.generators
        self.networks = _prefixed("generator", networks.generators)
        self.networks |= _prefixed("discriminator", networks.discriminators)
        self.ema = EMA(networks.generators, options.ema)
        self.journal = Journal(out, write=self.is_main)
        self.health = Health(plugin.remedies)
        self.best = Best()
        self.base_rates = {
            name: [group["lr"] for group in optimizer.param_groups]
            for name, optimizer in self.trainer.optimizers.items()
        }
        self.buffers = [
            buffer
            for network in self.networks.values()
            for name, buffer in network.named_buffers()
            if buffer.is_floating_point() and name in network.state_dict()
        ]
        if options.compile:
            _compile(networks)
        seed_all(options.seed + accelerator.process_index)  # each process has its own noise and dropout

    @property
    def batches_per_step(self) -> int:
        """How many batches :meth:`step` uses."""
        return self.trainer.rounds * self.options.accumulate

    def describe(self, run: Mapping[str, Any]) -> None:
        """Tell what the cards of models say of their training, by the run's ``config.yaml``; no folder is named."""
        told = {key: run["training"][key] for key in ("batch", "size", "seed")}
        data = {name: {key: domain[key] for key in ("pictures", "fingerprint")} for name, domain in run["data"].items()}
        self._training = {**told, "data": data}

    def step(self, step: int, batches: Iterator[Mapping[str, Tensor]]) -> None:
        """Do one step, counted from 1, on the pictures of the next batches (uint8, from :class:`Draws`)."""
        began, self.done, self._refreshed = time.perf_counter(), step, False
        factor = self.options.learning_rate_factor(step - 1, self.steps)
        for name, optimizer in self.trainer.optimizers.items():
            for group, rate in zip(optimizer.param_groups, self.base_rates[name], strict=True):
                group["lr"] = rate * factor
        rounds = self.trainer.rounds
        for index in range((step - 1) * rounds, step * rounds):
            for _ in range(self.options.accumulate):
                batch = to_pictures(next(batches), self.accelerator.device)
                if self.options.channels_last:
                    batch = {n: p.contiguous(memory_format=torch.channels_last) for n, p in batch.items()}
                with self.accelerator.accumulate(), self.accelerator.autocast():
                    self.journal.add(self.trainer.step(batch, index))
        self._share_buffers()
        self.ema.update(self.generators, step - 1)
        self.journal.seconds.append(time.perf_counter() - began)

    def start_from(self, name: str) -> None:
        """Begin with a model's weights in the first generator and its average.

        Raises:
            ArtganError: there is no such model, or its network is a different one.
        """
        trained = load_torch_model(name).generator
        first = next(iter(self.generators))
        try:
            self.generators[first].start_from(trained)
        except RuntimeError as error:
            why = shorten(str(error).rpartition("\n")[2], 160, placeholder=" ...")  # the last of all that PyTorch lists
            raise TrainingError(
                f"--start-from {name}: its network is not the one that these options build ({why})"
            ) from error
        self.ema.generators[first].load_state_dict(self.generators[first].state_dict())

    def begin(self, done: int, line: Mapping[str, Any]) -> None:
        """Open the log after ``done`` steps, with a line about this session."""
        self.done = done
        self.journal.begin(done)
        self.journal.append("sessions", line)

    def _averaged(self) -> Mapping[str, Generator]:
        """The averaged generators, as they are saved, scored and drawn from."""
        if not self._refreshed:
            self.trainer.refresh(self.ema.generators)
            self._refreshed = True
        return self.ema.generators

    def close(self) -> None:
        """Close the log."""
        self.journal.close()

    def wait(self) -> None:
        """Wait for all processes."""
        self.accelerator.wait_for_everyone()

    def save_models(self, out: Path, step: int, *, name: str = "model") -> None:
        """Write the first averaged generator to ``out / name``, and the others to ``NAME-GENERATOR`` next to it.

        Their cards say what they were trained on, and hold the run's last scores.
        """
        facts = {"step": step, "training": {"steps": step, **self._training}, "metrics": self.journal.last_scores()}
        self._save(self._folders(out, name), self._averaged(), {key: value for key, value in facts.items() if value})

    def save_best(self, out: Path) -> None:
        """Make ``out / "best"`` (and the folders next to it) what :attr:`best` holds: its models, or nothing.

        A resumed run also calls this: it may have been killed after it wrote the best model of a later step.
        """
        folders = self._folders(out, "best")
        if self.best.score is None:
            for folder in folders.values():
                shutil.rmtree(folder, ignore_errors=True)
            return
        models = {name: copy.deepcopy(generator) for name, generator in self.ema.generators.items()}
        for name, model in models.items():
            model.load_state_dict(self.best.models[name])
        name, value = self.best.score
        about = {"training": {"steps": self.best.step, **self._training}}
        self._save(folders, models, {"step": self.best.step, "score": {name: value}, **about})

    def _folders(self, out: Path, name: str) -> dict[str, Path]:
        """Where each generator is written: the first to ``out / name``."""
        return {
            other: out / (name if index == 0 else f"{name}-{other}") for index, other in enumerate(self.ema.generators)
        }

    def _save(self, folders: Mapping[str, Path], generators: Mapping[str, Generator], extra: Mapping[str, Any]) -> None:
        plugin, config = self._built_by
        for name, folder in folders.items():
            # Only the generator of the target paints over strokes.
            brushwork = self._brushwork if name == self._target else None
            save_model(folder, generators[name], plugin=plugin, config=config, extra=extra, brushwork=brushwork)

    def save(self, folder: Path, step: int) -> None:
        """Write a checkpoint; all processes take part."""
        accelerator = self.accelerator
        own = {
            "trainer": self.trainer.state_dict(),
            "journal": self.journal.state_dict(),
            "random": random_state(),
        }
        parts: dict[str, Any] = {f"process-{accelerator.process_index}": own}
        if self.is_main:
            parts["shared"] = {
                "processes": accelerator.num_processes,
                "networks": {name: network.state_dict() for name, network in self.networks.items()},
                "optimizers": {name: o.state_dict() for name, o in self.trainer.optimizers.items()},
                "ema": self.ema.state_dict(),
                "scaler": accelerator.scaler.state_dict() if accelerator.scaler is not None else {},
                "health": self.health.state_dict(),
                "keep_best": self.options.keep_best,
            }
            if self.options.keep_best is not None:
                parts["best"] = self.best.state_dict()
        checkpoint.save(folder, step, parts, keep=self.options.keep, main=self.is_main, wait=self.wait)

    def restore(self, folder: Path, changed: Collection[str] = ()) -> int:
        """Restore the newest intact checkpoint; return its step, or 0 if the run has none yet.

        Args:
            folder: of the run's checkpoints.
            changed: options with another value than when it was written.

        Raises:
            TrainingError: there is no intact checkpoint, or it is of other networks or another number of processes.
        """
        accelerator = self.accelerator
        if not checkpoint.checkpoints(folder):
            return 0
        found: list[Any] = [checkpoint.newest(folder)] if self.is_main else [None]
        if accelerator.num_processes > 1:
            broadcast_object_list(found)
        state = checkpoint.load(found[0], "shared")
        if state["processes"] != accelerator.num_processes:
            raise TrainingError(
                f"{found[0]}: from a run in {state['processes']} processes, which draw other pictures than "
                f"{accelerator.num_processes} would; resume with as many"
            )
        try:
            self._restore_networks(state)
            own = checkpoint.load(found[0], f"process-{accelerator.process_index}")
            self.trainer.load_state_dict(_moved(own["trainer"], accelerator.device))
        except (KeyError, RuntimeError, ValueError):
            if not changed:
                raise
            raise TrainingError(
                f"{found[0]}: cannot resume with another {', '.join(sorted(changed))}: the networks, or the trainer's "
                "state, would not be those of the run"
            ) from None
        self.health.load_state_dict(state["health"])
        self.journal.load_state_dict(own["journal"], accelerator.device)
        if self.is_main and self.options.keep_best is not None and state.get("keep_best") == self.options.keep_best:
            self.best.load_state_dict(checkpoint.load(found[0], "best"))
        set_random_state(own["random"])
        return checkpoint.step_of(found[0])

    def _restore_networks(self, state: Mapping[str, Any]) -> None:
        """Load networks, optimizers and averages; optimizers keep the hyperparameters that their options set.

        Raises:
            KeyError, RuntimeError, ValueError: they are others than the checkpoint's.
        """
        for kind, own in (("networks", self.networks), ("optimizers", self.trainer.optimizers)):
            if state[kind].keys() != own.keys():
                raise KeyError(kind)
        for name, network in self.networks.items():
            network.load_state_dict(state["networks"][name])
        for name, optimizer in self.trainer.optimizers.items():
            hyperparameters = [{**group, "params": None} for group in optimizer.param_groups]
            optimizer.load_state_dict(state["optimizers"][name])
            for group, own_values in zip(optimizer.param_groups, hyperparameters, strict=True):
                group |= {key: value for key, value in own_values.items() if key != "params"}
            _arrange_as_parameters(optimizer)
        self.ema.load_state_dict(state["ema"])
        if self.accelerator.scaler is not None and state["scaler"]:  # none if the precision was another
            self.accelerator.scaler.load_state_dict(state["scaler"])

    def _share_buffers(self) -> None:
        """Copy running statistics and other buffers from the main process: otherwise each would have its own."""
        if self.accelerator.num_processes > 1 and self.buffers:
            flat = broadcast(torch.cat([buffer.flatten().float() for buffer in self.buffers]))
            spread(flat, self.buffers)

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process."""
        if self.accelerator.num_processes == 1:
            return flag
        return bool(self.accelerator.reduce(torch.tensor(float(flag), device=self.accelerator.device), "sum"))

    def figures(self) -> dict[str, float]:
        """The mean of each loss since the last line of the log, over all processes."""
        means = self.journal.means()
        together = self.accelerator.reduce(torch.stack(list(means.values())), "mean") if means else []
        return {name: float(value) for name, value in zip(means, together, strict=True)}

    def check_finite(self, step: int) -> None:
        """Stop the run before non-finite values are saved.

        Raises:
            TrainingError: a loss or a weight is not finite.
        """
        figures = self.figures()
        bad = [f"the loss {name}" for name, figure in figures.items() if not math.isfinite(figure)]
        for name, network in self.networks.items():
            if not all(bool(parameter.isfinite().all()) for parameter in network.parameters()):
                bad.append(f"a weight of the {name.replace('/', ' ')}")
        if bad:
            self._report(step, self.health.observe(step, figures))
            raise TrainingError(
                f"step {step}: {bad[0]} is no longer finite; the last checkpoint is intact. "
                "Start again with a smaller --lr, or without mixed precision"
            )

    def log(self, step: int) -> None:
        """Write a line of the log, and report alarms about the run's health."""
        figures = self.figures()
        self.journal.line(step, figures, self._rates())
        self._report(step, self.health.observe(step, figures))

    def log_stop(self, step: int) -> None:
        """Write a line of the log about the steps since the last one, which the run, once resumed, replaces."""
        figures = self.figures()
        if figures:
            self.journal.line(step, figures, self._rates(), stop=True)

    def _rates(self) -> dict[str, float]:
        return {name: optimizer.param_groups[0]["lr"] for name, optimizer in self.trainer.optimizers.items()}

    def inspect(self, step: int, fixed: Mapping[str, Tensor]) -> None:
        """Check the generators' outputs for a few fixed pictures, and report alarms."""
        few = {name: pictures[:_INSPECTED] for name, pictures in fixed.items()}
        for generator in self.generators.values():
            generator.eval()
        with own_random_state(), torch.no_grad(), self.accelerator.autocast():
            outputs = self.trainer.outputs(few, self.generators)
        for generator in self.generators.values():
            generator.train()
        self._report(step, self.health.inspect(step, outputs))

    def draw_samples(self, fixed: Mapping[str, Tensor], path: Path) -> None:
        """Write a sample sheet of the averaged generators."""
        with own_random_state(), torch.no_grad():
            rows = self.trainer.sample(fixed, self._averaged())
        sheets.write_rows(rows, path)

    def take_scores(self, step: int, scores: Scores, out: Path, *, stop: bool = False) -> None:
        """Compute the metrics of the averaged generators, and keep these in ``out / "best"`` if they are the best.

        A metric that fails is logged, and the run continues. Scores of a run that is stopped between two that are due
        are shown, and decide nothing: the run, once resumed, is as if it had not been stopped.
        """
        with own_random_state():
            taken = scores.take(self.trainer, self._averaged())
        for name, why in taken.failed.items():
            _log.warning("artgan: step %d: no score %s (%s)", step, name, why)
        if found := taken.scores:
            line: dict[str, Any] = {"step": step, "metrics": {name: score.value for name, score in found.items()}}
            line["n"] = {name: score.n for name, score in found.items()}
            line["intervals"] = {name: score.interval for name, score in found.items() if score.interval}
            if stop:
                line["stop"] = True
            elif scores.target is not None and self.best.improved_by(taken.target, scores.target):
                assert taken.target is not None
                self.best.keep(step, taken.target, self.ema.state_dict())
                self.save_best(out)
                line["kept"] = taken.target.name
            self.journal.append("metrics", line)

    def _report(self, step: int, alarms: Any) -> None:
        for alarm in alarms:
            self.journal.append("health", asdict(alarm))
            if self.is_main:
                _log.warning("artgan: step %d: %s", step, alarm.message)


def _build(plugin: Plugin, config: Any, options: TrainingOptions, device: torch.device) -> Networks:
    networks: Networks = resolve(plugin, "networks")(config)
    for network in (*networks.generators.values(), *networks.discriminators.values()):
        network.to(device)
        if options.channels_last:
            network.to(memory_format=torch.channels_last)
    _check_size(networks, options.size)
    made_for = getattr(config, "size", options.size)
    if made_for != options.size:
        raise TrainingError(f"these networks are made for pictures of {made_for} pixels, not of {options.size}")
    return networks


def _check_size(networks: Networks, size: int) -> None:
    sizes = [g.minimum_size for g in networks.generators.values()]
    least = max(sizes + [d.minimum_size for d in networks.discriminators.values()])
    if size < least:
        raise TrainingError(f"--size {size}: these networks need pictures of at least {least} x {least} pixels")
    stride = max(generator.stride for generator in networks.generators.values())
    if size % stride:
        raise TrainingError(f"--size {size}: these networks need a multiple of {stride}")


def _arrange_as_parameters(optimizer: torch.optim.Optimizer) -> None:
    """Give the optimizer's averages the strides of their parameters, as fused steps on a GPU ask for.

    Checkpoints do not keep strides, and those of channels-last parameters are others.
    """
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                state[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)


def _compile(networks: Networks) -> None:
    """Compile in place, after the averages were copied."""
    for network in (*networks.generators.values(), *networks.discriminators.values()):
        network.compile()


def _moved(value: Any, device: torch.device) -> Any:
    """A nested state with its tensors moved to a device."""
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, dict):
        return {key: _moved(item, device) for key, item in value.items()}
    if isinstance(value, list):
        return [_moved(item, device) for item in value]
    return value


def _prefixed(kind: str, networks: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{kind}/{name}": network for name, network in networks.items()}
