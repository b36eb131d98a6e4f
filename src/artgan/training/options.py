"""The training options that all plugins share."""

from __future__ import annotations

from dataclasses import dataclass

from artgan.config import option


@dataclass(frozen=True)
class TrainingOptions:
    """How long, on what, how often; one field is one option of ``artgan train PLUGIN``."""

    steps: int | None = option(None, "optimisation steps in all; or give --epochs", least=1)
    epochs: int | None = option(None, "passes over the larger set of pictures [default: 200]", least=1)
    batch: int = option(1, "pictures of each kind in a step", least=1, most=4096)
    size: int = option(256, "side of the square crops, in pixels", least=16, most=4096)
    zoom: float | None = option(
        None,
        "resize the short side to between SIZE and this many times SIZE, then crop",
        least=1,
    )
    seed: int = option(0, "seed of networks, draws and noise", least=0, most=2**63 - 1)
    device: str | None = option(None, "cpu, cuda, cuda:1, mps ... [default: the best there is]")
    precision: str = option("no", "mixed precision", choices=("no", "fp16", "bf16"))
    decay_from: float = option(
        0.5, "the learning rate falls linearly to 0 from this share of the steps on", least=0, most=1
    )
    ema: float = option(0.999, "decay of the generators' moving average", least=0, most=0.999999)
    checkpoint_every: int = option(500, "steps between checkpoints", least=1)
    keep: int = option(2, "checkpoints kept", least=1)
    sample_every: int = option(500, "steps between sample sheets", least=1)
    log_every: int = option(10, "steps that a line of the log averages over", least=1)

    def __post_init__(self) -> None:
        if self.steps is not None and self.epochs is not None:
            raise ValueError("give steps or epochs, not both")

    def total_steps(self, pictures: int) -> int:
        """The number of steps, where an epoch is a pass over ``pictures`` pictures."""
        if self.steps is not None:
            return self.steps
        return (self.epochs or 200) * -(-pictures // self.batch)

    def learning_rate_factor(self, step: int, steps: int) -> float:
        """What the learning rates are multiplied by at ``step`` of ``steps``: 1, then linearly down to 0."""
        start = self.decay_from * steps
        return 1.0 if step < start else (steps - step) / (steps - start)
