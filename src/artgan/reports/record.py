"""Reads a run's folder for reports; files that are missing, malformed or, after a kill, partial are ignored."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import yaml

Curve: TypeAlias = "dict[int, float]"
"""Values by step, in the order of the steps."""


def is_run(path: Path) -> bool:
    """Whether this is the folder of a training run."""
    return (path / "config.yaml").is_file()


@dataclass(frozen=True)
class RunRecord:
    """A training run, as far as it is known from its folder.

    Attributes:
        folder: the run's folder.
        config: the content of ``config.yaml``: plugin, config, training, data.
        config_text: the text of that file.
        losses: by name.
        rates: learning rates by name.
        seconds: per step, averaged over the steps since the previous point of the curve.
        metrics: by name.
        scorings: the lines of the metrics, in the order of the steps.
        sessions: the start and each resumption.
        health: the alarms, in the order of the steps.
        left_out: pictures that cannot be read, with domain, name, reason and the step at which they were found.
        sheets: sample sheets by step.
    """

    folder: Path
    config: Mapping[str, Any]
    config_text: str
    losses: Mapping[str, Curve]
    rates: Mapping[str, Curve]
    seconds: Curve
    metrics: Mapping[str, Curve]
    scorings: Sequence[Mapping[str, Any]]
    sessions: Sequence[Mapping[str, Any]]
    health: Sequence[Mapping[str, Any]]
    left_out: Sequence[Mapping[str, Any]]
    sheets: Mapping[int, Path]

    @property
    def plugin(self) -> str:
        """The plugin's name."""
        return str(self.config.get("plugin", "unknown plugin"))

    @property
    def data(self) -> Mapping[str, Mapping[str, Any]]:
        """Folder, number of pictures and fingerprint of each domain."""
        return {str(name): mapping(domain) for name, domain in mapping(self.config.get("data")).items()}

    @property
    def last_session(self) -> Mapping[str, Any]:
        """How the run was last started or resumed; empty if unknown."""
        return self.sessions[-1] if self.sessions else {}

    @property
    def steps_per_epoch(self) -> int | None:
        """Steps in one pass over the larger set of pictures."""
        pictures = max((_count(domain.get("pictures")) or 0 for domain in self.data.values()), default=0)
        training = mapping(self.config.get("training"))
        factors = (training.get("batch"), training.get("accumulate"), self.last_session.get("processes"))
        at_once = math.prod(_count(factor) or 1 for factor in factors)
        return -(-pictures // at_once) or None

    @property
    def steps(self) -> int | None:
        """Planned number of steps."""
        training = mapping(self.config.get("training"))
        planned = _count(self.last_session.get("steps")) or _count(training.get("steps"))
        epochs = _count(training.get("epochs"))
        return planned or (epochs * self.steps_per_epoch if epochs and self.steps_per_epoch else None)

    @property
    def done(self) -> int:
        """Steps done, as far as a line of a log, a sheet or a checkpoint shows it."""
        named = (_step_of(path) for path in self.folder.glob("checkpoints/step-*"))
        steps = [step for curve in self.losses.values() for step in curve] + [s for s in named if s is not None]
        return max([0, _count(self.last_session.get("step")) or 0, *steps, *self.sheets])

    @property
    def kept(self) -> tuple[int, str, float] | None:
        """The model that is kept as the best one: its step, and the name and value of its score."""
        for line in reversed(self.scorings):
            step, name = line["step"], line.get("kept")
            if isinstance(name, str) and step in self.metrics.get(name, {}):
                return step, name, self.metrics[name][step]
        return None

    def epoch(self, step: int) -> float | None:
        """Passes over the larger set of pictures after ``step`` steps."""
        return step / self.steps_per_epoch if self.steps_per_epoch else None

    @property
    def total_seconds(self) -> float | None:
        """Time of all steps; steps repeated after a kill count once."""
        befores = [0, *self.seconds]
        parts = ((step - before) * mean for before, (step, mean) in zip(befores, self.seconds.items(), strict=False))
        return sum(parts) if self.seconds else None

    @property
    def seconds_per_step(self) -> float | None:
        """Mean over the run."""
        return self.total_seconds / max(self.seconds) if self.total_seconds is not None else None

    @property
    def seconds_per_epoch(self) -> float | None:
        """Mean over the run."""
        if self.seconds_per_step is None or self.steps_per_epoch is None:
            return None
        return self.seconds_per_step * self.steps_per_epoch


def read_run(folder: Path) -> RunRecord:
    """Read what exists of a run; missing or damaged files are not errors."""
    log, scorings = _lines(folder / "log.jsonl"), _lines(folder / "metrics.jsonl")
    timing = [{**line, "seconds": {"step": line.get("seconds")}} for line in _lines(folder / "timing.jsonl")]
    text = _text(folder / "config.yaml")
    sheets = {_step_of(path): path for path in folder.glob("samples/step-*.jpg")}
    return RunRecord(
        folder=folder,
        config=_yaml(text),
        config_text=text,
        losses=_curves(log, "losses"),
        rates=_curves(log, "rates"),
        seconds=_curves(timing, "seconds").get("step", {}),
        metrics=_curves(scorings, "metrics"),
        scorings=sorted(scorings, key=lambda line: int(line["step"])),
        sessions=_lines(folder / "sessions.jsonl"),
        health=sorted(_lines(folder / "health.jsonl"), key=lambda line: int(line["step"])),
        left_out=_lines(folder / "left_out.jsonl"),
        sheets={step: sheets[step] for step in sorted(step for step in sheets if step is not None)},
    )


def mapping(value: Any) -> Mapping[str, Any]:
    """The value if it is a mapping, otherwise an empty one."""
    return value if isinstance(value, Mapping) else {}


def flatten(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of nested mappings, under dotted names."""
    if not isinstance(value, Mapping):
        yield prefix, value
        return
    for key, inner in value.items():
        yield from flatten(inner, f"{prefix}.{key}" if prefix else str(key))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _yaml(text: str) -> Mapping[str, Any]:
    try:
        return mapping(yaml.safe_load(text))
    except (yaml.YAMLError, ValueError, RecursionError):
        return {}


def _lines(path: Path) -> list[dict[str, Any]]:
    """The complete lines of a log: objects with a step."""
    found = []
    for line in _text(path).splitlines():
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict) and (value.get("step") == 0 or _count(value.get("step"))):
            found.append(value)
    return found


def _curves(lines: Sequence[Mapping[str, Any]], key: str) -> dict[str, Curve]:
    """The numbers under ``key`` by name and step; if a step has two lines, the later one counts."""
    curves: dict[str, Curve] = {}
    for line in lines:
        for name, value in mapping(line.get(key)).items():
            if isinstance(value, int | float) and abs(value) < 1e30:  # false for NaN too
                curves.setdefault(name, {})[line["step"]] = float(value)
    return {name: dict(sorted(curve.items())) for name, curve in curves.items()}


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and 0 < value < 10**12 else None


def _step_of(path: Path) -> int | None:
    match = re.fullmatch(r"step-(\d{1,12})", path.stem)
    return int(match[1]) if match else None
