"""What scores of style cost: of features that are there, and the features themselves.

Small by default; ``ARTGAN_METRICS_PICTURES=300`` is the usual number of pictures of a set.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
import torch
from support.data import VGG19_WEIGHTS
from torch import Tensor

from artgan.metrics.artists import classify
from artgan.metrics.extractors import load_extractor
from artgan.metrics.style import kernel_distance, standardize
from artgan.metrics.style_distance import Style

PICTURES = int(os.environ.get("ARTGAN_METRICS_PICTURES", "60"))
WIDTH = 1920  # of VGG-19's style layers


def features(count: int) -> list[Tensor]:
    """Sets that differ a little in every number."""
    generator = torch.Generator().manual_seed(0)
    return [
        torch.randn(PICTURES, WIDTH, generator=generator) + 0.1 * torch.randn(WIDTH, generator=generator)
        for _ in range(count)
    ]


def test_style_distance_against_one_kernel_distance(compare: Callable[..., None]) -> None:
    """With its interval, that of the photos and that of halves."""
    real, fake, photos = features(3)

    def one() -> None:
        x, y = standardize([real.double(), photos.double()], real.double(), fake.double())
        kernel_distance(y, x)

    compare(
        lambda: Style().evaluate(real, fake, photos),
        one,
        names=(f"style distance, {PICTURES} pictures of each set", "the distance alone"),
        rounds=5,
    )


def test_artist_classifier(benchmark: Any) -> None:
    classes = dict(zip("abc", features(3), strict=True))
    sets = {"painted": features(1)[0]}
    benchmark.extra_info |= {"pictures of each artist": PICTURES, "threads": torch.get_num_threads()}
    benchmark.pedantic(lambda: classify(classes, sets), rounds=1)


@pytest.mark.parametrize("name", ["vgg19", "filters"])
def test_features_of_a_picture(name: str, benchmark: Any) -> None:
    if name == "vgg19" and not VGG19_WEIGHTS.is_file():
        pytest.skip(f"no weights of VGG-19 at {VGG19_WEIGHTS}")
    extractor = load_extractor(name, {"vgg19": VGG19_WEIGHTS})
    picture = torch.rand(1, 3, 256, 256, generator=torch.Generator().manual_seed(0)) * 2 - 1
    benchmark.extra_info |= {"side": 256, "threads": torch.get_num_threads(), "torch": torch.__version__}
    benchmark.pedantic(lambda: extractor.features(picture), rounds=3, warmup_rounds=1)
