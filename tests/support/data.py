"""Real pictures and VGG-19's real weights, where this machine has them. Tests that need them skip where it does not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from support import ROOT

DATA = Path(os.environ.get("ARTGAN_DATA", ROOT.parent / "shared" / "data"))
VGG19_WEIGHTS = DATA / "vgg19_conv1_1-conv5_1_fp16.safetensors"

needs_data = pytest.mark.skipif(
    not VGG19_WEIGHTS.exists(), reason=f"no real pictures and weights in {DATA}; set ARTGAN_DATA"
)


def real_pictures(folder: str) -> list[Path]:
    """The pictures of a folder of the real data, sorted; skips the test where there are none."""
    paths = sorted((DATA / folder).glob("*.jpg"))
    if not paths:
        pytest.skip(f"no pictures in {DATA / folder}; set ARTGAN_DATA")
    return paths
