"""Blurs and copies at a fraction of the size, against closed forms and OpenCV."""

from __future__ import annotations

import numpy as np
import pytest

from artgan.painting.smoothing import blurred, enlarged, gradient, shrunk


def bell(sigma: float, shape: tuple[int, int] = (160, 200)) -> np.ndarray:
    """A Gaussian of volume 1000 about the middle."""
    y, x = (np.arange(length) - length / 2 + 0.5 for length in shape)
    squares = y[:, None] ** 2 + x**2
    return (1000 / (2 * np.pi * sigma**2) * np.exp(-squares / (2 * sigma**2))).astype(np.float32)


@pytest.mark.parametrize("sigma", [0.64, 1, 1.49, 2.1, 3, 4.3, 7.3, 10.2, 14.6])
def test_variances_add_up(sigma: float) -> None:
    """A Gaussian blurred is a Gaussian, whose variance is the sum of both."""
    found, expected = blurred(bell(3), sigma), bell((9 + sigma**2) ** 0.5)
    assert np.abs(found - expected).max() < 0.06 * expected.max()
    assert found.sum() == pytest.approx(1000, rel=0.01)


@pytest.mark.parametrize("sigma", [0.7, 1.5, 3, 8, 30])
def test_blurs_as_opencv_does(sigma: float) -> None:
    cv2 = pytest.importorskip("cv2", exc_type=ImportError)
    random = np.random.default_rng(0)
    picture = cv2.GaussianBlur(random.normal(0, 500, (256, 300, 3)).astype(np.float32), (0, 0), 5)
    expected = cv2.GaussianBlur(picture, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
    found = np.moveaxis(blurred(np.moveaxis(picture, -1, 0), sigma), 0, -1)
    assert (found - expected).std() < 0.12 * picture.std()
    assert found.dtype == np.float32


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (3, 2, 7), (2, 300, 5)])
@pytest.mark.parametrize("sigma", [0.6, 2.5, 40])
def test_what_is_even_stays_so(shape: tuple[int, ...], sigma: float) -> None:
    np.testing.assert_allclose(blurred(np.full(shape, 7, np.float32), sigma), 7, rtol=1e-5)


def test_shrinking_takes_means_of_squares() -> None:
    values = np.random.default_rng(0).random((2, 12, 18)).astype(np.float32)
    expected = values.reshape(2, 4, 3, 6, 3).mean((2, 4))
    np.testing.assert_allclose(shrunk(values, 3), expected, rtol=1e-5)
    padded = np.pad(values[:, :11, :17], ((0, 0), (0, 1), (0, 1)), mode="edge")
    np.testing.assert_allclose(shrunk(values[:, :11, :17], 3), shrunk(padded, 3), rtol=1e-5)
    np.testing.assert_array_equal(shrunk(values, 1), values)


@pytest.mark.parametrize("share", [2, 3, 8])
def test_enlarging_is_linear_between_centers(share: int) -> None:
    height, width = 5 * share, 7 * share - 1
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    ramp = 2 * y + 5 * x
    found = enlarged(shrunk(np.stack([ramp, ramp**0]), share), share, (height, width))
    assert found.shape == (2, height, width)
    inner = (slice(share, -share), slice(share, -2 * share))
    np.testing.assert_allclose(found[0][inner], ramp[inner], rtol=1e-4)
    np.testing.assert_allclose(found[1], 1, rtol=1e-6)


def test_gradients_are_sobels() -> None:
    y, x = np.mgrid[0:9, 0:12].astype(np.float32)
    right, down = gradient((3 * x - 2 * y)[None])
    np.testing.assert_allclose(right[0, 1:-1, 1:-1], 24)
    np.testing.assert_allclose(down[0, 1:-1, 1:-1], -16)
    cv2 = pytest.importorskip("cv2", exc_type=ImportError)
    values = np.random.default_rng(0).random((20, 30)).astype(np.float32)
    for found, order in zip(gradient(values), ((1, 0), (0, 1)), strict=True):
        expected = cv2.Sobel(values, cv2.CV_32F, *order, borderType=cv2.BORDER_REPLICATE)
        np.testing.assert_allclose(found, expected, atol=1e-5)
