"""Scores that compare feature maps of two pictures position by position: diversity and content preservation."""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from artgan.features import VGG19
from artgan.interfaces import Metric, Score
from artgan.metrics import style
from artgan.metrics.extractors import load_metric_vgg19
from artgan.metrics.feature_metric import require_finite
from artgan.metrics.intervals import normal

LAYERS = ("conv1_2", "conv2_2", "conv3_4", "conv4_4")


def load_perceptual(weights: Path | None = None) -> VGG19:
    """The network shared by the metrics of this module.

    Args:
        weights: see :func:`artgan.features.load_vgg19`.
    """
    return load_metric_vgg19([*LAYERS, style.CONTENT_LAYER], weights)


class PerceptualMetric(Metric):
    """A metric on VGG-19's feature maps.

    Args:
        network: from :func:`load_perceptual`; by default with its published weights.
    """

    def __init__(self, network: VGG19 | None = None) -> None:
        self.network = network or load_perceptual()
        self._sizes: dict[tuple[int, int], None] = {}  # heights and widths of the pictures

    def update(self, pictures: Tensor, *, real: bool) -> None:
        """Extract the features of N x 3 x H x W pictures in [-1, 1], sides at least 16, all of one size.

        Raises:
            ValueError: their size differs from that of earlier ones, or their features are not finite.
        """
        self._sizes[pictures.shape[-2], pictures.shape[-1]] = None
        with torch.inference_mode():
            features = self.network(pictures.to(self.network.mean.device))
            for maps in features:
                require_finite(maps)
            self.update_features(dict(zip(self.network.layers, features, strict=True)), real)

    @abstractmethod
    def update_features(self, features: dict[str, Tensor], real: bool) -> None:
        """Add a batch of features: by layer, N x C x h x w, after the ReLU."""

    def score(
        self, value: float, n: tuple[int, int], interval: tuple[float, float], details: Mapping[str, Any]
    ) -> Score:
        """A score whose details name the network."""
        sizes = ", ".join(f"{height} x {width}" for height, width in self._sizes)
        used = {"extractor": "vgg19", "resize": f"pictures of {sizes}", "weights": self.network.source}
        return Score(self.name, value, n, {**used, **details}, interval)


class Diversity(PerceptualMetric):
    """How different generated pictures are from each other, relative to real ones: 1 is as varied.

    The distance between two pictures is that of Zhang et al. (2018, arXiv:1801.03924), on VGG-19's :data:`LAYERS` and
    without learned weights: features normalized to length 1 at each position, squared differences summed over the
    channels, averaged over positions and layers; 0 (equal) to 2. Each picture is compared with the previous one, so
    their order must be random. The score is a ratio because the distance itself has no scale: its value for unrelated
    pictures depends on their kind and size.

    Only the distances of consecutive pairs share a picture, so the standard errors of both means are those of series
    correlated at lag 1; the interval of the ratio follows by the delta method.
    """

    name = "diversity"
    better = "higher"

    def __init__(self, network: VGG19 | None = None) -> None:
        super().__init__(network)
        self._last: dict[bool, list[Tensor]] = {}
        self._distances: dict[bool, list[float]] = {True: [], False: []}
        self._count = {True: 0, False: 0}

    def update_features(self, features: dict[str, Tensor], real: bool) -> None:
        """Compare each picture with the previous one, and keep the features of the last."""
        unit = [F.normalize(features[layer], dim=1, eps=1e-10) for layer in LAYERS]
        if real in self._last:
            if self._last[real][0].shape[1:] != unit[0].shape[1:]:
                raise ValueError("pictures are compared position by position: they must all have the same size")
            unit = [torch.cat([last, maps]) for last, maps in zip(self._last[real], unit, strict=True)]
        self._count[real] += len(features[LAYERS[0]])
        self._last[real] = [maps[-1:].clone() for maps in unit]
        by_layer = [(maps[1:] - maps[:-1]).square().sum(1).mean((1, 2)) for maps in unit]
        self._distances[real] += torch.stack(by_layer).mean(0).tolist()

    def compute(self) -> Score:
        """The ratio of the mean distances.

        Raises:
            ValueError: a set has fewer than 3 pictures, or the real ones do not differ.
        """
        n = self._count[True], self._count[False]
        for kind, count in zip(("real", "generated"), n, strict=True):
            if count < 3:
                raise ValueError(f"needs at least 3 {kind} pictures, got {count}")
        of_real, real_error = _mean_and_error(self._distances[True])
        of_fake, fake_error = _mean_and_error(self._distances[False])
        if of_real == 0:
            raise ValueError("the real pictures are all the same: there is no diversity to compare with")
        value = of_fake / of_real
        error = float(np.hypot(fake_error, value * real_error)) / of_real
        details = {"layers": list(LAYERS), "generated": of_fake, "real": of_real}
        return self.score(value, n, normal(value, error), details)


def _mean_and_error(distances: Sequence[float]) -> tuple[float, float]:
    """The mean of a series with (never negative) correlation at lag 1, and its standard error."""
    values = np.array(distances)
    apart = values - values.mean()
    variance = np.square(apart).sum() / (len(values) - 1)
    covariance = max(float(np.mean(apart[1:] * apart[:-1])), 0.0)
    return float(values.mean()), float(np.sqrt((variance + 2 * covariance) / len(values)))


class ContentKept(PerceptualMetric):
    """How much of a photo's content its painting preserves, by VGG-19; 1 is all.

    It is the mean cosine of their features at conv4_2. Photos are given as real pictures and paintings as generated
    ones, in the same order and alternating: features wait in memory for their counterpart. The score of unrelated
    pictures is not 0, since features after a ReLU are never negative.
    """

    name = "content"
    against = "inputs"
    better = "higher"

    def __init__(self, network: VGG19 | None = None) -> None:
        super().__init__(network)
        self._waiting: dict[bool, deque[Tensor]] = {True: deque(), False: deque()}
        self._kept: list[float] = []

    def update_features(self, features: dict[str, Tensor], real: bool) -> None:
        """Compare each photo with its painting, once both have arrived."""
        self._waiting[real].extend(maps.clone() for maps in torch.split(features[style.CONTENT_LAYER], 1))
        photos, paintings = self._waiting[True], self._waiting[False]
        while photos and paintings:
            photo, painting = photos.popleft(), paintings.popleft()
            if photo.shape != painting.shape:
                raise ValueError(f"photo {len(self._kept) + 1} and its painting are not of one size")
            self._kept += style.content_kept(photo, painting).tolist()

    def compute(self) -> Score:
        """The mean, with a normal interval.

        Raises:
            ValueError: there are fewer than 2 pairs, or a photo without its painting or vice versa.
        """
        for kind, other, left in (("photos", "painting", True), ("paintings", "photo", False)):
            if self._waiting[left]:
                raise ValueError(f"{len(self._waiting[left])} {kind} were given without their {other}")
        n = len(self._kept)
        if n < 2:
            raise ValueError(f"needs at least 2 photos and their paintings, got {n}")
        value, error = fmean(self._kept), float(np.std(self._kept, ddof=1)) / n**0.5
        return self.score(value, (n, n), normal(value, error), {"layer": style.CONTENT_LAYER})
