"""``artgan style`` and ``artgan styles`` as people call them, and the other commands with a saved style."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.pictures import write_pictures
from support.processes import artgan as program
from support.styles import install_base, style_picture

import artgan
from artgan.cli import completing
from artgan.cli.compare import _distinct, _row, _style_row
from artgan.models.registry import read_registry
from artgan.models.styles import save_style
from artgan.sheets import sheet


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    style_picture(tmp_path / "waves.jpg", 1)
    style_picture(tmp_path / "roses.png", 2, (50, 90))
    write_pictures(tmp_path / "photos", 3)
    install_base(tmp_path, monkeypatch)
    return tmp_path


def run(*words: str, status: int = 0) -> subprocess.CompletedProcess[str]:
    done = program(*words)
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    return done


def pixels(path: str | Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


@pytest.mark.slow
def test_an_artist_of_one_picture(folder: Path) -> None:
    """Saved, listed, shown, painted with, drawn, removed."""
    none = run("styles")
    assert none.stdout == ""
    assert none.stderr == "artgan: no styles are saved yet; save one: artgan style save PICTURE --as NAME\n"
    done = run("style", "save", "waves.jpg", "roses.png:0.5", "--as", "mine", "--style-scale", "1.5")
    assert done.stdout == "mine\n"
    assert done.stderr.endswith("paint with it: artgan paint photo.jpg --model mine\n")
    assert done.stderr.count("\n") == 1
    header, row = run("styles").stdout.splitlines()
    assert header.split() == ["STYLE", "BASE", "PICTURES", "SAVED"]
    assert row.split()[:-1] == ["mine", "anystyle.any", "waves.jpg,", "roses.png"]
    [card] = json.loads(run("styles", "--format", "json").stdout)
    assert (card["name"], card["style"]["pictures"], card["style"]["scale"]) == (
        "mine",
        ["waves.jpg", "roses.png"],
        1.5,
    )
    assert run("models", "mine").stdout.splitlines()[1].split()[-1] == "own"
    shown = run("show", "mine").stdout
    assert "use      artgan paint photo.jpg --model mine\n" in shown
    assert "model   anystyle.any\n" in shown
    painted = run("paint", "photos", "--model", "mine", "--brush", "monet", "--tile", "48", "-o", "painted")
    assert [Path(line).name for line in painted.stdout.splitlines()] == ["0000.png", "0001.png", "0002.png"]
    expected = artgan.load("mine").paint("photos/0001.png", brush="monet", tile=48)
    assert np.array_equal(pixels("painted/0001.png"), np.asarray(expected))
    run("styles", "-o", "sheet.png", "--photo", "photos/0000.png", "--size", "64")
    assert pixels("sheet.png").shape[1] > 2 * 64
    assert "sheet.png: exists already" in run("styles", "-o", "sheet.png", status=2).stderr
    run("style", "remove", "mine")
    assert list((folder / "data/artgan/models").iterdir()) == []
    assert "no model named 'mine'" in run("paint", "photos/0000.png", "-m", "mine", status=2).stderr
    assert "are no styles to show" in run("styles", "-o", "new.png", status=2).stderr


def test_rows_of_a_comparison_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_base(tmp_path, monkeypatch)
    rows = [_row("monet"), _row("a/x.jpg"), _style_row("b/x.jpg"), _style_row("cezanne/"), _style_row("y.jpg:0.3")]
    found = {label: (name, own.get("style")) for label, name, own in _distinct(rows)}
    assert found == {
        "monet": ("monet", None),
        "a/x.jpg": ("anystyle", ("a/x.jpg",)),
        "b/x.jpg": ("anystyle", ("b/x.jpg",)),
        "cezanne": ("anystyle", ("cezanne/",)),
        "y.jpg:0.3": ("anystyle", ("y.jpg:0.3",)),
    }


@pytest.mark.slow
def test_styles_are_compared_like_models(folder: Path) -> None:
    save_style("mine", ["waves.jpg"])
    words = ("photos/0000.png", "--models", "cyclegan.monet-fine,mine,roses.png", "--style", "waves.jpg")
    run("compare", *words, "--strength", "0.5", "-o", "sheet.png", "--size", "64")
    photo = Image.open("photos/0000.png").convert("RGB")
    rows = {
        "photo": [photo],
        "cyclegan.monet-fine": [artgan.load("cyclegan.monet-fine").paint(photo, strength=0.5)],
        "mine": [artgan.load("mine").paint(photo, strength=0.5)],
        "roses.png": [artgan.load("anystyle").paint(photo, style="roses.png", strength=0.5)],
        "waves.jpg": [artgan.load("anystyle").paint(photo, style="waves.jpg", strength=0.5)],
    }
    drawn, expected = pixels("sheet.png").astype(int), np.asarray(sheet(rows, cell=64), int)
    assert drawn.shape == expected.shape
    assert np.abs(drawn - expected).max() <= 2  # of two runtimes
    assert "give a style" in run("compare", "photos/0000.png", "--models", "anystyle", "-o", "x.png", status=2).stderr
    missing = run("compare", "photos/0000.png", "--models", "none.jpg", "-o", "x.png", status=2)
    assert missing.stderr == "artgan: style 'none.jpg': no such file or folder\n"
    assert not Path("x.png").exists()


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        ((), 2, "anystyle.any: give a style: a picture, or a folder"),
        (("--style", "none.jpg"), 2, "style 'none.jpg': no such file or folder"),
        (("--style", "text.jpg"), 2, "style text.jpg: not a picture"),
        (("--style", "waves.jpg:0"), 2, "waves.jpg:0: the weight of a style must be positive"),
        (("--style", "waves.jpg", "--style-scale", "9"), 2, "style_scale: must be at most 4, not 9.0"),
        (("--style", "waves.jpg", "--mask", "waves.jpg"), 2, "mask and style_mask go together"),
        (("--style", "waves.jpg", "--mask", "roses.png", "--style-mask", "waves.jpg"), 1, "must have the size of"),
        (("--style", "waves.jpg", "--runtime", "onnxruntime"), 2, "depends on the position in the picture"),
    ],
)
def test_a_style_that_cannot_be_is_one_line(folder: Path, words: tuple[str, ...], status: int, told: str) -> None:
    Path("text.jpg").write_text("no picture")
    done = run("paint", "photos/0000.png", "--model", "anystyle", *words, "-o", "painted.png", status=status)
    assert told in done.stderr
    assert done.stderr.count("\n") == 1
    assert not Path("painted.png").exists()


@pytest.mark.slow
def test_style_pictures_are_options_of_the_base(folder: Path) -> None:
    """Several with weights, a folder, regions, and the options of every model."""
    labels = Image.new("RGB", (64, 48), "red")
    labels.paste((0, 0, 255), (0, 0, 32, 48))
    labels.save("mask.png")
    for name, color in (("blue.png", (0, 0, 255)), ("red.png", (255, 0, 0))):
        Image.new("RGB", (96, 72) if name == "blue.png" else (50, 90), color).save(name)
    blend = ("--style", "waves.jpg", "--style", "roses.png:0.3", "--style-scale", "2", "--keep-colors")
    run("paint", "photos/0000.png", "-m", "anystyle", *blend, "-o", "blend.png")
    options = {"style": ("waves.jpg", "roses.png:0.3"), "style_scale": 2.0, "keep_colors": True}
    model = artgan.load("anystyle")
    assert np.array_equal(pixels("blend.png"), np.asarray(model.paint("photos/0000.png", **options)))
    regions = ("--style", "waves.jpg", "--style", "roses.png", "--mask", "mask.png")
    run(
        *("paint", "photos/0000.png", "-m", "anystyle", *regions),
        *("--style-mask", "blue.png", "--style-mask", "red.png", "-o", "regions.png"),
    )
    found = pixels("regions.png").astype(int)
    waves, roses = (np.asarray(model.paint("photos/0000.png", style=name), int) for name in ("waves.jpg", "roses.png"))
    left, right = np.s_[:, :4], np.s_[:, -4:]  # far from the border between them
    assert np.abs(found - waves)[left].mean() < np.abs(found - roses)[left].mean()
    assert np.abs(found - roses)[right].mean() < np.abs(found - waves)[right].mean()


@pytest.mark.slow
def test_a_style_that_fails_is_named_and_the_rest_is_drawn(folder: Path) -> None:
    save_style("mine", ["waves.jpg"])
    save_style("other", ["roses.png"])
    shutil.copy("waves.jpg", "data/artgan/models/other/model.safetensors")
    Path("data/artgan/models/broken").mkdir()
    done = run("styles", "-o", "sheet.png", "--size", "48", status=1)
    assert "other/model.safetensors: not a safetensors file" in done.stderr
    assert "models/broken: holds no config.json" in done.stderr
    assert Path("sheet.png").exists()
    listed = run("models", "mine")
    assert len(listed.stdout.splitlines()) == 2
    assert listed.stderr.count("\n") == 1
    assert "models/broken: holds no config.json" in listed.stderr


def test_the_tab_key_knows_styles(folder: Path) -> None:
    save_style("mine", ["waves.jpg"])
    read_registry.cache_clear()
    assert completing.saved_styles("") == ["mine"]
    assert completing.style_models("") == ["anystyle", "anystyle.any"]
    assert "mine" in completing.painters("")
    assert completing.several_painters("monet,")[0].startswith("monet,")
    assert "monet,mine" in completing.several_painters("monet,")
    assert "mine" not in completing.samplers("")
