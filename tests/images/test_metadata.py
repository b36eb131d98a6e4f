"""What a photo's file says goes on in the painting's: upright, without the place, whatever the format."""

from __future__ import annotations

import io
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms
from support.odd_pictures import file_bytes, ramp

from artgan import images
from artgan.errors import PictureError

EXIF_FORMATS = ["JPEG", "PNG", "WEBP", "AVIF", "HEIF", "JXL", "TIFF"]
SUFFIXES = {"JPEG": ".jpg", "HEIF": ".heic"}
XMP = b"""<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="r"><rdf:Description exif:GPSLatitude="48,1.0N"
 photoshop:City="Giverny" dc:creator="Jane" tiff:Orientation="6"><exif:GPSLongitude>1,30E</exif:GPSLongitude>
</rdf:Description></rdf:RDF></x:xmpmeta>"""


def exif() -> bytes:
    tags = Image.Exif()
    tags[0x010E], tags[0x010F], tags[0x0110] = "A lake", "Apple", "iPhone"
    tags[0x0112], tags[0x013B], tags[0x8298], tags[0x0131] = 6, "Jane", "(c) Jane", "17.1"
    tags[0x8769] = {0x9003: "2024:01:01 10:00:00", 0x927C: b"maker" * 60, 0xA002: 999, 0x829A: 0.01}
    tags[0x8825] = {1: "N", 2: (48.0, 4.0, 30.0), 3: "E", 4: (1.0, 32.0, 0.0)}
    return tags.tobytes()


def told(path: Path) -> tuple[Image.Exif, dict[object, object]]:
    with images.open_picture(path) as (image, _):
        image.load()
        found = image.getexif()
        for tag in (0x8769, 0x8825):
            found.get_ifd(tag)
        return found, dict(image.info)


@pytest.mark.parametrize("target", EXIF_FORMATS)
@pytest.mark.parametrize("source", EXIF_FORMATS)
def test_exif_goes_from_every_format_to_every_format(tmp_path: Path, source: str, target: str) -> None:
    picture = images.decode_bytes(file_bytes(ramp((64, 32)), source, exif=exif()), "x")
    path = tmp_path / f"x{SUFFIXES.get(target, '.' + target.lower())}"
    images.encode(images.assemble(picture, picture.rgb), path)
    found, _ = told(path)
    assert {tag: found[tag] for tag in (0x010E, 0x010F, 0x0110, 0x013B, 0x8298, 0x0131)} == {
        0x010E: "A lake",
        0x010F: "Apple",
        0x0110: "iPhone",
        0x013B: "Jane",
        0x8298: "(c) Jane",
        0x0131: "17.1",
    }
    assert found.get(0x0112, 1) == 1
    assert images.decode(path).size == picture.size
    inside = found.get_ifd(0x8769)
    assert inside[0x9003] == "2024:01:01 10:00:00"
    assert float(inside[0x829A]) == pytest.approx(0.01)
    assert not set(inside) & {0x927C, 0xA002}
    assert not found.get_ifd(0x8825)

    there = images.assemble(picture, picture.rgb)
    there.info["exif"] = picture.metadata.with_location().exif
    images.encode(there, path, overwrite=True)
    assert tuple(map(float, told(path)[0].get_ifd(0x8825)[2])) == (48, 4, 30)


@pytest.mark.parametrize("target", ["JPEG", "PNG", "WEBP", "AVIF", "HEIF", "TIFF"])
def test_xmp_is_upright_and_without_the_place(tmp_path: Path, target: str) -> None:
    picture = images.decode_bytes(file_bytes(ramp(), "JPEG", xmp=XMP), "x")
    path = tmp_path / f"x{SUFFIXES.get(target, '.' + target.lower())}"
    images.encode(images.assemble(picture, picture.rgb), path)
    info = told(path)[1]
    packet = info.get("xmp") or info["XML:com.adobe.xmp"]
    packet = packet if isinstance(packet, bytes) else packet.encode()
    assert b'dc:creator="Jane"' in packet
    assert b'tiff:Orientation="6"' not in packet
    assert b"GPS" not in packet
    assert b"Giverny" not in packet
    located = picture.metadata.with_location().xmp
    assert located is not None
    assert b"48,1.0N" in located
    assert b"1,30E" in located


@pytest.mark.parametrize(
    "packet", [XMP + b' hdrgm:Version="1.0"', b"x" * 100_000, XMP.replace(b"exif:GPSLong", b"q:GPS(Long")]
)
def test_xmp_that_would_mislead_is_dropped(packet: bytes) -> None:
    image = ramp()
    image.info["xmp"] = packet
    assert images.read_metadata(image).xmp is None


@pytest.mark.parametrize("target", [".jpg", ".png", ".tif", ".bmp"])
def test_resolution_and_profile(tmp_path: Path, target: str) -> None:
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    data = file_bytes(ramp(), "JPEG", dpi=(300, 200), icc_profile=icc)
    picture = images.decode_bytes(data, "x")
    images.encode(images.assemble(picture, picture.rgb), tmp_path / f"x{target}")
    info = told(tmp_path / f"x{target}")[1]
    assert [round(value) for value in info["dpi"]] == [300, 200]
    assert (info.get("icc_profile") == icc) == (target != ".bmp")


def test_a_thumbnail_and_huge_values_are_dropped() -> None:
    tags = Image.Exif()
    tags[0x010E], tags[0x013B] = "x" * 30_000, "Jane"
    tags[0x8769] = {0x9286: b"c" * 30_000, 0x9003: "2024:01:01 10:00:00"}
    picture = images.decode_bytes(file_bytes(ramp(), "JPEG", exif=tags.tobytes()), "x")
    kept = Image.Exif()
    kept.load(picture.metadata.exif or b"")
    assert dict(kept.items()).keys() == {0x0112, 0x013B, 0x8769}
    assert kept.get_ifd(0x8769) == {0x9003: "2024:01:01 10:00:00"}


@settings(max_examples=150)
@given(st.binary(max_size=300), st.integers(0, 200))
def test_damaged_exif_never_fails_a_painting(tail: bytes, start: int) -> None:
    whole = exif()
    broken = whole[:start] + tail + whole[start + len(tail) :]
    picture = images.decode_bytes(file_bytes(Image.new("RGB", (8, 8)), "WEBP", exif=broken), "x")
    file = io.BytesIO()
    picture.rgb.save(file, "JPEG", exif=picture.metadata.exif or b"")


@pytest.mark.parametrize("format_", ["PNG", "TIFF", "WEBP", "BMP", "GIF", "PDF"])
def test_a_painting_in_python_can_be_saved_as_anything(format_: str) -> None:
    picture = images.decode_bytes(file_bytes(ramp(), "JPEG", exif=exif(), dpi=(300, 300), xmp=XMP), "x")
    file = io.BytesIO()
    images.assemble(picture, picture.rgb).save(file, format_)
    if format_ in ("PNG", "TIFF", "WEBP"):
        with Image.open(file) as saved:
            assert saved.getexif()[0x8298] == "(c) Jane"


def test_a_painting_in_python_carries_it() -> None:
    picture = images.decode_bytes(file_bytes(ramp(), "JPEG", exif=exif(), dpi=(300, 300)), "x")
    painting = images.assemble(picture, picture.rgb)
    file = io.BytesIO()
    painting.save(file, "JPEG")
    with Image.open(file) as saved:
        assert saved.getexif()[0x8298] == "(c) Jane"
        assert saved.info["dpi"] == (300, 300)


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
@pytest.mark.parametrize("quality", [30, 60, 75, 80, 90, 95, 100])
def test_the_quality_of_a_jpeg_is_found(quality: int, subsampling: str) -> None:
    picture = images.decode_bytes(file_bytes(ramp(), "JPEG", quality=quality, subsampling=subsampling), "x")
    assert (picture.quality, picture.subsampling) == (quality, subsampling)


def test_what_is_no_jpeg_in_color_has_no_subsampling() -> None:
    gray = images.decode_bytes(file_bytes(ramp().convert("L"), "JPEG", quality=80), "x")
    assert (gray.quality, gray.subsampling) == (80, None)
    assert images.decode_bytes(file_bytes(ramp(), "PNG"), "x").quality is None


def test_a_hostile_packet_takes_no_time() -> None:
    image = ramp()
    image.info["xmp"] = (b"<a:City>" * 8000)[:59_000]
    start = time.process_time()
    assert images.read_metadata(image).xmp is None
    assert time.process_time() - start < 5


@pytest.mark.parametrize("quality", [-1, 0, 101])
def test_a_quality_out_of_its_range_is_refused(quality: int, tmp_path: Path) -> None:
    with pytest.raises(PictureError, match=rf"x\.jpg: the quality must be from 1 to 100, not {quality}"):
        images.encode(ramp(), tmp_path / "x.jpg", quality=quality)
    assert not list(tmp_path.iterdir())
