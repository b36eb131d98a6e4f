"""The formats that artgan reads and writes, and how a file's format is recognized: by its content."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from artgan.errors import PictureError


@dataclass(frozen=True)
class Format:
    """A format that artgan reads.

    Attributes:
        name: Pillow's.
        suffixes: in lower case; the first one is given to files that have none.
        save: options for writing; None: read-only.
        alpha: whether files can hold transparency that other programs support.
        frames: whether files can hold an animation, or pages.
        codec: the module that reads and writes it.
        install: what to do where that module is missing.
    """

    name: str
    suffixes: tuple[str, ...]
    save: Mapping[str, Any] | None = None
    alpha: bool = False
    frames: bool = False
    codec: str = "PIL"
    install: str = ""

    @property
    def available(self) -> bool:
        """Whether the module that reads it is installed."""
        return _installed(self.codec)

    @property
    def writable_suffix(self) -> str | None:
        """A suffix for a picture of this format that is to be written; None if it cannot be."""
        rows = (row for row in FORMATS if row.name == self.name and row.save is not None and row.available)
        return next((row.suffixes[0] for row in rows), None)


@dataclass(frozen=True)
class Foreign:
    """A kind of file that people keep among their photos, and that artgan does not read.

    Attributes:
        kind: what it is, as a noun with its article.
        remedy: what to do with it.
    """

    kind: str
    remedy: str = "export it as JPEG or PNG"


@cache
def _installed(module: str) -> bool:
    return find_spec(module) is not None


_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1", b"mif2")
_AVIF_BRANDS = (b"avif", b"avis")

# Common picture formats. All others are rejected, even under these suffixes: Pillow would start Ghostscript for an EPS
# file named .jpg.
FORMATS = (
    Format("JPEG", (".jpg", ".jpeg", ".jpe", ".jfif"), {"quality": 95, "subsampling": "4:4:4"}),
    Format("JPEG", (".mpo",)),
    Format("PNG", (".png", ".apng"), {}, alpha=True, frames=True),
    Format("WEBP", (".webp",), {"quality": 95}, alpha=True, frames=True, codec="PIL._webp"),
    Format(
        "AVIF",
        (".avif",),
        {"quality": 90, "subsampling": "4:4:4"},
        alpha=True,
        frames=True,
        codec="PIL._avif",
        install="install a Pillow with AVIF: pip install --upgrade pillow",
    ),
    Format(
        "HEIF",
        (".heic", ".heif", ".hif"),
        {"quality": 65, "subsampling": "4:2:0"},  # as good as a JPEG of 95
        alpha=True,
        codec="pillow_heif",
        install="pip install pillow-heif",
    ),
    Format("JXL", (".jxl",), {"quality": 90}, alpha=True, codec="pillow_jxl", install='pip install "artgan[jxl]"'),
    Format("TIFF", (".tif", ".tiff"), {"compression": "tiff_adobe_deflate"}, alpha=True, frames=True),
    Format("BMP", (".bmp",), {}),
    Format("PPM", (".ppm", ".pnm"), {}),
    Format("PPM", (".pgm", ".pbm")),
    Format("GIF", (".gif",), {}, alpha=True, frames=True),
    Format("JPEG2000", (".jp2", ".j2k", ".jpx", ".jpf", ".j2c")),
)
FORMAT_NAMES = tuple(dict.fromkeys(row.name for row in FORMATS))
_BY_NAME = {row.name: row for row in reversed(FORMATS)}

READABLE = frozenset(suffix for row in FORMATS for suffix in row.suffixes)
"""Lower-case suffixes of the files that artgan treats as pictures when it scans a folder."""

WRITABLE = frozenset(suffix for row in FORMATS if row.save is not None and row.available for suffix in row.suffixes)
"""Lower-case suffixes that :func:`encode` writes here."""

VIDEO = Foreign("a video", 'artgan paint paints it: pip install "artgan[video]"')
"""Files that are films. Only painting them is known, and that in a module of its own."""

FILM_FORMATS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}
"""FFmpeg's names of the formats that films are written in, by suffix in lower case."""

_RAW = Foreign("a camera raw file")
_DRAWING = Foreign("a drawing")
_PHOTOSHOP = Foreign("a Photoshop file")
_GIMP = Foreign("a GIMP file")
_PDF = Foreign("a PDF document")


def _suffixes(what: Foreign | None, names: str) -> dict[str, Foreign]:
    return {f".{name}": what or Foreign(f"a {name.upper()} file") for name in names.split()}


_FOREIGN_SUFFIXES: Mapping[str, Foreign] = {
    **_suffixes(VIDEO, "mp4 mov m4v avi mkv webm mpg mpeg mts m2ts 3gp wmv flv ogv insv lrv"),
    **_suffixes(_RAW, "dng cr2 cr3 crw nef nrw arw sr2 srf orf rw2 raf pef srw x3f raw rwl 3fr iiq erf mrw gpr"),
    **_suffixes(_DRAWING, "svg svgz eps ps ai cdr wmf emf"),
    **_suffixes(_PHOTOSHOP, "psd psb"),
    **_suffixes(_GIMP, "xcf"),
    **_suffixes(_PDF, "pdf"),
    **_suffixes(None, "tga ico cur icns pcx dds dib exr hdr qoi xbm xpm sgi ras fits dcm djvu kra"),
}

SNIFFED = 1024
"""How many bytes at the start of a file :func:`recognize` looks at."""

_BOX = re.compile(rb"(?s)....(ftyp|moov|mdat|wide|free|skip|pnot)")
_SIGNATURES: tuple[tuple[str, str | Foreign], ...] = (
    (r"\xff\xd8\xff", "JPEG"),
    (r"\x89PNG\r\n\x1a\n", "PNG"),
    (r"GIF8[79]a", "GIF"),
    (r"RIFF....WEBP", "WEBP"),
    (r"BM.{4}\0{4}.{4}[\x0c\x10\x28\x34\x38\x40\x6c\x7c]\0\0\0", "BMP"),
    (r"(II\*\0|MM\0\*).{4}CR", _RAW),  # Canon's, in a TIFF file
    (r"II\*\0|MM\0\*|II\+\0|MM\0\+", "TIFF"),
    (r"\xff\x4f\xff\x51|\0\0\0\x0cjP  \r\n\x87\n", "JPEG2000"),
    (r"\xff\x0a|\0\0\0\x0cJXL \r\n\x87\n", "JXL"),
    (r"P[1-6][\s#]+[\d#]|P[fF]\s+\d", "PPM"),
    (r"8BPS", _PHOTOSHOP),
    (r"gimp xcf", _GIMP),
    (r"%PDF", _PDF),
    (r"%!PS|\xc5\xd0\xd3\xc6", _DRAWING),
    (r"[^\0]{0,900}<svg[\s>]", _DRAWING),
    (r"IIRO|IIRS|MMOR|IIU\0|FUJIFILM|FOVb|\0MRM", _RAW),
    (r"RIFF....AVI |\x1a\x45\xdf\xa3|\0\0\x01[\xb3\xba]|FLV\x01|\x30\x26\xb2\x75|OggS", VIDEO),
    (r"G.{187}G.{187}G|.{4}G.{191}G.{191}G", VIDEO),  # MPEG transport streams
    (r"DDS ", Foreign("a DDS file")),
    (r"\x76\x2f\x31\x01", Foreign("an OpenEXR file")),
    (r"#\?RADIANCE", Foreign("a Radiance file")),
    (r"qoif", Foreign("a QOI file")),
    (r"\0\0[\x01\x02]\0[\x01-\xff]\0", Foreign("an icon")),
    (r"\x0a[\x00-\x05][\x00\x01][\x01\x02\x04\x08]", Foreign("a PCX file")),
)
_COMPILED = tuple((re.compile(pattern.encode("latin-1"), re.S), what) for pattern, what in _SIGNATURES)


def first_bytes(path: str | os.PathLike[str], count: int = SNIFFED) -> bytes:
    """The first bytes of a file; none if it cannot be read, or is no regular file: opening a pipe would block."""
    try:
        if not Path(path).is_file():
            return b""
        with open(path, "rb") as file:
            return file.read(count)
    except OSError:
        return b""


def recognize(head: bytes) -> Format | Foreign | None:
    """What a file is, by its first :data:`SNIFFED` bytes; None if it is nothing that is known."""
    if _BOX.match(head):
        return _recognize_boxes(head)
    found = next((what for pattern, what in _COMPILED if pattern.match(head)), None)
    return _BY_NAME[found] if isinstance(found, str) else found


def _recognize_boxes(head: bytes) -> Format | Foreign:
    """Files made of boxes (ISO/IEC 14496-12): HEIF, AVIF, a raw format, and videos."""
    size = int.from_bytes(head[:4], "big")
    major, compatible = head[8:12], [head[start : start + 4] for start in range(16, min(size, len(head)), 4)]
    if head[4:8] != b"ftyp":
        return VIDEO
    if major == b"crx ":
        return _RAW
    brands = [major, *compatible]
    if major in _AVIF_BRANDS or (major in _HEIF_BRANDS[-3:] and any(brand in _AVIF_BRANDS for brand in brands)):
        return _BY_NAME["AVIF"]
    return _BY_NAME["HEIF"] if any(brand in _HEIF_BRANDS for brand in brands) else VIDEO


def foreign_by_suffix(path: str | os.PathLike[str]) -> Foreign | None:
    """The kind of file that artgan does not read, by the name's suffix; None if the suffix says nothing."""
    return _FOREIGN_SUFFIXES.get(Path(path).suffix.lower())


def format_named(name: str) -> Format | None:
    """The format with one of Pillow's names; None if artgan does not read it."""
    return _BY_NAME.get(name)


def format_of_suffix(path: str | os.PathLike[str]) -> Format | None:
    """The picture format that a name's suffix stands for; None if it stands for none."""
    suffix = Path(path).suffix.lower()
    return next((row for row in FORMATS if suffix in row.suffixes), None)


def is_picture(path: str | os.PathLike[str]) -> bool:
    """Whether the name has the suffix of a picture format that artgan reads; the file itself is not opened."""
    return Path(path).suffix.lower() in READABLE


def is_writable(path: str | os.PathLike[str]) -> bool:
    """Whether the name has the suffix of a picture format that artgan writes here."""
    return Path(path).suffix.lower() in WRITABLE


def film_format(path: str | os.PathLike[str]) -> str | None:
    """FFmpeg's name of the format of a film that is to be written; None if the suffix stands for none."""
    return FILM_FORMATS.get(Path(path).suffix.lower())


def films_available() -> bool:
    """Whether what reads and writes films is installed."""
    return _installed("av") and _installed("cv2")


def is_film(path: str | os.PathLike[str]) -> bool:
    """Whether a file's first bytes are those of a film; False if it cannot be read."""
    head = first_bytes(path)
    found = recognize(head)
    if found is None and foreign_by_suffix(path) is VIDEO:  # damaged, or of a kind without signature
        return len(head) > 0
    return found is VIDEO


def holds_frames(path: str | os.PathLike[str]) -> bool:
    """Whether a file of this name can hold an animation, or pages."""
    found = format_of_suffix(path)
    return found is not None and found.frames


def holds_pages(path: str | os.PathLike[str]) -> bool:
    """Whether a file of this name can hold pictures of several sizes."""
    found = format_of_suffix(path)
    return found is not None and found.name == "TIFF"


def format_for_writing(path: str | os.PathLike[str]) -> Format:
    """The format that a name's suffix stands for.

    Raises:
        PictureError: the suffix is unknown, or its format is not written here.
    """
    suffix = Path(path).suffix.lower()
    for row in FORMATS:
        if row.save is not None and suffix in row.suffixes:
            if not row.available:
                raise PictureError(f"{path}: writing {row.name} pictures needs more: {row.install}")
            return row
    raise PictureError(
        f"{path}: cannot write pictures with suffix '{Path(path).suffix}'; known: {', '.join(sorted(WRITABLE))}"
    )
