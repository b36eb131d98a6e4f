"""Saved styles: they paint exactly as their pictures do, are small, and tell nothing but names of files."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from support.pictures import write_pictures
from support.styles import CONFIG, generator, install_base, style_picture

import artgan
from artgan.errors import ConfigError, PluginError, WeightsError
from artgan.models.folder import save_model
from artgan.models.loading import load_network, load_torch_model
from artgan.models.publishing import prepare
from artgan.models.registry import read_registry
from artgan.models.styles import remove_style, save_style, style_model, style_rows, style_sheet, thumbnail
from artgan.painting.styles import find_styles
from artgan.testing import check_output

PHOTO = Image.linear_gradient("L").resize((44, 36)).convert("RGB")


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of the base's weights; the folder has two style pictures."""
    monkeypatch.chdir(tmp_path)
    style_picture(tmp_path / "waves.jpg", 1)
    style_picture(tmp_path / "roses.png", 2, (50, 90))
    return install_base(tmp_path, monkeypatch)


def painted(name: str, **options: Any) -> np.ndarray[Any, Any]:
    return np.asarray(artgan.load(name).paint(PHOTO, **options), int)


def card(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((Path("data/artgan/models") / name / "config.json").read_text())
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("pictures", "scale", "facts"),
    [
        (["waves.jpg"], None, {"pictures": ["waves.jpg"]}),
        (["waves.jpg", "roses.png:3"], None, {"pictures": ["waves.jpg", "roses.png"], "weights": [0.25, 0.75]}),
        (["roses.png"], 2.0, {"pictures": ["roses.png"], "scale": 2.0}),
    ],
)
def test_a_saved_style_paints_as_its_pictures_do(
    base: Path, pictures: list[str], scale: float | None, facts: dict[str, Any]
) -> None:
    folder = save_style("mine", [str(Path(picture).absolute()) for picture in pictures], style_scale=scale)
    assert folder == Path("data/artgan/models/mine").absolute()
    options = {"style": tuple(pictures), **({} if scale is None else {"style_scale": scale})}
    assert np.array_equal(painted("mine"), painted("anystyle", **options))
    assert not np.array_equal(painted("mine"), painted("anystyle", style=("waves.jpg", "roses.png")))
    saved = card("mine")
    assert saved["style"].pop("saved").startswith("20")
    assert saved["style"] == facts
    weights = read_registry().entry("anystyle").weights
    assert weights is not None
    assert saved["base"] == {"model": "anystyle.any", "sha256": weights.sha256}
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors", "style.jpg"]
    assert [*load_file(folder / "model.safetensors")] == ["style"]
    assert (folder / "model.safetensors").stat().st_size < 1000
    assert str(Path.cwd()) not in (folder / "config.json").read_text()  # no paths of this machine


@pytest.mark.slow
def test_a_folder_is_a_style_too(base: Path) -> None:
    write_pictures(Path("artist"), 5)
    save_style("artist", ["artist"])
    assert card("artist")["style"]["pictures"] == [f"{number:04d}.png" for number in range(5)]
    assert np.array_equal(painted("artist"), painted("anystyle", style=("artist",)))


@pytest.mark.slow
def test_a_saved_style_still_takes_others(base: Path) -> None:
    save_style("mine", ["waves.jpg"])
    assert np.array_equal(painted("mine", style=("roses.png",)), painted("anystyle", style=("roses.png",)))
    save_style("other", ["roses.png"], model="mine")
    assert np.array_equal(painted("other"), painted("anystyle", style=("roses.png",)))
    assert card("other")["base"] == card("mine")["base"]


def test_a_model_outside_the_registry_is_kept_whole(base: Path) -> None:
    save_model(Path("run/model"), generator(7), plugin="anystyle", config=CONFIG)
    folder = save_style("mine", ["waves.jpg"], model="local-dir:run/model")
    expected = painted("local-dir:run/model", style=("waves.jpg",))
    shutil.rmtree("run")
    assert "base" not in card("mine")
    assert load_file(folder / "model.safetensors").keys() == generator().state_dict().keys()
    assert np.array_equal(painted("mine"), expected)


def test_another_base_asks_to_save_the_style_again(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_style("mine", ["waves.jpg"])
    install_base(tmp_path, monkeypatch, seed=1)
    with pytest.raises(WeightsError, match=r"mine: .*other weights of anystyle\.any.*artgan style save PICTURE"):
        artgan.load("mine")
    save_style("mine", ["waves.jpg"], overwrite=True)
    assert np.array_equal(painted("mine"), painted("anystyle", style=("waves.jpg",)))


def test_the_base_needs_a_style(base: Path) -> None:
    for name in ("anystyle", f"local-dir:{base.parent}"):
        with pytest.raises(ConfigError, match=r"give a style: .*\(--style PATH\); or paint with a saved one"):
            painted(name)
    artgan.load("anystyle").save_pretrained("whole")
    assert not list(Path("whole").glob("example-*"))
    output = check_output(artgan.load("anystyle"), 0)
    assert output == check_output(artgan.load("anystyle"), 0)
    assert output != check_output(artgan.load("anystyle"), 0, style=("waves.jpg",))


@pytest.mark.parametrize(
    ("name", "pictures", "options", "told"),
    [
        ("Mine", ["waves.jpg"], {}, r"--as: 'Mine' cannot be a model's name"),
        ("monet", ["waves.jpg"], {}, r"--as: 'monet' is already the name of a registry model"),
        ("anystyle", ["waves.jpg"], {}, r"--as: 'anystyle' is already the name of a registry model"),
        ("taken", ["waves.jpg"], {}, r"--as: a model of your own is named 'taken' already; .*--overwrite"),
        ("mine", ["none.jpg"], {}, r"style 'none\.jpg': no such file"),
        ("mine", ["text.jpg"], {}, r"style text\.jpg: not a picture"),
        ("mine", ["empty"], {}, r"style empty: no pictures in it"),
        ("mine", ["waves.jpg:-1"], {}, r"waves\.jpg:-1: the weight of a style must be positive"),
        ("mine", ["waves.jpg"], {"style_scale": 9.0}, r"style_scale: must be at most 4, not 9"),
        ("mine", ["waves.jpg"], {"model": "monet"}, r"cyclegan\.monet: this model cannot save styles"),
    ],
)
def test_what_cannot_be_saved_is_told_and_leaves_nothing(
    base: Path, name: str, pictures: list[str], options: dict[str, Any], told: str
) -> None:
    Path("text.jpg").write_text("no picture")
    Path("empty").mkdir()
    Path("data/artgan/models/taken").mkdir(parents=True)
    with pytest.raises(ConfigError, match=told) as refused:
        save_style(name, pictures, **options)
    assert "\n" not in str(refused.value)
    assert [path.name for path in Path("data/artgan/models").rglob("*")] == ["taken"]


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({}, PluginError),
        ({"other": torch.zeros(8)}, PluginError),
        ({"style": torch.zeros(17)}, PluginError),
        ({"style": torch.full((16,), torch.nan)}, WeightsError),
    ],
)
def test_what_a_plugin_finds_is_checked(
    base: Path, monkeypatch: pytest.MonkeyPatch, changed: dict[str, torch.Tensor], error: type[Exception]
) -> None:
    monkeypatch.setattr("artgan_anystyle.generator.encode_style", lambda generator, **options: changed)
    with pytest.raises(error):
        save_style("mine", ["waves.jpg"])
    assert not Path("data").exists()


@pytest.mark.slow
def test_without_such_a_model_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARTGAN_DISABLE_PLUGINS", "*")
    with pytest.raises(ConfigError, match="no model here paints in the style of any picture in one pass"):
        style_model(read_registry())


@pytest.mark.slow
def test_a_style_is_removed_and_nothing_else(base: Path) -> None:
    save_style("mine", ["waves.jpg"])
    shutil.copytree("data/artgan/models/mine", "data/artgan/models/model")
    changed = {key: value for key, value in card("model").items() if key != "style"}
    Path("data/artgan/models/model/config.json").write_text(json.dumps(changed))
    Path("data/artgan/models/broken").mkdir()
    for name, told in (
        ("min", "did you mean 'mine'"),
        ("monet", "no saved style is named 'monet'"),
        ("model", "no saved style"),
    ):
        with pytest.raises(ConfigError, match=told):
            remove_style(name)
    with pytest.raises(ConfigError, match=r"holds no config\.json.*remove the folder yourself"):
        remove_style("broken")
    remove_style("mine")
    assert sorted(path.name for path in Path("data/artgan/models").iterdir()) == ["broken", "model"]
    assert "mine" not in read_registry().entries


def test_a_thumbnail_is_small_and_tells_nothing(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (700, 900, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x013B] = "Somebody"
    Image.fromarray(noise).save(tmp_path / "noise.jpg", exif=exif, comment=b"secret", quality=95)
    data = thumbnail(find_styles([str(tmp_path / "noise.jpg")]))
    assert len(data) <= 30_000
    assert b"Somebody" not in data
    assert b"secret" not in data
    with Image.open(io.BytesIO(data)) as small:
        assert (small.format, small.size) == ("JPEG", (256, 199))
    Image.new("RGB", (300, 100), (200, 40, 40)).save(tmp_path / "red.png")
    Image.new("RGB", (100, 300), (40, 40, 200)).save(tmp_path / "blue.png")
    several = thumbnail(find_styles([str(tmp_path / "red.png"), str(tmp_path / "blue.png")]))
    with Image.open(io.BytesIO(several)) as both:
        left, right = (np.asarray(both, int)[60, x] for x in (60, both.width - 60))
    assert np.abs(left - (200, 40, 40)).max() < 12
    assert np.abs(right - (40, 40, 200)).max() < 12


@pytest.mark.slow
def test_the_sheet_has_each_style_with_what_it_paints(base: Path) -> None:
    save_style("roses", ["roses.png"])
    save_style("waves", ["waves.jpg"])
    save_style("odd", ["waves.jpg"])
    save_file({"style": torch.zeros(3)}, "data/artgan/models/odd/model.safetensors")
    Path("data/artgan/models/roses/style.jpg").unlink()
    found = dict(style_rows(read_registry().saved_styles, PHOTO))
    assert isinstance(found["odd"], WeightsError)
    rows = {name: made for name, made in found.items() if isinstance(made, tuple)}
    assert [*rows] == ["roses", "waves"]
    for name, (picture, painting) in rows.items():
        assert np.array_equal(np.asarray(painting, int), painted(name))
        assert picture.size == ((256, 256) if name == "roses" else (96, 72))  # none, and the picture itself
    drawn = style_sheet(rows, PHOTO, 96)
    assert drawn.height > 36 + 96 + 72
    pixels = np.asarray(drawn)
    wanted = np.asarray(rows["waves"][1])
    height, width = wanted.shape[:2]
    windows = np.lib.stride_tricks.sliding_window_view(pixels[-80:], (height, width, 3))
    assert (windows[:, :, 0] == wanted).all((2, 3, 4)).any()


def test_a_style_is_published_without_its_thumbnail(base: Path) -> None:
    folder = save_style("mine", ["waves.jpg"])
    publication = prepare(folder, "someone/mine", license="cc-by-4.0")
    names = [operation.path_in_repo for operation in publication.operations]
    assert names == ["model.safetensors", "config.json", "README.md", "example-input.png", "example-output.png"]
    assert publication.more == {"base": card("mine")["base"], "style": card("mine")["style"]}


def test_other_machines_paint_in_the_same_style_or_not_at_all(base: Path) -> None:
    save_style("mine", ["waves.jpg"])
    digest = artgan.load("mine").digest
    x = np.random.default_rng(0).uniform(-1, 1, (1, 3, 24, 32)).astype(np.float32)
    model = load_torch_model("mine")
    options = model.options({})
    assert np.array_equal(load_network("mine", digest=digest).paint(x, options), model.running_on().paint(x, options))
    save_style("mine", ["roses.png"], overwrite=True)
    with pytest.raises(WeightsError, match="is a different model here"):
        load_network("mine", digest=digest)
