"""Paint many photos, each in another style, with gatys.vgg19 and report the final losses; one JSON line per pair.

    python scripts/style_pairs.py --photos DIR --styles DIR [--styles DIR ...] --vgg19 FILE -n 50 -o OUT
    python scripts/style_pairs.py ... --recipe gatys-code --scales 1     # another recipe on the same pairs

For each pair, at the working size: the remaining share of the photo's style loss (the squared distance of Gram matrices
relative to the style's, averaged over five layers), and the content loss (the mean squared distance at relu4_2). The
paintings are written to OUT, with a sheet of photo, style and painting for the first twelve.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from artgan_gatys.config import RECIPES
from artgan_gatys.losses import content_loss, gram, style_loss
from artgan_gatys.networks import build_network
from artgan_gatys.styles import fit, resize
from PIL import Image
from torch import Tensor

import artgan
from artgan import images, sheets
from artgan.data import PictureFolder
from artgan.data.pictures import evenly

STYLE = RECIPES["artgan"].style_layers
CONTENT = "relu4_2"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--styles", type=Path, action="append", required=True)
    parser.add_argument("--vgg19", type=Path, required=True)
    parser.add_argument("-n", type=int, default=50)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--recipe", default="artgan")
    parser.add_argument("--scales", type=int)
    parser.add_argument("--iterations", type=int)
    parser.add_argument("--style-weight", type=float)
    parser.add_argument("--jobs", type=int, default=4, help="pairs at a time, one thread each")
    options = parser.parse_args()

    photos = every(PictureFolder(options.photos), options.n)
    found = [path for folder in options.styles for path in every(PictureFolder(folder), options.n)]
    styles = [found[i * len(found) // options.n] for i in range(options.n)]
    options.out.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(options.jobs, get_context("spawn")) as pool:
        rows = list(pool.map(pair, photos, styles, range(options.n), [options] * options.n))
    first = range(min(12, options.n))
    images.encode(
        sheets.sheet(
            {
                "photo": [images.decode(photos[i]).rgb for i in first],
                "style": [images.decode(styles[i]).rgb for i in first],
                "painting": [images.decode(options.out / f"{i:03d}.png").rgb for i in first],
            },
            cell=options.size,
        ),
        options.out / "sheet.png",
        overwrite=True,
    )
    for name in ("style left", "content", "seconds"):
        values = torch.tensor([row[name] for row in rows], dtype=torch.float64)
        print(f"{name}: median {values.median():.4f}, worst {values.max():.4f}, of {len(rows)}")


def every(pictures: PictureFolder, count: int) -> list[Path]:
    """``count`` paths, spread evenly over the folder."""
    places = evenly(len(pictures), count)[: len(pictures)]
    return [Path(pictures.location, pictures.names[place]) for place in places]


def pair(photo: Path, style: Path, index: int, options: argparse.Namespace) -> dict[str, Any]:
    torch.set_num_threads(1)
    chosen: dict[str, Any] = {"recipe": options.recipe, "size": options.size, "vgg19": options.vgg19}
    chosen |= {
        name: value
        for name in ("scales", "iterations", "style_weight")
        if (value := getattr(options, name)) is not None
    }
    picture = images.decode(photo).rgb
    height, width = fit(picture.height, picture.width, options.size)
    picture = picture.resize((width, height), Image.Resampling.LANCZOS)
    began = time.perf_counter()
    painting = artgan.load("gatys.vgg19").paint(picture, style=style, **chosen)
    seconds = time.perf_counter() - began
    painting.save(options.out / f"{index:03d}.png")

    network = build_network("vgg19.tv_in1k", (*STYLE, CONTENT), weights=options.vgg19)
    look = images.to_tensor(images.decode(style).rgb).unsqueeze(0)
    target = observe(network, resize(look, *fit(look.shape[2], look.shape[3], options.size)))
    before, after = (observe(network, images.to_tensor(p).unsqueeze(0)) for p in (picture, painting))
    row = {
        "photo": photo.name,
        "style": style.name,
        "style left": style_distance(after, target) / style_distance(before, target),
        "content": float(content_loss("mean", after[CONTENT], before[CONTENT])),
        "seconds": seconds,
    }
    assert math.isfinite(row["style left"])
    print(json.dumps(row), flush=True)
    return row


@torch.inference_mode()
def observe(network: torch.nn.Module, picture: Tensor) -> dict[str, Tensor]:
    features: dict[str, Tensor] = network(picture, (*STYLE, CONTENT))
    return features


def style_distance(picture: dict[str, Tensor], style: dict[str, Tensor]) -> float:
    losses = [style_loss("relative", gram(picture[layer]), gram(style[layer])) for layer in STYLE]
    return float(torch.stack(losses).mean())


if __name__ == "__main__":
    main()
