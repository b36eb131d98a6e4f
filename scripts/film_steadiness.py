"""Measures how steadily films are painted: the warping error on synthetic films whose true motion is known.

    python scripts/film_steadiness.py [--model monet] [--brush none] [--frames 12] [--sheets FOLDER]
    OMP_NUM_THREADS=1 python scripts/film_steadiness.py --speed

Films are made of the photos that come with scikit-learn, and with scikit-image where that is installed: a pan, a zoom,
and a still picture with noise. The warping error is the mean difference, in 8-bit levels, of each painted frame to the
one before moved by the true motion, where both show the same; once for films painted steadily, once for each frame
painted for itself, and for the film's own frames. ``--sheets`` writes frames and differences to look at, among them
those of a disc that moves over a still ground. ``--speed`` measures only how many frames are painted in a second of one
core, at two sizes.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

import artgan
from artgan.images import decode
from artgan.models.model import Model
from artgan.painting import paint_batch
from artgan.painting.moving import Frames

Floats = NDArray[np.float32]
SIZE = (384, 288)  # of films, width and height
PANS = ((1.0, 0.0), (2.0, 1.0), (1.37, -0.61))  # pixels a frame
ZOOM = 1.012  # a frame
NOISE = 1.6  # standard deviation, in 8-bit levels
SPEEDS = ((342, 256), (854, 640))
EDGE = 6  # pixels along the edge that are not measured


@dataclass(frozen=True)
class Film:
    """A synthetic film.

    Attributes:
        frames: H x W x 3, 8-bit RGB.
        motion: the affine map, 2 x 3, from places in a frame to places in the one before.
    """

    frames: list[NDArray[np.uint8]]
    motion: Floats


def photos() -> dict[str, NDArray[np.uint8]]:
    """Photos by name, at least a quarter larger than films."""
    from sklearn.datasets import load_sample_images

    found = dict(zip(("china", "flower"), load_sample_images().images, strict=True))
    if find_spec("skimage"):
        from skimage import data

        found |= {name: getattr(data, name)() for name in ("astronaut", "coffee", "chelsea")}
    least = tuple(round(1.25 * length) for length in SIZE)
    enlarged = {}
    for name, photo in found.items():
        scale = max(1.0, least[0] / photo.shape[1], least[1] / photo.shape[0])
        enlarged[name] = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    return enlarged


def window(photo: NDArray[np.uint8], center: tuple[float, float], scale: float) -> NDArray[np.uint8]:
    """The part of a photo around a place, enlarged."""
    width, height = SIZE
    matrix = np.array([[1 / scale, 0, center[0] - width / 2 / scale], [0, 1 / scale, center[1] - height / 2 / scale]])
    flags = cv2.INTER_LANCZOS4 | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(photo, matrix, SIZE, flags=flags, borderMode=cv2.BORDER_REFLECT), np.uint8)


def films(photo: NDArray[np.uint8], count: int) -> Iterator[tuple[str, Film]]:
    """Synthetic films of a photo by name."""
    height, width = photo.shape[:2]
    middle = (width / 2, height / 2)
    for dx, dy in PANS:
        start = tuple(m - d * count / 2 for m, d in zip(middle, (dx, dy), strict=True))
        frames = [window(photo, (start[0] + n * dx, start[1] + n * dy), 1) for n in range(count)]
        yield f"pan {dx:g}, {dy:g}", Film(frames, np.array([[1, 0, dx], [0, 1, dy]], np.float32))
    cx, cy = (SIZE[0] - 0) / 2, (SIZE[1] - 0) / 2
    share = 1 / ZOOM
    zoom = np.array([[share, 0, cx * (1 - share)], [0, share, cy * (1 - share)]], np.float32)
    yield "zoom", Film([window(photo, middle, ZOOM**n) for n in range(count)], zoom)
    random = np.random.default_rng(0)
    still = window(photo, middle, 1).astype(np.float32)
    noisy = [np.clip(np.rint(still + random.normal(0, NOISE, still.shape)), 0, 255).astype("u1") for _ in range(count)]
    yield "still", Film(noisy, np.eye(2, 3, dtype=np.float32))


def disc(photo: NDArray[np.uint8], count: int) -> list[NDArray[np.uint8]]:
    """A textured disc that crosses a still ground, with noise."""
    ground = window(photo, (photo.shape[1] / 2, photo.shape[0] / 2), 1)
    texture = window(photo[:, ::-1], (photo.shape[1] / 2, photo.shape[0] / 3), 2.0)[..., ::-1]
    random = np.random.default_rng(0)
    frames = []
    for n in range(count):
        x, y = 90 + 6 * n, 150
        mask = np.zeros(ground.shape[:2], np.float32)
        cv2.circle(mask, (x, y), 55, 1, -1, cv2.LINE_AA)
        moved = np.roll(texture, x - SIZE[0] // 2, 1)
        frame = ground + mask[..., None] * (moved.astype(np.float32) - ground) + random.normal(0, NOISE, ground.shape)
        frames.append(np.clip(np.rint(frame), 0, 255).astype(np.uint8))
    return frames


def warping_error(frames: list[NDArray[np.uint8]], motion: Floats) -> float:
    """The mean difference of each frame to the one before, moved; the first of all is left out."""
    height, width = frames[0].shape[:2]
    rows, columns = np.indices((height, width), np.float32)
    # Places are those of pixels' centers, which lie half a pixel from their corners.
    x, y = ((columns + 0.5) * a + (rows + 0.5) * b + c - 0.5 for a, b, c in motion)
    seen = (x >= EDGE) & (y >= EDGE) & (x <= width - 1 - EDGE) & (y <= height - 1 - EDGE)
    errors = []
    for before, after in pairwise(frames):
        moved = cv2.remap(before.astype(np.float32), x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        errors.append(np.abs(after - np.clip(moved, 0, 255)).mean(2)[seen].mean())
    return float(np.mean(errors))


def sheet(rows: list[list[NDArray[np.uint8]]], path: Path) -> None:
    """Write rows of frames, each followed by its differences from frame to frame, four times as strong."""
    lines = []
    for frames in rows:
        lines.append(np.concatenate(frames, 1))
        changes = [np.abs(a.astype(int) - b) * 4 for a, b in zip(frames, [frames[0], *frames], strict=False)]
        lines.append(np.concatenate([change.clip(0, 255).astype(np.uint8) for change in changes], 1))
    Image.fromarray(np.concatenate(lines)).save(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="monet")
    parser.add_argument("--brush", help="of other strokes, or none")
    parser.add_argument("--strength", type=float, default=1.0)
    parser.add_argument("--frames", type=int, default=12)
    parser.add_argument("--photos", type=int, default=99)
    parser.add_argument("--runtime", help="torch or onnxruntime", default="torch")
    parser.add_argument("--speed", action="store_true")
    parser.add_argument("--sheets", type=Path)
    chosen = parser.parse_args()
    model = artgan.load(chosen.model, runtime=chosen.runtime)
    given: dict[str, Any] = {"strength": chosen.strength}
    if chosen.brush:
        given["brush"] = chosen.brush
    if chosen.speed:
        speed(model, given, chosen.frames)
        return
    manner, own = model.painting(given)
    network = model.running_on()

    def alone(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return np.asarray(paint_batch(network, [decode(frame)], manner=manner, **own)[0])

    def steadily(frames: list[NDArray[np.uint8]]) -> list[NDArray[np.uint8]]:
        painter = Frames(network, manner, own)
        return [np.asarray(painter.paint(decode(frame))) for frame in frames]

    print(f"{'photo':10} {'film':16} {'input':>6} {'alone':>6} {'steady':>6} {'ratio':>6}")
    totals: dict[str, list[tuple[float, ...]]] = {}
    for photo_name, photo in list(photos().items())[: chosen.photos]:
        for name, film in films(photo, chosen.frames):
            steady, single = steadily(film.frames), [alone(frame) for frame in film.frames]
            figures = tuple(warping_error(each, film.motion) for each in (film.frames, single, steady))
            totals.setdefault(name, []).append(figures)
            print(f"{photo_name:10} {name:16} {show(figures)}", flush=True)
            if chosen.sheets:
                chosen.sheets.mkdir(parents=True, exist_ok=True)
                last = slice(-4, None)
                sheet([film.frames[last], single[last], steady[last]], chosen.sheets / f"{photo_name}-{name}.png")
        if chosen.sheets:
            frames = disc(photo, chosen.frames)
            sheet([frames[-4:], steadily(frames)[-4:]], chosen.sheets / f"{photo_name}-disc.png")
    for name, rows in totals.items():
        print(f"{'all':10} {name:16} {show(tuple(np.mean(rows, 0)))}")


def speed(model: Model, given: dict[str, Any], frames: int) -> None:
    """Print frames a second of processor time, of films painted steadily and frame by frame."""
    manner, own = model.painting(given)
    network = model.running_on()
    photo = photos()["china"]
    for size in SPEEDS:
        width, height = size
        shown = [
            cv2.resize(window(photo, (photo.shape[1] / 2 + 1.4 * n, photo.shape[0] / 2), 1), size)
            for n in range(frames + 1)
        ]
        painter = Frames(network, manner, own)
        seconds = []
        for paint in (painter.paint, lambda picture: paint_batch(network, [picture], manner=manner, **own)):
            paint(decode(shown[0]))
            start = time.process_time()
            for frame in shown[1:]:
                paint(decode(frame))
            seconds.append(time.process_time() - start)
        steady, single = (frames / each for each in seconds)
        print(f"{width} x {height}: {steady:.1f} frames a second, {single:.1f} painted each for itself")


def show(figures: tuple[float, ...]) -> str:
    input_, single, steady = figures
    return f"{input_:6.2f} {single:6.2f} {steady:6.2f} {single / steady:6.1f}"


if __name__ == "__main__":
    main()
