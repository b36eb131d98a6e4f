"""Under-paintings: the same whole, in windows and from strips, at any size, of any picture; and palettes."""

from __future__ import annotations

import dataclasses
import importlib.util
import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from support import ROOT

from artgan.errors import ConfigError, PictureError
from artgan.metrics.photo_left import luminance, photo_left
from artgan.painting.brushwork import WORKING, Brush, reduced, trace, underpaint, unit
from artgan.painting.palette import Palette, lab, statistics, transport


def scene(width: int, height: int) -> np.ndarray:
    """A sky, a sun, a striped hill and its outline: smooth, so that it is the same at any size."""
    y, x = np.mgrid[0:height, 0:width]
    y, x = (y + 0.5) / height, (x + 0.5) / width
    sky = np.stack([0.5 + 0.3 * y, 0.6 + 0.2 * y, 0.9 - 0.1 * x], -1)
    hill = np.stack([0.3 + 0.15 * np.sin(60 * x + 20 * y), 0.4 + 0.1 * np.sin(60 * x), 0.2 + 0 * x], -1)
    edge = np.clip((y - 0.6 - 0.15 * np.sin(5 * x)) * 80 + 0.5, 0, 1)[..., None]
    sun = np.clip((0.1 - np.hypot(x - 0.7, y - 0.25)) * 80 + 0.5, 0, 1)[..., None]
    picture = sky * (1 - edge) + hill * edge
    return np.rint((picture * (1 - sun) + np.array([1.0, 0.9, 0.5]) * sun) * 255).astype(np.uint8)


def bands(photo: np.ndarray, painting: np.ndarray) -> list[float]:
    """How much of a photo is left: correlation of luminance in bands under 1, 1-2, 2-4, 4-8 and 8-16 px."""
    lights = (luminance(torch.from_numpy(picture).permute(2, 0, 1)[None]) for picture in (photo, painting))
    return photo_left(*lights)[0].tolist()


brushes = st.builds(
    Brush,
    largest=st.floats(0.02, 0.2),
    smallest=st.floats(0.006, 0.02),
    layers=st.integers(1, 4),
    grid=st.floats(1, 4),
    threshold=st.floats(0, 30),
    shortest=st.floats(1, 4),
    longest=st.floats(4, 30),
    curvature=st.floats(0, 1),
    opacity=st.floats(0, 1),
    taper=st.floats(0, 1),
    bristles=st.sampled_from([0.0, 20.0]),
    hue=st.floats(0, 90),
)


class TestWindows:
    @pytest.mark.slow
    @settings(max_examples=15, deadline=None)
    @given(st.data(), brushes, st.integers(1, 900), st.integers(1, 900), st.integers(-5, 2**70))
    def test_are_the_pixels_of_the_whole(self, data, brush, width, height, seed):
        strokes = trace(reduced([scene(width, height)], (width, height)), brush, seed)
        whole = strokes.draw((width, height))
        assert whole.shape == (height, width, 3)
        left, top = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
        right, bottom = data.draw(st.integers(left + 1, width)), data.draw(st.integers(top + 1, height))
        window = (left, top, right, bottom)
        np.testing.assert_array_equal(strokes.draw((width, height), window), whole[top:bottom, left:right])

    @pytest.mark.slow
    def test_of_a_large_picture_have_bristles_and_are_the_pixels_of_the_whole(self):
        picture = scene(1500, 1100)
        whole = underpaint(picture, Brush())
        for window in ((0, 0, 700, 400), (700, 300, 701, 1100), (1203, 877, 1500, 1100)):
            left, top, right, bottom = window
            np.testing.assert_array_equal(underpaint(picture, Brush(), 0, window), whole[top:bottom, left:right])
        plain = underpaint(picture, Brush(bristles=0))
        assert np.abs(np.diff(whole.astype(int), axis=0)).sum() > 1.2 * np.abs(np.diff(plain.astype(int), axis=0)).sum()

    @pytest.mark.parametrize("window", [(0, 0, 0, 5), (5, 5, 4, 9), (-1, 0, 4, 4), (0, 0, 41, 30)])
    def test_outside_the_picture_are_told(self, window):
        with pytest.raises(PictureError, match="no window"):
            underpaint(scene(40, 30), Brush(), 0, window)


class TestReduced:
    @pytest.mark.slow
    @settings(max_examples=20, deadline=None)
    @given(st.integers(1, 700), st.integers(1, 1200), st.lists(st.integers(0, 1200), max_size=5))
    def test_strips_give_what_the_whole_gives(self, width, height, cuts):
        picture = scene(width, height)
        strips = np.split(picture, sorted(min(cut, height) for cut in cuts))
        small = reduced(strips, (width, height))
        np.testing.assert_array_equal(small, reduced([picture], (width, height)))
        assert abs(small.mean() - picture.mean()) < 3
        assert small.shape[0] * small.shape[1] <= 17 * WORKING**2

    @pytest.mark.parametrize("times", [2, 4, 6])
    def test_is_the_mean_of_squares(self, times):
        picture = np.random.default_rng(0).integers(0, 256, (times * WORKING, times * 300, 3)).astype(np.uint8)
        small = reduced([picture], (times * 300, times * WORKING))
        expected = picture.reshape(WORKING, times, 300, times, 3).mean((1, 3))
        assert np.abs(small - expected).max() <= 1  # rounded on the way

    def test_a_picture_of_that_size_is_itself(self):
        picture = scene(300, WORKING)
        np.testing.assert_array_equal(reduced([picture], (300, WORKING)), picture)

    @pytest.mark.parametrize("shape", [(9, 10, 3), (11, 10, 3), (10, 9, 3), (10, 10), (10, 10, 4), (0, 10, 3)])
    def test_other_pictures_are_told(self, shape):
        with pytest.raises(PictureError):
            reduced([np.zeros(shape, np.uint8)], (10, 10))


class TestPainting:
    @pytest.mark.slow
    def test_is_decided_by_the_seed(self):
        picture = scene(300, 200)
        np.testing.assert_array_equal(underpaint(picture, Brush(), 3), underpaint(picture, Brush(), 3))
        assert (underpaint(picture, Brush(), 3) != underpaint(picture, Brush(), 4)).mean() > 0.5

    @pytest.mark.slow
    def test_is_the_same_at_any_size(self):
        for bristles, least, most in ((0.0, 0.985, 6), (14.0, 0.975, 9)):  # only the large one has bristles to be seen
            small, large = (underpaint(scene(side, side), Brush(bristles=bristles)) for side in (256, 1024))
            seen = large.reshape(256, 4, 256, 4, 3).mean((1, 3))
            assert np.corrcoef(small.ravel(), seen.ravel())[0, 1] > least
            assert np.abs(small.astype(int) - seen).mean() < most

    def test_leaves_the_form_and_not_the_texture_of_a_photo(self):
        random = np.random.default_rng(0)
        photo = np.clip(scene(256, 256) + random.normal(0, 12, (256, 256, 1)), 0, 255).astype(np.uint8)
        left = bands(photo, underpaint(photo, Brush()))
        assert left[0] < 0.3
        assert left[1] < 0.6
        assert left[4] > 0.75

    def test_strokes_follow_contours(self):
        y, x = np.mgrid[0:256, 0:256]
        ring = np.where(abs(np.hypot(x - 128, y - 128) - 70) < 8, 220, 40).astype(np.uint8)
        strokes = trace(np.stack([ring] * 3, -1), Brush(layers=3))
        ends = strokes.points[:, -1] - strokes.points[:, 0]
        middle = strokes.points.mean(1) - 128
        near = (abs(np.linalg.norm(middle, axis=1) - 70) < 12) & (np.linalg.norm(ends, axis=1) > 4)
        along = np.abs((ends * middle).sum(1)) / np.linalg.norm(ends, axis=1) / np.linalg.norm(middle, axis=1)
        assert near.sum() > 100
        assert np.median(along[near]) < 0.2  # the cosine to the radius: 0 is along the ring, 0.64 would be chance

    def test_flat_places_have_the_direction_of_what_surrounds_them(self):
        stripe = np.full((256, 256, 3), 90, np.uint8)
        stripe[:, 200:] = 200
        strokes = trace(stripe, Brush(layers=1))
        far = strokes.points[:, 0, 0] < 80  # nothing changes within five radii
        ends = (strokes.points[:, -1] - strokes.points[:, 0])[far]
        assert np.median(np.abs(ends[:, 1]) / np.linalg.norm(ends, axis=1)) > 0.95

    def test_covers_the_ground(self):
        strokes = trace(scene(256, 256), Brush())
        bare = dataclasses.replace(strokes, ground=np.full((256, 256, 3), (255, 0, 255), np.uint8)).draw((256, 256))
        assert (bare == (255, 0, 255)).all(-1).mean() < 0.02

    def test_small_strokes_go_where_there_is_something_to_see(self):
        strokes = trace(scene(256, 256), Brush())
        fine = strokes.points[strokes.radius < 3][:, 0, 1]
        assert (fine > 120).mean() > 0.75  # the hill and its outline; all else is sky and sun

    def test_neighbors_differ_in_hue_but_grays_stay_gray(self):
        gray = np.repeat(scene(256, 256).mean(-1, keepdims=True).astype(np.uint8), 3, -1)
        assert np.ptp(underpaint(gray, Brush()), axis=-1).max() <= 2
        plain = np.full((64, 64, 3), (120, 150, 90), np.uint8)
        assert underpaint(plain, Brush()).reshape(-1, 3).std(0).min() > 2
        assert underpaint(plain, Brush(hue=0, saturation=0, lightness=0)).reshape(-1, 3).std(0).max() < 1

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("size", "color"),
        [
            *((size, color) for size in ((1, 1), (2, 300), (64, 64)) for color in (0, 128, 255)),
            ((10_000, 20), 128),
            ((3, 5000), 255),
            *(
                pytest.param(size, color, marks=pytest.mark.exhaustive)
                for size, color in (((10_000, 20), 0), ((10_000, 20), 255), ((3, 5000), 0), ((3, 5000), 128))
            ),
        ],
    )
    def test_of_plain_pictures_is_plain(self, size, color):
        picture = np.full((size[1], size[0], 3), color, np.uint8)
        painting = underpaint(picture, Brush())
        assert painting.shape == picture.shape
        assert np.abs(painting.astype(int) - color).max() < 40

    @settings(max_examples=10, deadline=None)
    @given(brushes, st.floats(0.5, 3))
    def test_has_no_more_strokes_than_grid_cells(self, brush, stroke_size):
        strokes = trace(scene(256, 256), brush, 0, stroke_size)
        first = min(brush.grid, 1.6) * brush.largest / 1.4  # these cover the ground
        spacings = [spacing * stroke_size for spacing in (first, *(brush.grid * radius for radius in brush.radii[1:]))]
        most = sum(np.ceil(1 / max(spacing, 1 / 256)) ** 2 for spacing in spacings)
        assert 0 < len(strokes) <= most
        assert np.isfinite(strokes.points).all()


class TestBrush:
    def test_goes_through_json(self):
        brush = Brush(largest=0.05, layers=4, hue=20.0)
        assert Brush.from_dict(json.loads(json.dumps(brush.to_dict()))) == brush

    def test_radii_go_from_large_to_small(self):
        assert Brush(largest=0.04, smallest=0.01, layers=3).radii == pytest.approx((0.04, 0.02, 0.01))
        assert Brush(layers=1).radii == (Brush().largest,)

    @pytest.mark.parametrize(
        ("values", "told"),
        [
            ({"largest": 0.5}, "largest: must be at most 0.2"),
            ({"grid": 0}, "grid: must be at least 0.5"),
            ({"layers": 2.5}, "layers: must be a whole number"),
            ({"hue": float("nan")}, "hue: must be finite"),
            ({"smallest": 0.1, "largest": 0.05}, "smallest must be at most largest, 0.05"),
            ({"shortest": 12, "longest": 6}, "shortest must be at most longest, 6"),
        ],
    )
    def test_bad_values_are_told_with_their_range(self, values, told):
        with pytest.raises(ConfigError, match=told):
            Brush(**values)
        with pytest.raises(ConfigError, match=told):
            Brush.from_dict(values)

    def test_unknown_parameters_are_told(self):
        with pytest.raises(ConfigError, match="did you mean 'taper'"):
            Brush.from_dict({"tapper": 0.5})

    @pytest.mark.parametrize("stroke_size", [0.4, 3.1, float("nan")])
    def test_stroke_size_has_a_range(self, stroke_size):
        with pytest.raises(ConfigError, match=r"from 0\.5 to 3"):
            trace(scene(64, 64), Brush(), 0, stroke_size)

    def test_unit_is_the_shorter_side_but_of_strips(self):
        assert unit((400, 300)) == 300
        assert unit((10_000, 20)) == pytest.approx(111.8, abs=0.1)


class TestPalette:
    def test_transport_is_the_closed_form(self):
        random = np.random.default_rng(0)
        source, target = (a @ a.T + np.eye(3) for a in random.normal(0, 5, (2, 3, 3)))
        matrix = transport(source, target)
        np.testing.assert_allclose(matrix @ source @ matrix.T, target, rtol=1e-8)  # moves one to the other
        np.testing.assert_allclose(matrix, matrix.T, atol=1e-9)  # by a gradient of a convex function
        assert np.linalg.eigvalsh(matrix).min() > 0
        diagonal = transport(np.diag([1.0, 4.0, 9.0]), np.diag([4.0, 4.0, 1.0]))
        np.testing.assert_allclose(diagonal, np.diag([2, 1, 1 / 3]), atol=1e-9)

    def test_moves_mean_and_covariance_to_the_entry(self):
        photo = scene(128, 128)
        mean, covariance = statistics(photo)
        turn = np.diag([0.8, 0.9, 0.9])
        palette = Palette((mean + np.array([4, -3, 5]))[None], (turn @ covariance @ turn)[None])
        found = statistics(palette.transfer(photo)(photo))
        np.testing.assert_allclose(found[0], palette.means[0], atol=0.7)
        assert np.linalg.norm(found[1] - palette.covariances[0]) < 0.05 * np.linalg.norm(covariance)
        assert np.abs(palette.transfer(photo, 0.0)(photo).astype(int) - photo).max() <= 1

    def test_half_the_strength_is_half_the_way(self):
        photo = scene(64, 64)
        palette = Palette(statistics(photo)[0][None] + 6, statistics(photo)[1][None])
        moved = statistics(palette.transfer(photo, 0.5)(photo))[0] - statistics(photo)[0]
        np.testing.assert_allclose(moved, 3, atol=0.7)

    def test_strong_colors_and_grays_are_not_turned_neon(self):
        random = np.random.default_rng(0)
        vivid = Palette(np.array([[50.0, 60.0, -60.0]]), 900 * np.eye(3)[None])
        for color in ((128, 128, 128), (255, 0, 0), (0, 255, 255)):
            picture = np.clip(np.array(color) + random.normal(0, 6, (64, 64, 3)), 0, 255).astype(np.uint8)
            before, after = (
                np.hypot(*lab(one)[..., 1:].transpose(2, 0, 1)) for one in (picture, vivid.transfer(picture)(picture))
            )
            assert (after - before).max() < 30

    def test_takes_the_nearest_entry(self):
        palette = Palette(np.array([[20.0, 0, 0], [80.0, 0, 0]]), np.stack([100 * np.eye(3)] * 2))
        assert palette.nearest(np.array([70.0, 5, 5]), 50 * np.eye(3)) == 1

    def test_of_paintings_is_small_and_goes_through_json(self):
        random = np.random.default_rng(0)
        paintings = [np.clip(scene(32, 32) + random.normal(0, 40, 3), 0, 255).astype(np.uint8) for _ in range(60)]
        palette = Palette.of(paintings, entries=24)
        text = json.dumps(palette.to_dict())
        assert len(text) < 4000
        again = Palette.from_dict(json.loads(text))
        np.testing.assert_allclose(again.covariances, palette.covariances, atol=0.01)
        assert len(palette.means) <= 24

    @pytest.mark.parametrize("values", [{}, {"means": [[1, 2, 3]]}, {"means": [[1, 2]], "covariances": [[1] * 6]}, 3])
    def test_something_else_is_told(self, values):
        with pytest.raises(ConfigError, match="palette"):
            Palette.from_dict(values)

    def test_strength_has_a_range(self):
        with pytest.raises(ConfigError, match="from 0 to 1"):
            Palette(np.zeros((1, 3)), np.eye(3)[None]).transfer(scene(8, 8), 1.1)


class TestScript:
    def run(self, *arguments: object) -> int:
        spec = importlib.util.spec_from_file_location("underpaint", ROOT / "scripts" / "underpaint.py")
        assert spec is not None
        assert spec.loader is not None
        script = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(script)
        return script.main([str(argument) for argument in arguments])

    @pytest.mark.slow
    def test_paints_a_folder_and_goes_on_where_it_was(self, tmp_path):
        photos = tmp_path / "photos"
        photos.mkdir()
        for n in range(3):
            Image.fromarray(scene(80 + n, 60)).save(photos / f"{n}.png")
        (tmp_path / "brush.json").write_text(json.dumps({"layers": 2}))
        arguments = (photos, tmp_path / "out", "--brush", tmp_path / "brush.json", "--size", 64, "--variants", 2)
        assert self.run(*arguments) == 0
        first = (tmp_path / "out" / "1-1.png").read_bytes()
        assert first != (tmp_path / "out" / "1-0.png").read_bytes()
        with Image.open(tmp_path / "out" / "0-0.png") as painting:
            assert painting.size == (64, 64)
        (tmp_path / "out" / "1-1.png").unlink()
        assert self.run(*arguments) == 0
        assert (tmp_path / "out" / "1-1.png").read_bytes() == first
        names = {path.name for path in (tmp_path / "out").iterdir()}
        assert names == {f"{photo}-{variant}.png" for photo in range(3) for variant in range(2)}

    def test_a_bad_brush_is_told(self, tmp_path, capsys):
        (tmp_path / "brush.json").write_text(json.dumps({"layers": 20}))
        assert self.run(tmp_path, tmp_path / "out", "--brush", tmp_path / "brush.json") == 2
        assert "layers: must be at most 6" in capsys.readouterr().err
