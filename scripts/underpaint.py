"""Under-paint a folder of photos with brush strokes, for a network to be trained on.

    python scripts/underpaint.py PHOTOS OUT --brush monet.json --size 256 --variants 4 --seed 0

`artgan train --underpaint FILE` does the same to each crop as it is drawn; this makes them beforehand, where the
processor would be too slow for the training's device. Each photo is cut to its middle square, reduced to SIZE pixels
and painted, with random numbers from the seed and a hash of its name, so that a photo becomes the same paintings
whatever else is in the folder. OUT gets PNG files with the photo's name and a number; one that is there already is left
alone, so that an interrupted run goes on. With `--engine ray` the machines of a Ray cluster paint, all of which must
see both folders.
"""

from __future__ import annotations

import argparse
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from artgan import images
from artgan.data.cluster import Cluster, Lost, Spool
from artgan.data.crops import center_square
from artgan.errors import ArtganError, PictureError
from artgan.files import atomic_write
from artgan.painting.brushwork import Brush
from artgan.painting.manner import Brushwork
from artgan.training.underpaint import Underpainter


def paint(photo: Path, out: Path, underpainter: Underpainter, size: int, variants: int, seed: int) -> None:
    """Write the under-paintings of a photo."""
    square = None
    for variant in range(variants):
        path = out / f"{photo.stem}-{variant}.png"
        if path.exists():
            continue
        if square is None:
            square = np.asarray(center_square(images.decode(photo).rgb, size))
        painted = underpainter(square, np.random.default_rng((seed, variant, zlib.crc32(photo.name.encode()))))
        with atomic_write(path) as part:
            Image.fromarray(painted).save(part, "PNG", compress_level=1)


def spread(job: Callable[[Path], None], photos: Sequence[Path], jobs: int) -> Iterator[None]:
    """Paint the photos in processes of this machine."""
    with ProcessPoolExecutor(jobs) if jobs > 1 else nullcontext() as pool:
        yield from pool.map(job, photos, chunksize=8) if pool else map(job, photos)


def spread_on_cluster(job: Callable[[Path], None], photos: Sequence[Path], cluster: Cluster) -> Iterator[None]:
    """Paint the photos in the processes of a cluster."""

    def work(photo: str) -> None:
        job(Path(photo))

    with cluster, Spool(str(photo.absolute()) for photo in photos) as spool:
        for photo, found in cluster.map(lambda: work, spool):
            if isinstance(found, Lost):
                raise PictureError(f"{photo}: cannot be painted (its process ended: too little memory?)")
            yield


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 2 where an option is bad or a photo cannot be read."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, metavar="PHOTOS", help="a folder of pictures")
    parser.add_argument("out", type=Path, metavar="OUT", help="where the under-paintings go")
    parser.add_argument("--brush", metavar="MODEL|FILE", help="a model's name, or a file of brushwork (JSON or YAML)")
    parser.add_argument("--size", type=int, default=256, help="side of the squares in pixels")
    parser.add_argument("--variants", type=int, default=1, help="under-paintings of each photo")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=int, help="only the first so many photos")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--engine", choices=("local", "ray"), default="local", help="ray: on a Ray cluster")
    parser.add_argument("--address", metavar="HOST:PORT", help="the cluster, or auto [default: --jobs processes]")
    args = parser.parse_args(arguments)
    try:
        underpainter = Underpainter.of(args.brush) if args.brush else Underpainter(Brushwork(Brush()))
        photos = sorted(path for path in args.photos.iterdir() if images.is_picture(path))[: args.limit]
        args.out.mkdir(parents=True, exist_ok=True)
        job = partial(
            paint,
            out=args.out.absolute(),
            underpainter=underpainter,
            size=args.size,
            variants=args.variants,
            seed=args.seed,
        )
        if args.engine == "ray":
            painted = spread_on_cluster(job, photos, Cluster(args.address, processes=args.jobs))
        else:
            painted = spread(job, photos, args.jobs)
        for done, _ in enumerate(painted, 1):
            print(f"\r{done} of {len(photos)}", end="", file=sys.stderr)
    except (ArtganError, OSError, ValueError) as error:
        print(f"underpaint: {error}", file=sys.stderr)
        return 2
    print(file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
