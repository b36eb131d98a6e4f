"""Pictures that cameras, phones and scanners write, put together by hand where Pillow does not write them."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import PIL
import pillow_heif
import pillow_jxl  # noqa: F401  # registers itself with Pillow
from PIL import Image

SIZE = (48, 32)


def ramp(size: tuple[int, int] = SIZE) -> Image.Image:
    """A colorful gradient."""
    width, height = size
    x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return Image.fromarray(np.stack([x, y, 255 - (x + y) / 2], axis=2).round().astype(np.uint8))


def file_bytes(image: Image.Image, format_: str, **options: Any) -> bytes:
    """What Pillow, or a plugin of its, writes."""
    file = io.BytesIO()
    if format_ == "HEIF":
        pillow_heif.from_pillow(image).save(file, **options)
    else:
        image.save(file, format_, **options)
    return file.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG file."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(samples: np.ndarray[Any, Any], *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG file of samples H x W or H x W x C, 8 or 16 bits, with more chunks before the pixels."""
    samples = samples if samples.ndim == 3 else samples[:, :, None]
    height, width, bands = samples.shape
    depth = 8 * samples.dtype.itemsize
    head = struct.pack(">IIBBBBB", width, height, depth, {1: 0, 2: 4, 3: 2, 4: 6}[bands], 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(f">u{depth // 8}").tobytes() for row in samples)
    parts = [(b"IHDR", head), *chunks, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(kind, data) for kind, data in parts)


def tiff(samples: np.ndarray[Any, Any], *, planar: bool = False, order: str = "<", **tags: int) -> bytes:
    """An uncompressed TIFF file of samples H x W x C in one strip, or in one for each channel.

    Args:
        samples: of any type that NumPy and TIFF have.
        planar: whether channels are stored one after another.
        order: of bytes, "<" or ">".
        tags: ``photometric`` (2 is RGB), ``dng`` (a version), ``subfile``, ``extra`` (the kind of a fourth channel).
    """
    height, width, bands = samples.shape
    kind = {"u": 1, "i": 2, "f": 3}[samples.dtype.kind]
    data = np.moveaxis(samples, 2, 0) if planar else samples
    pixels = data.astype(samples.dtype.newbyteorder(order)).tobytes()
    strips = bands if planar else 1
    sizes = [len(pixels) // strips] * strips
    offsets = [8 + index * sizes[0] for index in range(strips)]
    entries: dict[int, tuple[str, list[int]]] = {
        256: ("H", [width]),
        257: ("H", [height]),
        258: ("H", [8 * samples.dtype.itemsize] * bands),
        259: ("H", [1]),
        262: ("H", [tags.get("photometric", 2 if bands > 2 else 1)]),
        273: ("L", offsets),
        277: ("H", [bands]),
        278: ("H", [height]),
        279: ("L", sizes),
        284: ("H", [2 if planar else 1]),
        339: ("H", [kind] * bands),
    }
    if bands == 4 and tags.get("photometric", 2) == 2:
        entries[338] = ("H", [tags.get("extra", 2)])
    if "subfile" in tags:
        entries[254], entries[330] = ("L", [tags["subfile"]]), ("L", [8])
    if "dng" in tags:
        entries[50706] = ("L", [tags["dng"]])
    start = 8 + len(pixels) + len(pixels) % 2
    behind = start + 2 + 12 * len(entries) + 4
    directory, values = struct.pack(f"{order}H", len(entries)), b""
    for tag, (code, numbers) in sorted(entries.items()):
        packed = struct.pack(f"{order}{len(numbers)}{code}", *numbers)
        if len(packed) > 4:
            place = struct.pack(f"{order}L", behind + len(values))
            values += packed + bytes(len(packed) % 2)
        else:
            place = packed.ljust(4, b"\0")
        directory += struct.pack(f"{order}HHL", tag, {"H": 3, "L": 4}[code], len(numbers)) + place
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HL", 42, start)
    return head + pixels + bytes(len(pixels) % 2) + directory + bytes(4) + values


def heif_deep(samples: np.ndarray[Any, Any], bits: int = 10, **coding: int) -> bytes:
    """A lossless HEIC of 10 or 12 bits from H x W x 3 samples of 16, optionally with ``color_primaries`` and others."""
    height, width, _ = samples.shape
    file = io.BytesIO()
    heif = pillow_heif.from_bytes("RGB;16", (width, height), samples.astype("<u2").tobytes())
    before, pillow_heif.options.SAVE_HDR_TO_12_BIT = pillow_heif.options.SAVE_HDR_TO_12_BIT, bits == 12
    try:
        heif.save(file, quality=-1, chroma=444, matrix_coefficients=0, full_range_flag=1, **coding)
    finally:
        pillow_heif.options.SAVE_HDR_TO_12_BIT = before
    return file.getvalue()


def avif_coded(image: Image.Image, primaries: int, transfer: int) -> bytes:
    """An AVIF whose nclx box says how its colors are coded."""
    data = file_bytes(image, "AVIF", quality=100, subsampling="4:4:4")
    place = data.index(b"colrnclx") + 8
    return data[:place] + struct.pack(">HH", primaries, transfer) + data[place + 4 :]


def boxes(*brands: bytes) -> bytes:
    """The first box of a file of the ISO base media format."""
    return struct.pack(">I", 16 + 4 * len(brands)) + b"ftyp" + brands[0] + bytes(4) + b"".join(brands)


def frames(count: int = 4, *, alpha: bool = False) -> list[Image.Image]:
    """Frames of an animation: the gradient turned, with a growing hole if ``alpha``."""
    made = [ramp().rotate(20 * index) for index in range(count)]
    if alpha:
        for index, frame in enumerate(made):
            hole = np.full((SIZE[1], SIZE[0]), 255, np.uint8)
            hole[:, : 6 * index] = 0
            frame.putalpha(Image.fromarray(hole))
    return made


FOREIGN: dict[str, bytes] = {
    "clip.mov": boxes(b"qt  ", b"qt  ") + bytes(64),
    "clip.mp4": boxes(b"isom", b"isom", b"mp41") + bytes(64),
    "clip.mkv": b"\x1a\x45\xdf\xa3" + bytes(64),
    "clip.avi": b"RIFF\x40\0\0\0AVI LIST" + bytes(64),
    "camera.cr3": boxes(b"crx ", b"crx ", b"isom") + bytes(64),
    "camera.cr2": b"II*\0\x10\0\0\0CR\x02\0" + bytes(64),
    "camera.nef": tiff(np.zeros((4, 4, 3), np.uint8)),
    "layers.psd": b"8BPS\0\1" + bytes(64),
    "drawing.svg": b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>',
    "paper.pdf": b"%PDF-1.7\n",
    "old.tga": bytes(64),
    "notes.txt": b"Dear diary,\n",
    "sidecar.aae": b'<?xml version="1.0"?><plist/>',
    "empty.bin": b"",
}
"""Files that are no pictures that artgan reads, by name."""


def whole() -> Iterator[tuple[str, bytes]]:
    """Names and contents of files that hold whole pictures, in every format, with right and with wrong suffixes."""
    image = ramp()
    deep = np.asarray(image).astype(np.uint16) * 257
    for name, format_ in (
        ("a.jpg", "JPEG"),
        ("b.HEIC", "HEIF"),
        ("jpeg named.HEIC", "JPEG"),
        ("heic named.jpg", "HEIF"),
        ("webp named.png", "WEBP"),
        ("no suffix", "JPEG"),
        ("x.jpg_large", "JPEG"),
        ("c.avif", "AVIF"),
        ("d.jxl", "JXL"),
        ("e.webp", "WEBP"),
        ("f.bmp", "BMP"),
        ("g.ppm", "PPM"),
        ("h.jp2", "JPEG2000"),
        ("i.jfif", "JPEG"),
        ("📷 ünïcode 写真 [1] %s #&.png", "PNG"),
    ):
        yield name, file_bytes(image, format_)
    yield "deep.png", png(deep)
    yield "deep alpha.png", png(np.dstack([deep, deep[:, :, :1]]))
    yield "deep.tif", tiff(deep)
    yield "deep.heic", heif_deep(deep)
    yield "p3.png", png(np.asarray(image), (b"cICP", bytes([12, 13, 0, 1])))
    yield "pq.png", png(deep, (b"cICP", bytes([9, 16, 0, 1])))
    yield "p3.avif", avif_coded(image, 12, 13)
    for mode in ("1", "L", "LA", "P", "RGBA", "CMYK", "YCbCr", "LAB", "I;16", "I", "F"):
        for format_ in ("TIFF", "PNG", "JPEG", "WEBP"):
            if (mode, format_) == ("YCbCr", "TIFF") and int(PIL.__version__.partition(".")[0]) < 13:
                continue  # older versions cannot read what they write
            try:
                data = file_bytes(Image.new(mode, SIZE), format_)
            except (OSError, ValueError, KeyError):  # a mode that the format does not have
                continue
            yield f"mode {mode.replace(';', '-')}.{format_.lower()[:4]}", data
    for format_, suffix in (("GIF", "gif"), ("PNG", "apng"), ("WEBP", "webp"), ("TIFF", "tiff"), ("AVIF", "avif")):
        first, *rest = frames(3)
        yield f"moving.{suffix}", file_bytes(first, format_, save_all=True, append_images=rest)
