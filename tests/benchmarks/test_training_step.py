"""What the training loop costs beside the mathematics. Nothing fails for being slow."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from support.bare_loops import bare_translator, run_and_bare_loop, step_of_a_run

CONFIG = {"width": 24, "blocks": 6, "upsample": "resize", "skip": True, "pool": 0, "identity_every": 2}
SIZE = 128


def test_a_step_against_a_bare_loop(compare: Callable[..., None], benchmark: Any, tmp_path: Path) -> None:
    torch.manual_seed(1)
    pictures = {name: torch.randint(256, (1, 3, SIZE, SIZE), dtype=torch.uint8) for name in ("photos", "paintings")}
    _, ours = step_of_a_run("cyclegan", CONFIG, pictures, tmp_path)
    bare, _ = bare_translator(CONFIG, pictures)
    benchmark.extra_info |= {"threads": torch.get_num_threads(), "torch": torch.__version__}
    compare(ours, bare, names=(f"a training step, {SIZE} x {SIZE}", "a bare loop of the same mathematics"), rounds=25)


@pytest.mark.parametrize(
    ("plugin", "values"),
    [
        ("dcgan", {"width": 32}),
        ("sngan", {"width": 128, "discriminator_width": 32, "discriminator_steps": 2}),
        ("fastgan", {"size": 64, "width": 84, "discriminator_width": 16, "diffaugment": ""}),
    ],
    ids=str,
)
def test_a_step_from_noise_against_a_bare_loop(
    plugin: str, values: dict[str, Any], compare: Callable[..., None], benchmark: Any, tmp_path: Path
) -> None:
    torch.manual_seed(1)
    batch = 32
    pictures = {"pictures": torch.randint(256, (batch, 3, 64, 64), dtype=torch.uint8)}
    _, ours, _, bare = run_and_bare_loop(plugin, values, pictures, tmp_path)
    benchmark.extra_info |= {"threads": torch.get_num_threads(), "torch": torch.__version__}
    compare(
        ours,
        bare,
        names=(f"a training step of {plugin}, {batch} pictures of 64 x 64", "a bare loop of the same mathematics"),
        rounds=25,
    )
