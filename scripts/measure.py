"""Evaluate a model on held-out pictures: all scores of its entry in registry.yaml.

    python scripts/measure.py MODEL --photos DIR --paintings DIR [--trained-on DIR] [--artist NAME=DIR ...]
    python scripts/measure.py MODEL --paintings DIR [--trained-on DIR]        # a model of pictures from noise
    python scripts/measure.py photos --photos DIR --paintings DIR             # the unpainted photos, for comparison
    python scripts/measure.py MODEL --photos DIR --viewed 1024                # of large photos, what is left and kept

The photos are painted (or 1,000 pictures sampled) into a folder, which artgan.metrics.evaluation evaluates. The output
is the lines under `metrics:` in registry.yaml, with reference values in a comment above them:

    style-distance-...   kernel distance to the paintings in statistics of VGG-19's style layers, of its conv5_1, which
                         no discriminator sees, and of colors and edges at four scales, no network; 0 is best
    told-...             how often a classifier tells patches of 64 px from the paintings', by VGG-19 and by colors and
                         edges; 0.5 is by chance, 1 always
    content-kept-...     cosine of photo and painting in VGG-19's conv4_2; 1 is all
    photo-left-...       correlation of photo and painting in detail of up to 1, 1 to 2, 2 to 4, 4 to 8 and 8 to 16 px;
                         0 is none of the photo
    color-moved         mean difference between 16 x 16 pixel averages of painting and photo, of 255
    copies               share of the paintings that only repeat the photo, possibly recolored; 0 is best
    grid                 strength of the 4-pixel grid artifact in the spectrum, in decibels; 0 or less is none
    diversity-vgg19      of samples: diversity relative to that of the paintings; 1 is as varied
    diversity            of samples: the same on pixels, at 32 x 32
    nearest-painting     of samples: median distance to the nearest painting or its mirror image (root mean square at
                         32 x 32, of 255)
    taken-for-NAME       share that a classifier of real pictures by artist (--artist) attributes to that artist
    memorization         share of near-copies of paintings of --trained-on
    held-out-gap         distance to paintings of --trained-on, divided by that to as many held-out ones

Photos are painted at their own size and compared at 256 px. With --viewed N, large photos and their paintings are
compared as they are seen at N px (the middle square); the scores that need paintings are left out, since these are
smaller.

Exit status: 0; 1 if a score is missing or a picture was not used, which is reported; 2 for a wrong call.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
import yaml
from PIL import Image
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

import artgan
from artgan import images
from artgan.data import PictureFolder
from artgan.data.crops import center_square
from artgan.errors import ArtganError, printable
from artgan.metrics.evaluation import Evaluator, collect_errors, pairs
from artgan.metrics.extraction import Readable
from artgan.metrics.extractors import load_extractor
from artgan.metrics.scoring import given_files
from artgan.painting import Job, paint_files
from artgan.sampling.sampling import write_files
from artgan.settings import NETWORKS
from artgan.training.study import spread

PHOTOS = "photos"  # in place of a model
SIZE, SAMPLES, LEAST = 256, 1000, 5
# Of 255, see recolored(). Of 100 photos saved as JPEG with quality 75, or made 10 % brighter, 30 % more colorful or
# warmer, 94 to 100 are below; of their paintings by cyclegan.monet none is, and the minimum is 4.7.
COPY = 2.0
NAMES = {
    "style": "style-distance-vgg19",
    "style-deep": "style-distance-vgg19-conv5_1",
    "style-filters": "style-distance-filters",
    "told-vgg19": "told-vgg19",
    "told-filters": "told-filters",
    "content": "content-kept-vgg19-conv4_2",
    "diversity": "diversity-vgg19",
    "memorization": "memorization",
}


class Card:
    """The scores of a model.

    Args:
        kind: the model's inputs: "photos" that were painted, or "samples".
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.metrics: list[dict[str, Any]] = []
        self.beside: dict[str, dict[str, float]] = {}  # reference values, by their set
        self.missing: list[str] = []  # why scores are missing, and pictures were not used
        self.notes: list[str] = []

    def add(self, name: str, value: float, n: Sequence[int], reference: str, digits: int = 4, **more: Any) -> None:
        """Add a score computed on ``n`` real paintings and generated pictures."""
        counts = {self.kind: n[1], "paintings": n[0]}
        entry = {"name": name, "value": round(value, digits), "n": counts, "reference": reference}
        self.metrics.append({**entry, "tool": "scripts/measure.py", **more})

    def score(self, evaluator: Evaluator, made: Path, metric: str, reference: str) -> None:
        """Add the scores of one of artgan's metrics."""
        evaluation = evaluator.evaluate(made, [metric])
        self.missing += [f"{name}: {why}" for name, why in evaluation.failed.items()]
        self.notes += evaluation.notes
        for score in evaluation.scores:
            name = NAMES.get(metric, score.name)
            n = (0, score.n[1]) if metric in ("content", "photo-left") else score.n
            self.add(name, score.value, n, reference, interval=score.interval, details=dict(score.details))
            self.notes += [f"{name}: {note}" for note in score.notes]
            for key, what in (("inputs", "the photos as they are"), ("real halves", "two halves of the paintings")):
                if key in score.details:
                    self.compare(what, name, score.details[key])

    def compare(self, what: str, name: str, value: float, digits: int = 4) -> None:
        self.beside.setdefault(what, {})[name] = round(value, digits)

    def lines(self) -> Iterator[str]:
        """Format the scores for registry.yaml."""
        for what, figures in self.beside.items():
            text = f"Of {what}: " + ", ".join(f"{name} {value}" for name, value in figures.items()) + "."
            yield from textwrap.wrap(text, 112, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False)
        for metric in self.metrics:
            entry = {key: metric[key] for key in ("name", "value", "n", "reference", "tool")}
            yield "- " + yaml.safe_dump(entry, default_flow_style=True, sort_keys=False, width=2**16).strip()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a name of the registry, local-dir:PATH, or photos")
    parser.add_argument("--photos", type=Path, help="held-out photos; needed for a model that paints")
    parser.add_argument("--paintings", type=Path, help="held-out paintings, or the same as --trained-on")
    parser.add_argument("--trained-on", type=Path, help="paintings that the model was trained on")
    parser.add_argument(
        "--artist", action="append", default=[], metavar="NAME=DIR", help="two or more; without held-out pictures"
    )
    parser.add_argument("--as", dest="own", metavar="NAME", help="whose style it is; default: the first --artist")
    for network in NETWORKS:
        parser.add_argument(f"--{network}", type=Path, metavar="FILE", help="default: from the user's settings")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="a new folder for the model's pictures")
    parser.add_argument("--limit", type=int, help="use only so many pictures of each set, evenly over it")
    parser.add_argument("--quick", action="store_true", help="style distances, content and photo-left alone")
    parser.add_argument("--viewed", type=int, metavar="N", help="content and photo-left alone, seen at N px")
    parser.add_argument("--format", choices=("yaml", "json"), default="yaml")
    options = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory() as temporary:
            card = measure(options, options.keep or Path(temporary))
    except ArtganError as error:
        print(f"measure.py: {printable(str(error))}", file=sys.stderr)
        return 2
    for line in dict.fromkeys([*card.missing, *card.notes]):
        print(f"measure.py: {printable(line)}", file=sys.stderr)
    if options.format == "json":
        print(json.dumps({"model": options.model, **vars(card)}, indent=2))
    else:
        print(textwrap.indent("\n".join(card.lines()), " " * 6))
    return 1 if card.missing else 0


def measure(options: argparse.Namespace, made: Path) -> Card:
    """The card of a model, whose pictures are written to the folder ``made``.

    Raises:
        ArtganError: there is no such model, set of pictures or network, or the options are inconsistent.
    """
    model = None if options.model == PHOTOS else artgan.load(options.model)
    paints = model is None or model.generator.task == "image-to-image"
    given = [text.partition("=") for text in options.artist]
    artists = {name: Path(folder) for name, _, folder in given if name and folder}
    own = options.own or next(iter(artists), "")
    check(options, paints, artists, own)
    size = options.viewed or (SIZE if model is None or paints else model.sample()[0].width)
    files = {network: getattr(options, network) for network in NETWORKS}
    settings = {**files, "size": size, "limit": options.limit}
    evaluator = Evaluator(real=options.paintings, inputs=options.photos, **settings)
    evaluator.scan_all(options.paintings, options.photos, options.trained_on, *artists.values())
    load_extractor("vgg19", given_files(**files))  # so that wrong weights are detected before anything is painted

    card = Card("photos" if paints else "samples")
    if model is None:
        made = options.photos
    elif paints:
        paint(card, model, evaluator.scan(options.photos), made)
    else:
        write_files(model.generator, range(options.limit or SAMPLES), made)
    where = "paintings of the training" if kept_aside(options) is None else "paintings kept aside"
    full = not (options.quick or options.viewed)
    if options.paintings is not None:
        for metric in ("style", "style-deep", "style-filters"):
            card.score(evaluator, made, metric, where)
    if full:
        score_told(card, evaluator, made, where)
    if paints:
        compare_with_photos(card, evaluator, made, options)
    elif full:
        card.score(evaluator, made, "diversity", "that of the paintings is 1")
        score_pixels(card, size, evaluator.scan(made), evaluator.scan(options.paintings), where)
    if full:
        score_grid(card, evaluator, made, size)
    if full and artists:
        with collect_errors(card.missing):
            attribute(card, evaluator, artists, own, made, kept_aside(options))
    if full and options.trained_on is not None:
        score_memorization(card, Evaluator(real=options.trained_on, **settings), made, kept_aside(options))
    card.missing += [line for skipped in evaluator.skipped.values() for line in skipped]
    return card


def check(options: argparse.Namespace, paints: bool, artists: Mapping[str, Path], own: str) -> None:
    """Refuse options that do not go together.

    Raises:
        ArtganError: see its message.
    """
    if paints != (options.photos is not None):
        raise ArtganError(f"{options.model}: " + ("give --photos" if paints else "paints nothing; leave --photos out"))
    if (options.paintings is None) == (options.viewed is None):
        raise ArtganError("give either --paintings, or --viewed to compare with the photos alone")
    if options.viewed is not None and (not paints or options.artist or options.trained_on or options.viewed < 32):
        raise ArtganError(f"--viewed {options.viewed}: needs at least 32 px, --photos, and no other pictures")
    if options.artist and not (len(options.artist) == len(artists) > 1 and own in artists):
        raise ArtganError("--artist NAME=DIR is needed for two or more, each name once, and --as is one of the names")
    if options.limit is not None and options.limit < LEAST:
        raise ArtganError(f"--limit {options.limit}: at least {LEAST} pictures are needed")
    if options.keep is not None and options.keep.exists():
        raise ArtganError(f"--keep {options.keep}: exists; name a new folder")


def kept_aside(options: argparse.Namespace) -> Path | None:
    """The paintings, unless the model was trained on them."""
    ours = options.trained_on is not None and options.trained_on.resolve() == options.paintings.resolve()
    return None if ours else options.paintings


def paint(card: Card, model: artgan.Model, photos: Readable, made: Path) -> None:
    """Paint the photos into a folder."""
    folder = photos.pictures
    assert isinstance(folder, PictureFolder)
    jobs = [Job(folder.paths[i], (made / folder.names[i]).with_suffix(".png")) for i in photos.indices]
    manner, options = model.painting({})
    painted = paint_files(model.running_on("torch"), jobs, manner=manner, options=options)
    card.missing += [result.error for result in painted if result.error is not None]


def score_told(card: Card, evaluator: Evaluator, made: Path, reference: str) -> None:
    """Tell the model's pictures from the paintings, and the photos for reference."""
    for metric in ("told-vgg19", "told-filters"):
        card.score(evaluator, made, metric, reference)
        if evaluator.inputs is not None and evaluator.inputs != made:
            for score in evaluator.evaluate(evaluator.inputs, [metric]).scores:
                card.compare("the photos as they are", NAMES[metric], score.value)


def compare_with_photos(card: Card, evaluator: Evaluator, made: Path, options: argparse.Namespace) -> None:
    """Compare each painting with its photo."""
    reference = "the photo of each painting" + (f", seen at {options.viewed} px" if options.viewed else "")
    for metric in ("content", "photo-left"):
        card.score(evaluator, made, metric, reference)
    if options.quick or options.viewed:
        return
    photos, paintings = evaluator.scan(options.photos), evaluator.scan(made)
    moved, differ = [], []
    for place, other in zip(*pairs(photos, paintings), strict=True):
        photo, painting = images.to_tensor(photos.picture(place)), images.to_tensor(paintings.picture(other))
        moved.append(color_moved(photo, painting))
        differ.append(recolored(photo, painting))
    n = 0, len(moved)
    card.add("color-moved", fmean(moved), n, reference, 2)
    card.add("copies", fmean(difference < COPY for difference in differ), n, reference, nearest=min(differ))


def color_moved(photo: Tensor, painting: Tensor) -> float:
    """Mean absolute difference of 16 x 16 pixel averages, of 255: changes of color, not of strokes."""
    difference = avg_pool2d((painting - photo).unsqueeze(0), 16, ceil_mode=True)
    return float(difference.abs().mean() * 127.5)


def recolored(photo: Tensor, painting: Tensor) -> float:
    """Distance of a painting from its photo after the best linear map of colors, of 255."""
    colors = torch.cat([photo, torch.ones_like(photo[:1])]).flatten(1).T
    target = painting.flatten(1).T
    fitted = colors @ torch.linalg.lstsq(colors, target).solution
    return float((target - fitted).abs().mean() * 127.5)


def score_grid(card: Card, evaluator: Evaluator, made: Path, size: int) -> None:
    """Measure the grid artifact of the model's pictures, and of the photos and the paintings for reference."""

    def measure_grid(picture: Image.Image) -> float:
        return grid(images.to_tensor(center_square(picture, size)))

    known = {"the photos as they are": evaluator.inputs, "the paintings": evaluator.real}
    found = list(evaluator.scan(made).each("grid of", measure_grid))
    card.add("grid", fmean(found), (0, len(found)), "0 or less is none", 1)
    for what, location in known.items():
        if location is not None:
            card.compare(what, "grid", fmean(evaluator.scan(location).each("grid of", measure_grid)), 1)


def grid(picture: Tensor) -> float:
    """Strength of the 4-pixel grid artifact in a picture's spectrum, in decibels.

    Networks that upsample by 4 leave such a grid (Odena et al., 2016). The strength is the mean over the 15 frequencies
    of that period, of 3 x 3 bins around each relative to those at a distance of 3 to 7; for white noise about -0.5.

    Args:
        picture: 3 x H x W in [-1, 1], sides at least 32 and multiples of 4.
    """
    height, width = picture.shape[1:]
    light = picture.mean(0) * 127.5
    window = torch.hann_window(height)[:, None] * torch.hann_window(width)
    energy = torch.fft.fft2((light - light.mean()) * window).abs().square()
    energy += window.square().sum() / 12  # of rounding to integer levels, the only energy of a plain picture
    peaks = []
    for row, column in list(product(range(4), repeat=2))[1:]:
        around = energy.roll((7 - row * height // 4, 7 - column * width // 4), (0, 1))[:15, :15]
        others = (around.sum() - around[5:10, 5:10].sum()) / (15**2 - 5**2)
        peaks.append(float(10 * torch.log10(around[6:9, 6:9].mean() / others)))
    return fmean(peaks)


def score_pixels(card: Card, size: int, samples: Readable, paintings: Readable, reference: str) -> None:
    """Diversity of samples and their distance to the paintings, in pixels at 32 x 32."""

    def downscale(picture: Image.Image) -> Tensor:
        pixels = images.to_tensor(center_square(picture, size))[None]
        return interpolate(pixels, size=(32, 32), mode="bilinear", antialias=True)[0] * 127.5

    pictures, real = (torch.stack(list(readable.each("pixels of", downscale))) for readable in (samples, paintings))
    x, y, mirrored = (stack.flatten(1) for stack in (pictures, real, real.flip(3)))
    near, own = (torch.minimum(torch.cdist(rows, y), torch.cdist(rows, mirrored)) for rows in (x, y))
    own.fill_diagonal_(torch.inf)  # itself
    found, usual = (float(distances.min(1).values.median()) / x.shape[1] ** 0.5 for distances in (near, own))
    n = len(real), len(pictures)
    card.add("diversity", spread(pictures) / spread(real), n, "that of the paintings is 1", 3)
    card.add("nearest-painting", found, n, reference, 1)
    card.compare("the paintings to one another", "nearest-painting", usual, 1)


def attribute(
    card: Card, evaluator: Evaluator, artists: dict[str, Path], own: str, made: Path, kept_aside: Path | None
) -> None:
    """Classify the model's pictures by artist, and the photos and held-out paintings for reference.

    Raises:
        ArtganError: there is no classifier, or it was trained on pictures that it should classify.
    """
    known = {"the photos as they are": evaluator.inputs, "the paintings kept aside": kept_aside}
    references = {what: location for what, location in known.items() if location is not None}
    report, notes = evaluator.classify_artists(artists, [made, *references.values()])
    if notes:
        raise ArtganError(f"taken-for-{own}: {notes[0]}")
    shares = {location: attributed.shares[own] for location, attributed in report.sets.items()}
    found, n = shares[str(made)], (sum(report.counts.values()), report.sets[str(made)].n)
    reference = f"a classifier that is {report.balanced_accuracy:.0%} right"  # the mean over artists
    card.add(f"taken-for-{own}", found.share, n, reference, interval=found.interval, details=report.to_dict())
    for what, location in references.items():
        card.compare(what, f"taken-for-{own}", shares[str(location)].share)


def score_memorization(card: Card, learned: Evaluator, made: Path, kept_aside: Path | None) -> None:
    """Measure memorization of the training paintings, with held-out paintings for reference."""
    card.score(learned, made, "memorization", "of fresh paintings 0.05")
    if kept_aside is None:
        return
    for score in learned.evaluate(kept_aside, ["memorization"]).scores:
        card.compare("the paintings kept aside", "memorization", score.value)
    with collect_errors(card.missing):
        gap = learned.held_out_gap(made, kept_aside)
        n, reference = (gap.size, len(learned.scan(made))), "1 if nothing is by heart"
        card.add("held-out-gap", gap.ratio, n, reference, interval=gap.interval)


if __name__ == "__main__":
    sys.exit(main())
