"""The training loop: devices, processes, precision, schedule, average, checkpoints, log, samples and alarms.

The plugin defines what one step does.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from artgan.data import PictureSet
from artgan.data.crops import Preparation, center_crops, to_pictures
from artgan.discovery import Plugin
from artgan.errors import TrainingError
from artgan.progress import progress
from artgan.training import checkpoint
from artgan.training.best import find_target
from artgan.training.devices import accelerator_for
from artgan.training.explaining import explaining_errors
from artgan.training.held_out import split
from artgan.training.interrupts import interrupts
from artgan.training.left_out import LeftOut, read_left_out
from artgan.training.loading import loading
from artgan.training.options import TrainingOptions
from artgan.training.outputs import RunOutputs
from artgan.training.run_folder import (
    check_folder,
    description,
    is_complete,
    read_run_config,
    session_line,
    write_folder,
)
from artgan.training.schedule import Schedule
from artgan.training.scores import Scores
from artgan.training.session import Session
from artgan.training.sets import RunSet, as_used, look_through, read_stored
from artgan.training.underpaint import Underpainter
from artgan.training.verification import Verification

_SHEET_COLUMNS = 8


def train(
    plugin: Plugin,
    config: Any,
    options: TrainingOptions,
    folders: Mapping[str, str | Path],
    out: Path,
    *,
    resume: bool = False,
    accept_changes: bool = False,
    may_change: Collection[str] | None = None,
) -> Path | None:
    """Train a plugin's networks and write the run's folder.

    ``out`` receives ``config.yaml``, ``pictures.json``, ``log.jsonl``, ``tensorboard/``, ``samples/``,
    ``checkpoints/``, ``report.html`` and, at each checkpoint, ``model/``: the averaged generator, loadable as
    ``local-dir:OUT/model``. With ``models_every``, intermediate models are kept as ``models/step-NNNNNNNN/``; with
    ``keep_best``, the one with the best score is kept as ``best/``. Pictures that cannot be read are left out, and
    listed in ``left_out.jsonl``.

    If ``accelerate launch`` starts several processes, all of them call this with the same arguments. Each draws its
    own pictures, gradients are averaged, and ``out`` must be a folder that all of them can access.

    Args:
        plugin: provides the networks and the trainer.
        config: an instance of the plugin's config dataclass.
        options: the training options that all plugins share.
        folders: where the pictures of each of the plugin's domains are; see :func:`artgan.data.open_pictures`.
        out: the run's folder; must be new or empty unless ``resume``.
        resume: resume from the newest checkpoint of ``out``, or start again if it has none yet; a complete run whose
            checkpoints were removed stays as it is. Only options that are declared ``resumable`` may then differ;
            learning rates follow the schedule of the new length.
        may_change: of the options declared ``resumable``, those that may differ when resuming; None: all.
        accept_changes: resume even if pictures were added, removed or changed since the run began.

    Returns:
        The folder of the trained model; None if the run was interrupted (a checkpoint is written first).

    Raises:
        TrainingError: the run's folder is in use, was written with other options or for other pictures, cannot be
            written, or has no intact checkpoint; the device does not support the options; a loss is not finite; more
            than a tenth of the pictures drawn cannot be read.
        PictureError: none of a set's pictures can be read.
    """
    sets = _sets(plugin, options, folders, out, resume=resume, accept_changes=accept_changes)
    whole = {name: used.pictures for name, used in sets.items()}
    domains, held_out = split(whole, options, {name: used.held_out for name, used in sets.items()})
    target = find_target(options)
    accelerator = accelerator_for(options)
    processes = accelerator.num_processes
    underpainter = _underpainter(plugin, options)
    preparations: dict[str, Preparation] = {} if underpainter is None else dict.fromkeys(plugin.inputs, underpainter)
    largest = max(len(pictures) for pictures in domains.values())
    steps = options.total_steps(largest, processes)
    session = Session(plugin, config, options, steps, accelerator, out, underpainter)
    left_out = LeftOut(session.journal, domains, accelerator, read_left_out(out) if resume else {})
    scored = held_out or domains

    def noted(among: Mapping[str, PictureSet], name: str, place: int, reason: str) -> None:
        left_out.note(session.done, name, among[name].names[place], reason)

    scores = Scores(
        options,
        scored,
        accelerator.device,
        target=target,
        preparations=preparations,
        failed=partial(noted, scored),
    )
    if options.start_from is not None and not (resume and checkpoint.checkpoints(out / "checkpoints")):
        session.start_from(options.start_from)
    wanted = description(plugin, config, options, sets, held_out, underpainter)
    session.describe(wanted)
    classes = {"config": type(config), "training": type(options)}
    changed = check_folder(out, wanted, classes, resume=resume, accelerator=accelerator, may_change=may_change)
    if resume and not checkpoint.checkpoints(out / "checkpoints") and is_complete(out, steps):
        return out / "model"  # its checkpoints were removed to save space
    done = session.restore(out / "checkpoints", changed) if resume else 0
    if accelerator.is_main_process:
        write_folder(out, wanted, sets, held_out)

    milestones = session.trainer.milestones
    schedule = Schedule.of(options, steps, pictures=largest, processes=processes, milestones=milestones)
    fixed = {
        name: center_crops(
            pictures,
            min(_SHEET_COLUMNS, len(pictures)),
            options.size,
            preparation=preparations.get(name),
            failed=partial(noted, domains, name),
        )
        for name, pictures in domains.items()
    }
    outputs = RunOutputs(session, out, to_pictures(fixed, accelerator.device), scores)
    line = session_line(plugin, options, accelerator, done, steps, sets=sets, changed=changed)
    with (
        explaining_errors(out),
        closing(session),
        loading(session, domains, done, preparations) as loaded,
        _verifying(whole, accelerator, options) as found,  # after the workers were forked: it is a thread
    ):
        batches = (batch.pictures for batch in left_out.watched(loaded, done, session.batches_per_step))
        session.begin(done, line)
        left_out.begin(done, sets)
        outputs.begin(done, steps)
        with interrupts() as interrupted, progress("training", steps, done=done) as advance:
            for step in range(done + 1, steps + 1):
                session.step(step, batches)
                advance()
                due = schedule.after(step, interrupted=session.any(bool(interrupted)))
                for unreadable in found() if due.check else ():
                    left_out.note(step, *unreadable)
                if due.check:
                    left_out.flush()
                outputs.write(step, due)
                if due.scores or due.last:
                    left_out.flush()
                if due.interrupted:
                    return None
    return out / "model"


def _sets(
    plugin: Plugin,
    options: TrainingOptions,
    folders: Mapping[str, str | Path],
    out: Path,
    *,
    resume: bool,
    accept_changes: bool,
) -> dict[str, RunSet]:
    """The run's sets, looked through; for a resumed run, with the pictures that it began with.

    Raises:
        PictureError: there is no such set, or none of its pictures can be used.
        TrainingError: the sets have changed, and this is not accepted.
    """
    stored = read_stored(out, read_run_config(out)["data"]) if resume else {}
    known = read_left_out(out) if resume else {}
    sets = {
        name: as_used(look_through(folders[name], options.size), stored.get(name), known.get(name, ()))
        for name in plugin.domains
    }
    changes = "; ".join(f"{name}: {used.change}" for name, used in sets.items() if used.change)
    if changes and not accept_changes:
        raise TrainingError(
            f"{out}: the pictures have changed since the run began: {changes}. Restore them, or continue with the "
            "current ones: --accept-changes"
        )
    return sets


@contextmanager
def _verifying(
    sets: Mapping[str, PictureSet], accelerator: Accelerator, options: TrainingOptions
) -> Iterator[Callable[[], Iterable[tuple[str, str, str]]]]:
    """With ``--verify``, decode all pictures in the background; the function returns those found to be unreadable."""
    if not options.verify or not accelerator.is_main_process:
        yield lambda: ()
        return
    with closing(Verification(sets)) as verification:
        yield verification.found


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
