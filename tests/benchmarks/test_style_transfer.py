"""How soon a painting arrives, against the plain loop of the tutorials on the same losses.

The size and the plain loop's iterations are small by default; ``ARTGAN_STYLE_SIZE=512 ARTGAN_STYLE_ITERATIONS=300``
is the comparison that the documentation tells of, and takes half an hour.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
import torch
from artgan_gatys import synthesis
from artgan_gatys.config import GatysOptions
from artgan_gatys.networks import build_network
from artgan_gatys.synthesis import Synthesis
from support.data import DATA, VGG19_WEIGHTS

from artgan import images
from artgan.data import PictureFolder
from artgan.toolkit import find_styles

SIZE = int(os.environ.get("ARTGAN_STYLE_SIZE", "96"))
ITERATIONS = int(os.environ.get("ARTGAN_STYLE_ITERATIONS", "30"))


class _Reached(Exception):
    """The loss is as low as it is to be."""


@pytest.mark.parametrize("recipe", ["artgan", "gatys-code"])
def test_time_to_the_plain_loops_loss(
    recipe: str, compare: Callable[..., None], benchmark: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not VGG19_WEIGHTS.is_file():
        pytest.skip(f"no weights of VGG-19 at {VGG19_WEIGHTS}")
    photos, paintings = PictureFolder(DATA / "photo"), PictureFolder(DATA / "vangogh")
    photo = images.to_tensor(photos[10].resize((SIZE, SIZE))).unsqueeze(0)
    style = (f"{DATA / 'vangogh'}/{paintings.names[5]}",)

    def work(scales: int | None, iterations: int) -> Synthesis:
        options = GatysOptions(style=style, recipe=recipe, size=SIZE, iterations=iterations)
        settings = replace(options.resolved(), scales=scales)
        network = build_network("vgg19.tv_in1k", settings.layers, weights=VGG19_WEIGHTS)
        return Synthesis(network, "vgg19.tv_in1k", photo, options, settings, find_styles(style, ()), {})

    reached = torch.inf

    def plain() -> None:
        """torch's L-BFGS at one scale, as the tutorials have it: 20 evaluations a call, no line search."""
        nonlocal reached
        objective = work(1, ITERATIONS)._objective(SIZE, SIZE)
        painting = photo.clone().requires_grad_()
        optimizer = torch.optim.LBFGS([painting])
        evaluations, losses = 0, [torch.inf]

        def closure() -> torch.Tensor:
            nonlocal evaluations
            evaluations += 1
            optimizer.zero_grad()
            loss = objective(painting).total
            loss.backward()
            losses.append(float(loss.detach()))
            return loss

        while evaluations < ITERATIONS:
            optimizer.step(closure)
        reached = min(losses)

    def ours() -> None:
        """The pyramid, until the loss at the last scale is that of the plain loop; as a rule with 100 at each scale."""
        mine = work(None, ITERATIONS // 3)
        mine.scales[-1] = (mine.scales[-1][0], ITERATIONS)

        @contextmanager
        def watched(what: str, total: int, *, done: int = 0) -> Iterator[Callable[[str], None]]:
            def advance(note: str = "") -> None:
                if what == f"{SIZE} x {SIZE}" and sum(mine.losses) <= reached:
                    raise _Reached

            yield advance

        monkeypatch.setattr(synthesis, "progress", watched)
        with pytest.raises(_Reached):
            mine.run()

    benchmark.extra_info |= {"threads": torch.get_num_threads(), "torch": torch.__version__}
    compare(
        ours,
        plain,
        names=(f"to the loss of {ITERATIONS} plain iterations, {SIZE} x {SIZE}, {recipe}", "the plain loop"),
        rounds=1,
        warm=False,  # the plain loop comes first: it says what is to be reached
    )
