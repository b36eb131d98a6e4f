"""What the page paints is what the model paints, within its limits; what cannot be painted is named."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from support.styles import install_base, style_picture

import artgan
from artgan import images
from artgan.demo import studio as module
from artgan.demo.painters import Painter, offer
from artgan.demo.studio import Order, Studio, bundle, check_bounds, preview, safe_name
from artgan.errors import ArtganError, PictureError
from artgan.files import refused_by_windows
from artgan.models.styles import save_style


@pytest.fixture(scope="module")
def studio() -> Studio:
    return Studio()


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("uploads") / "My holiday.png"
    random = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
    Image.fromarray(random).resize((96, 72), Image.Resampling.BICUBIC).save(path)
    return path


@pytest.fixture(scope="module")
def painter() -> Painter:
    return offer().painters["vangogh"]


@pytest.mark.slow
def test_a_painting_is_the_model_s_own(studio: Studio, photo: Path, painter: Painter, tmp_path: Path) -> None:
    order = Order(painter, stroke_size=2.0, strength=0.7, palette=0.9)
    [painted] = studio.paint([photo], order, tmp_path)
    assert painted.error is None
    assert painted.painting is not None
    assert painted.painting.name == "My holiday-vangogh.png"
    expected = artgan.load("vangogh", runtime="onnxruntime").paint(photo, stroke_size=2.0, strength=0.7, palette=0.9)
    with Image.open(painted.painting) as painting:
        assert np.array_equal(np.asarray(painting), np.asarray(expected))
    for path, shown in ((painted.before, photo), (painted.after, painted.painting)):
        assert path is not None
        difference = np.asarray(images.decode(path).rgb, int) - np.asarray(images.decode(shown).rgb, int)
        assert np.abs(difference).mean() < 6  # as JPEG keeps it


@pytest.mark.slow
def test_kept_colors_have_no_palette(studio: Studio, photo: Path, painter: Painter, tmp_path: Path) -> None:
    [painted] = studio.paint([photo], Order(painter, palette=0.5, keep_colors=True), tmp_path)
    expected = artgan.load("vangogh", runtime="onnxruntime").paint(photo, keep_colors=True)
    assert painted.painting is not None
    assert np.array_equal(np.asarray(images.decode(painted.painting).rgb), np.asarray(expected))


def test_one_that_fails_does_not_stop_the_rest(studio: Studio, photo: Path, painter: Painter, tmp_path: Path) -> None:
    broken, text, gone = (tmp_path / name for name in ("broken.png", "notes.jpg", "gone.jpg"))
    broken.write_bytes(photo.read_bytes()[:400])
    text.write_text("no picture")
    done = studio.paint([broken, photo, text, gone, photo], Order(painter), tmp_path / "results")
    assert [each.painting is not None for each in done] == [False, True, False, False, True]
    assert str(done[0].error).startswith("broken.png: damaged or incomplete PNG")
    assert str(done[2].error).startswith("notes.jpg: not a picture in a format that artgan reads")
    assert done[3].error == "gone.jpg: is no longer here; choose it again"
    assert not [each.error for each in done if str(tmp_path) in str(each.error)]


def test_sizes_are_bounded_by_the_header(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_PIXELS", 3_000_000)
    small, large, film, heavy = (tmp_path / name for name in ("small.png", "large.png", "film.gif", "heavy.bmp"))
    Image.new("L", (1500, 2000)).save(small)
    Image.new("L", (1501, 2000)).save(large)
    frames = [Image.new("L", (200, 100), value) for value in range(160)]
    frames[0].save(film, save_all=True, append_images=frames[1:])
    check_bounds(small)
    for path, told in ((large, "3 megapixels"), (film, "3 megapixels in 160 frames")):
        with pytest.raises(PictureError) as error:
            check_bounds(path)
        assert str(error.value).startswith(f"{path.name}: has {told}; the limit is 3")
    monkeypatch.setattr(module, "MOST_BYTES", 2**20)
    with heavy.open("wb") as file:
        file.truncate(2 * 2**20)
    with pytest.raises(PictureError, match=r"heavy.bmp: has 2 MB; the limit is 1 MB"):
        check_bounds(heavy)


def test_the_call_itself_may_be_wrong(studio: Studio, photo: Path, painter: Painter, tmp_path: Path) -> None:
    with pytest.raises(ArtganError, match="51 photos were given; at most 50 are painted at once"):
        studio.paint([photo] * 51, Order(painter), tmp_path)
    with pytest.raises(ArtganError, match=r"strength: must be at most 1\.5"):
        studio.paint([photo], Order(painter, strength=9.0), tmp_path)
    assert not list(tmp_path.rglob("*.png"))


def test_a_style_is_asked_for_and_bounded(photo: Path, tmp_path: Path) -> None:
    painter = offer().painters["gatys"]
    with pytest.raises(ArtganError, match="choose a style picture first"):
        Order(painter).options()
    (tmp_path / "style.jpg").write_text("no picture")
    with pytest.raises(ArtganError, match=r"^style.jpg: not a picture"):
        Order(painter, style=tmp_path / "style.jpg").options()
    assert Order(painter, stroke_size=2, palette=0.5, style=photo).options() == {
        "strength": 1.0,
        "keep_colors": False,
        "style": (str(photo),),
    }


@pytest.mark.slow
def test_a_saved_style_paints_and_is_shown_by_its_pictures(
    photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_base(tmp_path, monkeypatch)
    style = style_picture(tmp_path / "waves.jpg")
    save_style("mine", [str(style)])
    offered, studio = offer(), Studio()
    painter = offered.painters["mine"]
    [painted] = studio.paint([photo], Order(painter, stroke_size=2.0), tmp_path / "results")
    [quick] = studio.paint([photo], Order(offered.painters["anystyle"], style=style), tmp_path / "quick")
    assert painted.painting is not None
    assert quick.painting is not None
    assert painted.painting.name == "My holiday-mine.png"
    assert painted.painting.read_bytes() == quick.painting.read_bytes()
    shown = images.decode_bytes(studio.example(painter), "example").rgb
    difference = np.asarray(shown, int) - np.asarray(images.decode(style).rgb, int)
    assert np.abs(difference).mean() < 8  # compressed three times
    assert studio.known_example("mine") == studio.example(painter)
    painter.thumbnail.unlink()  # type: ignore[union-attr]  # it has one
    again = Studio()
    assert images.decode_bytes(again.example(painter), "example").rgb.size == (384, 384)  # the example, painted


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["several", "variations", "way"])
def test_pictures_from_noise(studio: Studio, kind: str, tmp_path: Path) -> None:
    name = next(iter(offer().noise))
    made = studio.make(name, kind, 5, 9, 3, tmp_path)
    pictures = [np.asarray(Image.open(path).convert("RGB"), int) for path, _ in made]
    seeds = [np.asarray(picture, int) for picture in artgan.load(name).sample(5, seed=5)]
    assert np.abs(pictures[0] - seeds[0]).max() <= 1
    texts = [text for _, text in made]
    if kind == "several":
        assert texts == ["seed 5", "seed 6", "seed 7"]
        assert np.abs(pictures[2] - seeds[2]).max() <= 1
    elif kind == "way":
        assert texts == ["0 %", "50 %", "100 %"]
        assert np.abs(pictures[2] - seeds[4]).max() <= 1  # the end
    else:
        apart = [np.abs(picture - seeds[0]).mean() for picture in pictures[1:]]
        other = [np.abs(seed - seeds[0]).mean() for seed in seeds[1:3]]
        assert all(0.5 < near < 0.8 * far for near, far in zip(apart, other, strict=True))
    with pytest.raises(ArtganError, match="2 to 24"):
        studio.make(name, kind, 5, 9, 25, tmp_path)


def test_previews_are_small_and_keep_proportions(tmp_path: Path) -> None:
    Image.new("RGB", (4000, 1000), (10, 200, 30)).save(tmp_path / "wide.png")
    preview(tmp_path / "wide.png", tmp_path / "small.jpg")
    with Image.open(tmp_path / "small.jpg") as small:
        assert (small.size, small.format) == ((1600, 400), "JPEG")
        assert np.abs(np.asarray(small, int) - (10, 200, 30)).max() <= 3


def test_an_archive_holds_every_file_once(tmp_path: Path) -> None:
    paths = []
    for folder, name in (("1", "a.jpg"), ("2", "A.jpg"), ("3", "b.jpg"), ("4", "a.jpg")):
        (tmp_path / folder).mkdir()
        paths.append(tmp_path / folder / name)
        paths[-1].write_text(folder)
    bundle(paths, tmp_path / "all.zip")
    with zipfile.ZipFile(tmp_path / "all.zip") as archive:
        assert archive.namelist() == ["a.jpg", "A (2).jpg", "b.jpg", "a (4).jpg"]
        assert [archive.read(name).decode() for name in archive.namelist()] == ["1", "2", "3", "4"]


@given(st.text(min_size=1, max_size=30).filter(lambda text: "/" not in text and "\0" not in text))
def test_names_in_an_archive_are_safe_everywhere(name: str) -> None:
    safe = safe_name(Path("folder", name), 3)
    assert os.path.basename(safe) == safe
    assert "\\" not in safe
    assert safe.isprintable()
    assert not safe.startswith(".")
    assert not refused_by_windows(Path(safe))
    if name.isalnum() and not refused_by_windows(Path(name)):
        assert safe == name
