"""What a run writes down as it goes: losses as JSON lines and for TensorBoard."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor
from torch.utils.tensorboard import SummaryWriter


class Journal:
    """Averages the losses of some steps into a line of ``log.jsonl`` and a point of TensorBoard.

    A line holds ``step`` (steps done), ``losses``, ``lr`` and ``seconds`` (of one step, mean).
    """

    def __init__(self, run: Path, *, resumed_at: int, every: int) -> None:
        self.path = run / "log.jsonl"
        self.every = every
        self.losses: dict[str, list[Tensor]] = {}
        self.seconds: list[float] = []
        self._drop_lines_after(resumed_at)
        self.tensorboard = SummaryWriter(str(run / "tensorboard"), purge_step=resumed_at + 1 or None)

    def _drop_lines_after(self, step: int) -> None:
        """What was logged after the checkpoint that a run resumes from will be done, and logged, again."""
        if not self.path.exists():
            return
        lines = [line for line in self.path.read_text().splitlines() if json.loads(line)["step"] <= step]
        beside = self.path.with_suffix(".part")
        beside.write_text("".join(f"{line}\n" for line in lines))
        beside.replace(self.path)

    def add(self, step: int, losses: Mapping[str, Tensor], lr: float, seconds: float) -> None:
        """Take in one step; ``step`` counts from 1."""
        self.seconds.append(seconds)
        for name, loss in losses.items():
            self.losses.setdefault(name, []).append(loss)
        if step % self.every:
            return
        means = {name: float(sum(float(v) for v in values) / len(values)) for name, values in self.losses.items()}
        line = {"step": step, "losses": means, "lr": lr, "seconds": sum(self.seconds) / len(self.seconds)}
        with self.path.open("a") as log:
            log.write(json.dumps(line) + "\n")
        for name, value in means.items():
            self.tensorboard.add_scalar(name, value, step)
        self.losses, self.seconds = {}, []

    def close(self) -> None:
        """Flush and close."""
        self.tensorboard.close()
