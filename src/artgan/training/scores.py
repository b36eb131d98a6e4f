"""Scores computed during a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from artgan.data import PictureSet
from artgan.data.crops import Preparation, center_crops, to_pictures
from artgan.interfaces import Generator, Metric, Score, Trainer
from artgan.metrics.feature_metric import FeatureMetric
from artgan.metrics.names import resolve_metric
from artgan.metrics.perceptual import PerceptualMetric
from artgan.metrics.scoring import MetricNetworks, given_files, reason, validated
from artgan.training.best import Target
from artgan.training.options import TrainingOptions

_SEED = 0  # of the noise for generated pictures: the same at each step, so that scores are comparable
_BATCH = 8


@dataclass(frozen=True)
class Taken:
    """The results of one scoring.

    Attributes:
        scores: by name.
        failed: by metric, the reason for each one that has no score.
        target: the score that decides which model is the best; None if it failed, or if none was asked for.
    """

    scores: Mapping[str, Score]
    failed: Mapping[str, str]
    target: Score | None = None


class Scores:
    """The scores of the first generator, computed on the same pictures each time.

    The real pictures are those of the domain that the generator is named after. They and the inputs of the generated
    ones are spread evenly over their sets and center-cropped.

    Args:
        options: of the run.
        domains: the pictures to score on.
        device: of the run.
        target: the score that decides which model is the best; its metric is computed too.
        preparations: what is done to each square, by domain.
        failed: called with domain, index and reason for each picture that cannot be read; the next one is used.

    Raises:
        PluginError: there is no such metric, or it cannot be imported.
        WeightsError: an extractor's weights cannot be downloaded or read.
    """

    def __init__(
        self,
        options: TrainingOptions,
        domains: Mapping[str, PictureSet],
        device: torch.device,
        *,
        target: Target | None = None,
        preparations: Mapping[str, Preparation] | None = None,
        failed: Callable[[str, int, str], None] = lambda domain, index, reason: None,
    ) -> None:
        names = [*options.metric_names, *([target.metric] if target else [])]
        self.metrics: dict[str, type[Metric]] = {name: resolve_metric(name) for name in names}
        self.target = target
        self.domains = domains
        self.preparations = preparations or {}
        self._failed = failed
        self.size = options.size
        self.device = device
        self.count = min(options.metrics_on, *map(len, domains.values()))
        files = given_files(vgg19=options.vgg19, inception=options.inception, dinov2=options.dinov2)
        self._networks = MetricNetworks(files, size=self.size, device=device)
        for cls in self.metrics.values():
            if issubclass(cls, (FeatureMetric, PerceptualMetric)):
                self._networks.metric(cls)  # so that missing parts are reported before hours of training
        # By extractor and side, the features of pictures that do not change, computed once.
        self._features: dict[tuple[str, str], Tensor] = {}

    @torch.no_grad()
    def take(self, trainer: Trainer, generators: Mapping[str, Generator]) -> Taken:
        """Compute all scores."""
        torch.manual_seed(_SEED)
        metrics: dict[str, Metric] = {}
        failed: dict[str, str] = {}
        for name, cls in self.metrics.items():
            with _noting(failed, name):
                metrics[name] = self._networks.metric(cls)
        features = self._feed(metrics, failed, trainer, generators)
        found: dict[str, list[Score]] = {}
        for name, metric in metrics.items():
            if name in failed:
                continue
            with _noting(failed, name):
                given = _judged(metric, features) if isinstance(metric, FeatureMetric) else metric.scores()
                found[name] = validated(given)
        return Taken(
            scores={score.name: score for name in metrics for score in found.get(name, ())},
            failed=failed,
            target=self.target.among(found.get(self.target.metric, [])) if self.target else None,
        )

    def _feed(
        self,
        metrics: Mapping[str, Metric],
        failed: dict[str, str],
        trainer: Trainer,
        generators: Mapping[str, Generator],
    ) -> dict[tuple[str, str], Tensor]:
        """Show all pictures to the metrics that take pictures; of the others, compute the features.

        Returns:
            By extractor and side ("fake", "real" or "inputs"), the features of all pictures, one row each.
        """
        kind = next(iter(generators))
        of_features = {name: metric for name, metric in metrics.items() if isinstance(metric, FeatureMetric)}
        extractors = {metric.extractor_name: metric.extractor for metric in of_features.values()}
        seen: dict[tuple[str, str], list[Tensor]] = {}
        for start in range(0, self.count, _BATCH):
            batch = self._pictures(range(start, min(start + _BATCH, self.count)))
            inputs, made = trainer.outputs(batch, generators)[kind]
            sides = {"fake": made, "real": batch.get(kind), "inputs": inputs}
            for name, extractor in extractors.items():
                assert extractor is not None
                for side, pictures in sides.items():
                    if pictures is not None and (name, side) not in self._features:
                        seen.setdefault((name, side), []).append(extractor.features(pictures))
            for name in metrics.keys() - of_features.keys() - failed.keys():
                with _noting(failed, name):
                    against = sides.get(metrics[name].against)
                    if against is not None:
                        metrics[name].update(against, real=True)
                    metrics[name].update(made, real=False)
        features = {key: torch.cat(rows) for key, rows in seen.items()} | self._features
        self._features = {key: rows for key, rows in features.items() if key[1] != "fake"}
        return features

    def _pictures(self, numbers: range) -> dict[str, Tensor]:
        batch = {
            name: center_crops(
                pictures,
                self.count,
                self.size,
                numbers=numbers,
                preparation=self.preparations.get(name),
                failed=partial(self._failed, name),
            )
            for name, pictures in self.domains.items()
        }
        return to_pictures(batch, self.device)


@contextmanager
def _noting(failed: dict[str, str], name: str) -> Iterator[None]:
    """Note the reason where a metric fails: third-party metrics may raise anything, and must not end the run."""
    try:
        yield
    except (Exception, SystemExit) as error:
        failed[name] = reason(error)


def _judged(metric: FeatureMetric, features: Mapping[tuple[str, str], Tensor]) -> Sequence[Score]:
    assert metric.extractor is not None
    part = metric.extractor.parts[metric.part]
    real, fake, inputs = (
        features[metric.extractor_name, side][:, part] if (metric.extractor_name, side) in features else None
        for side in ("real", "fake", "inputs")
    )
    assert fake is not None
    return metric.evaluate(fake[:0] if real is None else real, fake, inputs)
