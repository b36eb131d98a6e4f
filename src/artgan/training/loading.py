"""The batches of a run, made by worker processes while the networks learn."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from multiprocessing.sharedctypes import RawValue
from typing import Any

import torch
from torch.utils.data import DataLoader

from artgan.data import PictureSet
from artgan.data.crops import Batch, Draws, Preparation
from artgan.training.session import Session


@contextmanager
def loading(
    session: Session, domains: Mapping[str, PictureSet], done: int, preparations: Mapping[str, Preparation]
) -> Iterator[Iterator[Batch]]:
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
    ending = RawValue("b", False)
    # Its own generator: by default the loader would draw from the global one, whose state a resumed run restores.
    own = torch.Generator()
    loader = DataLoader(
        draws,
        batch_size=None,
        sampler=range(done * session.batches_per_step, draws.batches),
        num_workers=workers,
        generator=own,
        pin_memory=on_gpu,
        worker_init_fn=partial(_leave_stops, ending),
    )
    try:
        yield iter(loader)
    finally:
        ending.value = True


def _leave_stops(ending: Any, worker: int) -> None:
    """Leave Ctrl-C and SIGTERM, which a terminal or a scheduler sends to all processes, to the main process.

    It needs a worker's batches to end its step. When it is done, it sets ``ending`` and may end workers by SIGTERM.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda number, frame: os._exit(0) if ending.value else None)
