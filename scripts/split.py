"""Split a folder of pictures: symbolic links to all of them in two new folders, train/ and held-out/.

python scripts/split.py PICTURES OUT --hold-out 100 --seed 0
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

from artgan.data import PictureFolder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--hold-out", type=int, required=True, help="number of pictures to hold out")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    paths = PictureFolder(options.pictures).paths
    held_out = set(random.Random(options.seed).sample(paths, options.hold_out))
    for path in paths:
        folder = options.out / ("held-out" if path in held_out else "train")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / path.name).symlink_to(path.resolve())


if __name__ == "__main__":
    main()
