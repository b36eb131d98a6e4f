"""A model's brush and palette: where they are kept, how they are read, and what options make of them."""

from __future__ import annotations

import copy
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image
from safetensors import safe_open
from sklearn.datasets import load_sample_image
from support import processes

import artgan
from artgan.errors import ArtganError, ConfigError, RegistryError, WeightsError
from artgan.models import publishing
from artgan.models.folder import save_model
from artgan.models.hands import find_brushwork, manner_of, read_brush, read_brushwork
from artgan.models.loading import load
from artgan.models.locating import header
from artgan.models.registry import read_registry
from artgan.models.registry_file import read_file
from artgan.models.torch_model import TorchModel
from artgan.painting import Brushwork, PaintOptions
from artgan.painting.brushwork import Brush, underpaint
from artgan.painting.palette import Palette

PHOTO = Image.fromarray(load_sample_image("china.jpg")).resize((90, 60))
BRUSH = Brush(layers=2, largest=0.06, smallest=0.02, longest=6.0)
PAINTINGS = [np.asarray(PHOTO), np.asarray(PHOTO.rotate(180).convert("L").convert("RGB"))]
PALETTE = Palette.from_dict(Palette.of(PAINTINGS).to_dict())  # as rounded as it is in a file
HAND = Brushwork(BRUSH, PALETTE, 0.7)
FEW = {"layers": 2, "largest": 0.06, "smallest": 0.02, "longest": 6.0}


def same(one: Image.Image, other: Image.Image) -> bool:
    return one.tobytes() == other.tobytes()


def equal(one: Brushwork | None, other: Brushwork) -> bool:
    return (
        one is not None
        and (one.brush, one.strength) == (other.brush, other.strength)
        and (one.palette and one.palette.to_dict()) == (other.palette and other.palette.to_dict())
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with a brush and a palette, saved."""
    folder = tmp_path_factory.mktemp("saved") / "hand"
    plain = load("cyclegan.monet-fine")
    TorchModel(plain.name, plain.generator, plain.card, HAND).save_pretrained(folder)
    return folder


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function that registers cyclegan.strokes: the network of monet-fine with brushwork."""

    def register(brushwork: Any) -> None:
        entry = read_registry().entry("cyclegan.monet-fine").to_dict()
        entry = {key: entry[key] for key in ("plugin", "distribution", "config", "license")}
        weights = {key: value for key, value in artgan.load("cyclegan.monet-fine").card["weights"].items() if value}
        models = {"cyclegan.strokes": {**entry, "alias": "strokes", "weights": weights, "brushwork": brushwork}}
        path = tmp_path / "mine.yaml"
        path.write_text(yaml.safe_dump({"schema": 1, "models": models}))
        monkeypatch.setenv("ARTGAN_REGISTRY", str(path))
        read_registry.cache_clear()

    return register


# ---- kept


def test_a_saved_model_has_its_brush_in_the_card_and_its_palette_in_the_weights(folder: Path) -> None:
    card = json.loads((folder / "config.json").read_text())
    assert card["brushwork"] == {"brush": BRUSH.to_dict(), "palette": 0.7}
    with safe_open(folder / "model.safetensors", "pt") as file:
        metadata = file.metadata()
    assert list(metadata) == ["artgan"]  # safetensors writes several in any order
    assert json.loads(metadata["artgan"])["palette"] == PALETTE.to_dict()
    assert "## Brushwork\n\n- brush: largest 0.06" in (folder / "README.md").read_text()


def test_a_loaded_model_paints_as_the_saved_one(folder: Path, tmp_path: Path) -> None:
    model = load(f"local-dir:{folder}")
    assert equal(model.brushwork, HAND)
    plain = load("cyclegan.monet-fine")
    assert plain.brushwork is None
    painting = model.paint(PHOTO)
    assert same(painting, TorchModel(plain.name, plain.generator, plain.card, HAND).paint(PHOTO))
    assert same(painting, copy.deepcopy(model).paint(PHOTO))
    assert equal(pickle.loads(pickle.dumps(model)).brushwork, HAND)
    model.save_pretrained(tmp_path)
    for path in folder.iterdir():
        assert path.read_bytes() == (tmp_path / path.name).read_bytes(), path.name


def test_training_may_save_a_brush_alone(tmp_path: Path) -> None:
    model = load("cyclegan.monet-fine")
    save = {"plugin": "cyclegan", "config": model.card["config"], "extra": {"step": 3}}
    save_model(tmp_path / "brush", model.generator, **save, brushwork=Brushwork(BRUSH))
    assert equal(load(f"local-dir:{tmp_path / 'brush'}").brushwork, Brushwork(BRUSH))
    save_model(tmp_path / "plain", model.generator, **save)
    assert load(f"local-dir:{tmp_path / 'plain'}").brushwork is None
    assert "brushwork" not in json.loads((tmp_path / "plain" / "config.json").read_text())


def test_a_published_model_says_what_to_register(folder: Path) -> None:
    found = publishing.prepare(folder, "someone/hand").more["brushwork"]
    assert found == {"brush": BRUSH.to_dict(), "palette": 0.7}


@pytest.mark.slow
def test_a_registered_brush_is_the_models(registry: Any) -> None:
    registry({"brush": FEW})
    model = load("strokes")
    assert equal(model.brushwork, Brushwork(BRUSH))
    under = Image.fromarray(underpaint(np.asarray(PHOTO), BRUSH))
    assert same(model.paint(PHOTO), load("cyclegan.monet-fine").paint(under))


@pytest.mark.slow
def test_a_card_shows_the_brushwork(registry: Any) -> None:
    registry({"brush": FEW})
    shown = processes.artgan("show", "strokes").stdout
    assert "\nbrushwork\n  brush  largest 0.06, layers 2, longest 6.0, smallest 0.02\n" in shown
    card = json.loads(processes.artgan("show", "strokes", "--format", "json").stdout)
    assert card["brushwork"] == {"brush": FEW}


@pytest.mark.parametrize(
    ("brushwork", "told"),
    [
        ({}, "brushwork: brush: is missing"),
        ({"brush": 3}, "brushwork: brush: must be a mapping, not a whole number"),
        ({"brush": {"hue": "red"}}, "brushwork: brush: hue: must be a number, not a text"),
        ({"brush": {}, "palette": 2}, "brushwork: palette: must be a number from 0 to 1, not 2"),
        ({"brush": {}, "pallete": 1}, "brushwork: pallete: unknown key"),
    ],
)
def test_a_registry_with_other_brushwork_is_refused(tmp_path: Path, brushwork: Any, told: str) -> None:
    entry = {"plugin": "ink", "distribution": "artgan-ink", "brushwork": brushwork}
    path = tmp_path / "r.yaml"
    path.write_text(yaml.safe_dump({"schema": 1, "models": {"ink.wash": entry}}))
    with pytest.raises(RegistryError) as caught:
        read_file(path)
    assert told in str(caught.value)


def test_a_registered_palette_that_the_weights_lack_is_told(registry: Any) -> None:
    registry({"brush": FEW, "palette": 0.5})
    with pytest.raises(WeightsError, match=r"strokes: brushwork: palette: is 0\.5, but the model's weights hold"):
        load("strokes")
    registry({"brush": {"hue": 91}})
    with pytest.raises(ConfigError, match=r"strokes: brushwork: brush: hue: must be at most 90, not 91"):
        load("strokes")


def file_with(metadata: Any) -> bytes:
    header = json.dumps({"__metadata__": metadata}).encode()
    return len(header).to_bytes(8, "little") + header


@pytest.mark.parametrize(
    ("card", "weights", "told"),
    [
        ({"brushwork": 3}, None, "must hold brush"),
        ({"brushwork": {"palette": 1}}, None, "must hold brush"),
        ({"brushwork": {"brush": {}, "more": 1}}, None, "must hold brush"),
        ({"brushwork": {"brush": {"bristels": 1}}}, None, "unknown option 'bristels'; did you mean 'bristles'"),
        ({"brushwork": {"brush": {}, "palette": True}}, None, "a number from 0 to 1, not True"),
        ({"brushwork": {"brush": {}, "palette": float("nan")}}, None, "a number from 0 to 1, not nan"),
        ({"brushwork": {"brush": {}, "palette": 1}}, None, "hold no palette"),
        ({"brushwork": {"brush": {}}}, b"\xff" * 100, "header is larger than"),
        ({"brushwork": {"brush": {}}}, b"\x05" + b"\0" * 7 + b"nonse", "header cannot be read"),
        ({"brushwork": {"brush": {}}}, file_with({"artgan": "["}), "header cannot be read"),
        ({"brushwork": {"brush": {}}}, file_with({"artgan": "[" * 99_999}), "header cannot be read"),
        ({"brushwork": {"brush": {}}}, file_with({"artgan": '{"palette": 3}'}), "palette: is not a valid palette"),
        (
            {"brushwork": {"brush": {}}},
            file_with({"artgan": '{"palette": {"means": [[1, 2, 3]]}}'}),
            "is not a valid palette",
        ),
        (
            {"brushwork": {"brush": {}}},
            file_with({"artgan": '{"palette": {"means": [[1, 2, NaN]], "covariances": [[1, 0, 0, 1, 0, 1]]}}'}),
            "must be finite",
        ),
        (
            {"brushwork": {"brush": {}}},
            file_with({"artgan": '{"palette": {"means": [[1, 2, 3]], "covariances": [[1e300, 0, 0, 1, 0, 1]]}}'}),
            "must be finite",
        ),
    ],
)
def test_what_is_no_brushwork_is_told(card: Any, weights: bytes | None, told: str) -> None:
    with pytest.raises((ConfigError, WeightsError)) as caught:
        read_brushwork(card, lambda: {} if weights is None else header(weights, "x"), where="x")
    assert str(caught.value).startswith("x: ")
    assert told in str(caught.value)
    assert len(str(caught.value)) < 400


def test_a_card_without_brushwork_has_none_whatever_the_weights_hold() -> None:
    for card in ({}, {"brushwork": {}}, {"brushwork": None}):
        assert read_brushwork(card, lambda: header(b"\x08", "x"), where="x") is None


# ---- options


def manner(own: Brushwork | None = None, **values: Any) -> Any:
    return manner_of(PaintOptions(**values), own, where="m")


def test_the_models_own_brush_and_palette_are_the_default() -> None:
    found = manner(HAND)
    assert (found.brush, found.palette, found.palette_strength) == (BRUSH, PALETTE, 0.7)
    assert manner().is_plain
    assert manner(HAND, palette=0.2).palette_strength == 0.2
    assert not manner(HAND, palette=0).moves_colors
    assert not manner(HAND, keep_colors=True).moves_colors
    assert manner(HAND, seed=4, stroke_size=2, strength=0.5).seed == 4


def test_without_a_brush_a_model_paints_as_ever() -> None:
    assert manner(HAND, brush="none").is_plain
    found = manner(HAND, brush="none", palette=0.5)
    assert (found.brush, found.palette, found.palette_strength) == (None, PALETTE, 0.5)


def test_another_models_brush_comes_with_its_palette(folder: Path, registry: Any) -> None:
    found = manner(None, brush=f"local-dir:{folder}")
    assert (found.brush, found.palette_strength) == (BRUSH, 0.7)
    assert equal(find_brushwork(f"local-dir:{folder}"), HAND)
    registry({"brush": FEW})
    assert manner(HAND, brush="strokes").palette is None


@pytest.mark.parametrize("name", ["hand.json", "hand.yaml", "hand.YML"])
def test_a_brush_is_read_from_a_file_and_leaves_the_palette(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text(json.dumps(FEW) if name.endswith("json") else yaml.safe_dump(FEW))
    assert equal(read_brush(path), Brushwork(BRUSH))
    found = manner(HAND, brush=str(path))
    assert (found.brush, found.palette_strength) == (BRUSH, 0.7)
    path.write_text("")
    assert equal(read_brush(path), Brushwork(Brush()))
    path.write_text(json.dumps({"brush": FEW, "palette": 0.4, "colors": PALETTE.to_dict()}))
    assert equal(read_brush(path), Brushwork(BRUSH, PALETTE, 0.4))
    found = manner(None, brush=str(path))
    assert (found.brush, found.palette_strength) == (BRUSH, 0.4)
    assert found.palette.to_dict() == PALETTE.to_dict()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("own", "values", "told"),
    [
        (None, {"stroke_size": 2}, "m: stroke_size: this model has no brush, so it lays no strokes"),
        (HAND, {"stroke_size": 2, "brush": "none"}, "m: stroke_size: without a brush there are no strokes"),
        (None, {"palette": 0.5}, "m: palette: this model has none; the option brush can name a model that has"),
        (Brushwork(BRUSH), {"palette": 0.5}, "m: palette: this model has none"),
        (HAND, {"palette": 0.5, "keep_colors": True}, "m: palette and keep_colors cannot be combined"),
        (None, {"brush": "cyclegan.monet-fine"}, "brush: the model cyclegan.monet-fine has none"),
        (None, {"brush": "monnet"}, "brush: no model named 'monnet'; did you mean monet?"),
        (None, {"brush": "nowhere.json"}, "nowhere.json: this brush cannot be read (No such file or directory)"),
    ],
)
def test_what_a_model_cannot_do_is_told(own: Brushwork | None, values: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        manner(own, **values)
    assert str(caught.value).startswith(told)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("[1, 2]", "must be a mapping"),
        ("{", "is not a valid brush"),
        ("hue: 1\nhues: 2", "unknown option 'hues'"),
        ("hue: 300", "hue: must be at most 90"),
        ("brush: {hue: 300}", "brush: hue: must be at most 90"),
        ("brush: {}\nhue: 3", "has brush, palette and colors, not 'hue'"),
        ("palette: 2", "palette: must be a number from 0 to 1, not 2"),
        ("palette: 1\ncolors: 3", "colors: is not a valid palette"),
        ("#" * 1_000_001, "larger than"),
        ("- " * 3000, "is not a valid brush"),
        ("\0", "is not a valid brush"),
    ],
)
def test_a_file_that_is_no_brush_is_told(tmp_path: Path, content: str, told: str) -> None:
    path = tmp_path / "b.yaml"
    path.write_text(content)
    with pytest.raises(ConfigError) as caught:
        read_brush(path)
    assert str(caught.value).startswith(str(path))
    assert told in str(caught.value)


# ---- Model.paint


@pytest.mark.slow
def test_options_are_keywords_of_paint(folder: Path) -> None:
    model = load(f"local-dir:{folder}")
    usual = model.paint(PHOTO)
    assert same(model.paint(PHOTO, brush="none"), load("cyclegan.monet-fine").paint(PHOTO))
    assert same(model.paint(PHOTO, strength=0), PHOTO)
    for different in (
        {"seed": 1},
        {"stroke_size": 2},
        {"strength": 1.5},
        {"palette": 0},
        {"keep_colors": True},
        {"brush": Brush()},
    ):
        assert not same(model.paint(PHOTO, **different), usual), different
    assert same(model.paint(PHOTO, seed=1, tile=30), model.paint(PHOTO, seed=1))
    assert same(load("cyclegan.monet-fine").paint(PHOTO, brush=f"local-dir:{folder}"), usual)
    with pytest.raises(ConfigError, match=r"strength: must be at most 1\.5, not 2\.0 \(from 0\.0 to 1\.5\)"):
        model.paint(PHOTO, strength=2)
    with pytest.raises(ConfigError, match="takes no options, got color"):
        model.paint(PHOTO, color="blue")


def test_one_seed_serves_the_strokes_and_the_model() -> None:
    model = load("gatys.vgg19")
    style = {"style": "a.jpg"}
    for given, strokes, own in (({}, 0, 0), ({"seed": 5}, 5, 5)):
        found, options = model.painting({**style, **given})
        assert (found.seed, options["seed"]) == (strokes, own)
    found, options = model.painting({**style, "brush": Brush(), "seed": 3})
    assert (found.brush, found.seed, options["seed"]) == (Brush(), 3, 3)
    with pytest.raises(ArtganError, match="seed: must be at least 0"):
        model.painting({**style, "seed": -1})
