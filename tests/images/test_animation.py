"""Animations and pages: every frame, with its duration, and what lies behind transparent parts."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps
from support.odd_pictures import SIZE, chunk, file_bytes, frames, png, ramp

from artgan import images
from artgan.errors import PictureError

DURATIONS = [100, 250, 40, 300]


def negative(picture: images.Picture) -> Image.Image:
    return images.assemble(picture, ImageOps.invert(picture.rgb))


def painted(source: Path, target: Path) -> int:
    """Paint negatives of all frames; how many have been made."""
    made = []

    def make(picture: images.Picture) -> Image.Image:
        made.append(picture)
        return negative(picture)

    with images.open_animation(source) as animation:
        assert images.encode_animation(animation, make, target) == made[0].size
    return len(made)


def all_frames(path: Path) -> list[tuple[np.ndarray[Any, Any], Any]]:
    with Image.open(path) as image:
        found = []
        for index in range(getattr(image, "n_frames", 1)):
            image.seek(index)
            found.append((np.asarray(image.convert("RGBA")).astype(int), image.info.get("duration")))
        return found


def check(source: Path, target: Path, most: float) -> None:
    before, after = all_frames(source), all_frames(target)
    assert len(before) == len(after)
    for (photo, _), (painting, _) in zip(before, after, strict=True):
        assert photo.shape == painting.shape
        assert np.abs(photo[:, :, 3] - painting[:, :, 3]).max() <= (2 if target.suffix == ".avif" else 0)
        opaque = photo[:, :, 3] == 255
        assert np.abs(255 - photo[opaque][:, :3] - painting[opaque][:, :3]).mean() <= most


@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize(("suffix", "most"), [(".gif", 6), (".png", 0), (".webp", 6), (".avif", 3), (".tif", 0)])
def test_all_frames_are_painted_as_the_same_kind(tmp_path: Path, suffix: str, most: float, alpha: bool) -> None:
    first, *rest = frames(alpha=alpha)
    how: dict[str, Any] = {} if suffix == ".tif" else {"duration": DURATIONS, "loop": 3}
    if alpha and suffix == ".gif":
        how["disposal"] = 2
    source, target = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
    first.save(source, save_all=True, append_images=rest, **how)
    assert painted(source, target) == 4
    check(source, target, most)
    if suffix != ".tif":
        assert [duration for _, duration in all_frames(target)] == DURATIONS
    with Image.open(source) as before, Image.open(target) as after:
        assert before.info.get("loop") == after.info.get("loop")


@pytest.mark.parametrize("suffix", [".png", ".webp", ".avif", ".tif"])
def test_a_gif_as_another_kind(tmp_path: Path, suffix: str) -> None:
    first, *rest = frames()
    source, target = tmp_path / "a.gif", tmp_path / f"b{suffix}"
    first.save(source, save_all=True, append_images=rest, duration=DURATIONS)
    assert painted(source, target) == 4
    check(source, target, 6)
    with Image.open(target) as image:
        assert image.info.get("loop", 1) == 1  # a GIF that says nothing is shown once


def test_pages_keep_their_sizes_and_depth(tmp_path: Path) -> None:
    pages = [ramp((40 - 8 * index, 30)) for index in range(3)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    assert painted(tmp_path / "a.tif", tmp_path / "b.tif") == 3
    check(tmp_path / "a.tif", tmp_path / "b.tif", 0)
    with images.open_animation(tmp_path / "a.tif") as animation:
        assert not animation.same_size


def test_an_image_outside_the_animation_is_left_out(tmp_path: Path) -> None:
    first, *rest = frames()
    first.save(tmp_path / "a.png", save_all=True, append_images=rest, default_image=True, duration=DURATIONS[1:])
    assert painted(tmp_path / "a.png", tmp_path / "b.png") == 3
    assert [duration for _, duration in all_frames(tmp_path / "b.png")] == DURATIONS[1:]


def test_coding_holds_for_every_frame(tmp_path: Path) -> None:
    red = Image.new("RGB", SIZE, (234, 51, 35))
    other = Image.new("RGB", SIZE, (234, 51, 36))
    data = file_bytes(red, "PNG", save_all=True, append_images=[other])
    cicp = png(np.zeros((1, 1), np.uint8), (b"cICP", bytes([12, 13, 0, 1])))
    place = cicp.index(b"cICP") - 4
    (tmp_path / "a.png").write_bytes(data[:33] + cicp[place : place + 16] + data[33:])
    with images.open_animation(tmp_path / "a.png") as animation:
        assert [animation.frame(index).rgb.getpixel((0, 0)) for index in range(2)] == [(255, 0, 0), (255, 0, 2)]


def test_too_many_frames_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, *rest = frames()
    first.save(tmp_path / "a.gif", save_all=True, append_images=rest)
    monkeypatch.setattr("artgan.images.animation.MAX_FRAME_PIXELS", 3 * SIZE[0] * SIZE[1])
    with (
        pytest.raises(PictureError, match=r"over the limit of .* megapixels together.*-o NAME\.jpg"),
        images.open_animation(tmp_path / "a.gif"),
    ):
        pass


def test_fewer_frames_than_the_header_says_is_a_damaged_file(tmp_path: Path) -> None:
    first, *rest = frames()
    data = file_bytes(first, "PNG", save_all=True, append_images=rest)
    place = data.index(b"acTL")
    counts = (9).to_bytes(4, "big") + data[place + 8 : place + 12]
    (tmp_path / "a.png").write_bytes(data[: place - 4] + chunk(b"acTL", counts) + data[place + 16 :])
    with pytest.raises(PictureError, match=r"a\.png: "), images.open_animation(tmp_path / "a.png"):
        pass


@pytest.mark.parametrize("suffix", [".gif", ".png", ".webp", ".tif"])
def test_a_frame_that_fails_leaves_nothing(tmp_path: Path, suffix: str) -> None:
    first, *rest = frames()
    first.save(tmp_path / "a.gif", save_all=True, append_images=rest)
    made = []

    def make(picture: images.Picture) -> Image.Image:
        made.append(picture)
        if len(made) == 3:
            raise PictureError("a.gif: no")
        return picture.rgb

    with pytest.raises(PictureError, match=r"a\.gif: no"), images.open_animation(tmp_path / "a.gif") as animation:
        images.encode_animation(animation, make, tmp_path / f"b{suffix}")
    assert [path.name for path in tmp_path.iterdir()] == ["a.gif"]


def test_decode_gives_the_first_frame() -> None:
    first, *rest = frames()
    picture = images.decode_bytes(file_bytes(first, "GIF", save_all=True, append_images=rest), "x")
    assert np.abs(np.asarray(picture.rgb).astype(int) - np.asarray(first)).mean() < 6
    file = io.BytesIO()
    first.save(file, "PNG")
    with images.open_image(io.BytesIO(file.getvalue())) as image:
        assert images.count_frames(image) == 1
