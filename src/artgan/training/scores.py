"""Scores that are taken while a run goes on, with the metrics that plugins bring."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from artgan.data import PictureSet
from artgan.data.draws import centre_crops, to_pictures
from artgan.interfaces import Generator, Metric, Trainer
from artgan.plugin import resolve_metric
from artgan.training.options import TrainingOptions

_SEED = 0  # of the noise behind generated pictures: the same at each step, so that scores can be compared
_BATCH = 8


class Scores:
    """What some metrics say of the first generator, on the same pictures each time.

    The real pictures are those of the domain that the generator is named after; with the inputs of the generated
    ones they are spread evenly over their sets, and cropped in the middle.

    Raises:
        PluginError: no such metric, or it cannot be imported.
    """

    def __init__(self, options: TrainingOptions, domains: Mapping[str, PictureSet], device: torch.device) -> None:
        self.metrics: dict[str, type[Metric]] = {name: resolve_metric(name) for name in options.metric_names}
        self.domains = domains
        self.size = options.size
        self.device = device
        self.count = min(options.metrics_on, *map(len, domains.values()))

    @torch.no_grad()
    def take(self, trainer: Trainer, generators: Mapping[str, Generator]) -> dict[str, float]:
        """Every metric's score, under the name that it gives it."""
        torch.manual_seed(_SEED)
        kind = next(iter(generators))
        metrics = [metric() for metric in self.metrics.values()]
        for start in range(0, self.count, _BATCH):
            batch = self._pictures(range(start, min(start + _BATCH, self.count)))
            outputs = trainer.outputs(batch, generators)
            for metric in metrics:
                if kind in batch:
                    metric.update(batch[kind], real=True)
                metric.update(outputs[kind][1], real=False)
        return {score.name: score.value for score in (metric.compute() for metric in metrics)}

    def _pictures(self, numbers: range) -> dict[str, Tensor]:
        batch = {
            name: centre_crops(pictures, self.count, self.size, numbers=numbers)
            for name, pictures in self.domains.items()
        }
        return to_pictures(batch, self.device)
