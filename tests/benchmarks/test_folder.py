"""A folder of photos to a folder of paintings, against the loop that anybody would write."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import torch
from PIL import Image

import artgan
from artgan.painting import paint_files, plan


def _photo(path: Path, draw: random.Random) -> None:
    """256 x 256, as hard to decode and encode as a photo: blurred noise of three sizes, on top of one another."""
    layers = [
        Image.frombytes("RGB", (side, side), draw.randbytes(3 * side * side)).resize(
            (256, 256), Image.Resampling.BICUBIC
        )
        for side in (6, 32, 128)
    ]
    Image.blend(Image.blend(layers[0], layers[1], 0.3), layers[2], 0.15).save(path, quality=90)


def test_a_folder_against_a_plain_loop(compare: Callable[..., None], benchmark: Any, tmp_path: Path) -> None:
    draw, total = random.Random(0), 200 if benchmark.enabled else 20
    photos = [tmp_path / "photos" / f"{number:04}.jpg" for number in range(total)]
    photos[0].parent.mkdir()
    for photo in photos:
        _photo(photo, draw)
    model = artgan.load("monet", runtime="auto")
    manner, options = model.painting({})
    runs = count()

    def folder() -> None:
        jobs = plan([photos[0].parent], tmp_path / f"ours-{next(runs)}", tag="monet")
        results = list(paint_files(model.running_on(), jobs, manner=manner, options=options))
        assert [result.error for result in results] == [None] * total

    def loop() -> None:
        out = tmp_path / f"plain-{next(runs)}"
        out.mkdir()
        for photo in photos:
            model.paint(photo).save(out / photo.name, quality=95, subsampling="4:4:4")

    benchmark.extra_info |= {"photos": total, "threads": torch.get_num_threads()}
    compare(folder, loop, names=(f"paint_files, {total} photos of 256 x 256", "plain loop"), rounds=3, warm=False)
