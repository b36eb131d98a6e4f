"""What a file says about its picture: EXIF, XMP, resolution. Read from hostile files, and kept where it is harmless."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from PIL import Image

_ORIENTATION, _EXIF, _GPS, _MAKER_NOTE = 0x0112, 0x8769, 0x8825, 0x927C

# Tags that describe the picture and its camera. All others describe the file, which a painting's is not.
_DESCRIPTIVE = {
    *(0x010E, 0x010F, 0x0110),  # description, make, model
    *(0x011A, 0x011B, 0x0128),  # resolution
    *(0x0131, 0x0132, 0x013B, 0x013C),  # software, date, artist, host
    *(0x4746, 0x4749, 0x8298),  # rating, copyright
    *(0x9C9B, 0x9C9C, 0x9C9D, 0x9C9E, 0x9C9F),  # title, comment, author, keywords, subject of Windows
}
# Maker notes hold offsets into the photo's file; the others are the photo's size and a pointer.
_NOT_OF_THE_EXIF = {_MAKER_NOTE, 0xA002, 0xA003, 0xA005}

_MOST = 60_000  # bytes; a JPEG has room for 65,533
_LONGEST = 8_000  # bytes of one value

_LOCATION = rb"GPS\w+|Location\w*|City|State|Province\w*|Country\w*|Sublocation|WorldRegion"
_XMP_LOCATIONS = (
    re.compile(rb'\s[\w-]+:(?:%b)\s*=\s*(?:"[^"]*"|\'[^\']*\')' % _LOCATION),
    re.compile(rb"<([\w-]+:(?:%b))\b[^>]{0,500}?(?:/>|>.{0,2000}?</\1\s*>)" % _LOCATION, re.S),
)
_XMP_ORIENTATIONS = (
    re.compile(rb'(\stiff:Orientation\s*=\s*["\'])\d(["\'])'),
    re.compile(rb"(<tiff:Orientation>)\d(</tiff:Orientation>)"),
)
# What tells other programs to do something to the pixels: gain maps, depth, and the settings of raw developers.
_XMP_OF_PIXELS = re.compile(rb"hdrgm|HDRGainMap|GContainer|Container:|GDepth|GImage|GPano|crs:|apdi:")


@dataclass(frozen=True)
class Metadata:
    """What is known of a picture, as a painting of it may carry it on.

    Attributes:
        exif: as Pillow's ``save`` takes it: upright, without thumbnail, maker notes and place. None if there is none.
        located: the same with the place where the picture was taken (GPS); None if no place is known.
        xmp: upright, without the place.
        located_xmp: with it; None if no place is known.
        dpi: dots per inch, across and down.
    """

    exif: bytes | None = None
    located: bytes | None = None
    xmp: bytes | None = None
    located_xmp: bytes | None = None
    dpi: tuple[float, float] | None = None

    def with_location(self) -> Metadata:
        """The same, where ``exif`` and ``xmp`` say where the picture was taken."""
        return replace(self, exif=self.located or self.exif, xmp=self.located_xmp or self.xmp)


NOTHING = Metadata()


def read_metadata(image: Image.Image) -> Metadata:
    """Read what an opened image says; whatever is damaged or too large is left out."""
    exif = located = xmp = located_xmp = dpi = None
    with suppress(Exception):  # broken EXIF data raise almost anything
        source = image.getexif()
        if source:
            exif = _exif(source, location=False)
            located = _exif(source, location=True) if source.get(_GPS) else None
    with suppress(Exception):
        xmp, located_xmp = _xmp(image.info.get("xmp") or image.info.get("XML:com.adobe.xmp") or b"")
    with suppress(Exception):
        dpi = _dpi(image)
    return Metadata(exif, located, xmp, located_xmp, dpi)


def _exif(source: Image.Exif, *, location: bool) -> bytes | None:
    kept = Image.Exif()
    for tag, value in source.items():
        if tag in _DESCRIPTIVE and _short(value):
            kept[tag] = value
    for tag, dropped in ((_EXIF, _NOT_OF_THE_EXIF), (_GPS, set[int]())):
        if tag != _GPS or location:
            with suppress(Exception):
                inside = {key: value for key, value in source.get_ifd(tag).items() if key not in dropped}
                kept[tag] = {key: value for key, value in inside.items() if _short(value)}
                if not kept[tag]:
                    del kept[tag]
    if not kept:
        return None
    kept[_ORIENTATION] = 1
    for without in (None, _EXIF):  # a value of a wrong type cannot be written
        with suppress(Exception):
            if without is not None:
                del kept[without]
            data = kept.tobytes()
            return data if len(data) <= _MOST else None
    return None


def _short(value: Any) -> bool:
    return not isinstance(value, str | bytes | tuple) or len(value) <= _LONGEST


def _xmp(packet: str | bytes) -> tuple[bytes | None, bytes | None]:
    """The packet without the place, and with it if there is one."""
    data = packet.encode() if isinstance(packet, str) else packet
    if not data or len(data) > _MOST or _XMP_OF_PIXELS.search(data):
        return None, None
    for pattern in _XMP_ORIENTATIONS:
        data = pattern.sub(rb"\g<1>1\g<2>", data)
    kept = data
    for pattern in _XMP_LOCATIONS:
        kept = pattern.sub(b"", kept)
    if b"GPS" in kept or re.search(rb":(?:%b)\b" % _LOCATION, kept):  # written in another way
        return None, data
    return kept, data if kept != data else None


def _dpi(image: Image.Image) -> tuple[float, float] | None:
    across, down = (float(value) for value in image.info["dpi"])
    return (across, down) if 1 < across <= 100_000 and 1 < down <= 100_000 else None  # 1: none
