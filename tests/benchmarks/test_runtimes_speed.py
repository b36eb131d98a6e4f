"""How fast and in how much memory the runtimes paint, from a decoded picture to a picture."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from sklearn.datasets import load_sample_image

import artgan
from artgan.data.crops import center_square
from artgan.models.runtimes.opening import RUNTIMES

PEAK = """
import sys
from pathlib import Path
import artgan
from PIL import Image
photo = Image.open(sys.argv[1])
artgan.load("monet", runtime=sys.argv[2]).paint(photo)
status = Path("/proc/self/status").read_text()  # getrusage's peak would be that of the process that started this one
print(next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")))
"""


def _photo(width: int, height: int) -> Image.Image:
    return center_square(Image.fromarray(load_sample_image("china.jpg")), 256).resize((width, height))


@pytest.mark.parametrize("runtime", RUNTIMES[1:])
@pytest.mark.parametrize("size", [(256, 256), (1024, 1024), (4000, 3000)], ids=lambda size: f"{size[0]}x{size[1]}")
def test_painting_by_another_runtime_against_pytorch(
    runtime: str, size: tuple[int, int], compare: Callable[..., None], benchmark: Any, tmp_path: Path
) -> None:
    photo = _photo(*size)
    theirs = artgan.load("monet", runtime="torch")
    ours = artgan.load("monet", runtime=runtime)
    benchmark.extra_info |= {"threads": torch.get_num_threads(), "torch": torch.__version__}
    if benchmark.enabled and sys.platform == "linux":  # of whole processes; there are kilobytes
        photo.save(tmp_path / "photo.png")
        for name in ("torch", runtime):
            done = subprocess.run(
                [sys.executable, "-c", PEAK, tmp_path / "photo.png", name], capture_output=True, text=True, check=True
            )
            benchmark.extra_info[f"peak memory with {name}, MB"] = int(done.stdout) // 1000
    compare(
        lambda: ours.paint(photo),
        lambda: theirs.paint(photo),
        names=(f"monet, {size[0]} x {size[1]}, {runtime}", "PyTorch"),
        rounds=7 if size[0] < 2000 else 3,
    )


@pytest.mark.parametrize("runtime", RUNTIMES[1:])
def test_a_network_alone_by_another_runtime_against_pytorch(
    runtime: str, compare: Callable[..., None], benchmark: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a model that has no exported form yet, and no strokes, whose drawing is the same."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    model, photo = artgan.load("cyclegan.monet-fine"), _photo(256, 256)
    benchmark.extra_info |= {"threads": torch.get_num_threads(), "torch": torch.__version__}
    compare(
        lambda: model.paint(photo, runtime=runtime),
        lambda: model.paint(photo),
        names=(f"monet-fine, 256 x 256, {runtime}", "PyTorch"),
        rounds=7,
    )
