"""Painting in the style of any picture: blends, regions, noise, tiles, odd styles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from artgan_anystyle.config import AnyStyleConfig
from artgan_anystyle.generator import AnyStyleGenerator, build_generator
from artgan_anystyle.networks import StyledBlock, opponent
from PIL import Image
from support.spots import some_pictures

from artgan.models.torch_model import TorchModel
from artgan.plugin import ConfigError, PictureError
from artgan.toolkit import find_styles, to_rgb

SMALL = AnyStyleConfig(width=8, blocks=1, encoder_width=4, code=16)


@pytest.fixture(scope="module")
def generator() -> AnyStyleGenerator:
    """A small one with random weights, whose styles and noise are plain to see."""
    torch.manual_seed(1)
    made = build_generator(SMALL).eval().requires_grad_(False)
    for block in made.painter.blocks:
        assert isinstance(block, StyledBlock)
        torch.nn.init.kaiming_normal_(block.second.weight)
    return made


@pytest.fixture
def model(generator: AnyStyleGenerator) -> TorchModel:
    return TorchModel("anystyle", generator, {"plugin": "anystyle"})


@pytest.fixture
def styles(tmp_path: Path) -> list[str]:
    """Three pictures of their own colors."""
    paths = []
    for number in range(3):
        picture = to_rgb(some_pictures(1, 64, 80, seed=number)[0]).rotate(90 * number, expand=True)
        path = tmp_path / f"style{number}.png"
        Image.eval(picture, lambda value, number=number: value * (number + 1) // 3).save(path)
        paths.append(str(path))
    return paths


def photo(width: int = 96, height: int = 64) -> Image.Image:
    return to_rgb(some_pictures(1, height, width, seed=9)[0])


def pixels(picture: Image.Image) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.asarray(picture, np.int64)


def test_a_style_decides_what_is_painted(model: TorchModel, styles: list[str]) -> None:
    one, other = (model.paint(photo(), style=(path,)) for path in styles[:2])
    assert np.abs(pixels(one) - pixels(other)).mean() > 2


def test_a_blend_is_the_weighted_mean_of_codes(generator: AnyStyleGenerator, styles: list[str]) -> None:
    codes = [generator.encode(find_styles([path])) for path in styles]
    blend = generator.encode(find_styles([styles[0], f"{styles[1]}:0.5", f"{styles[2]}:0.5"]))
    assert torch.allclose(blend, 0.5 * codes[0] + 0.25 * codes[1] + 0.25 * codes[2], atol=1e-6)


def test_a_folder_is_the_mean_of_its_pictures(generator: AnyStyleGenerator, styles: list[str], tmp_path: Path) -> None:
    codes = torch.cat([generator.encode(find_styles([path])) for path in styles])
    assert torch.allclose(generator.encode(find_styles([str(tmp_path)])), codes.mean(0, keepdim=True), atol=1e-6)


def test_a_style_that_changes_on_disk_is_read_again(model: TorchModel, styles: list[str]) -> None:
    before = model.paint(photo(), style=(styles[0],))
    Image.new("RGB", (64, 64), "red").save(styles[0])
    assert model.paint(photo(), style=(styles[0],)).tobytes() != before.tobytes()


def test_a_larger_style_is_another(model: TorchModel, styles: list[str]) -> None:
    one, other = (model.paint(photo(), style=(styles[0],), style_scale=scale) for scale in (1.0, 0.4))
    assert one.tobytes() != other.tobytes()


def test_noise_follows_its_seed(model: TorchModel, styles: list[str]) -> None:
    one, again, other = (model.paint(photo(), style=(styles[0],), seed=seed).tobytes() for seed in (0, 0, 1))
    assert one == again != other


@pytest.mark.parametrize("masked", [False, True])
def test_tiles_are_what_the_whole_is(
    generator: AnyStyleGenerator, styles: list[str], tmp_path: Path, masked: bool
) -> None:
    """With noise, which depends on the place in the picture, and with regions; sides are no multiples of the stride."""
    options: dict[str, Any] = {"style": (styles[0],), "seed": 3}
    if masked:
        options = {"style": tuple(styles[:2]), "seed": 3, **masks(tmp_path, (203, 150), split=90)}
    model = TorchModel("anystyle", generator, {"plugin": "anystyle"})
    whole = model.paint(photo(203, 150), **options)
    tiled = model.paint(photo(203, 150), tile=32, **options)
    assert np.abs(pixels(whole) - pixels(tiled)).max() <= 1


def masks(folder: Path, size: tuple[int, int], *, split: int) -> dict[str, Any]:
    """A photo's mask, black left of a column and white right of it; the first style is of the black, all of it."""
    mask = Image.new("RGB", size, "black")
    mask.paste("white", (split, 0, *size))
    mask.save(folder / "mask.png")
    whole = {}
    for number, color in enumerate(("black", "white")):
        whole[color] = folder / f"whole-{color}.png"
        Image.new("RGB", (80, 64) if number == 0 else (64, 80), color).save(whole[color])
    return {"mask": str(folder / "mask.png"), "style_mask": tuple(map(str, whole.values()))}


def test_each_region_is_painted_in_its_style(generator: AnyStyleGenerator, styles: list[str], tmp_path: Path) -> None:
    """Farther from the border than the network sees, nothing of the other style is left."""
    model = TorchModel("anystyle", generator, {"plugin": "anystyle"})
    size, reach = (160, 64), generator.reach
    assert reach is not None
    both = pixels(model.paint(photo(*size), style=tuple(styles[:2]), **masks(tmp_path, size, split=80)))
    one, other = (pixels(model.paint(photo(*size), style=(path,))) for path in styles[:2])
    assert np.abs(both[:, : 80 - reach] - one[:, : 80 - reach]).max() <= 1
    assert np.abs(both[:, 80 + reach :] - other[:, 80 + reach :]).max() <= 1
    assert np.abs(both[:, 80 + reach :] - one[:, 80 + reach :]).mean() > 2


def test_a_region_of_a_style_is_seen_alone(generator: AnyStyleGenerator, tmp_path: Path) -> None:
    """Colors outside of a region leave no trace in its code."""
    picture = Image.new("RGB", (64, 64), "red")
    picture.paste("blue", (32, 0, 64, 64))
    picture.save(tmp_path / "style.png")
    mask = Image.new("RGB", (64, 64), "black")
    mask.paste("white", (32, 0, 64, 64))
    mask.save(tmp_path / "mask.png")
    styles = find_styles([str(tmp_path / "style.png")], [str(tmp_path / "mask.png")])
    code = generator.encode(styles, color=0x000000)[0]
    red = opponent(torch.tensor([1.0, -1.0, -1.0])[None, :, None, None]).flatten()
    assert code[:3].tolist() == pytest.approx(red.tolist(), abs=0.02)  # the mean color


@pytest.mark.parametrize(
    "picture",
    [
        Image.new("RGB", (1, 1), "orange"),
        Image.new("RGB", (300, 300), "black"),
        Image.new("RGB", (2000, 1), "white"),
        Image.effect_noise((40, 700), 200).convert("RGB"),
    ],
    ids=["a pixel", "black", "a line", "noise"],
)
def test_odd_styles_are_painted_in(
    model: TorchModel, generator: AnyStyleGenerator, tmp_path: Path, picture: Image.Image
) -> None:
    picture.save(tmp_path / "style.png")
    painting = model.paint(photo(), style=(str(tmp_path / "style.png"),))
    assert painting.size == (96, 64)
    assert torch.isfinite(generator.encode(find_styles([str(tmp_path / "style.png")]))).all()


def test_what_cannot_be_painted_is_told(model: TorchModel, styles: list[str], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="mask and style_mask go together"):
        model.paint(photo(), style=(styles[0],), mask=styles[1])
    regions = masks(tmp_path, (96, 64), split=40)
    with pytest.raises(ConfigError, match="as many style masks as style pictures"):
        model.paint(photo(), style=(styles[0],), **regions)
    with pytest.raises(PictureError, match="must have the size of the photo"):
        model.paint(photo(64, 96), style=tuple(styles[:2]), **regions)
    regions["style_mask"] = (regions["style_mask"][0],) * 1
    with pytest.raises(ConfigError, match="no style mask has its color #ffffff"):
        model.paint(photo(), style=(styles[0],), **regions)
    with pytest.raises(ConfigError, match="no such file or folder"):
        model.paint(photo(), style=("nowhere.png",))


def test_estimated_statistics_know_where_their_windows_lie(generator: AnyStyleGenerator, styles: list[str]) -> None:
    model = TorchModel("anystyle", generator, {"plugin": "anystyle"})
    made = [
        pixels(model.paint(photo(160, 160), style=(styles[0],), tile=64, statistics=statistics))
        for statistics in ("exact", "estimated")
    ]
    assert np.abs(made[0] - made[1]).mean() < 8
