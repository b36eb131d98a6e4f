"""How a film's picture moved since the frame before: dense optical flow by OpenCV, on the small copies of frames.

DIS (Kroeger et al., "Fast optical flow using dense inverse search", ECCV 2016) is exact where there is texture. Plain
ground has none, and noise would let it drift: there the camera's own motion counts, an affine map fitted to the flow of
all textured places, wherever it explains the picture as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from artgan.errors import ConfigError
from artgan.painting.canvas import Floats, Pixels

Mask: TypeAlias = "NDArray[np.bool_]"

_STILL = 0.1  # pixels; a camera that moves less does not move
_STEP = 6  # pixels between the places to which the camera's motion is fitted
_TEXTURED = 12.0  # least gradient there, in levels a pixel times 8
_FIT = 0.35  # pixels within which a place moves with the camera
_SIMPLER = 0.95  # share of them that a shift has to explain to be preferred
_LEAST = 0.3  # share of these places from which on it is the camera that moves
_WORSE = (1.25, 1.5)  # factor and levels by which the camera's motion may explain the picture less well
_LOST = (0.7, 0.1)  # pixels, and share of the motion, by which there and back may differ
_OTHER = (4.0, 14.0)  # multiples of the noise, and levels, by which colors may differ


@dataclass(frozen=True, eq=False)
class Flow:
    """The motion between two small pictures of one size, in pixels, x and y.

    Attributes:
        back: from each pixel of the later picture to its place in the earlier one, H x W x 2.
        forth: from each pixel of the earlier picture to its place in the later one, H x W x 2.
        holds: where the later picture shows what the earlier one showed there, H x W.
        noise: standard deviation of the difference where it does, in 8-bit levels.
    """

    back: Floats
    forth: Floats
    holds: Mask
    noise: float

    @property
    def still(self) -> bool:
        """Whether nothing moved."""
        return not self.back.any()

    def carried(self, values: Floats) -> Floats:
        """What belongs to the earlier picture moved to the later one: H x W or H x W x n, float32.

        Values of another size than the flow are a larger copy, for which the flow is enlarged.
        """
        import cv2

        if self.still:
            return values
        height, width = values.shape[:2]
        back = self.back
        if (height, width) != back.shape[:2]:
            scale = np.array([width / back.shape[1], height / back.shape[0]], np.float32)
            back = cv2.resize(back, (width, height), interpolation=cv2.INTER_LINEAR) * scale
        return _warped(values, back)


def available() -> bool:
    """Whether OpenCV is installed."""
    return find_spec("cv2") is not None


def measure(before: Pixels, after: Pixels) -> Flow:
    """The motion from one small picture to the next, each H x W x 3, 8-bit RGB; the same on any number of threads.

    Raises:
        ConfigError: OpenCV is not installed.
    """
    try:
        import cv2
    except ImportError:
        raise ConfigError('optical flow needs OpenCV: pip install "artgan[video]"') from None
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)  # the search goes in as many stripes as there are threads
    try:
        return _measure(before, after)
    finally:
        cv2.setNumThreads(threads)


def _measure(before: Pixels, after: Pixels) -> Flow:
    import cv2

    first, second = (np.asarray(cv2.cvtColor(each, cv2.COLOR_RGB2GRAY), np.uint8) for each in (before, after))
    if min(first.shape) < 24:  # DIS needs some patches
        zero = np.zeros((*first.shape, 2), np.float32)
        back = forth = zero
    else:
        search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        search.setFinestScale(1)
        # Motion is searched for once in each direction, which shows where it does not hold.
        pairs = ((second, first), (first, second))
        back, forth = (
            np.asarray(search.calc(*pair, None), np.float32)  # type: ignore[call-overload]  # no first guess
            for pair in pairs
        )
        camera = _camera(first, back)
        if camera is not None:
            back = _with_camera(back, camera, second, first)
            forth = _with_camera(forth, np.asarray(cv2.invertAffineTransform(camera), np.float32), first, second)
    shown = _warped(before.astype(np.float32), back)
    difference = np.abs(after.astype(np.float32) - shown).mean(2)
    noise = float(np.median(difference)) * 1.5  # of a Gaussian, 1.48
    return_ = _warped(forth, back)
    lost = np.hypot(*np.moveaxis(back + return_, -1, 0)) > _LOST[0] + _LOST[1] * np.hypot(*np.moveaxis(back, -1, 0))
    height, width = lost.shape
    rows, columns = np.indices(lost.shape, np.float32)
    x, y = columns + back[..., 0], rows + back[..., 1]
    outside = (x < -0.5) | (y < -0.5) | (x > width - 0.5) | (y > height - 0.5)
    other = _blurred(difference, 1.0) > _OTHER[0] * noise + _OTHER[1]
    return Flow(back, forth, ~(lost | outside | other), noise)


def _camera(gray: Pixels, back: Floats) -> Floats | None:
    """The affine map, 2 x 3, of places to those before that most of the flow agrees with; None if there is none."""
    import cv2

    rows, columns = (np.arange(_STEP, length - _STEP, _STEP) for length in gray.shape)
    y, x = (part.ravel() for part in np.meshgrid(rows, columns, indexing="ij"))
    there = np.stack([x, y], -1).astype(np.float32)
    moved = there + back[y, x]
    near = np.clip(np.rint(moved).astype(int), 0, np.array(gray.shape[::-1]) - 1)
    slope = np.hypot(cv2.Sobel(gray, cv2.CV_32F, 1, 0), cv2.Sobel(gray, cv2.CV_32F, 0, 1))
    slope = _blurred(slope, 1.5)[near[:, 1], near[:, 0]]
    textured = slope > max(_TEXTURED, float(np.median(slope)))
    if textured.sum() < 12:
        return np.eye(2, 3, dtype=np.float32)
    fitted, inliers = cv2.estimateAffine2D(
        there[textured], moved[textured], method=cv2.RANSAC, ransacReprojThreshold=_FIT, maxIters=500
    )
    if fitted is None or inliers.mean() < _LEAST:
        return None
    # A motion that explains as much with fewer numbers is more exact, and does not drift: first a shift, then none.
    shift = np.eye(2, 3)
    shift[:, 2] = np.median((moved - there)[textured][inliers[:, 0] > 0], 0)
    off = np.hypot(*(there + shift[:, 2] - moved)[textured].T)
    if (off < _FIT).sum() > _SIMPLER * inliers.sum():
        fitted = shift
    height, width = gray.shape
    corners = np.array([(0, 0, 1), (width, 0, 1), (0, height, 1), (width, height, 1)], np.float32)
    if np.abs(corners @ (fitted - np.eye(2, 3)).T).max() < _STILL:
        return np.eye(2, 3, dtype=np.float32)
    return np.asarray(fitted, np.float32)


def _with_camera(flow: Floats, camera: Floats, here: Pixels, there: Pixels) -> Floats:
    """The flow, with the camera's motion wherever that explains the picture as well."""
    rows, columns = np.indices(here.shape, np.float32)
    moved = np.stack([columns * a + rows * b + c for a, b, c in camera], -1) - np.stack([columns, rows], -1)
    target, source = here.astype(np.float32), there.astype(np.float32)
    by_flow, by_camera = (_blurred(np.abs(target - _warped(source, each)), 2.5) for each in (flow, moved))
    own = by_camera > _WORSE[0] * by_flow + _WORSE[1]
    if not own.any():
        return np.asarray(moved, np.float32)
    share = _blurred(own.astype(np.float32), 1.5)[..., None]
    share[share < 0.02] = 0
    return np.asarray(moved + share * (flow - moved), np.float32)


def _warped(values: Floats, back: Floats) -> Floats:
    import cv2

    rows, columns = np.indices(back.shape[:2], np.float32)
    x, y = columns + back[..., 0], rows + back[..., 1]
    # Cubic interpolation would soften what is carried from frame to frame.
    return np.asarray(cv2.remap(values, x, y, cv2.INTER_LANCZOS4, borderMode=cv2.BORDER_REPLICATE), np.float32)


def _blurred(values: Floats, sigma: float) -> Floats:
    import cv2

    return np.asarray(cv2.GaussianBlur(values, (0, 0), sigma), np.float32)
