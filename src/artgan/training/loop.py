"""The training loop: devices, processes, precision, schedule, average, checkpoints, log, samples and alarms.

What one step does is the plugin's.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor
from torch.utils.data import DataLoader

from artgan import config as configs
from artgan.data import open_pictures
from artgan.data.crops import Draws, centre_crops, to_pictures
from artgan.discovery import Plugin
from artgan.errors import TrainingError
from artgan.models.folder import save_model
from artgan.progress import progress
from artgan.training import checkpoint
from artgan.training.devices import accelerator_for
from artgan.training.ema import EMA
from artgan.training.options import TrainingOptions
from artgan.training.run_folder import description, session_line, settle
from artgan.training.scores import Scores
from artgan.training.session import Session

_SHEET_COLUMNS = 8
_INSPECT_EVERY = 100  # steps; an inspection costs about as much as one
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
    and, at each checkpoint, ``model/``: the averaged generator, loadable as ``local-dir:OUT/model``. With
    ``models_every``, ``models/step-NNNNNNNN/`` are those of certain steps.

    Started by ``accelerate launch`` as several processes, all of them call this with the same arguments; each draws
    pictures of its own, gradients are averaged, and ``out`` must be a folder that all of them see.

    Args:
        plugin: whose networks and trainer.
        config: an instance of the plugin's config dataclass.
        options: what all plugins share.
        folders: where the pictures of each of the plugin's domains are; see :func:`artgan.data.open_pictures`.
        out: the run's folder; must be new or empty unless ``resume``.
        resume: go on from the newest checkpoint of ``out``, or begin again if it has none yet; only ``steps`` or
            ``epochs`` may differ then, and the learning rates follow the schedule of the new length.

    Returns:
        The folder of the trained model; None if the run was interrupted (a checkpoint is written first).

    Raises:
        TrainingError: the run's folder is taken, differs from what is asked, cannot be written, or holds no good
            checkpoint; the device cannot do what is asked; a loss that is not finite.
        PictureError: a folder without pictures, or a picture that cannot be read.
    """
    domains = {name: open_pictures(folders[name]) for name in plugin.domains}
    for pictures in domains.values():
        if len(pictures) < options.batch:
            raise TrainingError(f"--batch {options.batch}: {pictures.location} has only {len(pictures)} pictures")
    accelerator = accelerator_for(options)
    scores = Scores(options, domains, accelerator.device)
    largest = max(len(pictures) for pictures in domains.values())
    steps = options.total_steps(largest, accelerator.num_processes)
    scores_every = options.steps_between_scores(largest, accelerator.num_processes)
    session = Session(plugin, config, options, steps, accelerator, out)
    if options.start_from is not None and not (resume and checkpoint.checkpoints(out / "checkpoints")):
        session.start_from(options.start_from)
    wanted, classes = description(plugin, config, options, domains), {"config": type(config), "training": type(options)}
    settle(out, wanted, classes, resume=resume, accelerator=accelerator)
    done = session.restore(out / "checkpoints") if resume else 0

    draws = Draws(
        domains,
        size=options.size,
        batch=options.batch,
        seed=options.seed,
        batches=steps * session.batches_per_step,
        zoom=options.zoom,
        process=accelerator.process_index,
    )
    batches = _batches(draws, done * session.batches_per_step, options.workers, accelerator.device)
    fixed = to_pictures(
        {name: centre_crops(p, min(_SHEET_COLUMNS, len(p)), options.size) for name, p in domains.items()},
        accelerator.device,
    )
    main = accelerator.is_main_process
    built_by = session.trainer.networks.built_by or (plugin.name, configs.to_dict(config))
    report_due = time.monotonic()
    try:
        session.journal.begin(done)
        session.journal.append("sessions", session_line(plugin, options, accelerator, done, steps))
        if main and done == 0:  # what there was before any training
            session.draw_samples(fixed, _sheet(out, 0))
        if main and done >= steps:  # killed between the last checkpoint and what is made of it
            _save_models(out, built_by, session.ema, done)
            _write_report(out)
        with _interrupts() as interrupted, progress("training", steps, done=done) as advance:
            for step in range(done + 1, steps + 1):
                session.step(step, batches)
                advance()
                stopping = session.any(bool(interrupted))
                saving = step % options.checkpoint_every == 0 or step == steps or stopping
                line_due = step % options.log_every == 0 or step == steps
                if saving or line_due:
                    session.check_finite(step)
                if line_due:
                    session.log(step)
                if step % _INSPECT_EVERY == 0:
                    session.inspect(step, fixed)
                if main and (step % options.sample_every == 0 or step == steps):
                    session.draw_samples(fixed, _sheet(out, step))
                if main and options.models_every and step % options.models_every == 0:
                    _save_models(out / "models", built_by, session.ema, step, name=f"step-{step:08d}")
                if main and scores.metrics and (step % scores_every == 0 or step == steps):
                    session.take_scores(step, scores)
                if saving:
                    session.save(out / "checkpoints", step, keep=options.keep)
                    if main:
                        _save_models(out, built_by, session.ema, step)
                        if step == steps or stopping or time.monotonic() > report_due:
                            _write_report(out)
                            report_due = time.monotonic() + _REPORT_EVERY
                    accelerator.wait_for_everyone()
                if stopping and step < steps:
                    return None
    except (OSError, SafetensorError) as error:  # a full disk, say; what was written before is whole
        raise TrainingError(f"{out}: cannot be written ({error}); the last checkpoint is intact") from None
    except RuntimeError as error:
        problem = _explained(error)
        if problem is None:
            raise
        raise TrainingError(problem) from None
    finally:
        session.journal.close()
    return out / "model"


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


def _explained(error: RuntimeError) -> str | None:
    """Errors of torch that its user can do something about, in words."""
    if isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error):
        return "not enough memory for a step; take a smaller --batch (with --accumulate to make up for it) or --size"
    if type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
        return f"--compile does not work here ({str(error).strip().splitlines()[0]}); leave it out"
    return None


def _sheet(out: Path, step: int) -> Path:
    return out / "samples" / f"step-{step:08d}.jpg"


def _save_models(out: Path, built_by: tuple[str, Mapping[str, Any]], ema: EMA, step: int, name: str = "model") -> None:
    """The first generator as ``out / name``, the others beside it."""
    plugin, config = built_by
    for index, (other, generator) in enumerate(ema.generators.items()):
        folder = out / (name if index == 0 else f"{name}-{other}")
        save_model(folder, generator, plugin=plugin, config=config, extra={"step": step})


def _write_report(out: Path) -> None:
    """The run goes on if its report cannot be made."""
    from artgan.reports.run import write_run_report

    try:
        write_run_report(out)
    except Exception as error:  # whatever a plot or a picture may raise
        _log.warning("artgan: %s: the report could not be made (%s: %s)", out, type(error).__name__, error)


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
