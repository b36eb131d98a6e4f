"""How fast pictures are drawn: from noise, and in strokes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_sample_image

import artgan
from artgan import images
from artgan.painting.brushwork import Brush, reduced, trace


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


@pytest.mark.parametrize("side", [256, 512, 3000])
def test_strokes_against_opencvs_polygons(compare: Callable[..., None], benchmark: Any, side: int) -> None:
    """The baseline is given the corners of all polygons, and only fills them."""
    cv2 = pytest.importorskip("cv2", exc_type=ImportError)
    side = side if benchmark.enabled else 64
    photo = np.asarray(Image.fromarray(load_sample_image("china.jpg")).resize((256, 256)))
    strokes = trace(reduced([photo], (256, 256)), Brush())
    outlines = strokes._outlines((side, side), (0, 0, side, side), (16, 16))
    corners = [
        row[:count].reshape(-1, 2).astype(np.int32)
        for row, count in zip(outlines.corners, outlines.counts.tolist(), strict=True)
    ]
    colors = [(ink & 255, ink >> 8 & 255, ink >> 16) for ink in outlines.inks.tolist()]

    def fill() -> None:
        threads = cv2.getNumThreads()
        cv2.setNumThreads(1)
        painting = np.zeros((side, side, 3), np.uint8)
        for polygon, color in zip(corners, colors, strict=True):
            cv2.fillPoly(painting, [polygon], color, cv2.LINE_AA, 4)
        cv2.setNumThreads(threads)

    compare(
        lambda: strokes.draw((side, side)),
        fill,
        names=(f"{len(strokes):,} strokes at {side} px", "their polygons filled by OpenCV alone"),
        rounds=5,
    )
