"""Formats are recognized by content, read without Pillow's plugins being registered, and refused with what to do."""

from __future__ import annotations

import io
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.odd_pictures import FOREIGN, SIZE, boxes, file_bytes, ramp, tiff, whole

from artgan import images
from artgan.errors import PictureError
from artgan.images import formats
from artgan.images.headers import jxl_size


def refusal(data: bytes, name: str = "x", **options: int) -> str:
    with pytest.raises(PictureError) as caught:
        images.decode_bytes(data, name, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_picture_is_read_whatever_its_name(tmp_path: Path) -> None:
    for name, data in whole():
        (tmp_path / name).write_bytes(data)
        assert images.decode(tmp_path / name).size == SIZE
        assert images.decode_bytes(data, "x").size == SIZE


@pytest.mark.parametrize(("format_", "most"), [("HEIF", 6), ("AVIF", 4), ("JXL", 6)])
def test_todays_formats_have_the_right_colors_and_transparency(tmp_path: Path, format_: str, most: int) -> None:
    image = ramp((64, 48))
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    picture = images.decode_bytes(file_bytes(image, format_, quality=95), "x")
    alpha = np.asarray(image)[:, :, 3:] / 255
    expected = np.asarray(image)[:, :, :3] * alpha + 255 * (1 - alpha)
    assert picture.alpha is not None
    assert np.abs(np.asarray(picture.alpha).astype(int) - np.asarray(image)[:, :, 3]).max() <= 3
    assert np.abs(np.asarray(picture.rgb) - expected).mean() <= most / 2
    suffix = {"HEIF": ".heic", "AVIF": ".avif", "JXL": ".jxl"}[format_]
    images.encode(images.assemble(picture, picture.rgb), tmp_path / f"x{suffix}", quality=95)
    again = images.decode(tmp_path / f"x{suffix}")
    assert images.recognize((tmp_path / f"x{suffix}").read_bytes()) == formats.format_named(format_)
    expected = np.asarray(picture.rgb) * alpha + 255 * (1 - alpha)
    assert np.abs(np.asarray(again.rgb) - expected).mean() <= most


def test_rotation_of_heic_is_applied_once() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    image = ramp((64, 32))
    picture = images.decode_bytes(file_bytes(image, "HEIF", exif=exif.tobytes(), quality=95), "x")
    upright = np.asarray(image.transpose(Image.Transpose.ROTATE_270)).astype(int)
    assert picture.size == (32, 64)
    assert np.abs(np.asarray(picture.rgb) - upright).mean() < 3


@pytest.mark.parametrize("name", FOREIGN)
def test_what_is_no_picture_is_refused_with_a_reason(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(FOREIGN[name])
    with pytest.raises(PictureError) as caught:
        images.decode(tmp_path / name)
    text = str(caught.value).removeprefix(f"{tmp_path / name}: ")
    known = {"clip": "video", "came": "camera raw file", "laye": "Photoshop", "draw": "drawing", "pape": "PDF"}
    assert known.get(name[:4], "not a picture" if FOREIGN[name] else "empty") in text
    assert ("export it as JPEG or PNG" in text) == (name[:4] in ("came", "laye", "draw", "pape"))


@pytest.mark.parametrize(
    "data", [tiff(np.zeros((4, 4, 3), np.uint8), subfile=1), tiff(np.zeros((4, 4, 3), np.uint8), dng=1)]
)
def test_a_thumbnail_of_a_raw_file_is_not_painted_for_it(data: bytes) -> None:
    assert "camera raw file" in refusal(data)


def test_brands_decide_between_heic_avif_and_video() -> None:
    def name(*brands: bytes) -> str:
        found = images.recognize(boxes(*brands) + bytes(40))
        assert found is not None
        return found.kind if isinstance(found, images.Foreign) else found.name

    assert name(b"heic", b"mif1", b"heic") == name(b"mif1", b"heic", b"miaf") == name(b"msf1", b"hevc") == "HEIF"
    assert name(b"avif", b"mif1", b"miaf") == name(b"mif1", b"avif", b"miaf") == name(b"avis", b"msf1") == "AVIF"
    assert name(b"isom", b"mp42") == name(b"qt  ", b"qt  ") == name(b"M4V ", b"isom") == "a video"


def test_what_needs_an_extra_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = file_bytes(ramp(), "JXL")
    monkeypatch.setattr(formats, "_installed", lambda module: module != "pillow_jxl")
    assert refusal(data).endswith('is a JXL picture, which needs more to be read: pip install "artgan[jxl]"')
    with pytest.raises(PictureError, match=r'pip install "artgan\[jxl\]"'):
        images.encode(ramp(), tmp_path / "x.jxl")
    assert not list(tmp_path.iterdir())


def test_a_jpeg_imports_no_other_formats_library() -> None:
    code = """
import io, sys
from PIL import Image
from artgan import images
file = io.BytesIO()
Image.new("RGB", (8, 8)).save(file, "JPEG")
images.decode_bytes(file.getvalue(), "x")
sys.exit(any(name.startswith(("pillow_heif", "_pillow_heif", "pillow_jxl")) for name in sys.modules))
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_reading_heic_registers_nothing_with_pillow() -> None:
    images.decode_bytes(file_bytes(ramp(), "HEIF"), "x")
    assert "HEIF" not in Image.OPEN


# ---- sizes


@pytest.mark.parametrize("format_", ["HEIF", "AVIF", "JXL", "TIFF", "PNG"])
def test_the_limit_on_pixels_holds_before_they_are_decoded(format_: str) -> None:
    data = file_bytes(Image.new("RGB", (300, 200)), format_)
    assert images.decode_bytes(data, "x", max_pixels=60_000).size == (300, 200)
    assert "300 x 200 pixels are over the limit" in refusal(data, max_pixels=59_999)


HUGE = """
import resource, sys
from artgan import images
from artgan.errors import PictureError

data = sys.stdin.buffer.read()
images.decode_bytes(data[:0] or open(sys.argv[1], "rb").read(), "small")  # the library is loaded
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    images.decode_bytes(data, "x")
except PictureError as error:
    print(error)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="measures memory as Linux reports it")
@pytest.mark.parametrize("format_", ["HEIF", "AVIF", "JXL"])
def test_a_bomb_takes_little_memory(tmp_path: Path, format_: str) -> None:
    small = tmp_path / "small"
    small.write_bytes(file_bytes(Image.new("RGB", (64, 64)), format_))
    if format_ == "JXL":
        bomb = b"\xff\x0a" + (2 << 1 | 30_000 - 1 << 3 | 1 << 21).to_bytes(8, "little") + bytes(64)
        assert jxl_size(bomb) == (30_000, 30_000)
    else:
        data = file_bytes(Image.new("RGB", (64, 64)), format_)
        place = data.index(b"ispe") + 8
        bomb = data[:place] + (60_000).to_bytes(4, "big") * 2 + data[place + 8 :]
    done = subprocess.run([sys.executable, "-c", HUGE, str(small)], input=bomb, capture_output=True, check=True)
    told, megabytes = done.stdout.decode().splitlines()
    assert told.startswith("x: ")
    assert int(megabytes) < 150


def test_sizes_of_jpeg_xl_are_those_of_its_decoder() -> None:
    drawn = np.random.default_rng(0)
    sizes = [(1, 1), (8, 8), (256, 256), (257, 256), (1600, 900), (300, 200), (2, 513)]
    sizes += [(int(width), int(height)) for width, height in drawn.integers(1, 700, (20, 2))]
    for size in sizes:
        assert jxl_size(file_bytes(Image.new("L", size), "JXL", effort=1)) == size
    exif = b"II*\0\x08\0\0\0\0\0\0\0\0\0"
    assert jxl_size(file_bytes(Image.new("L", (30, 20)), "JXL", use_container=True, exif=exif)) == (30, 20)


def test_an_orientation_in_the_exif_of_jpeg_xl_is_not_applied_again() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # of the photo that it was made of; the pixels are upright
    assert images.decode_bytes(file_bytes(ramp((30, 20)), "JXL", exif=exif.tobytes()), "x").size == (30, 20)


@pytest.mark.parametrize("format_", ["HEIF", "AVIF", "JXL"])
def test_truncated_and_altered_files_are_pictures_or_refused(format_: str) -> None:
    data = file_bytes(ramp(), format_)
    drawn = np.random.default_rng(1)
    for end in range(1, len(data), max(1, len(data) // 40)):
        assert refusal(data[:end]).startswith("x: ")
    for _ in range(60):
        altered = bytearray(data)
        altered[int(drawn.integers(len(data)))] = int(drawn.integers(256))
        with suppress(PictureError):
            images.decode_bytes(bytes(altered), "x", max_pixels=1_000_000)


def test_a_stereo_picture_is_its_first_image() -> None:
    data = file_bytes(ramp(), "MPO", save_all=True, append_images=[Image.new("RGB", (8, 8))])
    picture = images.decode_bytes(data, "x")
    assert picture.size == SIZE
    with images.open_image(io.BytesIO(data)) as image:
        assert images.count_frames(image) == 1


def test_a_jpeg_packed_as_jpeg_xl_is_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "a.jpg").write_bytes(file_bytes(ramp((64, 32)), "JPEG", exif=exif.tobytes()))
    with Image.open(tmp_path / "a.jpg") as image:
        image.save(tmp_path / "a.jxl", lossless_jpeg=True)
    one, other = (images.decode(tmp_path / name).rgb for name in ("a.jpg", "a.jxl"))
    assert other.size == (32, 64)
    assert np.array_equal(one, other)
