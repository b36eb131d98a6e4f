"""A step of a run is the mathematics of a bare loop, as one would write it in a notebook."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from support.bare_loops import bare_translator, run_and_bare_loop, step_of_a_run

CYCLEGAN = {"width": 8, "blocks": 2, "upsample": "resize", "skip": True, "pool": 0, "identity_every": 2}


@pytest.mark.slow
@pytest.mark.numerical
def test_steps_of_a_translator_are_those_of_a_bare_loop(tmp_path: Path) -> None:
    torch.manual_seed(1)
    pictures = {name: torch.randint(256, (1, 3, 64, 64), dtype=torch.uint8) for name in ("photos", "paintings")}
    session, ours = step_of_a_run("cyclegan", CYCLEGAN, pictures, tmp_path)
    bare, painter = bare_translator(CYCLEGAN, pictures)
    photo = pictures["photos"].float() / 127.5 - 1
    with torch.no_grad():
        before = painter(photo)
    for _ in range(2):  # with the identity loss, and without
        ours()
        bare()
    with torch.no_grad():
        mine, theirs = session.generators["paintings"](photo), painter(photo)
    assert (mine - theirs).abs().mean() < 0.02 * (theirs - before).abs().mean()


@pytest.mark.slow
@pytest.mark.numerical
@pytest.mark.parametrize(
    ("plugin", "values"),
    [
        ("dcgan", {"width": 8}),
        ("sngan", {"width": 32, "discriminator_width": 8, "discriminator_steps": 2}),
        ("fastgan", {"size": 64, "width": 28, "discriminator_width": 4, "diffaugment": ""}),
    ],
    ids=str,
)
def test_a_step_from_noise_is_that_of_a_bare_loop(plugin: str, values: dict[str, Any], tmp_path: Path) -> None:
    torch.manual_seed(1)
    pictures = {"pictures": torch.randint(256, (8, 3, 64, 64), dtype=torch.uint8)}
    session, ours, networks, bare = run_and_bare_loop(plugin, values, pictures, tmp_path)
    for step in (ours, bare):
        torch.manual_seed(2)  # the same noise
        step()
    for mine, theirs in (
        (session.generators["pictures"], networks.generators["pictures"]),
        (session.networks["discriminator/pictures"], networks.discriminators["pictures"]),
    ):
        pairs = list(zip(mine.parameters(), theirs.parameters(), strict=True))
        assert max(float((p - q).detach().abs().mean()) for p, q in pairs) < 1e-6  # a step is 2e-4
