"""Tests of a trainer: its updates, logs and sample sheets, and that a resumed run equals an uninterrupted one."""

from __future__ import annotations

import copy
import json
import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from artgan.interfaces import Generator, Networks, Run, Trainer, minimize
from artgan.testing.subject import Subject, demand, explained, listed, skip_after, some_pictures
from artgan.training import checkpoint

_STEPS = 3
_STEP_TEST = "test_a_step_takes_batches_of_one_and_of_two"


class Recorder:
    """:func:`artgan.interfaces.minimize`, which also records changed parameters and leftover gradients."""

    def __init__(self) -> None:
        self.parameters: dict[str, nn.Parameter] = {}
        self.faults: list[str] = []
        self.calls: list[torch.optim.Optimizer] = []
        self.with_gradient: set[str] = set()

    def watch(self, networks: Networks) -> None:
        """Start recording, once the trainer is created: it may have replaced its networks' parameters."""
        for kind in ("generators", "discriminators"):
            for name, network in getattr(networks, kind).items():
                self.parameters |= {f"{kind[:-1]} {name!r}: {k}": p for k, p in network.named_parameters()}
        self._start = self._seen = self._values()

    def __call__(
        self, loss: Tensor, optimizer: torch.optim.Optimizer, *, gate: tuple[Tensor, float] | None = None
    ) -> None:
        self.check_since_last_update()
        minimize(loss, optimizer, gate=gate)
        self.with_gradient |= {name for name, p in self.parameters.items() if p.grad is not None}
        optimizer.zero_grad()
        self.calls.append(optimizer)
        self._judge_changes(optimizer, "run.minimize() changes parameters that the optimizer does not hold")

    def check_since_last_update(self) -> None:
        """Check changes since the last update, or since the start."""
        # An optimizer's parameters may be clipped after its own update (as in WGAN), and at no other time.
        last = self.calls[-1] if self.calls else None
        self._judge_changes(last, "parameters change outside of run.minimize()")
        left = [name for name, parameter in self.parameters.items() if parameter.grad is not None]
        if left:
            self.faults.append(
                f"there are gradients that run.minimize() did not make ({listed(left)}): step() calls backward() itself"
            )

    def moved(self) -> set[str]:
        """The parameters that have changed since the start."""
        return {name for name, value in self._values().items() if not torch.equal(value, self._start[name])}

    def _judge_changes(self, allowed: torch.optim.Optimizer | None, fault: str) -> None:
        values = self._values()
        own = held(allowed) if allowed is not None else set()
        changed = [
            name
            for name, parameter in self.parameters.items()
            if id(parameter) not in own and not torch.equal(values[name], self._seen[name])
        ]
        if changed:
            self.faults.append(f"{fault} ({listed(changed)})")
        self._seen = values

    def _values(self) -> dict[str, Tensor]:
        return {name: parameter.detach().clone() for name, parameter in self.parameters.items()}


def held(optimizer: torch.optim.Optimizer) -> set[int]:
    """The identities of an optimizer's parameters."""
    return {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}


class TrainerTests(Subject):
    """The trainer, alone on synthetic batches and in the real loop on synthetic files."""

    def _trainer(self) -> tuple[Trainer, Networks, Recorder]:
        make = self._part("trainer")
        networks = self._networks()
        for network in (*networks.generators.values(), *networks.discriminators.values()):
            network.train()
        recorder = Recorder()
        trainer = make(networks, self._settings, Run(_STEPS, recorder))
        recorder.watch(networks)
        return trainer, networks, recorder

    def _made(self) -> tuple[Trainer, Networks, Recorder]:
        """A trainer, for tests that are not about its construction."""
        try:
            return self._trainer()
        except Exception:
            return skip_after(_STEP_TEST)  # type: ignore[no-any-return]  # it never returns

    def _batch(self, count: int, seed: int = 0) -> dict[str, Tensor]:
        domains, size = self._manifest.domains, self._size
        return {name: some_pictures(count, size, seed=100 * seed + i) for i, name in enumerate(domains)}

    def _stepped(self, steps: int = _STEPS) -> tuple[Trainer, Networks, Recorder, list[Mapping[str, Tensor]]]:
        """A trainer after some steps, and the losses that it returned."""
        trainer, networks, recorder = self._made()
        figures = []
        torch.manual_seed(0)
        try:
            for index in range(steps * trainer.rounds):
                figures.append(trainer.step(self._batch(2, index), index))
        except Exception:
            skip_after(_STEP_TEST)
        recorder.check_since_last_update()
        return trainer, networks, recorder, figures

    def test_a_step_takes_batches_of_one_and_of_two(self) -> None:
        """--batch is 1 by default."""
        for count in (1, 2):
            with explained(
                "The trainer cannot be created", "It takes networks, config and run, as Trainer.__init__ does."
            ):
                trainer, _, _ = self._trainer()
            rounds = trainer.rounds
            demand(isinstance(rounds, int) and rounds >= 1, f"The trainer's rounds are {rounds!r}, not 1 or more.")
            advice = (
                "It takes a batch and the number of the rounds before, step(batch, index). --batch may be any number, "
                "and is 1 by default; nn.BatchNorm1d, for example, rejects that."
            )
            for index in range(rounds):
                with explained(f"step() fails with a batch of {count}", advice):
                    trainer.step(self._batch(count, index), index)

    def test_every_parameter_has_one_optimizer(self) -> None:
        """Every trainable parameter belongs to exactly one optimizer."""
        trainer, _, recorder = self._made()
        optimizers = trainer.optimizers
        demand(
            optimizers and all(isinstance(o, torch.optim.Optimizer) for o in optimizers.values()),
            f"The trainer's optimizers are {optimizers!r}. Set self.optimizers to torch.optim optimizers by name.",
        )
        holders = {
            name: [key for key, optimizer in optimizers.items() if id(parameter) in held(optimizer)]
            for name, parameter in recorder.parameters.items()
        }
        without = [name for name, by in holders.items() if not by and recorder.parameters[name].requires_grad]
        demand(
            not without,
            f"No optimizer holds {listed(without)}, so it would never learn. Give it to one of self.optimizers, or "
            "freeze it by requires_grad_(False).",
        )
        twice = [f"{name} ({' and '.join(by)})" for name, by in holders.items() if len(by) > 1]
        demand(not twice, f"Two optimizers hold {listed(twice)}, and would undo each other's steps. Give it to one.")

    def test_each_update_changes_its_own_networks_alone(self) -> None:
        """Discriminators do not change in generator updates, and vice versa."""
        trainer, _, recorder, _ = self._stepped()
        for name, optimizer in trainer.optimizers.items():
            own = held(optimizer)
            kinds = {key.split()[0] for key, parameter in recorder.parameters.items() if id(parameter) in own}
            demand(
                len(kinds) < 2,
                f"The optimizer {name!r} holds parameters of generators and of discriminators, so that each also "
                "minimizes the other's loss. Make one for the generators and one for the discriminators.",
            )
        demand(
            not recorder.faults,
            f"In step(), {recorder.faults[0] if recorder.faults else ''}. Each update must be one call of "
            "self.run.minimize(loss, optimizer), in place of zero_grad(), backward() and step().",
        )

    def test_steps_move_every_network(self) -> None:
        """Each optimizer is used, and each of its parameters gets a gradient from some loss."""
        trainer, _, recorder, _ = self._stepped()
        called = {id(optimizer) for optimizer in recorder.calls}
        for name, optimizer in trainer.optimizers.items():
            demand(
                id(optimizer) in called,
                f"The optimizer {name!r} was not used in {_STEPS} steps. Call self.run.minimize(loss, optimizer).",
            )
        owned = set().union(*(held(optimizer) for optimizer in trainer.optimizers.values()))
        names = [key for key, p in recorder.parameters.items() if id(p) in owned and p.requires_grad]
        without = [name for name in names if name not in recorder.with_gradient]
        demand(
            not without,
            f"No loss has a gradient for {listed(without)} in {_STEPS} steps. Look for a detach() or no_grad() between "
            "it and the loss.",
        )
        moved = {name.split(":")[0] for name in recorder.moved()}
        still = sorted({name.split(":")[0] for name in names} - moved)
        demand(
            not still, f"After {_STEPS} steps {listed(still)} is unchanged. Is its learning rate, or the loss, zero?"
        )

    def test_figures_can_be_logged(self) -> None:
        """Logged values are finite scalars without gradient, named KIND/OF."""
        *_, figures = self._stepped()
        for name, figure in [item for one in figures for item in one.items()]:
            demand(
                isinstance(figure, Tensor) and figure.shape == () and figure.is_floating_point(),
                f"step() returns {name!r} as {_described(figure)}. Figures are scalar tensors: use mean() or sum().",
            )
            demand(
                not figure.requires_grad,
                f"step() returns {name!r} with its gradient, which keeps the whole step in memory. Return "
                "figure.detach().",
            )
            demand(
                figure.isfinite(),
                f"step() returns {name!r} = {float(figure)} after a few steps on synthetic pictures. Look for a "
                "division by zero or a logarithm of 0.",
            )
            kind, _, of = str(name).partition("/")
            demand(
                kind and of,
                f"step() returns a figure named {name!r}. Name it KIND/OF, for example 'generator/paintings': the "
                "report and the alarms rely on it.",
            )
            demand(
                kind != "accuracy" or 0 <= float(figure) <= 1,
                f"step() returns {name!r} = {float(figure)}, but accuracies are shares from 0 to 1.",
            )
        demand(all(figures), "step() returns no figures. Return at least its losses, by name.")

    def test_sample_sheets_can_be_drawn(self) -> None:
        """sample() returns rows of pictures, made by the averaged generators that it is given."""
        trainer, networks, _, _ = self._stepped(steps=1)
        batch, averaged = self._batch(3), _averaged(networks)
        with explained("sample() fails", "It is given pictures of each domain, and generators in evaluation mode."):
            rows = _watched(networks, "sample", lambda: trainer.sample(batch, averaged))
        demand(isinstance(rows, Mapping) and rows, "sample() returns no rows. Return pictures by label.")
        for label, pictures in rows.items():
            _check_pictures(f"sample() returns {label!r}", pictures, None)

    def test_outputs_can_be_watched(self) -> None:
        """outputs() returns the input and output of each generator, with as many pictures as the batch."""
        trainer, networks, _, _ = self._stepped(steps=1)
        batch, averaged = self._batch(3), _averaged(networks)
        with explained("outputs() fails", "It is given pictures of each domain, and generators in evaluation mode."):
            outputs = _watched(networks, "outputs", lambda: trainer.outputs(batch, averaged))
        for name, pair in outputs.items():
            demand(
                name in networks.generators,
                f"outputs() names {name!r}, but the generators are {listed(networks.generators)}. Name the generator.",
            )
            demand(isinstance(pair, tuple) and len(pair) == 2, f"outputs() of {name!r} must be (input, output).")
            inputs, made = pair
            _check_pictures(f"outputs() makes of {name!r}", made, 3)
            if networks.generators[name].task == "noise-to-image":
                demand(inputs is None, f"outputs() says what went into {name!r}. For noise it must say None.")
            else:
                _check_pictures(f"outputs() says of the input of {name!r}", inputs, 3)

    def test_the_trainers_state_can_be_kept(self, tmp_path: Path) -> None:
        """state_dict() holds JSON types and tensors, and load_state_dict() restores them."""
        trainer, *_ = self._stepped()
        other, *_ = self._made()
        for index, source in enumerate((trainer, other)):
            with explained(
                "The trainer's state_dict() cannot be written",
                "It may hold None, bool, int, float, str, lists, mappings with such keys, and tensors.",
            ):
                checkpoint.save(tmp_path, index, {"trainer": source.state_dict()}, keep=2)
            if source is trainer:
                state = checkpoint.load(tmp_path / "step-00000000", "trainer")
                with explained("load_state_dict() refuses the result of state_dict()", "Make the two match."):
                    other.load_state_dict(state)
        demand(
            _equal(state, checkpoint.load(tmp_path / "step-00000001", "trainer")),
            "After load_state_dict() the trainer's state_dict() differs from the one that it was given. Restore "
            "everything that it holds.",
        )

    def test_a_resumed_run_ends_as_one_that_never_stopped(self, tmp_path: Path) -> None:
        """Six steps, and three resumed for three more: the same models, log and checkpoint, byte for byte."""
        self._stepped(steps=1)
        whole, parts = tmp_path / "whole", tmp_path / "parts"
        count = max(4, self._training().batch)
        folders = {name: _folder(tmp_path / "pictures" / name, count) for name in self._manifest.domains}
        with explained("A run of six steps fails", "It is what artgan train does."):
            self._run(folders, whole)
        shutil.copytree(whole, parts)
        shutil.rmtree(parts / "checkpoints" / "step-00000006")
        with explained("The run cannot be resumed after three steps", "load_state_dict() must take what was saved."):
            self._run(folders, parts, resume=True)
        different = _differences(whole, parts)
        if not different:
            return
        self._run(folders, tmp_path / "again")
        if _differences(whole, tmp_path / "again"):
            demand(
                False,
                f"Two runs with one seed differ: {_first_difference(whole, tmp_path / 'again')}. Draw all random "
                "numbers from torch, numpy.random or random, whose global states artgan seeds and saves; not from the "
                "clock, the system or a separate generator.",
            )
        demand(
            False,
            f"A run that was stopped and resumed differs from one that was not: {_first_difference(whole, parts)}. "
            "Everything that the trainer keeps from step to step (histories, running means, random number "
            "generators) must be in its state_dict(), or in a buffer of a network.",
        )

    def _run(self, folders: Mapping[str, Path], out: Path, *, resume: bool = False) -> None:
        from artgan.training.loop import train  # accelerate and tensorboard take a second

        options = self._training(
            steps=6, epochs=None, checkpoint_every=3, keep=2, sample_every=3, metrics="", keep_best=None, held_out=0
        )
        train(self._manifest, self._settings, options, folders, out, resume=resume)


def _averaged(networks: Networks) -> dict[str, Generator]:
    """Copies in evaluation mode, like those of the exponential moving average."""
    with explained("A generator cannot be copied (copy.deepcopy)", "A copy holds the moving average of its weights."):
        return {name: copy.deepcopy(g).eval().requires_grad_(False) for name, g in networks.generators.items()}


def _watched(networks: Networks, method: str, call: Any) -> Any:
    """The result of a call that must not use the trained generators."""
    used: list[str] = []
    hooks = [
        generator.register_forward_pre_hook(lambda *_, name=name: used.append(name))
        for name, generator in networks.generators.items()
    ]
    try:
        with torch.no_grad():
            result = call()
    finally:
        for hook in hooks:
            hook.remove()
    demand(
        not used,
        f"{method}() runs the generator {listed(used[:1])} of self.networks. Use the averaged ones that it is given, "
        "generators[NAME]: they become the run's final models.",
    )
    return result


def _check_pictures(what: str, pictures: Any, count: int | None) -> None:
    shaped = isinstance(pictures, Tensor) and pictures.ndim == 4 and pictures.shape[1] == 3
    demand(
        shaped and len(pictures) > 0 and (count is None or len(pictures) == count),
        f"{what} {_described(pictures)}. It must be pictures, N x 3 x H x W"
        + (f", as many as the batch has, here {count}." if count else "."),
    )
    demand(
        pictures.isfinite().all() and pictures.abs().max() <= 1 + 1e-6,
        f"{what} values of up to {float(pictures.abs().max()):.4g}. Pictures are finite and in [-1, 1].",
    )


def _described(value: Any) -> str:
    return f"a tensor {tuple(value.shape)} of {value.dtype}" if isinstance(value, Tensor) else f"{value!r}"


def _folder(path: Path, count: int) -> Path:
    """Write synthetic pictures of odd sizes to files."""
    path.mkdir(parents=True)
    rng = np.random.default_rng(len(path.name))
    for index in range(count):
        pixels = rng.integers(0, 256, (40 + index, 48 + 3 * index, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path / f"{index}.png")
    return path


def _equal(one: Any, other: Any) -> bool:
    """Whether two restored states are equal."""
    if isinstance(one, Tensor):
        return isinstance(other, Tensor) and torch.equal(one, other)
    if isinstance(one, dict):
        return isinstance(other, dict) and one.keys() == other.keys() and all(_equal(one[k], other[k]) for k in one)
    if isinstance(one, list):
        return isinstance(other, list) and len(one) == len(other) and all(map(_equal, one, other))
    return bool(one == other) or (isinstance(one, float) and math.isnan(one) and math.isnan(other))


def _differences(whole: Path, parts: Path) -> list[str]:
    """The files that differ between two runs, among those that record the training and its result."""
    files = [whole / "log.jsonl"]
    files += [path for folder in ("model*", "checkpoints", "samples") for path in whole.glob(f"{folder}/**/*")]
    names = [path.relative_to(whole) for path in files if path.is_file()]
    same = {n for n in names if (parts / n).is_file() and (parts / n).read_bytes() == (whole / n).read_bytes()}
    return [str(name) for name in names if name not in same]


def _first_difference(whole: Path, other: Path) -> str:
    """Where two runs first differ: a loss in the log, otherwise a file."""
    logs = [[json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()] for run in (whole, other)]
    for ours, theirs in zip(*logs, strict=False):
        for name, figure in ours["losses"].items():
            if figure != theirs["losses"].get(name):
                return (
                    f"at step {ours['step']}, {name} is {figure} in one and {theirs['losses'].get(name)} in the other"
                )
    return f"the losses agree, but not {listed(_differences(whole, other))}"
