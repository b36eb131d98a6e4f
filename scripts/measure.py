"""Measure a model on photos and paintings that it was not trained on; prints one JSON document.

    python scripts/measure.py MODEL --photos DIR --paintings DIR --vgg19 FILE
    python scripts/measure.py MODEL --paintings DIR --vgg19 FILE          # a model of pictures from noise

For each kind of statistics ("vgg19": the style layers of VGG-19; "vgg19-conv5_1": a deeper layer that no
discriminator looks at; "filters": colours and edges at four scales, no network) the kernel distance to the real
paintings of the photos as they are, of their paintings by the model, and between two halves of the real ones. Of a
model of pictures from noise: of 1,000 samples, at their size, with their diversity as a share of the real ones' and the
median distance to the nearest real picture (root mean square at 32 x 32, of 255; mirrored ones count) beside that
of the real pictures to one another.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import interpolate

import artgan
from artgan import images
from artgan.data import PictureFolder
from artgan.data.draws import centre_square
from artgan.features import VGG19, load_vgg19
from artgan.metrics import style
from artgan.studies import spread

# What the style distance is measured with, as layers of VGG-19; () is no network.
KINDS = {"vgg19": style.STYLE_LAYERS, "vgg19-conv5_1": ("conv5_1",), "filters": ()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a name of the registry or local-dir:PATH")
    parser.add_argument("--photos", type=Path, help="needed for a model that paints")
    parser.add_argument("--paintings", type=Path, required=True)
    parser.add_argument("--vgg19", type=Path, help="safetensors file; default: from the Hub, by timm")
    parser.add_argument("--limit", type=int, help="use only the first so many of each")
    options = parser.parse_args()

    model = artgan.load(options.model)
    vgg19 = load_vgg19([*style.STYLE_LAYERS, style.CONTENT_LAYER, "conv5_1"], options.vgg19)
    if model.generator.task == "noise-to-image":
        report = of_samples(model, vgg19, PictureFolder(options.paintings), options.limit)
    elif options.photos is not None:
        report = of_paintings(model, vgg19, options)
    else:
        parser.error("this model paints: give --photos")
    print(json.dumps({"model": options.model, **report}, indent=2))


def of_paintings(model: artgan.Model, vgg19: VGG19, options: argparse.Namespace) -> dict[str, Any]:
    photos, painted, content, colour = [], [], [], []
    for photo in tensors(options.photos, options.limit):
        painting = images.to_tensor(model.paint(photo))
        (of_photo, a), (of_painting, b) = observe(vgg19, photo), observe(vgg19, painting)
        photos.append(of_photo)
        painted.append(of_painting)
        content.append(float(style.content_kept(a, b)))
        colour.append(style.colour_moved(photo, painting))
    real = [observe(vgg19, picture)[0] for picture in tensors(options.paintings, options.limit)]
    return {
        "n": {"photos": len(photos), "paintings": len(real)},
        "style distance": {
            kind: distances({"photos": stack(photos, kind), "painted": stack(painted, kind)}, stack(real, kind))
            for kind in KINDS
        },
        "content kept": round(sum(content) / len(content), 4),
        "colour moved": round(sum(colour) / len(colour), 2),
    }


def of_samples(model: artgan.Model, vgg19: VGG19, pictures: PictureFolder, limit: int | None) -> dict[str, Any]:
    samples = model.sample(limit or 1000)
    made = [images.to_tensor(sample) for sample in samples]
    count = min(limit or len(pictures), len(pictures))
    real = [images.to_tensor(centre_square(pictures[i], samples[0].width)) for i in range(count)]
    seen_made, seen_real = ([observe(vgg19, picture)[0] for picture in s] for s in (made, real))
    look = [torch.stack([small(picture) for picture in s]) for s in (made, real)]
    mirrored = look[1].flip(3)
    near = [torch.minimum(rms(x, look[1]), rms(x, mirrored)) for x in look]
    near[1].fill_diagonal_(torch.inf)  # itself
    return {
        "n": {"samples": len(made), "paintings": len(real)},
        "style distance": {
            kind: distances({"painted": stack(seen_made, kind)}, stack(seen_real, kind)) for kind in KINDS
        },
        "diversity": round(spread(torch.stack(made)) / spread(torch.stack(real)), 3),
        "nearest painting": {
            name: round(float(rows.min(1).values.median()), 1)
            for name, rows in zip(("samples", "paintings to one another"), near, strict=True)
        },
    }


def small(picture: Tensor) -> Tensor:
    """3 x 32 x 32 in 0 to 255."""
    return (interpolate(picture[None], size=(32, 32), mode="bilinear", antialias=True)[0] + 1) * 127.5


def rms(x: Tensor, y: Tensor) -> Tensor:
    """N x M distances of pictures."""
    return torch.cdist(x.flatten(1), y.flatten(1)) / x[0].numel() ** 0.5


def tensors(folder: Path, limit: int | None) -> Iterable[Tensor]:
    pictures = PictureFolder(folder)
    return (images.to_tensor(pictures[i]) for i in range(min(limit or len(pictures), len(pictures))))


def observe(vgg19: VGG19, picture: Tensor) -> tuple[dict[str, Tensor], Tensor]:
    """A picture's statistics of each kind, and its content features."""
    with torch.inference_mode():
        features = dict(zip(vgg19.layers, vgg19(picture.unsqueeze(0)), strict=True))
        statistics = {
            kind: style.statistics([features[layer] for layer in layers])
            if layers
            else style.filter_statistics(picture.unsqueeze(0))
            for kind, layers in KINDS.items()
        }
    return statistics, features[style.CONTENT_LAYER]


def stack(rows: list[dict[str, Tensor]], kind: str) -> Tensor:
    return torch.cat([row[kind] for row in rows]).double()


def distances(made: dict[str, Tensor], real: Tensor) -> dict[str, float]:
    """Of each set to the real ones, and of two halves of these, standardised by the real ones and the first set."""
    y, *sets = style.standardise([real, next(iter(made.values()))], real, *made.values())
    first, second = y[torch.randperm(len(y), generator=torch.Generator().manual_seed(0))].chunk(2)
    pairs = {**{name: (x, y) for name, x in zip(made, sets, strict=True)}, "real halves": (first, second)}
    return {name: round(style.kernel_distance(a, b), 4) for name, (a, b) in pairs.items()}


if __name__ == "__main__":
    main()
