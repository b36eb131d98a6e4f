"""How fast things are, each against a baseline of the same run. Nothing fails for being slow."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from artgan_cyclegan import plugin
from artgan_cyclegan.config import CycleGANConfig
from artgan_cyclegan.networks import build_generator
from PIL import Image
from sklearn.datasets import load_sample_image

import artgan
from artgan import images
from artgan.config import parse
from artgan.data.crops import center_square
from artgan.interfaces import Generator


def _generator(preset: str, **options: Any) -> Generator:
    torch.manual_seed(0)
    return build_generator(parse(CycleGANConfig, {**plugin.presets[preset], **options}, where=preset)).eval()


@pytest.mark.parametrize(
    ("subject", "options", "baseline", "names"),
    [
        ("compact", {}, "paper", ("generator, compact preset, 256 x 256", "paper preset")),
        (
            "fast",
            {"smooth_colors": True, "remove_grid": True},
            "fast",
            ("preset fast with smooth_colors and remove_grid, 256 x 256", "preset fast"),
        ),
    ],
)
def test_a_generator_against_another(
    subject: str,
    options: dict[str, Any],
    baseline: str,
    names: tuple[str, str],
    compare: Callable[..., None],
    benchmark: Any,
) -> None:
    ours, theirs = _generator(subject, **options), _generator(baseline)
    x = torch.rand(1, 3, 256, 256, generator=torch.Generator().manual_seed(0)) * 2 - 1
    benchmark.extra_info |= {"threads": torch.get_num_threads(), "torch": torch.__version__}
    with torch.inference_mode():
        assert ours(x).shape == theirs(x).shape == x.shape
        compare(lambda: ours(x), lambda: theirs(x), names=names, rounds=7)


@pytest.mark.parametrize("name", ["monet", "cyclegan.monet-fine"])
def test_painting_a_small_photo_against_the_papers_network(
    name: str, compare: Callable[..., None], benchmark: Any
) -> None:
    """From decoded picture to picture, strokes included: a bundled model against the paper's ResNet-9 in PyTorch."""
    model, paper = artgan.load(name), _generator("paper")
    photo = center_square(Image.fromarray(load_sample_image("china.jpg")), 256)
    benchmark.extra_info |= {"threads": torch.get_num_threads(), "torch": torch.__version__}

    def plainly() -> Image.Image:
        with torch.inference_mode():
            return images.to_rgb(paper(images.to_tensor(photo)[None])[0])

    assert model.paint(photo).size == plainly().size == photo.size
    compare(
        lambda: model.paint(photo),
        plainly,
        names=(f"paint with {name}, 256 x 256", "the paper's ResNet-9 in eager PyTorch"),
        rounds=15,
    )


def _python(*arguments: str | Path) -> Callable[[], Any]:
    """From the start of a process to its end."""
    command = [sys.executable, "-c", *map(str, arguments)]
    return lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def test_the_first_painting_against_importing_torch(compare: Callable[..., None], tmp_path: Path) -> None:
    """From the start of the program to the file of one small painting."""
    photo = tmp_path / "photo.jpg"
    Image.radial_gradient("L").convert("RGB").save(photo)
    compare(
        _python("from artgan.cli import main; main()", "paint", photo, "--overwrite"),
        _python("import torch"),
        names=("artgan paint, 256 x 256", "python -c 'import torch'"),
        rounds=7,
    )


def test_listing_models_against_importing_torch(compare: Callable[..., None]) -> None:
    compare(
        _python("from artgan.cli import main; main()", "models"),
        _python("import torch"),
        names=("artgan models", "python -c 'import torch'"),
        rounds=5,
    )
