"""Errors of PyTorch and of the disk during training, as messages that say what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError

from artgan.errors import TrainingError, one_line


@contextmanager
def explaining_errors(out: Path) -> Iterator[None]:
    """Turn errors that the user can act on into readable messages; ``out`` is the run's folder.

    Raises:
        TrainingError: such an error.
    """
    try:
        yield
    except (OSError, SafetensorError) as error:  # a full disk, say; everything written before is intact
        raise TrainingError(f"{out}: cannot be written ({error}); the last checkpoint is intact") from None
    except RuntimeError as error:
        problem = _explained(error)
        if problem is None:
            raise
        raise TrainingError(problem) from None
    except Exception as error:
        if "in DataLoader worker process" not in str(error):
            raise
        raise TrainingError(_of_worker(error)) from None


def _of_worker(error: Exception) -> str:
    """A worker's error, whose message is a whole traceback, on one line."""
    return f"a process that reads pictures failed ({str(error).strip().splitlines()[-1]}); try --workers 0"


def _explained(error: RuntimeError) -> str | None:
    """A readable message for a torch error that the user can act on, or None."""
    if "DataLoader worker" in str(error):
        if "Original Traceback" in str(error):
            return _of_worker(error)
        return "a worker process was killed, most likely for lack of memory; use fewer --workers, or --workers 0"
    if isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error):
        return "not enough memory for a step; use a smaller --batch (with --accumulate to make up for it) or --size"
    if type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
        return f"--compile does not work here ({one_line(error)}); leave it out"
    return None
