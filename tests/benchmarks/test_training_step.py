"""What the training loop costs beside the maths. Nothing fails for being slow."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from artgan_cyclegan import plugin
from artgan_cyclegan.config import CycleGANConfig
from artgan_cyclegan.networks import build

from artgan.config import parse
from artgan.training.devices import accelerator_for
from artgan.training.options import TrainingOptions
from artgan.training.session import Session

CONFIG = {"width": 24, "blocks": 6, "upsample": "resize", "skip": True, "pool": 0, "identity_every": 2}
SIZE = 128


def _bare(pictures: dict[str, torch.Tensor]) -> tuple[Callable[[], None], Any]:
    """CycleGAN's step (least squares, identity, moving average) as one would write it in a notebook."""
    torch.manual_seed(0)
    networks = build(parse(CycleGANConfig, CONFIG, where="test"))
    to_painting, to_photo = networks.generators["paintings"], networks.generators["photos"]
    judge_painting, judge_photo = networks.discriminators["paintings"], networks.discriminators["photos"]
    generators = [*to_painting.parameters(), *to_photo.parameters()]
    discriminators = [*judge_painting.parameters(), *judge_photo.parameters()]
    adam_g = torch.optim.Adam(generators, 2e-4, betas=(0.5, 0.999))
    adam_d = torch.optim.Adam(discriminators, 2e-4, betas=(0.5, 0.999))
    averages = [p.detach().clone() for p in generators]
    steps = itertools.count()

    def step() -> None:
        index = next(steps)
        photo = pictures["photos"].float() / 127.5 - 1
        painting = pictures["paintings"].float() / 127.5 - 1
        for p in discriminators:
            p.requires_grad_(False)
        fake_painting, fake_photo = to_painting(photo), to_photo(painting)
        loss = (judge_painting(fake_painting)[0] - 1).square().mean() + (judge_photo(fake_photo)[0] - 1).square().mean()
        loss = loss + 10 * (to_photo(fake_painting) - photo).abs().mean()
        loss = loss + 10 * (to_painting(fake_photo) - painting).abs().mean()
        if index % 2 == 0:
            loss = loss + 5 * (to_painting(painting) - painting).abs().mean()
            loss = loss + 5 * (to_photo(photo) - photo).abs().mean()
        adam_g.zero_grad()
        loss.backward()
        adam_g.step()
        for p in discriminators:
            p.requires_grad_(True)
        loss = torch.zeros(())
        for judge, real, fake in (
            (judge_painting, painting, fake_painting.detach()),
            (judge_photo, photo, fake_photo.detach()),
        ):
            loss = loss + ((judge(real)[0] - 1).square().mean() + judge(fake)[0].square().mean()) / 2
        adam_d.zero_grad()
        loss.backward()
        adam_d.step()
        decay = min(0.999, (1 + index) / (10 + index))
        with torch.no_grad():
            for average, p in zip(averages, generators, strict=True):
                average.lerp_(p, 1 - decay)

    return step, to_painting


def test_a_step_against_a_bare_loop_of_the_same_maths(
    compare: Callable[..., None], benchmark: Any, tmp_path: Path
) -> None:
    torch.manual_seed(1)
    pictures = {name: torch.randint(256, (1, 3, SIZE, SIZE), dtype=torch.uint8) for name in ("photos", "paintings")}
    options = TrainingOptions(device="cpu", steps=10**6)
    config = parse(CycleGANConfig, CONFIG, where="test")
    session = Session(plugin, config, options, 10**6, accelerator_for(options), tmp_path)
    batches, steps = itertools.repeat(pictures), itertools.count(1)

    def ours() -> None:
        step = next(steps)
        session.step(step, batches)
        if step % options.log_every == 0:
            session.check_finite(step)
            session.log(step)

    bare, painter = _bare(pictures)
    benchmark.extra_info |= {"threads": torch.get_num_threads(), "torch": torch.__version__}
    compare(ours, bare, names=(f"a training step, {SIZE} x {SIZE}", "a bare loop of the same maths"), rounds=25)
    photo = pictures["photos"].float() / 127.5 - 1
    with torch.no_grad():  # the same maths indeed; bit by bit they differ, and training is chaotic
        difference = (session.generators["paintings"](photo) - painter(photo)).abs().mean()
    assert difference < 0.02
