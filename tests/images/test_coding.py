"""Colors signalled by cICP, nclx and gAMA become the sRGB that the published formulas give, computed here anew."""

from __future__ import annotations

import math
import struct

import numpy as np
import pytest
from PIL import ImageCms
from support.odd_pictures import avif_coded, heif_deep, png, ramp

from artgan import images

# Linear light to that of BT.709: CSS Color 4 for Display P3, ITU-R BT.2087 for BT.2020.
P3 = [[1.2249401, -0.2249402, 0.0], [-0.0420569, 1.0420571, 0.0], [-0.0196376, -0.0786361, 1.0982735]]
BT2020 = [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]]
SAME = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]


def srgb_light(value: float) -> float:
    return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4


def srgb_value(light: float) -> float:
    return 12.92 * light if light <= 0.0031308 else 1.055 * light ** (1 / 2.4) - 0.055


def video_light(value: float) -> float:  # BT.2020, for 10 and 12 bits
    return value / 4.5 if value < 0.081 else ((value + 0.099) / 1.099) ** (1 / 0.45)


def pq_value(light: float) -> float:  # SMPTE ST 2084, for cd/m2
    power = (light / 10_000) ** 0.1593017578125
    return ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375


def hlg_value(light: float) -> float:  # BT.2100, for gray of a display with 1,000 cd/m2
    scene = (light / 1000) ** (1 / 1.2)
    return math.sqrt(3 * scene) if scene <= 1 / 12 else 0.17883277 * math.log(12 * scene - 0.28466892) + 0.55991073


def expected(light: tuple[float, ...], matrix: list[list[float]]) -> list[int]:
    mixed = (sum(a * b for a, b in zip(row, light, strict=True)) for row in matrix)
    return [round(255 * srgb_value(min(max(value, 0), 1))) for value in mixed]


def color(data: bytes) -> list[int]:
    picture = images.decode_bytes(data, "x")
    assert picture.icc is None
    return list(picture.rgb.getpixel((0, 0)))


def patch(values: tuple[float, ...], dtype: type = np.uint16) -> np.ndarray:
    return np.tile(np.round(np.array(values) * np.iinfo(dtype).max).astype(dtype), (32, 32, 1))


COLORS = [(1.0, 0.0, 0.0), (0.2, 0.7, 0.4), (0.9, 0.85, 0.3), (0.5, 0.5, 0.5), (0.03, 0.02, 0.05)]


@pytest.mark.parametrize("values", COLORS)
@pytest.mark.parametrize(
    ("primaries", "transfer", "light", "matrix"),
    [
        (12, 13, srgb_light, P3),
        (9, 13, srgb_light, BT2020),
        (9, 14, video_light, BT2020),
        (1, 8, float, SAME),
        (1, 4, lambda value: value**2.2, SAME),
        (1, 13, srgb_light, SAME),
        (1, 1, srgb_light, SAME),  # displays show it as they show sRGB
        (2, 2, srgb_light, SAME),  # not specified
    ],
)
def test_cicp_of_png(values, primaries, transfer, light, matrix) -> None:
    right = expected(tuple(map(light, values)), matrix)
    for dtype in (np.uint8, np.uint16):
        stored = patch(values, dtype)
        exact = tuple(stored[0, 0] / np.iinfo(dtype).max)
        right = expected(tuple(map(light, exact)), matrix)
        found = color(png(stored, (b"cICP", bytes([primaries, transfer, 0, 1]))))
        assert np.abs(np.subtract(found, right)).max() <= 1


@pytest.mark.parametrize("nits", [1, 20, 100, 203])
@pytest.mark.parametrize(("transfer", "encode"), [(16, pq_value), (18, hlg_value)])
def test_high_dynamic_range_up_to_reference_white(nits, transfer, encode) -> None:
    data = png(patch((encode(nits),) * 3), (b"cICP", bytes([9, transfer, 0, 1])))
    assert np.abs(np.subtract(color(data), round(255 * srgb_value(nits / 203)))).max() <= 1


@pytest.mark.parametrize(("transfer", "encode"), [(16, pq_value), (18, hlg_value)])
def test_brighter_than_white_is_white(transfer, encode) -> None:
    assert color(png(patch((encode(900),) * 3), (b"cICP", bytes([9, transfer, 0, 1])))) == [255, 255, 255]


def test_a_bright_light_keeps_its_hue() -> None:
    orange = tuple(pq_value(nits) for nits in (800, 400, 100))
    red, green, blue = color(png(patch(orange), (b"cICP", bytes([1, 16, 0, 1]))))
    assert red == 255
    assert abs(green - 255 * srgb_value(0.5)) <= 1
    assert abs(blue - 255 * srgb_value(0.125)) <= 1


def test_nclx_of_heic_in_10_bits() -> None:
    values = (0.3, 0.6, 0.2)
    stored = patch(values) >> 6 << 6
    data = heif_deep(stored, color_primaries=12, transfer_characteristics=13)
    right = expected(tuple(srgb_light((value >> 6) / 1023) for value in stored[0, 0].tolist()), P3)
    assert np.abs(np.subtract(color(data), right)).max() <= 1


def test_nclx_of_avif() -> None:
    image = ramp((32, 32))
    image.paste((234, 51, 35), (0, 0, 32, 32))  # sRGB's red in the numbers of Display P3
    assert np.abs(np.subtract(color(avif_coded(image, 12, 13)), (255, 0, 0))).max() <= 3
    assert np.abs(np.subtract(color(avif_coded(image, 1, 13)), (234, 51, 35))).max() <= 2


def test_cicp_goes_before_a_profile_and_a_profile_before_gamma() -> None:
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    import zlib

    profile = (b"iCCP", b"x\0\0" + zlib.compress(icc))
    pixels = patch((0.5, 0.5, 0.5), np.uint8)
    assert images.decode_bytes(png(pixels, (b"cICP", bytes([12, 13, 0, 1])), profile), "x").icc is None
    gamma = (b"gAMA", struct.pack(">I", 100_000))
    picture = images.decode_bytes(png(pixels, gamma, profile), "x")
    assert picture.icc == icc
    assert picture.rgb.getpixel((0, 0)) == (128, 128, 128)


def test_gamma_of_png() -> None:
    pixels = patch((0.5, 0.25, 0.75), np.uint8)
    linear = (b"gAMA", struct.pack(">I", 100_000))
    right = [round(255 * srgb_value(value / 255)) for value in pixels[0, 0].tolist()]
    assert np.abs(np.subtract(color(png(pixels, linear)), right)).max() <= 1
    for usual in ((b"gAMA", struct.pack(">I", 45_455)), (b"gAMA", struct.pack(">I", 0)), (b"cICP", b"\x0c")):
        assert color(png(pixels, usual)) == pixels[0, 0].tolist()
    assert color(png(pixels, (b"sRGB", b"\0"), linear)) == pixels[0, 0].tolist()


def test_a_damaged_meta_box_is_no_coding() -> None:
    data = avif_coded(ramp((32, 32)), 12, 13)
    place = data.index(b"ipco") - 4
    for size in (0, 1, 7, 9, 2**31):
        altered = data[:place] + size.to_bytes(4, "big") + data[place + 4 :]
        try:
            images.decode_bytes(altered, "x")
        except images.reading.PictureError as error:
            assert str(error).startswith("x: ")  # noqa: PT017  # either is right
