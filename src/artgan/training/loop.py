"""The training loop: devices, processes, precision, schedule, average, checkpoints, log, samples and alarms.

The plugin defines what one step does.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor
from torch.utils.data import DataLoader

from artgan.data import PictureSet, open_pictures
from artgan.data.crops import Draws, Preparation, centre_crops, to_pictures
from artgan.discovery import Plugin
from artgan.errors import TrainingError
from artgan.progress import progress
from artgan.training import checkpoint
from artgan.training.best import find_target
from artgan.training.devices import accelerator_for
from artgan.training.held_out import split
from artgan.training.options import TrainingOptions
from artgan.training.outputs import RunOutputs
from artgan.training.run_folder import description, prepare_folder, session_line
from artgan.training.schedule import Schedule
from artgan.training.scores import Scores
from artgan.training.session import Session
from artgan.training.underpaint import Underpainter

_SHEET_COLUMNS = 8


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
    and, at each checkpoint, ``model/``: the averaged generator, loadable as ``local-dir:OUT/model``. With
    ``models_every``, intermediate models are kept as ``models/step-NNNNNNNN/``; with ``keep_best``, the one with the
    best score is kept as ``best/``.

    If ``accelerate launch`` starts several processes, all of them call this with the same arguments. Each draws its
    own pictures, gradients are averaged, and ``out`` must be a folder that all of them can access.

    Args:
        plugin: provides the networks and the trainer.
        config: an instance of the plugin's config dataclass.
        options: the training options that all plugins share.
        folders: where the pictures of each of the plugin's domains are; see :func:`artgan.data.open_pictures`.
        out: the run's folder; must be new or empty unless ``resume``.
        resume: resume from the newest checkpoint of ``out``, or start again if it has none yet. Only ``steps`` or
            ``epochs`` may then differ, and the learning rates follow the schedule of the new length.

    Returns:
        The folder of the trained model; None if the run was interrupted (a checkpoint is written first).

    Raises:
        TrainingError: the run's folder is in use, was written with other options, cannot be written, or has no intact
            checkpoint; the device does not support the options; a loss is not finite.
        PictureError: a folder has no pictures, or a picture cannot be read.
    """
    sets = {name: open_pictures(folders[name]) for name in plugin.domains}
    domains, held_out = split(sets, options)
    target = find_target(options)
    accelerator = accelerator_for(options)
    underpainter = _underpainter(plugin, options)
    preparations: dict[str, Preparation] = {} if underpainter is None else dict.fromkeys(plugin.inputs, underpainter)
    scores = Scores(options, held_out or domains, accelerator.device, target=target, preparations=preparations)
    largest = max(len(pictures) for pictures in domains.values())
    steps = options.total_steps(largest, accelerator.num_processes)
    scores_every = options.steps_between_scores(largest, accelerator.num_processes)
    session = Session(plugin, config, options, steps, accelerator, out, underpainter)
    if options.start_from is not None and not (resume and checkpoint.checkpoints(out / "checkpoints")):
        session.start_from(options.start_from)
    wanted = description(plugin, config, options, sets, underpainter)
    session.describe(wanted)
    classes = {"config": type(config), "training": type(options)}
    prepare_folder(out, wanted, classes, resume=resume, accelerator=accelerator)
    done = session.restore(out / "checkpoints") if resume else 0

    schedule = Schedule.of(options, steps, scores_every=scores_every)
    batches = _batches(session, domains, done, preparations)
    fixed = {
        name: centre_crops(p, min(_SHEET_COLUMNS, len(p)), options.size, preparation=preparations.get(name))
        for name, p in domains.items()
    }
    outputs = RunOutputs(session, out, to_pictures(fixed, accelerator.device), scores)
    with _explaining_errors(out), closing(session):
        session.begin(done, session_line(plugin, options, accelerator, done, steps))
        outputs.begin(done, steps)
        with _interrupts() as interrupted, progress("training", steps, done=done) as advance:
            for step in range(done + 1, steps + 1):
                session.step(step, batches)
                advance()
                due = schedule.after(step, interrupted=session.any(bool(interrupted)))
                outputs.write(step, due)
                if due.interrupted:
                    return None
    return out / "model"


@contextmanager
def _explaining_errors(out: Path) -> Iterator[None]:
    """Turn errors that the user can act on into readable messages."""
    try:
        yield
    except (OSError, SafetensorError) as error:  # a full disk, say; everything written before is intact
        raise TrainingError(f"{out}: cannot be written ({error}); the last checkpoint is intact") from None
    except RuntimeError as error:
        problem = _explained(error)
        if problem is None:
            raise
        raise TrainingError(problem) from None


def _underpainter(plugin: Plugin, options: TrainingOptions) -> Underpainter | None:
    """The under-painter of ``--underpaint``, if it is given.

    Raises:
        TrainingError: the plugin's networks paint from nothing.
        ConfigError: there is no such brushwork.
    """
    if options.underpaint is None:
        return None
    if plugin.inputs:
        return Underpainter.of(options.underpaint)
    raise TrainingError(f"--underpaint {options.underpaint}: {plugin.name} has no pictures that it paints from")


def _batches(
    session: Session, domains: Mapping[str, PictureSet], done: int, preparations: Mapping[str, Preparation]
) -> Iterator[dict[str, Tensor]]:
    """The batches after ``done`` steps, prefetched by worker processes if there are spare cores."""
    options, accelerator = session.options, session.accelerator
    draws = Draws(
        domains,
        size=options.size,
        batch=options.batch,
        seed=options.seed,
        batches=session.steps * session.batches_per_step,
        zoom=options.zoom,
        process=accelerator.process_index,
        preparations=preparations,
    )
    on_gpu = accelerator.device.type == "cuda"
    workers = options.workers
    if workers is None:
        cores = os.cpu_count() or 1
        workers = min(8, cores) if on_gpu else int(cores > 1)
    # Its own generator: by default the loader would draw from the global one, whose state a resumed run restores.
    own = torch.Generator()
    loader = DataLoader(
        draws,
        batch_size=None,
        sampler=range(done * session.batches_per_step, draws.batches),
        num_workers=workers,
        generator=own,
        pin_memory=on_gpu,
    )
    return iter(loader)


def _explained(error: RuntimeError) -> str | None:
    """A readable message for a torch error that the user can act on, or None."""
    if isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error):
        return "not enough memory for a step; use a smaller --batch (with --accumulate to make up for it) or --size"
    if type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
        return f"--compile does not work here ({str(error).strip().splitlines()[0]}); leave it out"
    return None


@contextmanager
def _interrupts() -> Iterator[list[int]]:
    """Collect Ctrl-C and SIGTERM in a list, to be handled after the current step; a second one ends at once."""
    noted: list[int] = []
    if threading.current_thread() is not threading.main_thread():  # only the main thread receives signals
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
