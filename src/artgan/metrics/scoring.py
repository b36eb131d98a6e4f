"""Cached metric networks, and validation of returned scores."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import torch

from artgan.errors import ArtganError, one_line
from artgan.interfaces import Metric, Score
from artgan.metrics.extractors import Extractor, load_extractor
from artgan.metrics.feature_metric import FeatureMetric
from artgan.metrics.perceptual import PerceptualMetric, load_perceptual

_T = TypeVar("_T")


class MetricNetworks:
    """The networks of metrics, each loaded once; a failed load is not retried.

    Args:
        weights: files by network, of :data:`artgan.settings.NETWORKS`.
        size: side of the square that networks see, in pixels, unless they fix it.
        device: to run on.
    """

    def __init__(self, weights: Mapping[str, Path], *, size: int, device: torch.device) -> None:
        self.weights = weights
        self.size = size
        self.device = device
        self._loaded: dict[str, Any] = {}

    def extractor(self, name: str) -> Extractor:
        """Load an extractor.

        Raises:
            WeightsError: its weights cannot be downloaded or read.
            ConfigError: a package is missing.
        """
        return self._once(name, lambda: load_extractor(name, self.weights, size=self.size, device=self.device))

    def metric(self, cls: type[Metric]) -> Metric:
        """A new metric with its network; raises the errors of :meth:`extractor`, and any error of a plugin's metric."""
        if issubclass(cls, FeatureMetric):
            return cls(self.extractor(cls.extractor_name))
        if issubclass(cls, PerceptualMetric):
            return cls(self._once("perceptual", lambda: load_perceptual(self.weights.get("vgg19")).to(self.device)))
        return cls()

    def _once(self, name: str, load: Callable[[], _T]) -> _T:
        if name not in self._loaded:
            try:
                self._loaded[name] = load()
            except ArtganError as error:
                self._loaded[name] = error
        loaded = self._loaded[name]
        if isinstance(loaded, ArtganError):
            raise loaded
        found: _T = loaded
        return found


def given_files(**files: str | Path | None) -> dict[str, Path]:
    """The files of networks that are given, by network."""
    return {network: Path(file) for network, file in files.items() if file is not None}


def validated(scores: Sequence[Score]) -> list[Score]:
    """The scores, with plain floats.

    Raises:
        ValueError: one is not a score, is not finite, or has details that are not JSON.
    """
    found = []
    for score in scores:
        if not isinstance(score, Score):
            raise ValueError(f"gave {score!r} in place of a score")
        values = [float(score.value), *map(float, score.interval or ())]
        if not all(map(math.isfinite, values)):
            raise ValueError(f"{score.name} is not finite; are the weights intact?")
        try:
            json.dumps([score.name, score.n, dict(score.details), score.notes], allow_nan=False)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{score.name}: its details are not JSON ({error})") from None
        low_high = (values[1], values[2]) if score.interval else None
        found.append(replace(score, value=values[0], interval=low_high))
    return found


def reason(error: BaseException) -> str:
    """Why a metric has no score, on one line."""
    return one_line(error, kind=not isinstance(error, (ArtganError, ValueError)))
