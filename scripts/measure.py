"""Measure a model on photos and paintings that it was not trained on; prints one JSON document.

    python scripts/measure.py MODEL --photos DIR --paintings DIR --vgg19 FILE

For each kind of statistics ("vgg19": the style layers of VGG-19; "vgg19-conv5_1": a deeper layer that no
discriminator looks at; "filters": colours and edges at four scales, no network) the kernel distance to the real
paintings of the photos as they are, of their paintings by the model, and between two halves of the real ones.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

import artgan
from artgan import images
from artgan.data import PictureFolder
from artgan.features import load_vgg19
from artgan.metrics import style


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a name of the registry or local-dir:PATH")
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--paintings", type=Path, required=True)
    parser.add_argument("--vgg19", type=Path, help="safetensors file; default: from the Hub, by timm")
    parser.add_argument("--limit", type=int, help="use only the first so many of each")
    options = parser.parse_args()

    model = artgan.load(options.model)
    photos = [images.to_tensor(p) for p in list(PictureFolder(options.photos))[: options.limit]]
    real = [images.to_tensor(p) for p in list(PictureFolder(options.paintings))[: options.limit]]
    painted = [images.to_tensor(model.paint(photo)) for photo in photos]

    statistics: dict[str, Callable[[Tensor], Tensor]] = {
        "vgg19": style.vgg_statistics(load_vgg19(style.STYLE_LAYERS, options.vgg19)),
        "vgg19-conv5_1": style.vgg_statistics(load_vgg19(["conv5_1"], options.vgg19)),
        "filters": style.filter_statistics,
    }
    content = load_vgg19([style.CONTENT_LAYER], options.vgg19)
    report = {
        "model": options.model,
        "n": {"photos": len(photos), "paintings": len(real)},
        "style distance": {name: distances(function, photos, painted, real) for name, function in statistics.items()},
        "content kept": mean(style.content_kept(content, a, b) for a, b in zip(photos, painted, strict=True)),
        "colour moved": mean(style.colour_moved(a, b) for a, b in zip(photos, painted, strict=True)),
    }
    print(json.dumps(report, indent=2))


def distances(
    statistics: Callable[[Tensor], Tensor], photos: list[Tensor], painted: list[Tensor], real: list[Tensor]
) -> dict[str, float]:
    of_photos, of_real, of_painted = (style.collect(statistics, pictures) for pictures in (photos, real, painted))
    x, y, z = style.standardise([of_real, of_photos], of_photos, of_real, of_painted)
    order = torch.randperm(len(y), generator=torch.Generator().manual_seed(0))
    first, second = y[order].chunk(2)
    pairs = {"photos": (x, y), "painted": (z, y), "real halves": (first, second)}
    return {name: round(style.kernel_distance(a, b), 4) for name, (a, b) in pairs.items()}


def mean(values: object) -> float:
    numbers = [float(value) for value in values]  # type: ignore[attr-defined]
    return round(sum(numbers) / len(numbers), 4)


if __name__ == "__main__":
    main()
