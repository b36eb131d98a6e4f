"""Decoding and encoding pictures, on real files."""

from __future__ import annotations

import io
import os
import resource
import stat
import struct
import subprocess
import sys
import warnings
import zlib
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from artgan import images
from artgan.errors import PictureError
from artgan.images import Picture, assemble, decode, encode, to_rgb, to_tensor

WHITE, BLACK, RED = (255, 255, 255), (0, 0, 0), (255, 0, 0)
LOSSLESS = [".png", ".tif", ".bmp", ".ppm"]


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image)


def noise(width: int, height: int, channels: int = 3, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, channels), np.uint8))


def save_as(image: Image.Image, path: Path, suffix: str) -> None:
    """Write with the libraries themselves, in the format of the suffix."""
    if suffix in (".heic", ".heif", ".hif"):
        import pillow_heif

        pillow_heif.from_pillow(image).save(path)
        return
    import pillow_jxl  # noqa: F401  # registers itself

    image.save(path, {".mpo": "JPEG", ".jpf": "JPEG2000"}.get(suffix) or Image.registered_extensions()[suffix])


def icc(space: bytes, kind: bytes, pcs: bytes, tags: dict[bytes, bytes]) -> bytes:
    """An ICC profile, put together by hand after the specification (ICC.1, version 2.4)."""
    d50 = struct.pack(">3i", *(round(v * 65536) for v in (0.9642, 1.0, 0.8249)))
    tags = {b"wtpt": b"XYZ \0\0\0\0" + d50, **tags}
    offset, table, body = 128 + 4 + 12 * len(tags), struct.pack(">I", len(tags)), b""
    for name, data in tags.items():
        table += struct.pack(">4sII", name, offset + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    head = struct.pack(">II", offset + len(body), 0) + b"\x02\x40\0\0" + kind + space + pcs
    head += struct.pack(">6H", 2020, 1, 1, 0, 0, 0) + b"acsp"
    head = head.ljust(68, b"\0") + d50
    return head.ljust(128, b"\0") + table + body


def srgb_icc() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def linear_gray_icc() -> bytes:
    return icc(b"GRAY", b"mntr", b"XYZ ", {b"kTRC": b"curv" + bytes(8)})


def black_ink_icc() -> bytes:
    """A CMYK profile of a press whose colored inks are invisible: only K makes a difference."""
    ramp = bytes(range(256))
    grid = b"".join(bytes([0 if k else 255, 128, 128]) for _ in range(8) for k in (0, 1))
    identity = struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 65536)
    lut = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0]) + identity + ramp * 4 + grid + ramp * 3
    return icc(b"CMYK", b"prtr", b"Lab ", {b"A2B0": lut})


def png_bytes(width: int, height: int, rows: bytes = b"") -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


# ---- modes


@pytest.mark.parametrize(
    ("mode", "value", "expected"),
    [
        ("1", 1, WHITE),
        ("1", 0, BLACK),
        ("L", 77, (77, 77, 77)),
        ("RGB", (1, 2, 3), (1, 2, 3)),
        ("RGBX", (1, 2, 3, 9), (1, 2, 3)),
        ("CMYK", (255, 0, 0, 0), (0, 255, 255)),
        ("CMYK", (0, 0, 0, 255), BLACK),
        ("CMYK", (0, 0, 0, 0), WHITE),
        ("YCbCr", (76, 85, 255), RED),
        ("HSV", (0, 255, 255), RED),
        ("LAB", (138, 209, 198), RED),  # CIELAB 54.3, 81, 70 under D50
        ("I", 65535, WHITE),
        ("I", 257 * 100, (100, 100, 100)),
        ("I;16", 257 * 100, (100, 100, 100)),
        ("I;16B", 257 * 100, (100, 100, 100)),
        ("F", 1.0, WHITE),
        ("F", 0.2, (51, 51, 51)),
        ("F", 51.0, (51, 51, 51)),
        ("F", 257.0 * 100, (100, 100, 100)),
    ],
)
def test_every_mode_becomes_the_right_color(mode, value, expected):
    picture = decode(Image.new(mode, (3, 2), value))
    assert picture.rgb.mode == "RGB"
    assert picture.size == (3, 2)
    assert picture.alpha is None
    assert picture.icc is None
    assert np.abs(pixels(picture.rgb).astype(int) - expected).max() <= {"LAB": 6, "YCbCr": 2}.get(mode, 0)


@pytest.mark.parametrize(
    ("mode", "value", "alpha", "expected"),
    [
        ("RGBA", (10, 20, 30, 255), None, (10, 20, 30)),
        ("RGBA", (10, 20, 30, 0), 0, WHITE),
        ("RGBA", (0, 100, 200, 51), 51, (204, 224, 244)),
        ("LA", (0, 51), 51, (204, 204, 204)),
        ("La", (0, 51), 51, (204, 204, 204)),
        ("RGBa", (0, 20, 40, 51), 51, (204, 224, 244)),
        ("PA", (0, 0), 0, WHITE),
    ],
)
def test_transparency_is_set_aside_and_colors_laid_over_white(mode, value, alpha, expected):
    picture = decode(Image.new(mode, (2, 2), value))
    assert (picture.alpha and picture.alpha.getpixel((0, 0))) == alpha
    assert np.abs(pixels(picture.rgb).astype(int) - expected).max() <= 1


def test_16_bit_gradient_keeps_its_gradient(tmp_path):
    ramp = np.linspace(0, 65535, 512).astype(np.uint16).reshape(2, 256)
    for name in ("deep.png", "deep.tif"):
        Image.fromarray(ramp).save(tmp_path / name)
        gray = pixels(decode(tmp_path / name).rgb)[:, :, 1]
        assert np.array_equal(gray, np.rint(ramp / 257))


def test_all_65536_values_of_16_bits_are_rounded():
    every = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    expected = np.rint(every / 257)
    assert np.array_equal(pixels(decode(Image.fromarray(every)).rgb)[:, :, 0], expected)
    assert np.array_equal(pixels(decode(every).rgb)[:, :, 0], expected)


@pytest.mark.parametrize(("mode", "low", "high"), [("F", -2.0, 3.0), ("I", -1000, 1_000_000), ("F", 0.0, 1e9)])
def test_values_beyond_the_usual_ranges_are_stretched_never_clipped(mode, low, high):
    image = Image.new(mode, (3, 1), low)
    image.putpixel((1, 0), (low + high) / 2 if mode == "F" else int((low + high) / 2))
    image.putpixel((2, 0), high)
    assert pixels(decode(image).rgb)[0, :, 0].tolist() in ([0, 127, 255], [0, 128, 255])


def test_palette_with_transparency(tmp_path):
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putpixel((1, 0), 1)
    image.save(tmp_path / "p.png", transparency=bytes([255, 51]))
    picture = decode(tmp_path / "p.png")
    assert pixels(picture.rgb)[0].tolist() == [[255, 0, 0], [204, 204, 255]]
    assert pixels(picture.alpha)[0].tolist() == [255, 51]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_gray_png_with_a_transparent_value(tmp_path, dtype):
    top = np.iinfo(dtype).max
    Image.fromarray(np.array([[0, 5, top]], dtype)).save(tmp_path / "g.png", transparency=5)
    picture = decode(tmp_path / "g.png")
    assert pixels(picture.alpha)[0].tolist() == [255, 0, 255]
    assert pixels(picture.rgb)[0, :, 0].tolist() == [0, 255, 255]


def test_first_frame_of_an_animation(tmp_path):
    frames = [Image.new("RGB", (4, 4), color) for color in ("red", "blue")]
    for name in ("a.gif", "a.png", "a.webp", "a.tif"):
        options = {"lossless": True} if name == "a.webp" else {}
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], **options)
        assert decode(tmp_path / name).rgb.getpixel((0, 0)) == RED


@pytest.mark.parametrize("suffix", sorted(images.READABLE))
def test_every_readable_suffix_can_be_read(tmp_path, suffix):
    path = tmp_path / f"x{suffix.upper()}"
    mode = {".pgm": "L", ".pbm": "1"}.get(suffix, "RGB")
    save_as(Image.new(mode, (8, 8), "white"), path, suffix)
    assert images.is_picture(path)
    assert np.abs(pixels(decode(path).rgb).astype(int) - 255).max() <= 2


def test_what_is_a_picture_by_name():
    assert images.is_picture("a/b.JPG")
    assert not images.is_picture("notes.txt")
    assert not images.is_picture("jpg")
    assert images.WRITABLE < images.READABLE


# ---- orientation


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["x.png", "x.tif", "x.jpg", "x.webp"])
def test_exif_orientation_is_applied(tmp_path, name, orientation):
    upright = np.zeros((16, 32, 3), np.uint8)
    upright[:8, :8], upright[:8, 24:], upright[8:, :8] = (250, 0, 0), (0, 250, 0), (0, 0, 250)
    undo = {  # how a camera held that way stores the upright picture (EXIF 2.3, tag 0x0112)
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, 1),
        7: lambda a: a.transpose(1, 0, 2)[::-1, ::-1],
        8: lambda a: np.rot90(a, -1),
    }
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.ascontiguousarray(undo[orientation](upright)))
    options = {"x.webp": {"lossless": True}, "x.jpg": {"quality": 100, "subsampling": 0}}.get(name, {})
    stored.save(tmp_path / name, exif=exif, **options)
    picture = decode(tmp_path / name)
    assert picture.size == (32, 16)
    assert np.abs(pixels(picture.rgb).astype(int) - upright).max() <= (8 if name == "x.jpg" else 0)
    if name == "x.png":  # an opened image is the same as its path; turning twice would show
        with Image.open(tmp_path / name) as image:
            assert pixels(decode(image).rgb).tolist() == upright.tolist()
        assert pixels(decode(picture.rgb).rgb).tolist() == upright.tolist()


def test_transparency_turns_with_the_picture(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    image = Image.new("RGBA", (2, 1), (0, 0, 0, 255))
    image.putpixel((0, 0), (0, 0, 0, 0))
    image.save(tmp_path / "x.png", exif=exif)
    picture = decode(tmp_path / "x.png")
    assert picture.size == picture.alpha.size == (1, 2)
    assert pixels(picture.alpha)[:, 0].tolist() == [0, 255]


def test_broken_exif_data_do_no_harm(tmp_path):
    Image.new("RGB", (4, 2)).save(tmp_path / "x.jpg", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff garbage")
    assert decode(tmp_path / "x.jpg").size == (4, 2)


# ---- color profiles


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp"])
def test_rgb_profile_is_kept_through_a_file(tmp_path, suffix):
    profile = srgb_icc()
    encode(assemble(Picture(noise(8, 8), icc=profile), noise(8, 8)), tmp_path / f"a{suffix}")
    picture = decode(tmp_path / f"a{suffix}")
    assert picture.icc == profile
    encode(assemble(picture, picture.rgb), tmp_path / f"b{suffix}")
    with Image.open(tmp_path / f"b{suffix}") as image:
        assert image.info["icc_profile"] == profile


def test_cmyk_goes_through_its_own_profile(tmp_path):
    image = Image.new("CMYK", (2, 1), (255, 80, 10, 0))
    image.putpixel((1, 0), (0, 0, 0, 255))
    image.save(tmp_path / "x.tif", icc_profile=black_ink_icc())
    picture = decode(tmp_path / "x.tif")
    assert np.abs(pixels(picture.rgb)[0].astype(int) - [WHITE, BLACK]).max() <= 3  # by formula: cyan, black
    assert picture.icc is None


def test_cmyk_jpeg_is_not_inverted(tmp_path):
    Image.new("CMYK", (16, 16), (255, 0, 0, 0)).save(tmp_path / "x.jpg", quality=100)
    assert np.abs(pixels(decode(tmp_path / "x.jpg").rgb).astype(int) - (0, 255, 255)).max() <= 4


@pytest.mark.parametrize("mode", ["L", "LA"])
def test_gray_goes_through_its_own_profile(mode):
    image = Image.new(mode, (1, 1), 55 if mode == "L" else (55, 255))
    image.info["icc_profile"] = linear_gray_icc()
    picture = decode(image)
    expected = 255 * (1.055 * (55 / 255) ** (1 / 2.4) - 0.055)  # linear light to sRGB
    assert abs(picture.rgb.getpixel((0, 0))[0] - expected) <= 2
    assert picture.icc is None


@pytest.mark.parametrize("profile", [b"junk", b"", black_ink_icc()[:200], black_ink_icc()])
def test_damaged_or_foreign_profiles_are_dropped(profile):
    for mode in ("RGB", "CMYK"):
        image = Image.new(mode, (1, 1))
        image.info["icc_profile"] = profile
        picture = decode(image)
        assert picture.icc is None
        assert picture.rgb.getpixel((0, 0)) == (WHITE if mode == "CMYK" else BLACK)


# ---- arrays and tensors


@pytest.mark.parametrize(
    "array",
    [
        np.full((2, 3), 51, np.uint8),
        np.full((2, 3, 1), 51, np.uint8),
        np.full((2, 3, 3), 51, np.uint8),
        np.full((2, 3, 3), 51 * 257, np.uint16),
        np.full((2, 3, 3), 0.2, np.float32),
        np.full((2, 3), 0.2, np.float64),
        np.full((2, 3, 4), 0.2, np.float16) + np.array([0, 0, 0, 0.8], np.float16),
        np.full((3, 2, 3), 51, np.uint8).transpose(1, 0, 2)[:, ::-1],
    ],
    ids=lambda array: f"{array.dtype}{array.shape}",
)
def test_arrays(array):
    before = array.copy()
    picture = decode(array)
    assert picture.size == (3, 2)
    assert (pixels(picture.rgb) == 51).all()
    assert (array == before).all()


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((2, 2, 2), np.uint8),
        np.zeros(4, np.uint8),
        np.zeros((0, 3), np.uint8),
        np.zeros((0, 3), np.float32),
        np.zeros((1, 2, 2, 3), np.uint8),
        np.zeros((2, 2), np.int64),
        np.zeros((2, 2), bool),
        np.array([[object()]]),
        np.full((2, 2), np.nan),
        np.full((2, 2), 1.5),
        np.full((2, 2), -0.1, np.float32),
        np.full((2, 2), np.inf),
        np.broadcast_to(np.uint8(0), (20000, 20000, 3)),
    ],
    ids=lambda array: f"{array.dtype}{array.shape}",
)
def test_arrays_that_are_no_pictures(array):
    with pytest.raises(PictureError, match=r"^array: "):
        decode(array)


def test_tensors():
    tensor = torch.tensor([-1.0, 0.0, 1.0]).view(3, 1, 1).expand(3, 2, 5)
    for given_ in (tensor, tensor[None], tensor.double(), tensor.half(), tensor.clone().requires_grad_()):
        picture = decode(given_)
        assert picture.size == (5, 2)
        assert picture.rgb.getpixel((0, 0)) == (0, 128, 255)


@pytest.mark.parametrize(
    "tensor",
    [
        torch.zeros(2, 2),
        torch.zeros(1, 4, 4),
        torch.zeros(2, 3, 4, 4),
        torch.zeros(3, 4, 4, dtype=torch.uint8),
        torch.full((3, 4, 4), float("nan")),
        torch.full((3, 4, 4), 255.0),
        torch.zeros(3, 0, 4),
        torch.zeros(1).expand(3, 20000, 20000),
    ],
    ids=lambda tensor: f"{tensor.dtype}{tuple(tensor.shape)}",
)
def test_tensors_that_are_no_pictures(tensor):
    with pytest.raises(PictureError, match=r"^tensor: "):
        decode(tensor)


def test_tensor_round_trip_is_exact_for_all_values():
    every = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
    tensor = to_tensor(Image.fromarray(every))
    assert tensor.shape == (3, 16, 16)
    assert tensor.dtype == torch.float32
    assert (tensor.min(), tensor.max()) == (-1, 1)
    for dtype in (torch.float64, torch.float32, torch.float16, torch.bfloat16):
        assert np.array_equal(pixels(to_rgb(tensor.to(dtype))), every)


@given(st.floats(-3, 3))
def test_to_rgb_rounds_and_clamps(value):
    exact = min(255.0, max(0.0, (value + 1) * 127.5))
    got = to_rgb(torch.full((3, 1, 1), value, dtype=torch.float64)).getpixel((0, 0))[0]
    assert abs(got - exact) <= 0.5001


def test_tensor_conversions_refuse_what_they_cannot_take():
    with pytest.raises(PictureError, match="mode RGB, got RGBA"):
        to_tensor(Image.new("RGBA", (1, 1)))
    with pytest.raises(PictureError, match="3 x H x W"):
        to_rgb(torch.zeros(1, 3, 2, 2))
    with pytest.raises(PictureError, match="float32"):
        to_rgb(torch.full((3, 1, 1), float("inf"), dtype=torch.float16))
    with pytest.raises(PictureError, match=r"not finite$"):
        to_rgb(torch.full((3, 1, 1), float("nan")))


def test_import_needs_no_torch():
    code = "import sys; import artgan.images; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# ---- bad files


def refused(source: object, **options: int) -> str:
    """The message of the refusal: one line that starts with the path, and nothing else on the way."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(PictureError) as caught:
            decode(source, **options)
    message = str(caught.value)
    assert "\n" not in message
    if isinstance(source, str | os.PathLike):
        assert message.startswith(f"{source}: ")
    return message


def test_missing_folder_empty_and_text(tmp_path):
    assert "no such file" in refused(tmp_path / "none.jpg")
    assert "no such file" in refused(str(tmp_path / "none" / "none.jpg"))
    assert "is a folder" in refused(tmp_path)
    (tmp_path / "empty.jpg").touch()
    assert "empty" in refused(tmp_path / "empty.jpg")
    (tmp_path / "text.jpg").write_text("Dear diary,\n")
    assert "not a picture" in refused(tmp_path / "text.jpg")
    refused(str(tmp_path / "nul\0.jpg"))
    refused(tmp_path / ("long" * 100 + ".jpg"))


@pytest.mark.parametrize("suffix", sorted({".jpg", ".png", ".tif", ".webp", ".gif", ".bmp", ".ppm"}))
@pytest.mark.parametrize("part", [0.02, 0.5, 0.97])
def test_truncated(tmp_path, suffix, part):
    whole = io.BytesIO()
    noise(90, 70).save(whole, Image.registered_extensions()[suffix])
    (tmp_path / f"cut{suffix}").write_bytes(whole.getvalue()[: int(len(whole.getvalue()) * part)])
    refused(tmp_path / f"cut{suffix}")


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_damaged_bytes_give_a_picture_or_a_refusal(tmp_path_factory, data):
    suffix = data.draw(st.sampled_from([".jpg", ".png", ".tif", ".gif", ".webp"]))
    file = io.BytesIO()
    noise(12, 9).save(file, Image.registered_extensions()[suffix], exif=Image.Exif())
    damaged = bytearray(file.getvalue())
    for _ in range(data.draw(st.integers(1, 8))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / f"damaged{suffix}"
    path.write_bytes(damaged)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with suppress(PictureError):
            assert decode(path).rgb.mode == "RGB"


def test_huge_header_is_refused_before_memory_is_taken(tmp_path):
    path = tmp_path / "huge.png"
    path.write_bytes(png_bytes(20000, 20000))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    message = refused(path)
    taken = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert "20000 x 20000" in message
    assert "100 megapixels" in message
    assert taken < 50 * (1 << 20 if sys.platform == "darwin" else 1 << 10)


def test_the_limit_is_on_pixels_and_can_be_chosen(tmp_path):
    noise(20, 10).save(tmp_path / "x.png")
    assert decode(tmp_path / "x.png", max_pixels=200).size == (20, 10)
    assert "20 x 10" in refused(tmp_path / "x.png", max_pixels=199)
    assert "20 x 10" in refused(noise(20, 10), max_pixels=199)
    limit = Image.MAX_IMAGE_PIXELS
    (tmp_path / "wide.png").write_bytes(png_bytes(200_000, 1000))  # over Pillow's own limits
    assert "damaged" in refused(tmp_path / "wide.png", max_pixels=200_000_000)
    assert limit == Image.MAX_IMAGE_PIXELS


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_pipes_and_devices_are_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    assert "pipe" in refused(tmp_path / "pipe.jpg")
    assert "device" in refused("/dev/zero")


def test_unreadable_file(tmp_path, monkeypatch):
    noise(2, 2).save(tmp_path / "x.png")

    def open_(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", open_)
    assert "not permitted" in refused(tmp_path / "x.png")


def test_no_other_program_is_started_for_a_disguised_file(tmp_path):
    (tmp_path / "x.jpg").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n")
    assert "not a picture" in refused(tmp_path / "x.jpg")


def test_things_that_are_no_pictures():
    assert "list" in refused([1, 2])
    assert "NoneType" in refused(None)
    assert "no pixels" in refused(Image.new("RGB", (0, 5)))
    assert "not finite" in refused(Image.new("F", (2, 2), float("nan")))


def test_closed_image(tmp_path):
    noise(2, 2).save(tmp_path / "x.png")
    with Image.open(tmp_path / "x.png") as image:
        pass
    refused(image)


def test_decoding_changes_nothing(tmp_path):
    image = noise(4, 4, 4)
    image.info["icc_profile"] = srgb_icc()
    before = image.copy()
    picture = decode(image)
    picture.rgb.paste(0, (0, 0, 4, 4))
    assert image == before
    assert image.info == before.info
    rgb = noise(4, 4)
    decode(rgb).rgb.paste(0, (0, 0, 4, 4))
    assert rgb == noise(4, 4)


def test_names_with_spaces_and_other_letters(tmp_path):
    path = tmp_path / "Été à Étretat — 睡蓮 Кувшинки.png"
    encode(noise(3, 2), path)
    assert pixels(decode(str(path)).rgb).tolist() == pixels(noise(3, 2)).tolist()


# ---- out


def test_assemble():
    alpha = Image.new("L", (3, 2), 9)
    painted = noise(3, 2)
    result = assemble(Picture(noise(3, 2, seed=1), alpha, b"profile"), painted)
    assert result.mode == "RGBA"
    assert (pixels(result)[:, :, 3] == 9).all()
    assert pixels(result)[:, :, :3].tolist() == pixels(painted).tolist()
    assert result.info["icc_profile"] == b"profile"
    assert painted.mode == "RGB"
    assert "icc_profile" not in painted.info
    assert assemble(Picture(painted), painted).mode == "RGB"
    with pytest.raises(PictureError, match="3 x 2 pixels became 4 x 2"):
        assemble(Picture(noise(3, 2)), noise(4, 2))


@pytest.mark.parametrize("suffix", LOSSLESS)
def test_lossless_formats_are_exact(tmp_path, suffix):
    encode(noise(17, 9), tmp_path / f"x{suffix.upper()}")
    assert pixels(decode(tmp_path / f"x{suffix.upper()}").rgb).tolist() == pixels(noise(17, 9)).tolist()


@pytest.mark.parametrize("suffix", sorted(images.WRITABLE))
def test_every_writable_suffix_holds_rgb_and_rgba(tmp_path, suffix):
    for mode, color in (("RGB", (200, 100, 50)), ("RGBA", (200, 100, 50, 0)), ("L", 70), ("P", 0)):
        path = tmp_path / f"{mode}{suffix}"
        encode(Image.new(mode, (16, 16), color), path)
        picture = decode(path)
        expected = {"RGB": (200, 100, 50), "RGBA": WHITE, "L": (70, 70, 70), "P": BLACK}[mode]
        assert np.abs(pixels(picture.rgb).astype(int) - expected).max() <= 6
        keeps = suffix not in (".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".ppm", ".pnm")
        assert (picture.alpha is not None) == (mode == "RGBA" and keeps)
    assert len(list(tmp_path.iterdir())) == 4


def test_jpeg_keeps_color_at_full_size(tmp_path):
    encode(noise(16, 16), tmp_path / "x.jpg")
    with Image.open(tmp_path / "x.jpg") as image:
        assert [component[1:3] for component in image.layer] == [(1, 1)] * 3
        assert max(image.quantization[0]) <= 12  # quality 95


def test_existing_names_are_kept(tmp_path):
    path = tmp_path / "x.png"
    encode(Image.new("RGB", (1, 1)), path)
    first = path.read_bytes()
    with pytest.raises(PictureError, match="exists already"):
        encode(noise(5, 5), path)
    assert path.read_bytes() == first
    encode(noise(5, 5), path, overwrite=True)
    assert decode(path).size == (5, 5)
    (tmp_path / "link.png").symlink_to(tmp_path / "nowhere")
    with pytest.raises(PictureError, match="exists already"):
        encode(noise(5, 5), tmp_path / "link.png")


def test_unknown_suffix_and_bad_places(tmp_path):
    with pytest.raises(PictureError, match=r"'\.xyz'; known: .*\.jpg.*\.png"):
        encode(noise(2, 2), tmp_path / "x.xyz")
    with pytest.raises(PictureError, match="suffix"):
        encode(noise(2, 2), tmp_path / "x.jp2")
    with pytest.raises(PictureError, match="no folder"):
        encode(noise(2, 2), tmp_path / "none" / "x.png")
    (tmp_path / "dir.png").mkdir()
    with pytest.raises(PictureError, match="is a folder"):
        encode(noise(2, 2), tmp_path / "dir.png", overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["dir.png"]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), ValueError("no"), KeyboardInterrupt()])
def test_failed_writing_leaves_nothing_and_harms_nothing(tmp_path, monkeypatch, error):
    encode(noise(2, 2), tmp_path / "old.png")
    before = (tmp_path / "old.png").read_bytes()

    def save(self: Image.Image, file: io.BufferedWriter, *_: object, **__: object) -> None:
        file.write(b"half of it")
        raise error

    monkeypatch.setattr(Image.Image, "save", save)
    expected = KeyboardInterrupt if isinstance(error, KeyboardInterrupt) else PictureError
    for name in ("old.png", "new.png"):
        with pytest.raises(expected):
            encode(noise(2, 2), tmp_path / name, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["old.png"]
    assert (tmp_path / "old.png").read_bytes() == before


def test_too_large_for_the_format(tmp_path):
    with pytest.raises(PictureError, match=r"as JPEG, 70000 x 1 pixels"):
        encode(Image.new("RGB", (70000, 1)), tmp_path / "x.jpg")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name != "posix", reason="needs a umask")
def test_new_files_have_ordinary_permissions(tmp_path):
    before = os.umask(0o027)
    try:
        encode(noise(2, 2), tmp_path / "x.png")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "x.png").stat().st_mode) == 0o640
