"""Create sets of altered pictures, to see how a score reacts to them.

    python scripts/altered_pictures.py PAINTINGS OUT --limit 80 --size 128
    artgan evaluate --real OUT/copies --fake OUT/mirrored --fake OUT/jpeg50 --metrics memorization --size 128

Each folder of OUT holds the same pictures, center squares of SIZE pixels as PNG: ``copies`` unchanged, ``mirrored``,
``cropped`` to 90 % of each side and enlarged again, ``jpeg50`` and ``jpeg30`` compressed with that quality, ``third``
and ``by64`` reduced to a third of the size and to 64 pixels, and enlarged again.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

from PIL import Image, ImageOps

from artgan.data import PictureFolder
from artgan.data.crops import center_square
from artgan.data.pictures import evenly

Alter = Callable[[Image.Image], Image.Image]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("out", type=Path, help="a new folder")
    parser.add_argument("--limit", type=int, help="use only so many pictures, evenly over the set")
    parser.add_argument("--size", type=int, default=256, help="side of the squares, in pixels")
    options = parser.parse_args()
    pictures = PictureFolder(options.pictures)
    for name in ALTERATIONS:
        (options.out / name).mkdir(parents=True)
    for place in evenly(len(pictures), options.limit or len(pictures)):
        picture = center_square(pictures[place], options.size)
        for name, alter in ALTERATIONS.items():
            alter(picture).save((options.out / name / pictures.names[place]).with_suffix(".png"))


def by_way_of(side: int) -> Alter:
    """Reduce to ``side`` pixels, and enlarge again."""
    return lambda picture: resize(resize(picture, side), picture.width)


def jpeg(quality: int) -> Alter:
    def alter(picture: Image.Image) -> Image.Image:
        data = BytesIO()
        picture.save(data, "JPEG", quality=quality)
        return Image.open(data)

    return alter


def cropped(picture: Image.Image) -> Image.Image:
    return resize(ImageOps.crop(picture, round(picture.width * 0.05)), picture.width)


def resize(picture: Image.Image, side: int) -> Image.Image:
    return picture.resize((side, side), Image.Resampling.BICUBIC)


ALTERATIONS: dict[str, Alter] = {
    "copies": lambda picture: picture,
    "mirrored": ImageOps.mirror,
    "cropped": cropped,
    "jpeg50": jpeg(50),
    "jpeg30": jpeg(30),
    "third": lambda picture: by_way_of(picture.width // 3)(picture),
    "by64": by_way_of(64),
}


if __name__ == "__main__":
    main()
