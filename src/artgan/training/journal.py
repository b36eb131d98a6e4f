"""The log of a run, as JSON lines and for TensorBoard."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from artgan.files import atomic_write, remove_unfinished


class Journal:
    """Averages the losses of several steps into one line of ``log.jsonl`` and one TensorBoard point.

    ``log.jsonl`` holds ``step`` (steps done), ``losses`` and ``rates``, and nothing that differs between a resumed run
    and an uninterrupted one; the ``seconds`` per step are in ``timing.jsonl``.
    """

    def __init__(self, run: Path, *, write: bool = True) -> None:
        self.run = run
        self.write = write  # only one of several processes writes
        self.figures: dict[str, list[Tensor]] = {}
        self.seconds: list[float] = []
        self.tensorboard: SummaryWriter | None = None

    def begin(self, step: int) -> None:
        """Start after ``step`` steps.

        Lines of later steps are removed, since these steps will be repeated, and so are those written at a stop, which
        an uninterrupted run does not have.
        """
        if not self.write:
            return
        remove_unfinished(self.run)
        for name in ("log", "timing", "health", "metrics", "sessions"):
            path = self.run / f"{name}.jsonl"
            if path.exists():
                lines = read_lines(path)
                write_lines(path, [line for line in lines if name == "sessions" or _is_kept(line, step)])
        self.tensorboard = SummaryWriter(str(self.run / "tensorboard"), purge_step=step + 1 if step else None)

    def add(self, figures: Mapping[str, Tensor]) -> None:
        """Add the losses of one step, or of one of its minibatches."""
        for name, figure in figures.items():
            self.figures.setdefault(name, []).append(figure)

    def means(self) -> dict[str, Tensor]:
        """The mean of each loss since the last line."""
        return {name: torch.stack(values).double().mean() for name, values in self.figures.items()}

    def line(self, step: int, figures: Mapping[str, float], rates: Mapping[str, float], *, stop: bool = False) -> None:
        """Write a line with the given means, and start collecting for the next one.

        Args:
            step: steps done.
            figures: means of the losses.
            rates: learning rates.
            stop: whether the line is written only because the run stops here; it is removed when that is resumed.
        """
        mark = {"stop": True} if stop else {}
        self.append("log", {"step": step, "losses": dict(figures), "rates": dict(rates), **mark})
        if self.seconds:
            mean = sum(self.seconds) / len(self.seconds)
            self.append("timing", {"step": step, "seconds": round(mean, 6), **mark})
        if self.tensorboard is not None and not stop:
            for name, value in figures.items():
                self.tensorboard.add_scalar(name, value, step)
        self.figures, self.seconds = {}, []

    def append(self, name: str, line: Mapping[str, Any]) -> None:
        """Add a line to ``NAME.jsonl``."""
        if self.write:
            with (self.run / f"{name}.jsonl").open("a") as file:
                file.write(json.dumps(line) + "\n")

    def last_scores(self) -> list[dict[str, Any]]:
        """The last line of ``metrics.jsonl``, as a card's ``metrics``: name, value, pictures and step of each score."""
        path = self.run / "metrics.jsonl"
        lines = read_lines(path) if path.exists() else []
        if not lines:
            return []
        *_, last = lines
        counts = last.get("n", {})
        return [
            {"name": name, "value": value, **({"n": counts[name]} if name in counts else {}), "step": last["step"]}
            for name, value in last["metrics"].items()
        ]

    def close(self) -> None:
        """Flush and close."""
        if self.tensorboard is not None:
            self.tensorboard.close()

    def state_dict(self) -> dict[str, Any]:
        """The losses collected since the last line."""
        return {name: list(values) for name, values in self.figures.items()}

    def load_state_dict(self, state: Mapping[str, Sequence[Tensor]], device: torch.device) -> None:
        """Restore a state returned by :meth:`state_dict`."""
        self.figures = {name: [value.to(device) for value in values] for name, values in state.items()}


def _is_kept(line: Mapping[str, Any], step: int) -> bool:
    return line["step"] <= step and not line.get("stop")


def write_lines(path: Path, lines: Sequence[Mapping[str, Any]]) -> None:
    """Replace a JSON-lines file atomically."""
    with atomic_write(path) as part:
        part.write_text("".join(json.dumps(line) + "\n" for line in lines))


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The lines of a JSON-lines file, without an incomplete last line left by a killed run."""
    lines = []
    for text in path.read_text(errors="replace").splitlines():
        try:
            lines.append(json.loads(text))
        except ValueError:
            break
    return lines
