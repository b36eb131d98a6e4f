"""Drawing of strokes: against OpenCV's polygons, closed forms, and the same in blocks of any size."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageDraw

from artgan.errors import PictureError
from artgan.painting import canvas
from artgan.painting.canvas import CONTROLS, Strokes


def some_strokes(count: int = 300, size: int = 256, radius: float = 5, bristles: float = 14.0) -> Strokes:
    """Random walks of random colors over a dark ground."""
    random = np.random.default_rng(0)
    start = random.uniform(0, size, (count, 1, 2))
    turns = random.uniform(0, 2 * np.pi, (count, 1)) + random.normal(0, 0.5, (count, CONTROLS - 1)).cumsum(1)
    steps = 1.5 * radius * np.stack([np.cos(turns), np.sin(turns)], -1).cumsum(1)
    return Strokes(
        np.full((size, size, 3), 30, np.uint8),
        np.concatenate([start, start + steps], 1).astype(np.float32),
        random.uniform(0.3 * radius, radius, count).astype(np.float32),
        random.integers(0, 256, (count, 3)).astype(np.uint8),
        random.integers(0, 2**63, count).astype(np.uint64),
        0.4,
        bristles,
    )


def line(radius: float = 8, taper: float = 0.0) -> Strokes:
    """A white level stroke over black, from (60, 100) to (200, 100)."""
    x = np.linspace(60, 200, CONTROLS)
    points = np.stack([x, np.full(CONTROLS, 100.0)], -1)[None].astype(np.float32)
    ground = np.zeros((256, 256, 3), np.uint8)
    return Strokes(
        ground,
        points,
        np.array([radius], np.float32),
        np.full((1, 3), 255, np.uint8),
        np.zeros(1, np.uint64),
        taper,
        0.0,
    )


@pytest.mark.parametrize("scale", [1, 2, 4.5])
def test_a_stroke_has_its_place_width_and_length(scale: float) -> None:
    side = int(256 * scale)
    drawn = line().draw((side, side))[..., 0] / 255
    across = drawn[:, int(130 * scale)]
    assert across.sum() == pytest.approx(2 * (8 * scale + 0.75), abs=0.4)
    assert (across * np.arange(side)).sum() / across.sum() == pytest.approx(100 * scale, abs=0.3)
    along = drawn[int(100 * scale)]
    assert along.sum() == pytest.approx(140 * scale + 1.5, abs=0.6)
    assert (along * np.arange(side)).sum() / along.sum() == pytest.approx(130 * scale, abs=0.3)


def test_a_stroke_tapers() -> None:
    drawn = line(taper=0.5).draw((1024, 1024))[..., 0] / 255
    widths = drawn[:, [400, 520, 640]].sum(0) - 1.5
    np.testing.assert_allclose(widths, 64 * (1 - 0.5 * (np.array([400, 520, 640]) - 240) / 560), atol=1)


def test_edges_are_smooth_unless_they_need_not_be() -> None:
    strokes = replace(line(), points=line().points + np.linspace(0, 40, CONTROLS, dtype=np.float32)[:, None])
    assert len(np.unique(strokes.draw((256, 256)))) > 5
    assert len(np.unique(strokes.draw((256, 256), smooth=False))) == 2


def test_curves_are_bezier_curves() -> None:
    points = np.random.default_rng(0).normal(0, 100, (2, CONTROLS, 7)).astype(np.float32)
    at = np.random.default_rng(1).random((5, 7)).astype(np.float32)
    levels = np.broadcast_to(points[:, :, None], (2, CONTROLS, 5, 7)).astype(float)
    while levels.shape[1] > 1:  # de Casteljau's algorithm
        ends = levels
        levels = levels[:, :-1] * (1 - at) + levels[:, 1:] * at
    direction = ends[:, 1] - ends[:, 0]
    x, y, dx, dy = canvas._curves(points, at)
    np.testing.assert_allclose([x, y], levels[:, 0], atol=1e-3)
    np.testing.assert_allclose([dx, dy], direction / np.hypot(*direction), atol=1e-4)


@pytest.mark.parametrize(("side", "most"), [(256, 6), (512, 3.5), (1024, 2.3)])
def test_looks_as_with_opencvs_polygons(side: int, most: float, monkeypatch: pytest.MonkeyPatch) -> None:
    cv2 = pytest.importorskip("cv2", exc_type=ImportError)
    strokes = some_strokes()
    ours = strokes.draw((side, side)).astype(int)
    monkeypatch.setattr(canvas, "_WIDER", 0.0)  # OpenCV widens polygons itself
    monkeypatch.setattr(canvas, "_SAMPLES", ((np.inf, 13),))
    outlines = strokes._outlines((side, side), (0, 0, side, side), (16, 16))
    theirs = np.full((side, side, 3), 30, np.uint8)
    for corners, ink in zip(outlines.corners, outlines.inks.tolist(), strict=True):
        color = (ink & 255, ink >> 8 & 255, ink >> 16)
        cv2.fillPoly(theirs, [corners.reshape(-1, 2).astype(np.int32) - 8], color, cv2.LINE_AA, 4)
    assert np.abs(ours - theirs).mean() < most


@pytest.mark.parametrize("block", [16, 50, 200])
def test_blocks_of_any_size_show_the_same_strokes(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    strokes = some_strokes(radius=20)
    whole = strokes.draw((300, 200))
    monkeypatch.setattr(canvas, "BLOCK", block)
    parts = strokes.draw((300, 200)).astype(int)
    assert np.abs(parts - whole).mean() < 0.1
    for window in ((0, 0, 1, 1), (15, 16, 17, 18), (40, 30, 300, 171), (299, 0, 300, 200)):
        left, top, right, bottom = window
        np.testing.assert_array_equal(strokes.draw((300, 200), window), parts[top:bottom, left:right])


def test_no_strokes_show_the_ground() -> None:
    strokes = some_strokes(count=0)
    assert (strokes.draw((40, 30)) == 30).all()
    far = replace(line(), points=line().points + 1000)
    assert not far.draw((256, 256)).any()


def test_bristles_differ_in_lightness_alone() -> None:
    strokes = line(radius=20)
    gray = replace(strokes, colors=np.full((1, 3), 128, np.uint8), bristles=14.0).draw((512, 512))
    assert (gray[..., 0] == gray[..., 1]).all()
    inside = gray[170:230, 200:320, 0].astype(int)
    assert inside.min() >= 128 - 14
    assert inside.max() <= 128 + 14
    assert inside.std() > 2


def test_pillow_takes_corners_from_memory() -> None:
    """Polygons are given as parts of one buffer of float32, which Pillow reads as it does a list of numbers."""
    corners = np.array([0, 0, 3, 3, 20, 4, 18, 17, 5, 12], np.float32)
    pictures = []
    for xy in (memoryview(corners)[2:], corners[2:].tolist()):
        picture = Image.new("RGB", (24, 24))
        ImageDraw.Draw(picture).polygon(xy, 255 + 256 * 128 + 65536 * 64)
        pictures.append(np.asarray(picture))
    np.testing.assert_array_equal(*pictures)
    assert pictures[0].reshape(-1, 3).max(0).tolist() == [255, 128, 64]


def test_a_window_outside_is_refused() -> None:
    with pytest.raises(PictureError, match="no window"):
        line().draw((10, 10), (0, 0, 11, 10))
