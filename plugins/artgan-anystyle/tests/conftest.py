"""A VGG-19 with random weights, for the losses."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

_CONVOLUTIONS = {0: (3, 64), 2: (64, 64), 5: (64, 128), 7: (128, 128), 10: (128, 256), 12: (256, 256), 14: (256, 256)}
_CONVOLUTIONS |= {16: (256, 256), 19: (256, 512), 21: (512, 512), 23: (512, 512), 25: (512, 512), 28: (512, 512)}


@pytest.fixture(scope="session")
def vgg19(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of its weights, up to conv5_1."""
    path = tmp_path_factory.mktemp("vgg19") / "model.safetensors"
    torch.manual_seed(0)
    state = {}
    for index, (before, after) in _CONVOLUTIONS.items():
        state[f"features.{index}.weight"] = (torch.randn(after, before, 3, 3) * (2 / 9 / before) ** 0.5).half()
        state[f"features.{index}.bias"] = torch.zeros(after).half()
    save_file(state, path)
    return path


@pytest.fixture(autouse=True)
def settings(vgg19: Path) -> Iterator[None]:
    """Let it be the one that the user's settings name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ARTGAN_VGG19", str(vgg19))
        yield
