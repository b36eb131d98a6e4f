"""Films painted steadily: strokes stick to what they paint, and go with it."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from artgan import images
from artgan.painting import flow, paint_batch
from artgan.painting.brushwork import Brush
from artgan.painting.manner import PLAIN, Manner
from artgan.painting.moving import Frames
from artgan.painting.network import Network, Pictures
from artgan.painting.palette import Palette

Pixels = NDArray[np.uint8]
SIZE = (320, 240)
NOISE = 1.6


class Unchanged(Network):
    """Paints what it is given."""

    def paint(self, pictures: Pictures, options: Mapping[str, Any], places: object = None) -> Pictures:
        return pictures


class Restless(Network):
    """Adds another pattern to each picture, as networks do that see a small change."""

    def __init__(self) -> None:
        self.random = np.random.default_rng(0)

    def paint(self, pictures: Pictures, options: Mapping[str, Any], places: object = None) -> Pictures:
        return pictures + self.random.normal(0, 0.05, pictures.shape).astype(np.float32)


@pytest.fixture(scope="module")
def photo() -> Pixels:
    datasets = pytest.importorskip("sklearn.datasets", reason="needs the photos that come with scikit-learn")
    return np.asarray(datasets.load_sample_image("china.jpg"))


def seen(photo: Pixels, x: float, y: float, zoom: float = 1.0) -> Pixels:
    """A window of the photo, whose center is so many pixels from the photo's."""
    height, width = photo.shape[:2]
    center = (width / 2 + x, height / 2 + y)
    matrix = np.array([[1 / zoom, 0, center[0] - SIZE[0] / 2 / zoom], [0, 1 / zoom, center[1] - SIZE[1] / 2 / zoom]])
    return np.asarray(cv2.warpAffine(photo, matrix, SIZE, flags=cv2.INTER_LANCZOS4 | cv2.WARP_INVERSE_MAP))


def noisy(frame: Pixels, number: int) -> Pixels:
    noise = np.random.default_rng(number).normal(0, NOISE, frame.shape)
    return np.clip(np.rint(frame + noise), 0, 255).astype(np.uint8)


def steadily(frames: list[Pixels], manner: Manner, network: Network | None = None) -> list[Pixels]:
    painter = Frames(network or Unchanged(), manner, {})
    return [np.asarray(painter.paint(images.decode(frame))) for frame in frames]


def alone(frame: Pixels, manner: Manner, network: Network | None = None) -> Pixels:
    return np.asarray(paint_batch(network or Unchanged(), [images.decode(frame)], manner=manner)[0])


def warping_error(frames: list[Pixels], motion: NDArray[np.float64]) -> float:
    """The mean difference to the frame before, moved by the true motion: 2 x 3, from places to those before."""
    rows, columns = np.indices(frames[0].shape[:2], np.float32)
    x, y = ((columns + 0.5) * a + (rows + 0.5) * b + c - 0.5 for a, b, c in motion)
    inside = (x >= 6) & (y >= 6) & (x <= SIZE[0] - 7) & (y <= SIZE[1] - 7)
    errors = []
    for before, after in pairwise(frames):
        moved = cv2.remap(before.astype(np.float32), x.astype(np.float32), y.astype(np.float32), cv2.INTER_CUBIC)
        errors.append(np.abs(after - moved.clip(0, 255)).mean(2)[inside].mean())
    return float(np.mean(errors))


def pan(photo: Pixels, dx: float, dy: float, count: int) -> tuple[list[Pixels], NDArray[np.float64]]:
    return [seen(photo, n * dx, n * dy) for n in range(count)], np.array([[1, 0, dx], [0, 1, dy]])


def zoom(photo: Pixels, factor: float, count: int) -> tuple[list[Pixels], NDArray[np.float64]]:
    share = 1 / factor
    motion = np.array([[share, 0, SIZE[0] / 2 * (1 - share)], [0, share, SIZE[1] / 2 * (1 - share)]])
    return [seen(photo, 0, 0, factor**n) for n in range(count)], motion


BRUSHED = Manner(brush=Brush())
COLORED = Manner(Brush(), palette=Palette.of([np.full((8, 8, 3), 90, np.uint8)]), palette_strength=0.5)


@pytest.mark.parametrize("manner", [PLAIN, BRUSHED], ids=["plain", "brushed"])
def test_the_first_frame_is_the_still_picture_to_the_byte(photo: Pixels, manner: Manner) -> None:
    frame = seen(photo, 0, 0)
    assert np.array_equal(steadily([frame], manner)[0], alone(frame, manner))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "least"), [("pan", 3), ("zoom", 3), ("still", 3)])
def test_strokes_stick_to_what_they_paint(photo: Pixels, name: str, least: float) -> None:
    if name == "still":
        frames, motion = [noisy(seen(photo, 0, 0), n) for n in range(4)], np.eye(2, 3)
    else:
        frames, motion = pan(photo, 1.37, -0.61, 3) if name == "pan" else zoom(photo, 1.012, 3)
    steady = warping_error(steadily(frames, BRUSHED), motion)
    assert least * steady < warping_error([alone(frame, BRUSHED) for frame in frames], motion)
    if name == "still":
        assert steady < 0.1 < 1.2 * warping_error(frames, motion)


@pytest.mark.slow
def test_what_a_network_adds_does_not_flicker(photo: Pixels) -> None:
    frames, motion = pan(photo, 1.0, 0.0, 5)
    for manner in (PLAIN, BRUSHED):
        network = Restless()
        steady = warping_error(steadily(frames, manner, network)[3:], motion)
        assert 3 * steady < warping_error([alone(frame, manner, network) for frame in frames[3:]], motion)


def test_a_frame_after_a_cut_is_the_still_picture(photo: Pixels) -> None:
    frames = [seen(photo, -60, 0), seen(photo, -59, 0), seen(photo[::-1, ::-1].copy(), 60, 40)]
    assert np.array_equal(steadily(frames, BRUSHED)[2], alone(frames[2], BRUSHED))


def moving(photo: Pixels, count: int) -> list[Pixels]:
    """A red disc with white stripes that crosses a still ground, 9 pixels a frame."""
    ground = seen(photo, 0, 0)
    frames = []
    for number in range(count):
        frame, x = ground.copy(), 50 + 9 * number
        cv2.circle(frame, (x, 120), 40, (220, 30, 30), -1, cv2.LINE_AA)
        for offset in (-20, 0, 20):
            cv2.line(frame, (x + offset, 90), (x + offset, 150), (250, 250, 250), 4, cv2.LINE_AA)
        frames.append(noisy(frame, number))
    return frames


@pytest.mark.slow
def test_what_moves_leaves_no_trail(photo: Pixels) -> None:
    frames = moving(photo, 9)
    made = steadily(frames, BRUSHED)
    ground, last = alone(seen(photo, 0, 0), BRUSHED), alone(frames[-1], BRUSHED)
    left, path = np.s_[60:180, 15:75], np.s_[80:160, 85:160]
    # Red is nowhere where the disc was, and where it is there is as much of it as in the still picture.
    red = [(frame[..., 0].astype(int) - frame[..., 1]).clip(0) for frame in (made[-1], last, ground, made[0])]
    assert red[3][left].mean() > red[2][left].mean() + 30
    for part in (left, path):
        assert abs(red[0][part].mean() - red[1][part].mean()) < 6
    # What never was behind it stays as it was.
    still = np.abs(made[-1][190:, :].astype(int) - made[0][190:, :]).mean()
    assert still < 0.5


@pytest.mark.exhaustive
def test_a_film_does_not_melt_as_it_moves_on(photo: Pixels) -> None:
    for manner, count in ((PLAIN, 30), (BRUSHED, 10)):
        frames = [seen(photo, 30 * np.sin(n / 4), 8 * np.sin(n / 2)) for n in range(count)]
        last, single = steadily(frames, manner)[-1], alone(frames[-1], manner)
        sharpness = [cv2.Laplacian(cv2.cvtColor(each, cv2.COLOR_RGB2GRAY), cv2.CV_32F).std() for each in (last, single)]
        assert sharpness[0] > 0.8 * sharpness[1]


@pytest.mark.slow
@pytest.mark.parametrize("manner", [PLAIN, COLORED], ids=["plain", "colored"])
def test_a_film_goes_on_from_its_state(photo: Pixels, manner: Manner) -> None:
    frames, _ = pan(photo, 1.5, 0.5, 4)
    whole = steadily(frames, manner)
    first = Frames(Unchanged(), manner, {})
    for frame in frames[:2]:
        first.paint(images.decode(frame))
    second = Frames(Unchanged(), manner, {})
    second.paint(images.decode(frames[0]))  # whatever it has seen
    second.restore(first.state())
    for frame, expected in zip(frames[2:], whole[2:], strict=True):
        assert np.array_equal(np.asarray(second.paint(images.decode(frame))), expected)


def test_frames_of_another_size_begin_anew(photo: Pixels) -> None:
    small = seen(photo, 0, 0)[:, :200]
    painter = Frames(Unchanged(), BRUSHED, {})
    painter.paint(images.decode(seen(photo, 0, 0)))
    assert np.array_equal(np.asarray(painter.paint(images.decode(small))), alone(small, BRUSHED))


@pytest.mark.parametrize("size", [(1, 1), (17, 23)])
def test_small_frames_are_painted(size: tuple[int, int]) -> None:
    frames = [np.asarray(Image.new("RGB", size, (number, 90, 40))) for number in range(3)]
    assert [made.shape for made in steadily(frames, BRUSHED)] == [(*size[::-1], 3)] * 3


def test_transparency_is_kept(photo: Pixels) -> None:
    image = Image.fromarray(seen(photo, 0, 0))
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    painting = Frames(Unchanged(), PLAIN, {}).paint(images.decode(image))
    assert painting.mode == "RGBA"
    assert np.array_equal(np.asarray(painting.getchannel("A")), np.asarray(image.getchannel("A")))


# ---- the flow itself


def test_a_shift_is_found_also_on_plain_ground(photo: Pixels) -> None:
    found = flow.measure(seen(photo, 0, 0), seen(photo, 2.4, -1.2))
    assert np.abs(found.back - (2.4, -1.2)).max() < 0.15  # the sky too, which has no texture
    assert np.abs(found.forth - (-2.4, 1.2)).max() < 0.15
    assert found.holds[10:-10, 10:-10].mean() > 0.97
    rows, columns = np.indices(found.holds.shape)
    assert not found.holds[(columns + 2.4 > SIZE[0]) | (rows - 1.2 < -1)].any()


def test_a_still_camera_does_not_move(photo: Pixels) -> None:
    still = seen(photo, 0, 0)
    found = flow.measure(noisy(still, 1), noisy(still, 2))
    assert found.still
    assert found.holds.mean() > 0.99
    assert 0.6 * NOISE < found.noise < 2 * NOISE


def test_the_flow_is_lost_where_something_is_uncovered(photo: Pixels) -> None:
    first, second = moving(photo, 2)
    found = flow.measure(first, second)
    assert np.abs(found.back[115:125, 55:63].mean((0, 1)) - (-9, 0)).max() < 1.5  # on the disc
    assert not found.back[200:, 100:].any()
    assert found.holds[100:140, 11:17].mean() < 0.5  # where it was
    assert found.holds[190:].mean() > 0.98


def test_the_flow_does_not_depend_on_threads(photo: Pixels) -> None:
    before, after = seen(photo, 0, 0), seen(photo, 3, 1, 1.02)
    known = cv2.getNumThreads()
    results = []
    try:
        for threads in (1, 4):
            cv2.setNumThreads(threads)
            results.append(flow.measure(before, after))
            assert cv2.getNumThreads() == threads
    finally:
        cv2.setNumThreads(known)
    assert np.array_equal(results[0].back, results[1].back)
