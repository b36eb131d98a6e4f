"""Scores that are taken while a run goes on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from artgan.data import PictureSet
from artgan.data.draws import centre_crops, to_pictures
from artgan.errors import ConfigError
from artgan.interfaces import Generator, Metric, Score, Trainer
from artgan.metrics.extractors import NETWORKS, Extractor, load_extractor
from artgan.metrics.feature_metric import FeatureMetric
from artgan.metrics.perceptual import PerceptualMetric, load_perceptual
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
        ConfigError: weights for a network that no metric has.
        WeightsError: an extractor's weights cannot be fetched or read.
    """

    def __init__(self, options: TrainingOptions, domains: Mapping[str, PictureSet], device: torch.device) -> None:
        self.metrics: dict[str, type[Metric]] = {name: resolve_metric(name) for name in options.metric_names}
        self.domains = domains
        self.size = options.size
        self.device = device
        self.count = min(options.metrics_on, *map(len, domains.values()))
        weights = {network: Path(file) for network, file in options.networks.items()}
        if unknown := sorted(weights.keys() - set(NETWORKS.values())):
            raise ConfigError(
                f"--metric-weights {unknown[0]}=...: there are {', '.join(dict.fromkeys(NETWORKS.values()))}"
            )
        classes = self.metrics.values()
        self._extractors: dict[str, Extractor] = {
            name: load_extractor(name, weights, size=self.size, device=device)
            for name in dict.fromkeys(cls.extractor_name for cls in classes if issubclass(cls, FeatureMetric))
        }
        self._perceptual = (
            load_perceptual(weights.get("vgg19")).to(device)
            if any(issubclass(cls, PerceptualMetric) for cls in classes)
            else None
        )
        # By extractor and side, of the pictures that stay what they are: those of the first time.
        self._features: dict[tuple[str, str], Tensor] = {}

    @torch.no_grad()
    def take(
        self, trainer: Trainer, generators: Mapping[str, Generator]
    ) -> tuple[dict[str, Score], dict[str, Exception]]:
        """Every metric's scores, under the names that it gives them; and why a metric has none, by its name."""
        torch.manual_seed(_SEED)
        kind = next(iter(generators))
        metrics: dict[str, Metric] = {}
        failed: dict[str, Exception] = {}
        for name, cls in self.metrics.items():
            try:
                if not issubclass(cls, FeatureMetric):
                    metrics[name] = cls(self._perceptual) if issubclass(cls, PerceptualMetric) else cls()
            except Exception as error:  # a stranger's metric may raise anything, here and below
                failed[name] = error
        seen: dict[tuple[str, str], list[Tensor]] = {}
        for start in range(0, self.count, _BATCH):
            batch = self._pictures(range(start, min(start + _BATCH, self.count)))
            inputs, made = trainer.outputs(batch, generators)[kind]
            sides = {"fake": made, "real": batch.get(kind), "inputs": inputs}
            for name, extractor in self._extractors.items():
                for side, pictures in sides.items():
                    if pictures is not None and (name, side) not in self._features:
                        seen.setdefault((name, side), []).append(extractor.features(pictures))
            for name in [name for name in metrics if name not in failed]:
                try:
                    against = sides.get(metrics[name].against)
                    if against is not None:
                        metrics[name].update(against, real=True)
                    metrics[name].update(made, real=False)
                except Exception as error:
                    failed[name] = error
        features = {key: torch.cat(rows) for key, rows in seen.items()} | self._features
        self._features = {key: rows for key, rows in features.items() if key[1] != "fake"}
        scores: dict[str, Score] = {}
        for name in [name for name in self.metrics if name not in failed]:
            cls = self.metrics[name]
            try:
                found = self._judged(cls, features) if issubclass(cls, FeatureMetric) else metrics[name].scores()
                scores |= {score.name: score for score in found}
            except Exception as error:
                failed[name] = error
        return scores, failed

    def _judged(self, cls: type[FeatureMetric], features: Mapping[tuple[str, str], Tensor]) -> Sequence[Score]:
        extractor = self._extractors[cls.extractor_name]
        part = extractor.parts[cls.part]
        real, fake, inputs = (
            features[extractor.name, side][:, part] if (extractor.name, side) in features else None
            for side in ("real", "fake", "inputs")
        )
        assert fake is not None
        return cls(extractor).judge(fake[:0] if real is None else real, fake, inputs)

    def _pictures(self, numbers: range) -> dict[str, Tensor]:
        batch = {
            name: centre_crops(pictures, self.count, self.size, numbers=numbers)
            for name, pictures in self.domains.items()
        }
        return to_pictures(batch, self.device)
