"""What painting in tiles costs, against the same picture painted whole."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from artgan_cyclegan.networks import ResNetGenerator, SubpixelGenerator
from PIL import Image
from support.painting import best_side, paint_batch

from artgan.images import Picture
from artgan.interfaces import Generator
from artgan.painting import painter
from artgan.painting.tiles import Tiling


def pictures(side: int) -> list[Picture]:
    return [Picture(Image.effect_noise((64, 64), 60).convert("RGB").resize((side, side)))]


def test_the_fast_generator_in_tiles(
    compare: Callable[..., None], benchmark: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    generator = SubpixelGenerator().eval()
    side = 2048 if benchmark.enabled else 512
    photo = pictures(side)
    monkeypatch.setattr(painter, "WORKING_MEMORY", float("inf"))  # whole unless told otherwise
    compare(
        lambda: paint_batch(generator, photo, tiling=Tiling(best_side(generator))),
        lambda: paint_batch(generator, photo),
        names=(f"{side}x{side} in tiles", "whole"),
        rounds=3,
    )


@pytest.mark.parametrize("statistics", ["exact", "estimated"])
def test_a_generator_with_many_norms_in_tiles(compare: Callable[..., None], benchmark: Any, statistics: Any) -> None:
    torch.manual_seed(0)
    generator: Generator = ResNetGenerator(width=16, blocks=6, upsample="resize", skip=True).eval()
    side = 1024 if benchmark.enabled else 256
    photo = pictures(side)
    compare(
        lambda: paint_batch(generator, photo, tiling=Tiling(best_side(generator), statistics)),
        lambda: paint_batch(generator, photo),
        names=(f"ResNet-6 of width 16, {side}x{side} in tiles, {statistics} statistics", "whole"),
        rounds=1,
        warm=False,
    )
