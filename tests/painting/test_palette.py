"""Colors between sRGB and L*a*b*, against the formulas of CIE 15."""

from __future__ import annotations

import numpy as np
import pytest

from artgan.painting.palette import lab, rgb_of


def exact(rgb: np.ndarray) -> np.ndarray:
    """CIE 15 with the matrix of IEC 61966-2-1 in more digits and white D65."""
    level = rgb / 255.0
    light = np.where(level <= 0.04045, level / 12.92, ((level + 0.055) / 1.055) ** 2.4)
    matrix = np.array(
        [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
    )
    relative = light @ matrix.T / np.array([0.95047, 1, 1.08883])
    x, y, z = np.moveaxis(np.where(relative > (6 / 29) ** 3, np.cbrt(relative), relative * 841 / 108 + 4 / 29), -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], -1)


@pytest.fixture(scope="module")
def cube() -> np.ndarray:
    """Colors all over the cube of sRGB, 8-bit."""
    return np.stack(np.meshgrid(*[np.arange(0, 256, 5)] * 3, indexing="ij"), -1).reshape(52, -1, 3).astype(np.uint8)


def test_lab_of_levels(cube: np.ndarray) -> None:
    assert np.abs(lab(cube) - exact(cube)).max() < 0.05
    assert lab(cube).dtype == np.float32


def test_lab_of_numbers_between_levels(cube: np.ndarray) -> None:
    between = np.clip(cube + np.random.default_rng(0).uniform(-0.5, 0.5, cube.shape), 0, 255).astype(np.float32)
    error = np.abs(lab(between) - exact(between))
    assert error.max() < 0.15  # levels are taken in sixteenths
    assert error.mean() < 0.02


def test_colors_come_back(cube: np.ndarray) -> None:
    np.testing.assert_array_equal(rgb_of(lab(cube)), cube)


def test_grays_have_no_color() -> None:
    gray = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, -1)
    assert np.abs(lab(gray)[..., 1:]).max() < 0.05


def test_colors_out_of_range_are_the_nearest_levels() -> None:
    colors = np.array([[120, 0, 0], [-20, 0, 0], [50, 120, 0], [50, -200, 200]], np.float32)
    levels = rgb_of(colors)
    assert levels[0].tolist() == [255, 255, 255]
    assert levels[1].tolist() == [0, 0, 0]
    assert levels[2, 0] == 255
    assert levels[3, 0] == levels[3, 2] == 0


def test_each_pixel_is_by_itself(cube: np.ndarray) -> None:
    colors, some = lab(cube), (slice(3, 10), slice(7, 100))
    np.testing.assert_array_equal(lab(cube[some]), colors[some])
    np.testing.assert_array_equal(rgb_of(colors + 0.3)[some], rgb_of(colors[some] + 0.3))
