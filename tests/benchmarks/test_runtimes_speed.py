"""How fast the runtimes paint, from a decoded picture to a picture, on as many threads as PyTorch uses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import artgan
from artgan.runtimes.accelerate import RUNTIMES


@pytest.mark.parametrize("runtime", RUNTIMES[1:])
def test_painting_by_another_runtime_against_pytorch(
    runtime: str, compare: Callable[..., None], benchmark: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    model = artgan.load("cyclegan.monet-fine")
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8))
    benchmark.extra_info |= {"threads": torch.get_num_threads(), "torch": torch.__version__}
    compare(
        lambda: model.paint(photo, runtime=runtime),
        lambda: model.paint(photo),
        names=(f"monet, 256 x 256, {runtime}", "PyTorch"),
        rounds=7,
    )
