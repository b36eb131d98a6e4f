"""Coverage-guided fuzzing of the picture decoder, images.decode_bytes.

    pip install atheris
    python scripts/fuzz_pictures.py CORPUS -max_total_time=600
    python scripts/fuzz_pictures.py MINIMIZED -merge=1 CORPUS

Any result other than a picture or a PictureError is a crash; so are more than 10 seconds or 1 GB for one input. CORPUS
is a folder: it receives a small file of every format and mode that Pillow writes, and then inputs that reach new code.
Further arguments go to libFuzzer. Coverage is measured only for the Python code of Pillow and artgan, not for Pillow's
C code.
"""

from __future__ import annotations

import argparse
import io
import sys
from contextlib import suppress
from itertools import product
from pathlib import Path
from typing import Any

import atheris

with atheris.instrument_imports(include=["artgan", "PIL"]):
    from PIL import Image, ImageCms

    from artgan import images
    from artgan.errors import PictureError

    Image.init()  # the formats

_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "I;16", "I", "F")
_LIMITS = {"-timeout": 10, "-rss_limit_mb": 1024, "-max_len": 4096}
_MAX_PIXELS = 1_000_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    options, libfuzzer = parser.parse_known_args()
    options.corpus.mkdir(parents=True, exist_ok=True)
    if not any(word.startswith("-merge") for word in libfuzzer):
        write_seeds(options.corpus)
    given = {word.partition("=")[0] for word in libfuzzer}
    limits = [f"{name}={value}" for name, value in _LIMITS.items() if name not in given]
    atheris.Setup([sys.argv[0], *limits, str(options.corpus), *libfuzzer], decode)
    atheris.Fuzz()


def decode(data: bytes) -> None:
    """Check that decoding returns a valid picture, or an error message of one line."""
    try:
        picture = images.decode_bytes(data, "x", max_pixels=_MAX_PIXELS)
    except PictureError as error:
        if "\n" in str(error):
            raise AssertionError("an error message of several lines") from error
        return
    assert picture.rgb.mode == "RGB"
    assert picture.alpha is None or (picture.alpha.mode, picture.alpha.size) == ("L", picture.size)


def write_seeds(folder: Path) -> None:
    """A small file of each format and mode that Pillow writes: plain, described and animated."""
    exif = Image.Exif()
    exif[0x0112] = 6
    kinds: dict[str, dict[str, Any]] = {
        "plain": {},
        "described": {"exif": exif, "icc_profile": _srgb(), "progressive": True, "comment": "a comment"},
        "animated": {"save_all": True, "append_images": [Image.new("RGB", (5, 4), "red")]},
    }
    known = Image.registered_extensions()
    suffixes = {known[suffix]: suffix for suffix in sorted(images.READABLE) if suffix in known}
    for (format_, suffix), mode, (kind, options) in product(suffixes.items(), _MODES, kinds.items()):
        file = io.BytesIO()
        with suppress(Exception):  # a mode or an option that the format does not have
            Image.new(mode, (5, 4)).save(file, format_, **options)
            (folder / f"{format_}-{mode.replace(';', '-')}-{kind}{suffix}").write_bytes(file.getvalue())


def _srgb() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


if __name__ == "__main__":
    main()
