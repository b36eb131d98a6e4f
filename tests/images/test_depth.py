"""More than 8 bits a channel: rounded, neither truncated nor clipped, nor read as something else."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from support.odd_pictures import heif_deep, png, tiff

from artgan import images
from artgan.errors import PictureError

EVERY = np.arange(65536, dtype=np.uint16)
SAMPLES = np.random.default_rng(0).permutation(np.tile(EVERY, 3)).reshape(256, 256, 3)
ROUNDED = np.rint(SAMPLES / 257)


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(images.decode_bytes(data, "x").rgb)


@pytest.mark.parametrize(
    "data",
    [png(SAMPLES), tiff(SAMPLES), tiff(SAMPLES, order=">"), tiff(np.dstack([SAMPLES, SAMPLES[:, :, :1]]), extra=0)],
    ids=["png", "tiff", "tiff of the other order", "tiff with an unused channel"],
)
def test_16_bits_are_rounded(data: bytes) -> None:
    assert np.array_equal(pixels(data), ROUNDED)


@pytest.mark.parametrize("pack", [png, tiff])
def test_16_bits_with_transparency(pack) -> None:
    alpha = SAMPLES[::-1, :, :1]
    picture = images.decode_bytes(pack(np.dstack([SAMPLES, alpha])), "x")
    assert np.array_equal(picture.alpha, np.rint(alpha[:, :, 0] / 257))
    share = np.asarray(picture.alpha)[:, :, None] / 255
    assert np.abs(np.asarray(picture.rgb) - (ROUNDED * share + 255 * (1 - share))).max() <= 1


def test_16_bits_multiplied_by_their_transparency() -> None:
    alpha = np.full_like(SAMPLES[:, :, :1], 40_000)
    multiplied = np.rint(SAMPLES * (alpha / 65535)).astype(np.uint16)
    picture = images.decode_bytes(tiff(np.dstack([multiplied, alpha]), extra=1), "x")
    share = np.rint(40_000 / 257) / 255
    assert np.abs(np.asarray(picture.rgb) - (ROUNDED * share + 255 * (1 - share))).max() <= 1.5


def test_16_bit_gray_with_transparency() -> None:
    picture = images.decode_bytes(png(SAMPLES[:, :, :2]), "x")
    assert np.array_equal(picture.alpha, np.rint(SAMPLES[:, :, 1] / 257))
    opaque = SAMPLES[:, :, 1] == 65535
    assert np.array_equal(np.asarray(picture.rgb)[opaque][:, 0], ROUNDED[opaque][:, 0])


def test_a_16_bit_color_that_is_transparent() -> None:
    hidden = SAMPLES[3, 4]
    picture = images.decode_bytes(png(SAMPLES, (b"tRNS", hidden.astype(">u2").tobytes())), "x")
    assert picture.alpha is not None
    assert np.array_equal(np.asarray(picture.alpha) == 0, (hidden == SAMPLES).all(axis=2))


@pytest.mark.parametrize("bits", [10, 12])
def test_heic_of_10_and_12_bits_is_rounded(bits: int) -> None:
    most = (1 << bits) - 1
    levels = np.tile(np.arange(most + 1), 3)[: 3 * 1024].reshape(32, 32, 3)
    samples = (levels << (16 - bits)).astype(np.uint16)
    assert np.array_equal(pixels(heif_deep(samples, bits)), np.rint(levels * (255 / most)))


def test_cmyk_of_16_bits() -> None:
    ink = np.dstack([SAMPLES, np.zeros_like(SAMPLES[:, :, :1])])
    expected = Image.frombytes("CMYK", (256, 256), np.rint(ink / 257).astype(np.uint8).tobytes()).convert("RGB")
    assert np.array_equal(pixels(tiff(ink, photometric=5)), expected)


def test_planar_tiff_is_read_in_8_bits_and_refused_in_16() -> None:
    eight = ROUNDED.astype(np.uint8)
    assert np.array_equal(pixels(tiff(eight, planar=True)), eight)
    with pytest.raises(PictureError, match=r"planar.*save it with interleaved channels"):
        pixels(tiff(SAMPLES, planar=True))


def test_gray_tiff_of_32_unsigned_bits_does_not_wrap_around() -> None:
    values = (SAMPLES[:, :, :1].astype(np.uint32) << 16) + 65535
    assert np.abs(pixels(tiff(values))[:, :, 0] - np.rint(values[:, :, 0] / (2**32 - 1) * 255)).max() <= 1


def test_gray_tiff_where_0_is_white() -> None:
    assert np.array_equal(pixels(tiff(SAMPLES[:, :, :1], photometric=0))[:, :, 0], 255 - ROUNDED[:, :, 0])


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.float64, np.int8, np.uint32])
def test_other_kinds_of_samples_in_color_are_refused(dtype) -> None:
    with pytest.raises(PictureError, match=r"export it as JPEG or PNG|damaged"):
        pixels(tiff(np.ones((4, 4, 3), dtype)))


@pytest.mark.parametrize("format_", ["tiff_lzw", "jpeg", "tiff_deflate", "packbits"])
def test_compressed_tiff_is_right(format_: str) -> None:
    file = io.BytesIO()
    image = Image.fromarray(ROUNDED.astype(np.uint8)).resize((32, 32), Image.Resampling.BOX)
    image.save(file, "TIFF", compression=format_)
    assert np.abs(pixels(file.getvalue()).astype(int) - np.asarray(image)).max() <= (60 if format_ == "jpeg" else 0)
