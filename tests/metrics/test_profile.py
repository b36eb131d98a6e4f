"""Profiles: of pictures whose figures are known, and of real ones."""

from __future__ import annotations

import gc
import json
import weakref
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.data import DATA

from artgan import images
from artgan.errors import ConfigError, PictureError
from artgan.metrics.profile import OCTAVES, Profile, profile, to_lab
from artgan.metrics.profile_plot import draw, plot


def gray(values: np.ndarray) -> Image.Image:
    return Image.fromarray(np.rint(values).astype(np.uint8)).convert("RGB")


def waves(length: float, degrees: float = 0, size: int = 256) -> Image.Image:
    """Waves whose crests lie at an angle, counted against the clock from the horizontal; lengths in pixels."""
    y, x = np.mgrid[:size, :size]
    turn = np.radians(degrees)
    return gray(128 + 60 * np.sin(2 * np.pi / length * (x * np.sin(turn) + y * np.cos(turn))))


def plain(*colors: tuple[int, int, int], size: int = 256) -> Image.Image:
    """Upright bars, all of one width."""
    row = np.repeat(np.array(colors, np.uint8), size // len(colors), axis=0)
    return Image.fromarray(np.broadcast_to(row, (size, *row.shape)).copy())


def test_lab_is_what_is_published_of_the_srgb_primaries() -> None:
    """Values of Bruce Lindbloom's calculator, D65."""
    colors = {
        (255, 255, 255): (100, 0, 0),
        (255, 0, 0): (53.2408, 80.0925, 67.2032),
        (0, 255, 0): (87.7347, -86.1827, 83.1793),
        (0, 0, 255): (32.2970, 79.1875, -107.8602),
        (119, 119, 119): (50.03, 0, 0),
        (2, 2, 2): (0.548, 0, 0),
    }
    found = to_lab(np.array(list(colors), np.uint8))
    np.testing.assert_allclose(found, list(colors.values()), atol=0.02)


def test_a_plain_gray_picture_has_a_lightness_and_nothing_else() -> None:
    found = profile([plain((119, 119, 119))])
    assert found.lightness.mean == pytest.approx(50.03, abs=0.01)
    for name in ("contrast", "chroma", "edges", "sharpness", "warmth"):
        assert getattr(found, name).mean == pytest.approx(0, abs=0.02)
    assert found.octaves == (0,) * 5
    assert found.orientations == (0,) * 8
    assert [(color.rgb, color.share) for color in found.palette] == [((119, 119, 119), 1)]


def test_figures_are_means_over_pictures_with_their_deviation() -> None:
    dark, light = plain((60, 60, 60)), plain((200, 200, 200))
    found = profile([dark, light, light])
    levels = [to_lab(np.array([v] * 3, np.uint8))[0] for v in (60, 200, 200)]
    assert found.n == 3
    assert found.lightness.mean == pytest.approx(np.mean(levels))
    assert found.lightness.deviation == pytest.approx(np.std(levels))
    half = profile([plain((60, 60, 60), (200, 200, 200))])
    assert half.contrast.mean == pytest.approx((levels[1] - levels[0]) / 2)


@pytest.mark.parametrize(("length", "octave"), [(3, 0), (6, 1), (11, 2), (23, 3), (45, 4)])
def test_waves_are_in_their_octave(length: float, octave: int) -> None:
    found = profile([waves(length, 30)])
    assert len(found.octaves) == len(OCTAVES)
    assert found.octaves[octave] > 0.95
    assert sum(found.octaves) <= 1 + 1e-9


def test_the_octaves_of_white_noise_are_as_the_areas_of_their_rings() -> None:
    """In the plane of frequencies, a square of side 1 in cycles a pixel."""
    rng = np.random.default_rng(0)
    found = profile(gray(128 + 10 * rng.normal(size=(256, 256))) for _ in range(4)).octaves
    discs = [1, *(np.pi / 4**k for k in range(2, 6))]
    assert found[:4] == pytest.approx([a - b for a, b in pairwise(discs)], rel=0.15)


@pytest.mark.parametrize("step", range(8))
def test_edges_lie_as_they_are_drawn(step: int) -> None:
    found = profile([waves(16, 22.5 * step)])
    assert found.orientations[step] > 0.9
    assert sum(found.orientations) == pytest.approx(1)


def test_an_edge_counts_and_a_slope_does_not() -> None:
    slope = gray(np.broadcast_to(np.linspace(0, 255, 256), (256, 256)))
    assert profile([slope]).edges.mean == 0
    step = profile([plain((0, 0, 0), (255, 255, 255))])
    assert step.edges.mean == pytest.approx(2 / 256)
    assert step.sharpness.mean > 10 * profile([slope]).sharpness.mean


def test_sharpness_does_not_ask_for_contrast_and_edges_do() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(64, 64)).repeat(4, 0).repeat(4, 1)
    strong, faint = profile([gray(128 + 30 * noise)]), profile([gray(128 + 6 * noise)])
    assert faint.sharpness.mean == pytest.approx(strong.sharpness.mean, rel=0.1)
    assert faint.edges.mean < 0.5 * strong.edges.mean


def test_orange_is_warm_blue_is_cold_and_gray_is_neither() -> None:
    assert profile([plain((230, 140, 60))]).warmth.mean > 0.9
    assert profile([plain((40, 120, 200))]).warmth.mean < -0.85
    both = profile([plain((230, 140, 60), (120, 120, 120))]).warmth.mean
    assert both == pytest.approx(profile([plain((230, 140, 60))]).warmth.mean, abs=0.01)  # gray does not count


def test_the_palette_is_the_colors_and_their_shares() -> None:
    colors = ((20, 30, 90), (240, 200, 40), (30, 120, 50), (200, 60, 40))
    pictures = [plain(*colors), plain(colors[0], colors[1]), plain(colors[0])]
    found = profile(pictures).palette
    expected = {colors[0]: 1.75 / 3, colors[1]: 0.75 / 3, colors[2]: 0.25 / 3, colors[3]: 0.25 / 3}
    assert {color.rgb: color.share for color in found} == pytest.approx(expected)
    assert [color.share for color in found] == sorted((color.share for color in found), reverse=True)


def test_the_palette_of_many_colors_is_eight_that_are_near_all() -> None:
    rng = np.random.default_rng(0)
    centers = np.array([(x, y, z) for x in (60, 190) for y in (60, 190) for z in (60, 190)])
    pixels = centers[rng.integers(8, size=(256, 256))] + rng.normal(0, 8, size=(256, 256, 3))
    found = profile([Image.fromarray(np.rint(pixels).clip(0, 255).astype(np.uint8))]).palette
    assert len(found) == 8
    ours = np.array([color.rgb for color in found])
    assert np.abs(ours[:, None] - centers).max(-1).min(0).max() <= 2
    assert [color.share for color in found] == pytest.approx([1 / 8] * 8, abs=0.01)


def test_order_is_nothing() -> None:
    pictures = [plain((20, 30, 90), (240, 200, 40)), waves(7), waves(30, 45)]
    first, second = profile(pictures), profile(reversed(pictures))
    assert first.palette == second.palette
    assert first.octaves == pytest.approx(second.octaves)


@pytest.mark.slow
def test_pictures_are_not_kept() -> None:
    seen: list[weakref.ref[Image.Image]] = []

    def stream() -> Iterator[Image.Image]:
        for step in range(6):
            gc.collect()
            assert sum(ref() is not None for ref in seen) <= 1
            picture = waves(8, 10 * step, size=64)
            seen.append(weakref.ref(picture))
            yield picture
            del picture

    assert profile(stream(), size=64).n == 6


def test_the_middle_square_is_looked_at() -> None:
    wide = Image.new("RGB", (512, 256), (255, 255, 255))
    wide.paste((119, 119, 119), (128, 0, 384, 256))
    assert profile([wide]).contrast.mean == pytest.approx(0, abs=0.01)


@pytest.mark.slow
def test_what_cannot_be_profiled_is_told(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least one picture"):
        profile([])
    with pytest.raises(ConfigError, match="64 pixels or more, got a size of 32"):
        profile([waves(8)], size=32)
    with pytest.raises(ValueError, match="at least one profile"):
        draw({}, tmp_path / "x.png")


def some() -> dict[str, Profile]:
    return {
        "blue": profile([plain((40, 120, 200))], size=64),
        "a longer name": profile([plain((230, 30, 40)), waves(9, 20)], size=64),
    }


def test_a_profile_is_json() -> None:
    read = json.loads(json.dumps(some()["blue"].to_dict()))
    assert read["palette"] == [{"rgb": [40, 120, 200], "share": 1.0}]
    assert read["lightness"]["deviation"] == 0


@pytest.mark.slow
def test_the_drawing_shows_the_palettes(tmp_path: Path) -> None:
    path = tmp_path / "profiles.png"
    path.write_bytes(b"old")
    draw(some(), path)
    pixels = np.asarray(images.decode(path).rgb)
    assert pixels.shape[1] == 1500
    blue = (pixels == (40, 120, 200)).all(-1)
    red = (pixels == (230, 30, 40)).all(-1)
    assert 1.7 < blue.sum(1).max() / red.sum(1).max() < 2.3  # all of one set, half of the other
    assert [p.name for p in tmp_path.iterdir()] == ["profiles.png"]


@pytest.mark.slow
@pytest.mark.filterwarnings("error")
def test_names_of_sets_are_any(tmp_path: Path) -> None:
    """Paths, that is: with dollars (a formula to matplotlib), underscores in front (left out of legends), and long."""
    found = some()["blue"]
    names = ("$\\frac{$", "_hidden", "a/very/long/" * 20, "a $5 $6 b")
    (legend,) = plot(dict.fromkeys(names, found)).subfigs[-1].legends
    texts = [text.get_text().strip() for text in legend.get_texts()]
    assert [text.replace("\\$", "$") for text in texts[:2]] == list(names[:2])
    assert len(texts) == 4
    assert len(texts[2]) < 30
    draw(dict.fromkeys(names, found), tmp_path / "profiles.png")


def test_a_drawing_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(PictureError, match=r"suffix '\.txt'"):
        draw(some(), tmp_path / "profiles.txt")
    with pytest.raises(PictureError, match="there is no folder"):
        draw(some(), tmp_path / "absent" / "profiles.png")


@pytest.mark.slow
@pytest.mark.skipif(not (DATA / "vangogh").is_dir(), reason=f"no real pictures at {DATA}")
def test_van_goghs_strokes_and_colors_are_stronger_than_monets() -> None:
    def of(folder: str) -> Profile:
        paths = sorted((DATA / folder).iterdir())
        return profile(images.decode(path).rgb for path in paths[:: len(paths) // 25][:25])

    monet, vangogh, photo = of("monet"), of("vangogh"), of("photo")
    assert vangogh.edges.mean > monet.edges.mean
    assert vangogh.chroma.mean > monet.chroma.mean
    assert sum(vangogh.octaves[:3]) > sum(monet.octaves[:3]) > sum(photo.octaves[:3])
    assert monet.contrast.mean < photo.contrast.mean
    assert monet.lightness.mean > photo.lightness.mean
