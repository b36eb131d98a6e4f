"""Find an artist's brush: the parameters whose under-paintings are hardest to tell from the artist's paintings.

    python scripts/find_brush.py PHOTOS PAINTINGS -o monet.json --vgg19 FILE --generations 20 --jobs 4
    python scripts/find_brush.py PHOTOS PAINTINGS --start monet.json --score local-dir:RUN/model --vgg19 FILE

CMA-ES (Hansen, 2016, by the library `cma`) looks for the minimum of the sum of

    told       how well ridge regression on moments of VGG-19's features tells patches of 64 px of under-paintings from
               those of paintings: the share of the variance of the labels that it explains in cross-validation, grouped
               by picture; 0 if it cannot tell, 1 if it always can
    style      the energy distance of moments of whole pictures, relative to that of the photos as they are
    left       how far the correlations with the photo of the luminance bands of under 1, 1 to 2 and 2 to 4 px exceed
               0.12, 0.50 and 0.76: strokes so small that they copy the photo would win otherwise
    strokes    half the share by which there are more than 4,500 strokes, which take time and cannot be told apart

All pictures are seen at 256 px. The file written has `brush`, `palette` (the strength found) and `colors` (the palette
of the paintings, a table of means and covariances), as `artgan train --underpaint FILE` reads it. Use training pictures
only: those kept aside are there to measure with.

With --score nothing is searched: the terms are printed of the photos, of their under-paintings by the brush of --start,
and of what each model paints over these.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import cma
import numpy as np
import torch
from artgan_cyclegan.style import STYLE_LAYERS, moments
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from artgan.data import PictureFolder
from artgan.data.crops import center_crops
from artgan.data.pictures import evenly
from artgan.errors import ArtganError
from artgan.features import VGG19, load_vgg19
from artgan.files import atomic_write
from artgan.interfaces import Generator
from artgan.metrics.photo_left import luminance, photo_left
from artgan.models.hands import read_brush
from artgan.models.loading import load_torch_model
from artgan.painting.brushwork import Brush
from artgan.painting.manner import Manner
from artgan.painting.palette import Palette
from artgan.painting.underpainting import Study

SIZE = 256
FOLDS = 4
RIDGE = 0.1  # of the mean variance
BATCH = 8
AIMS = (0.12, 0.50, 0.76)  # of what is left of the photo in the three finest bands
STROKES = 4500
# Of each parameter its range, and whether it is searched by its logarithm.
RANGES: dict[str, tuple[float, float, bool]] = {
    "largest": (0.02, 0.06, True),
    "smallest": (0.005, 0.012, True),
    "grid": (1.0, 2.5, True),
    "threshold": (4.0, 30.0, True),
    "shortest": (1.5, 8.0, True),
    "longest": (4.0, 30.0, True),
    "curvature": (0.3, 1.0, False),
    "opacity": (0.6, 1.0, False),
    "taper": (0.0, 0.8, False),
    "lightness": (0.0, 8.0, False),
    "hue": (0.0, 30.0, False),
    "saturation": (0.0, 0.4, False),
    "shadows": (0.0, 14.0, False),
    "palette": (0.3, 1.0, False),
}

Pixels = NDArray[np.uint8]


def parameters(point: NDArray[np.float64]) -> dict[str, float]:
    """The parameters at a point of the unit cube."""
    values = {}
    for at, (name, (least, most, by_logarithm)) in zip(np.clip(point, 0, 1), RANGES.items(), strict=True):
        value = least * (most / least) ** at if by_logarithm else least + (most - least) * at
        values[name] = round(float(value), 4)
    values["longest"] = max(values["longest"], values["shortest"])
    return values


def point_of(brush: Brush, palette: float) -> list[float]:
    """The point of a brush in the unit cube."""
    point = []
    for name, (least, most, by_logarithm) in RANGES.items():
        value = palette if name == "palette" else getattr(brush, name)
        at = np.log(value / least) / np.log(most / least) if by_logarithm else (value - least) / (most - least)
        point.append(float(np.clip(at, 0.02, 0.98)))
    return point


class Painter:
    """Under-paints photos, in as many processes as wanted: each gets the photos once."""

    photos: list[Pixels]
    palette: Palette

    @classmethod
    def begin(cls, photos: list[Pixels], palette: Palette) -> None:
        cls.photos, cls.palette = photos, palette
        torch.set_num_threads(1)

    @classmethod
    def paint(cls, task: tuple[int, dict[str, float]]) -> tuple[Pixels, list[float], int]:
        """The under-painting of a photo, how much of the photo is left in each band, and the number of strokes."""
        number, values = task
        photo = cls.photos[number]
        brush = Brush(**{name: value for name, value in values.items() if name != "palette"})
        manner = Manner(brush, palette=cls.palette, palette_strength=values["palette"], seed=number)
        study = Study.of(Image.fromarray(photo), manner)
        assert study.strokes is not None  # there is a brush
        painted = study.strokes.draw(study.size)
        return painted, left([photo], [painted])[0], len(study.strokes)


def left(photos: list[Pixels], pictures: list[Pixels]) -> list[list[float]]:
    """How much of each photo is left in its picture, in as many bands as :data:`AIMS` has."""
    lights = [luminance(torch.from_numpy(np.stack(group)).permute(0, 3, 1, 2)) for group in (photos, pictures)]
    return [row[: len(AIMS)] for row in photo_left(*lights).tolist()]


@torch.no_grad()
def seen(pictures: list[Pixels], network: VGG19, device: torch.device) -> tuple[Tensor, Tensor]:
    """Moments of whole pictures, N x D, and of their 64-px patches, N x 16 x D."""
    whole, parts = [], []
    for start in range(0, len(pictures), BATCH):
        batch = torch.from_numpy(np.stack(pictures[start : start + BATCH])).permute(0, 3, 1, 2).to(device)
        pairs = [moments(features) for features in network(batch.float() / 127.5 - 1)]
        whole.append(torch.cat([one.flatten(1) for one, _ in pairs], 1))
        parts.append(torch.cat([one for _, one in pairs], 2))
    return torch.cat(whole), torch.cat(parts)


def energy_distance(a: Tensor, b: Tensor) -> float:
    """2 E|a - b| - E|a - a'| - E|b - b'| without the pairs of a picture with itself (Szekely and Rizzo, 2013)."""

    def among(x: Tensor) -> Tensor:
        return torch.cdist(x, x).sum() / (len(x) * (len(x) - 1))

    return float(2 * torch.cdist(a, b).mean() - among(a) - among(b))


def told(a: Tensor, b: Tensor) -> float:
    """The share of the labels' variance that ridge regression explains in cross-validation by picture, 0 to 1."""
    count = min(len(a), len(b))
    rows = torch.cat([a[:count], b[:count]]).double()  # 2 count x patches x D
    folds = torch.arange(count, device=a.device).repeat(2) % FOLDS
    labels = torch.cat([torch.ones(count), -torch.ones(count)]).to(rows)
    missed = 0.0
    for fold in range(FOLDS):
        learn, test = rows[folds != fold].flatten(0, 1), rows[folds == fold].flatten(0, 1)
        y = labels[folds != fold].repeat_interleave(rows.shape[1])
        mean, deviation = learn.mean(0), learn.std(0) + 1e-9
        learn, test = (learn - mean) / deviation, (test - mean) / deviation
        gram = learn @ learn.T  # fewer patches than moments
        weights = torch.linalg.solve(gram + RIDGE * gram.diagonal().mean() * torch.eye(len(gram)).to(gram), y)
        says = test @ (learn.T @ weights)
        missed += float((says - labels[folds == fold].repeat_interleave(rows.shape[1])).square().mean()) / FOLDS
    return max(0.0, 1 - missed)


def squares(folder: Path, count: int) -> list[Pixels]:
    """The center squares of pictures evenly spread over a folder."""
    pictures = PictureFolder(folder)
    return [*center_crops(pictures, min(count, len(pictures)), SIZE).permute(0, 2, 3, 1).contiguous().numpy()]


class Judge:
    """What pictures are compared with: moments of the paintings, and the photos' own distance to them."""

    def __init__(self, photos: list[Pixels], paintings: list[Pixels], features: Path | None, device: str) -> None:
        self.device = torch.device(device)
        self.network = load_vgg19(STYLE_LAYERS, features).to(self.device)
        whole, parts = seen(paintings, self.network, self.device)
        self.center, self.scale = whole.mean(0), whole.std(0) + 1e-3 * whole.mean(0).abs() + 1e-9
        self.whole = (whole - self.center) / self.scale
        self.parts = parts[evenly(len(parts), min(len(photos), len(parts)))]
        self.of_photos = 1.0
        self.of_photos = self.terms(photos)["style"]

    def terms(self, pictures: list[Pixels]) -> dict[str, float]:
        """``told`` and ``style`` of pictures."""
        whole, parts = seen(pictures, self.network, self.device)
        style = energy_distance((whole - self.center) / self.scale, self.whole)
        return {"told": told(parts, self.parts), "style": style / self.of_photos}


def score(args: argparse.Namespace) -> None:
    """Print the terms of photos, of their under-paintings, and of what the models paint over these."""
    photos, paintings = squares(args.photos, args.pictures), squares(args.paintings, 200)
    judge = Judge(photos, paintings, args.vgg19, args.device)
    known = read_brush(args.start)
    palette = known.palette or Palette.of(paintings)
    values = {**known.brush.to_dict(), "palette": known.strength}
    Painter.photos, Painter.palette = photos, palette
    under = [Painter.paint((number, values))[0] for number in range(len(photos))]
    rows = {"photos": photos, "under-paintings": under}
    for name in args.score:
        generator = load_torch_model(name, device=args.device).generator
        rows[name] = [painted_over(picture, generator, judge.device) for picture in under]
    for name, pictures in rows.items():
        shown = ", ".join(f"{term} {value:.3f}" for term, value in judge.terms(pictures).items())
        bands = np.nanmean(left(photos, pictures), 0)
        print(f"{name}: {shown}; bands {bands.round(2)}", flush=True)


@torch.no_grad()
def painted_over(picture: Pixels, generator: Generator, device: torch.device) -> Pixels:
    """What a network paints over an under-painting."""
    x = torch.from_numpy(picture).permute(2, 0, 1)[None].to(device) / 127.5 - 1
    y = (generator(x)[0].permute(1, 2, 0) + 1) * 127.5
    return np.asarray(y.round().clamp(0, 255).byte().cpu())


def search(args: argparse.Namespace) -> dict[str, Any]:
    """The best brushwork found."""
    photos, paintings = squares(args.photos, args.pictures), squares(args.paintings, 200)
    palette = Palette.of(paintings)
    judge = Judge(photos, paintings, args.vgg19, args.device)
    print(f"photos: {judge.terms(photos)}, distance {judge.of_photos:.2f}", flush=True)
    best: tuple[float, dict[str, float]] = (float("inf"), {})
    start = point_of(Brush(), 0.7)
    if args.start:
        known = read_brush(args.start)
        start = point_of(known.brush, known.strength)
    began = time.monotonic()
    evolution = cma.CMAEvolutionStrategy(
        start,
        args.step,
        {"bounds": [0, 1], "popsize": args.population, "seed": args.seed + 1, "verbose": -9},
    )
    with ProcessPoolExecutor(args.jobs, initializer=Painter.begin, initargs=(photos, palette)) as pool:
        for generation in range(args.generations):
            if args.seconds and time.monotonic() - began > args.seconds:
                break
            points = evolution.ask()
            candidates = [parameters(point) for point in points]
            tasks = [(number, values) for values in candidates for number in range(len(photos))]
            made = list(pool.map(Painter.paint, tasks, chunksize=max(1, len(photos) // 4)))
            losses = []
            for place, values in enumerate(candidates):
                mine = made[place * len(photos) : (place + 1) * len(photos)]
                bands = np.nanmean([one for _, one, _ in mine], 0)
                count = np.mean([one for _, _, one in mine])
                terms = {
                    **judge.terms([painted for painted, _, _ in mine]),
                    "left": float(np.maximum(bands - AIMS, 0).sum() * 5),
                    "strokes": float(max(0.0, count / STROKES - 1) / 2),
                }
                losses.append(sum(terms.values()))
                if losses[-1] < best[0]:
                    best = (losses[-1], values)
                    shown = ", ".join(f"{name} {value:.3f}" for name, value in terms.items())
                    print(f"{generation}: {losses[-1]:.4f} = {shown}; bands {bands.round(2)}; {values}", flush=True)
            evolution.tell(points, losses)
    values = dict(best[1])
    strength = values.pop("palette")
    return {"brush": values, "palette": strength, "colors": palette.to_dict()}


def main() -> int:
    """The command line; 2 where an option is bad or a picture cannot be read."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, metavar="PHOTOS")
    parser.add_argument("paintings", type=Path, metavar="PAINTINGS")
    parser.add_argument("-o", "--out", type=Path, metavar="FILE", help="the brushwork that is found")
    parser.add_argument(
        "--vgg19", type=Path, metavar="FILE", help="its weights [default: from the user's settings, or downloaded]"
    )
    parser.add_argument("--start", type=Path, metavar="FILE", help="begin at this brushwork [default: Brush()]")
    parser.add_argument("--score", action="append", metavar="MODEL", help="score models over the brush of --start")
    parser.add_argument("--step", type=float, default=0.2, help="of the first generation, a share of each range")
    parser.add_argument("--pictures", type=int, default=32, help="photos under-painted for each candidate")
    parser.add_argument("--population", type=int, default=12)
    parser.add_argument("--generations", type=int, default=20)
    parser.add_argument("--seconds", type=float, help="begin no generation after this time")
    parser.add_argument("--jobs", type=int, default=1, help="processes that paint")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    if args.score and not args.start:
        parser.error("--score needs the brush of --start")
    if not args.score and not args.out:
        parser.error("-o: where the brushwork goes")
    try:
        if args.score:
            score(args)
            return 0
        found = search(args)
        with atomic_write(args.out) as part:
            part.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    except (ArtganError, OSError, ValueError) as error:
        print(f"find_brush: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
