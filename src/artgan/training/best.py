"""The best model of a run: the score that decides which one it is, and what is kept of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from artgan.errors import ArtganError, ConfigError, did_you_mean
from artgan.interfaces import Better, Metric, Score
from artgan.metrics import METRICS
from artgan.metrics.names import find_metrics, resolve_metric
from artgan.training.options import TrainingOptions


@dataclass(frozen=True)
class Target:
    """The score that decides which model is the best.

    Attributes:
        metric: the name of the metric.
        score: the name of one of its scores, if it declares several; None is its only one.
        better: which values are better.
    """

    metric: str
    score: str | None
    better: Better

    def among(self, scores: Sequence[Score]) -> Score | None:
        """This one of the metric's scores, if it is there."""
        return next((score for score in scores if self.score in (None, score.name)), None)


def find_target(options: TrainingOptions) -> Target | None:
    """The score that ``keep_best`` names; None if the best model is not wanted.

    Raises:
        ConfigError: there is no such score, it is one of several, or its metric does not say what is better.
        PluginError: its metric cannot be imported.
    """
    wanted = options.keep_best
    if wanted is None:
        return None
    metrics = [*METRICS, *find_metrics()]
    if wanted in metrics:
        better = resolve_metric(wanted).better
        if isinstance(better, Mapping) and wanted not in better:
            raise ConfigError(f"--keep-best {wanted}: it has several scores, name one of {', '.join(better)}")
        if isinstance(better, Mapping):
            return Target(wanted, wanted, _direction(wanted, better[wanted]))
        return Target(wanted, None, _direction(wanted, better))
    known: dict[str, tuple[str, Any]] = {}
    # Metrics that are computed anyway come last, so that of two scores of one name theirs counts.
    for metric in [*metrics, *(name for name in options.metric_names if name in metrics)]:
        known |= {score: (metric, better) for score, better in _declared(metric).items()}
    if wanted not in known:
        names = [*metrics, *known]
        hint = did_you_mean(wanted.lower(), names) or f"there are {', '.join(names)}"
        raise ConfigError(f"--keep-best: no metric or score named {wanted!r}; {hint}")
    metric, better = known[wanted]
    return Target(metric, wanted, _direction(wanted, better))


def _declared(metric: str) -> Mapping[str, Any]:
    """The scores that a metric declares, if it has several; none if it cannot be imported, which is for its user."""
    try:
        cls: type[Metric] = resolve_metric(metric)
    except ArtganError:
        return {}
    return cls.better if isinstance(cls.better, Mapping) else {}


def _direction(name: str, better: Any) -> Better:
    if better == "lower":
        return "lower"
    if better == "higher":
        return "higher"
    what = "does not say" if better is None else f"has {better!r} to say"
    raise ConfigError(f"--keep-best {name}: its metric {what} whether lower or higher is better")


class Best:
    """The best models so far.

    Attributes:
        step: after which they were scored; 0 if there are none.
        score: name and value; None if there are none.
        models: the averaged state of each generator, on the CPU.
    """

    def __init__(self) -> None:
        self.step = 0
        self.score: tuple[str, float] | None = None
        self.models: Mapping[str, Mapping[str, Tensor]] = {}

    def improved_by(self, score: Score | None, target: Target) -> bool:
        """Whether a score is better than all before; one that failed or is not finite never is."""
        if score is None or not math.isfinite(score.value):
            return False
        if self.score is None:
            return True
        return score.value < self.score[1] if target.better == "lower" else score.value > self.score[1]

    def keep(self, step: int, score: Score, models: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Keep a copy of these models."""
        self.step = step
        self.score = score.name, score.value
        self.models = {
            name: {key: value.detach().cpu().clone() for key, value in state.items()} for name, state in models.items()
        }

    def state_dict(self) -> dict[str, Any]:
        """Everything, as JSON types and tensors: files that a kill or a later step has replaced can be restored."""
        return {"step": self.step, "score": self.score, "models": self.models}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore a state returned by :meth:`state_dict`."""
        self.step = state["step"]
        self.score = (str(state["score"][0]), float(state["score"][1])) if state["score"] else None
        self.models = state["models"]
