"""Under-paint a folder of photos with brush strokes, for a network to be trained on.

    python scripts/underpaint.py PHOTOS OUT --brush monet.json --size 256 --seed 0

Each photo is cut to its middle square, reduced to SIZE pixels and painted, with the seed and a hash of its name, so
that a photo becomes the same painting whatever else is in the folder. OUT gets a PNG of the same name for each; one
that is there already is left alone, so that an interrupted run goes on.
"""

from __future__ import annotations

import argparse
import json
import sys
import zlib
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageOps

from artgan import images
from artgan.errors import ArtganError
from artgan.files import atomic_write
from artgan.painting.brushwork import Brush, underpaint


def paint(photo: Path, out: Path, brush: Brush, size: int, seed: int, stroke_size: float) -> None:
    """Write the under-painting of a photo; ``size`` 0 keeps the photo's own size and form."""
    cv2.setNumThreads(1)  # processes are threads enough
    path = out / f"{photo.stem}.png"
    if path.exists():
        return
    rgb = images.decode(photo).rgb
    if size:
        rgb = ImageOps.fit(rgb, (size, size), Image.Resampling.LANCZOS)
    painted = underpaint(np.asarray(rgb), brush, seed ^ zlib.crc32(photo.name.encode()), stroke_size=stroke_size)
    with atomic_write(path) as part:
        Image.fromarray(painted).save(part, "PNG")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 2 where an option is bad or a photo cannot be read."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, metavar="PHOTOS", help="a folder of pictures")
    parser.add_argument("out", type=Path, metavar="OUT", help="where the under-paintings go")
    parser.add_argument("--brush", type=Path, metavar="FILE", help="a JSON file of brush parameters")
    parser.add_argument("--size", type=int, default=256, help="side of the squares in pixels; 0 keeps the photos' own")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--stroke-size", type=float, default=1.0, help="multiple of the brush's radii, 0.5 to 3")
    parser.add_argument("--limit", type=int, help="only the first so many photos")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    args = parser.parse_args(arguments)
    try:
        brush = Brush.from_dict(json.loads(args.brush.read_text()), where=str(args.brush)) if args.brush else Brush()
        photos = sorted(path for path in args.photos.iterdir() if images.is_picture(path))[: args.limit]
        args.out.mkdir(parents=True, exist_ok=True)
        job = partial(paint, out=args.out, brush=brush, size=args.size, seed=args.seed, stroke_size=args.stroke_size)
        with ProcessPoolExecutor(args.jobs) if args.jobs > 1 else nullcontext() as pool:
            painted = pool.map(job, photos, chunksize=8) if pool else map(job, photos)
            for done, _ in enumerate(painted, 1):
                print(f"\r{done} of {len(photos)}", end="", file=sys.stderr)
    except (ArtganError, OSError, ValueError) as error:
        print(f"underpaint: {error}", file=sys.stderr)
        return 2
    print(file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
