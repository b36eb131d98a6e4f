"""How fast pictures are drawn from noise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

import artgan
from artgan import images


def test_sampling_against_a_plain_loop(compare: Callable[..., None], benchmark: Any) -> None:
    model = artgan.load("dcgan.monet", device="cpu")
    count = 1000 if benchmark.enabled else 50

    def one_by_one() -> None:
        for seed in range(count):
            noise = model.generator.noise(1, generator=torch.Generator().manual_seed(seed))
            with torch.inference_mode():
                images.to_rgb(model(noise)[0])

    compare(
        lambda: model.sample(count),
        one_by_one,
        names=(f"{count:,} pictures from dcgan.monet", "one after the other in a plain loop"),
        rounds=3,
    )
