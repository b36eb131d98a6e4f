"""Compare models that paint in the style of any picture: how near to the style, how much of the photo is kept.

    python scripts/any_style.py paint --model anystyle --photos DIR --styles DIR -o OUT/anystyle
    python scripts/any_style.py paint --model gatys.vgg19 --one --set size=256 ... -o OUT/gatys
    python scripts/any_style.py measure --photos DIR --styles DIR --vgg19 FILE OUT/anystyle OUT/gatys ...

``paint`` paints every photo in every style, or with ``--one`` each photo in one style, the next one for the next photo,
and writes ``PHOTO--STYLE.png``; another program's paintings can be put beside them under the same names. ``measure``
prints for each folder, over the pairs that all of them have: the distance to the style, which is the relative distance
of Gram matrices at relu1_1 to relu5_1 (gatys's own loss with the recipe artgan), the same at layers of a second network
(``--second FILE.onnx --nodes NAME,NAME``), and the content kept (the cosine at conv4_2); beside the photo as it is; and
for how many pairs the first folder is nearer to the style, and keeps no less, than each other one. With ``--sheet`` it
writes a sheet of some of the paintings.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from artgan_gatys.config import RECIPES
from artgan_gatys.losses import gram
from artgan_gatys.networks import build_network
from PIL import Image
from torch import Tensor

import artgan
from artgan import images, sheets
from artgan.metrics.style import content_kept

STYLE = RECIPES["artgan"].style_layers
CONTENT = "relu4_2"
SIDE = 256  # the longer side of photos and styles where they are compared
FIGURES = ("style", "second", "content")

Features = Callable[[Tensor], Mapping[str, Tensor]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    for name, run in (("paint", paint), ("measure", measure)):
        command = commands.add_parser(name)
        command.add_argument("--photos", type=Path, required=True)
        command.add_argument("--styles", type=Path, required=True)
        command.set_defaults(run=run)
        if name == "paint":
            command.add_argument("--model", required=True)
            command.add_argument("--device")
            command.add_argument("--one", action="store_true", help="each photo in one style")
            command.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="option of the model")
            command.add_argument("-o", "--out", type=Path, required=True)
        else:
            command.add_argument("--vgg19", type=Path, required=True)
            command.add_argument("--second", type=Path, help="an ONNX file: N x 3 x H x W in [0, 1] to features")
            command.add_argument("--nodes", default="", help="names of its values that are compared")
            command.add_argument("--sheet", type=Path)
            command.add_argument("--sheet-photos", default="", help="names for the sheet [default: the first six]")
            command.add_argument("--sheet-styles", default="", help="names for the sheet [default: the first eight]")
            command.add_argument("folders", type=Path, nargs="+")
    options = parser.parse_args()
    options.run(options)


def paint(options: argparse.Namespace) -> None:
    """Paint, and print the median time for a painting."""
    chosen = dict(text.split("=", 1) for text in options.set)
    numbers = {key: float(value) if "." in value else int(value) for key, value in chosen.items() if value[0].isdigit()}
    model = artgan.load(options.model, device=options.device)
    photos, styles = read(options.photos), paths(options.styles)
    options.out.mkdir(parents=True, exist_ok=True)
    seconds = []
    for number, (photo, picture) in enumerate(photos.items()):
        names = [*styles][number % len(styles) :][:1] if options.one else [*styles]
        for style in names:
            target = options.out / f"{photo}--{style}.png"
            if target.exists():
                continue
            began = time.perf_counter()
            painting = model.paint(picture, style=(str(styles[style]),), **{**chosen, **numbers})
            seconds.append(time.perf_counter() - began)
            images.encode(painting, target)
    if seconds:
        print(f"{options.model}: {len(seconds)} paintings, median {1000 * np.median(seconds):.0f} ms")


def measure(options: argparse.Namespace) -> None:
    """Print the table, and draw the sheet if there is to be one."""
    photos, styles = read(options.photos), read(options.styles)
    names = set.intersection(*({path.name for path in folder.glob("*--*.png")} for folder in options.folders))
    pairs = sorted(tuple(name.removesuffix(".png").split("--")) for name in names)
    network = build_network("vgg19.tv_in1k", (*STYLE, CONTENT), weights=options.vgg19)
    second = open_second(options.second, options.nodes.split(",")) if options.second else None

    def vgg(x: Tensor) -> Mapping[str, Tensor]:
        return network(x, (*STYLE, CONTENT))  # type: ignore[no-any-return]  # nn.Module.__call__ is untyped

    of_photos = {name: prepared(picture) for name, picture in photos.items()}
    with torch.inference_mode():
        targets = {name: grams(vgg, prepared(picture), STYLE) for name, picture in styles.items()}
        seconds = {name: grams(second, prepared(picture)) for name, picture in styles.items()} if second else {}
        contents = {name: vgg(x)[CONTENT] for name, x in of_photos.items()}
        rows: dict[str, list[dict[str, float]]] = {}
        for label, folder in {"the photo": None, **{folder.name: folder for folder in options.folders}}.items():
            rows[label] = []
            for photo, style in pairs:
                x = of_photos[photo] if folder is None else prepared(opened(folder / f"{photo}--{style}.png"))
                found = vgg(x)
                row = {
                    "style": apart({layer: gram(found[layer]) for layer in STYLE}, targets[style]),
                    "content": float(content_kept(contents[photo], found[CONTENT])),
                }
                if second:
                    row["second"] = apart(grams(second, x), seconds[style])
                rows[label].append(row)
    print_table(rows, len(pairs), first=options.folders[0].name)
    if options.sheet:
        write_sheet(options, photos, styles)


def print_table(rows: Mapping[str, Sequence[Mapping[str, float]]], count: int, *, first: str) -> None:
    """Print the figures of each folder, and how often those of the first are better than another's.

    Args:
        rows: by the folder's name, the figures of each pair.
        count: the number of pairs.
        first: the name of the first folder.
    """
    print(f"{count} pairs; medians (and means)")
    for label, found_rows in rows.items():
        cells = []
        for figure in FIGURES:
            if values := [row[figure] for row in found_rows if figure in row]:
                cells.append(f"{figure} {np.median(values):.3f} ({np.mean(values):.3f})")
        print(f"  {label:20} " + "  ".join(cells))
    for label, found_rows in rows.items():
        if label == first:
            continue
        both = [*zip(rows[first], found_rows, strict=True)]
        shares = {
            "nearer": np.mean([a["style"] < b["style"] for a, b in both]),
            "keeps no less": np.mean([a["content"] >= b["content"] for a, b in both]),
            "both": np.mean([a["style"] < b["style"] and a["content"] >= b["content"] for a, b in both]),
        }
        if any("second" in row for row in found_rows):
            shares["nearer by the second"] = np.mean([a["second"] < b["second"] for a, b in both])
        print(
            f"  {first} against {label}: " + ", ".join(f"{name} {100 * share:.0f} %" for name, share in shares.items())
        )


def write_sheet(options: argparse.Namespace, photos: Mapping[str, Any], styles: Mapping[str, Any]) -> None:
    """The photos in the first column, a row for each style and folder."""
    chosen = [name for name in options.sheet_photos.split(",") if name] or [*photos][:6]
    rows = {"photo": [Image.new("RGB", (SIDE, SIDE), "white"), *(photos[name] for name in chosen)]}
    for style in [name for name in options.sheet_styles.split(",") if name] or [*styles][:8]:
        for folder in options.folders:
            found = [folder / f"{photo}--{style}.png" for photo in chosen]
            if all(path.exists() for path in found):
                rows[f"{style}: {folder.name}"] = [styles[style], *map(opened, found)]
    images.encode(sheets.sheet(rows, cell=SIDE), options.sheet, overwrite=True)


def apart(ours: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> float:
    """The squared distance of Gram matrices relative to the style's, averaged over the layers."""
    return float(np.mean([float((ours[k] - a).square().sum() / a.square().sum()) for k, a in wanted.items()]))


def grams(network: Features, x: Tensor, layers: Sequence[str] | None = None) -> dict[str, Tensor]:
    found = network(x)
    return {layer: gram(found[layer]) for layer in layers or found}


def open_second(path: Path, nodes: Sequence[str]) -> Features:
    """An ONNX file's intermediate values as a function of a picture in [-1, 1], which is resized to a square."""
    import onnx
    import onnxruntime

    model = onnx.load(path)
    model.graph.output.extend(onnx.helper.make_empty_tensor_value_info(node) for node in nodes)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    given = session.get_inputs()[0]
    sides = [side if isinstance(side, int) and side > 0 else SIDE for side in given.shape[2:]]

    def features(x: Tensor) -> Mapping[str, Tensor]:
        x = torch.nn.functional.interpolate(x, sides, mode="bicubic", antialias=True)
        values = session.run(list(nodes), {given.name: ((x + 1) / 2).clamp(0, 1).numpy()})
        return dict(zip(nodes, map(torch.from_numpy, values), strict=True))

    return features


def paths(folder: Path) -> dict[str, Path]:
    return {path.stem: path for path in sorted(folder.iterdir())}


def opened(path: Path) -> Image.Image:
    return images.decode(path).rgb


def read(folder: Path) -> dict[str, Image.Image]:
    """The pictures of a folder by name, with a longer side of 256 pixels at most."""
    found = {}
    for name, path in paths(folder).items():
        picture = opened(path)
        scale = min(1.0, SIDE / max(picture.size))
        found[name] = picture.resize([round(side * scale) for side in picture.size], Image.Resampling.LANCZOS)
    return found


def prepared(picture: Image.Image) -> Tensor:
    return images.to_tensor(picture)[None]


if __name__ == "__main__":
    main()
