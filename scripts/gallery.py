"""Paint the pictures of docs/gallery.md, from photos that may be published.

    pip install scikit-learn scikit-image
    python scripts/gallery.py -o docs/gallery
    python scripts/gallery.py -o docs/gallery --steps-of RUN --brush monet --models monet,cyclegan.monet-fine

``styles.jpg`` shows photos in every style, ``hard.jpg`` pictures on which translators fail, ``large.jpg`` a photo of 12
megapixels, whole and in part, ``steps.jpg`` the models of a training run in RUN/models/step-NNNNNNNN. The photos are
samples from the installed scikit-learn and scikit-image; docs/gallery.md names their authors. But for ``large.jpg``
they are reduced to the size of the sheet before they are painted, so that each pixel of a sheet is one that a model
painted.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

from PIL import Image, ImageDraw

from artgan import images, sheets
from artgan.errors import ArtganError, printable
from artgan.models.loading import load
from artgan.models.model import Model
from artgan.models.registry import read_registry

CELL = 320  # the longer side of a picture, in pixels
LARGEST = 600_000  # bytes of a sheet
QUALITIES = range(85, 45, -5)  # of the JPEG: the first one that is small enough, or the last
COLUMNS = 6  # of steps.jpg


@dataclass(frozen=True)
class Photo:
    """A sample photo.

    Attributes:
        package: that contains it, by import name.
        distribution: the package's name for pip.
        file: in the package's folder.
        part: left, top, right and bottom of the crop to use, in pixels.
    """

    package: str
    distribution: str
    file: str
    part: tuple[int, int, int, int] | None = None

    def read(self) -> Image.Image:
        """The photo, at its own size.

        Raises:
            ArtganError: the package is missing, or no longer has such a photo.
        """
        spec = find_spec(self.package)
        for folder in (spec.submodule_search_locations or []) if spec else []:
            path = Path(folder, self.file)
            if path.is_file():
                picture = images.decode(path).rgb
                return picture.crop(self.part) if self.part else picture
        raise ArtganError(
            f"{self.file} is a sample photo of {self.distribution}, which is missing: pip install {self.distribution}"
        )


def reduced(picture: Image.Image, side: int = CELL) -> Image.Image:
    """A copy whose longer side is at most ``side`` pixels."""
    copy = picture.copy()
    copy.thumbnail((side, side), Image.Resampling.LANCZOS)
    return copy


_TEMPLE = Photo("sklearn", "scikit-learn", "datasets/images/china.jpg")

PHOTOS = {
    "temple": _TEMPLE,
    "trees": replace(_TEMPLE, part=(0, 250, 330, 427)),
    "lake": replace(_TEMPLE, part=(380, 90, 640, 290)),
    "sky": replace(_TEMPLE, part=(0, 0, 240, 150)),
    "flower": Photo("sklearn", "scikit-learn", "datasets/images/flower.jpg"),
    "coffee": Photo("skimage", "scikit-image", "data/coffee.png"),
    "cat": Photo("skimage", "scikit-image", "data/chelsea.png"),
    "rocket": Photo("skimage", "scikit-image", "data/rocket.jpg"),
    "astronaut": Photo("skimage", "scikit-image", "data/astronaut.png"),
    "camera": Photo("skimage", "scikit-image", "data/camera.png"),
}
STYLES = ("temple", "trees", "lake", "sky", "flower", "coffee", "cat")
MEGAPIXELS = 12e6
HARD = {"night": "rocket", "portrait": "astronaut", "black and white": "camera"}
STEPS = ("temple", "lake", "astronaut")

Rows = dict[str, list[Image.Image]]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--out", type=Path, required=True, help="a folder; existing sheets are replaced")
    parser.add_argument("--models", help="names, separated by commas [default: all bundled ones that paint]")
    parser.add_argument("--photos", help=f"names, separated by commas [default: {','.join(PHOTOS)}]")
    parser.add_argument("--steps-of", type=Path, metavar="RUN", help="the folder of a training run")
    parser.add_argument("--brush", help="of the run's models, if they have none of their own: a model or a file")
    options = parser.parse_args()
    try:
        models, photos = split(options.models) or bundled(), split(options.photos) or list(PHOTOS)
        make(options.out, models, photos, options.steps_of, options.brush)
    except ArtganError as error:
        print(f"gallery: {printable(str(error))}", file=sys.stderr)
        return 2
    return 0


def make(out: Path, models: Sequence[str], photos: Sequence[str], run: Path | None, brush: str | None = None) -> None:
    """Write the sheets, and print their names.

    Raises:
        ArtganError: a photo or a model is missing, or a sheet cannot be written.
    """
    if unknown := [name for name in photos if name not in PHOTOS]:
        raise ArtganError(f"no photo is named {unknown[0]!r}; there are {', '.join(PHOTOS)}")
    whole = {name: PHOTOS[name].read() for name in photos}
    pictures = {name: reduced(picture) for name, picture in whole.items()}
    styles = {name: load(name) for name in models}
    steps = load_steps(run) if run else {}
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ArtganError(f"{out}: the folder cannot be created ({error.strerror})") from None

    write(out / "styles.jpg", painted({name: pictures[name] for name in STYLES if name in pictures}, styles), styles)
    write(out / "hard.jpg", hard(pictures, styles), styles)
    write(out / "large.jpg", large(whole, styles), styles)
    if steps:
        few = {name: pictures[name] for name in STEPS if name in pictures}
        write(out / "steps.jpg", painted(few, steps, brush), steps)


def split(names: str | None) -> list[str]:
    return [name.strip() for name in (names or "").split(",") if name.strip()]


def bundled() -> list[str]:
    """The models that turn a photo into a painting without network access, and without a style picture."""
    entries = [entry for entry in read_registry().entries.values() if entry.task == "image-to-image"]
    return [e.alias or e.name for e in entries if e.availability() == "bundled" and not e.saves_styles()]


def load_steps(run: Path) -> dict[str, Model]:
    """The models of a training run at up to :data:`COLUMNS` evenly spaced steps, including the first and the last.

    Raises:
        ArtganError: there are none.
    """
    found = sorted(run.glob("models/step-" + 8 * "[0-9]"))
    if not found:
        raise ArtganError(f"{run}: has no folders models/step-NNNNNNNN, the models of a run's steps")
    places = sorted({round(column * (len(found) - 1) / (COLUMNS - 1)) for column in range(COLUMNS)})
    return {f"step {int(found[place].name[5:]):,}": load(f"local-dir:{found[place]}") for place in places}


def painted(pictures: Mapping[str, Image.Image], models: Mapping[str, Model], brush: str | None = None) -> Rows:
    """Each picture, and its painting by each model."""
    return {
        name: [picture, *(model.paint(picture, brush=brush) for model in models.values())]
        for name, picture in pictures.items()
    }


def hard(photos: Mapping[str, Image.Image], models: Mapping[str, Model]) -> Rows:
    """Pictures on which translators fail, and their paintings by each model."""
    rows = painted({kind: photos[name] for kind, name in HARD.items() if name in photos}, models)
    if "temple" in photos:
        temple = photos["temple"]
        rows["painted twice"] = [temple, *(model.paint(model.paint(temple)) for model in models.values())]
        enlarged = reduced(temple, CELL // 2).resize(temple.size, Image.Resampling.BICUBIC)
        rows |= painted({"enlarged 2x": enlarged}, models)
    flat = {"flat graphic": flat_graphic(), "plain gray": Image.new("RGB", (CELL, CELL // 2), (128, 128, 128))}
    return rows | painted(flat, models)


def flat_graphic() -> Image.Image:
    """A drawing in plain colors: sun, hills and a house."""
    graphic = Image.new("RGB", (CELL, CELL * 2 // 3), (120, 190, 230))
    pen, side = ImageDraw.Draw(graphic), CELL / 12
    pen.ellipse((8.5 * side, side, 10.5 * side, 3 * side), (250, 210, 60))
    pen.polygon([(0, 8 * side), (0, 5 * side), (4 * side, 4 * side), (9 * side, 8 * side)], (70, 140, 80))
    hill = [(4 * side, 8 * side), (9 * side, 4.5 * side), (12 * side, 6 * side), (12 * side, 8 * side)]
    pen.polygon(hill, (40, 100, 70))
    pen.rectangle((2 * side, 4.5 * side, 4.5 * side, 7 * side), (240, 235, 225))
    pen.polygon([(1.6 * side, 4.5 * side), (3.25 * side, 3 * side), (4.9 * side, 4.5 * side)], (190, 60, 50))
    return graphic


def large(photos: Mapping[str, Image.Image], models: Mapping[str, Model]) -> Rows:
    """A photo enlarged to 12 megapixels and its paintings, reduced to the sheet; and their middle, pixel by pixel."""
    if "temple" not in photos:
        return {}
    temple = photos["temple"]
    scale = (MEGAPIXELS / (temple.width * temple.height)) ** 0.5
    size = (round(temple.width * scale), round(temple.height * scale))
    pictures = painted({"": temple.resize(size, Image.Resampling.BICUBIC)}, models)[""]
    left, top = size[0] // 3, size[1] // 4
    return {
        "12 megapixels": [reduced(picture) for picture in pictures],
        "a part of it": [picture.crop((left, top, left + CELL, top + CELL * 2 // 3)) for picture in pictures],
    }


def write(path: Path, rows: Rows, models: Iterable[str]) -> None:
    """Write the pictures as a sheet, at the highest quality that is small enough; without rows, write nothing."""
    if not rows:
        return
    headings = [name.rstrip("/").rpartition("/" if "/" in name else ".")[2] for name in models]
    sheet = sheets.sheet(rows, cell=CELL, columns=["photo", *headings])
    for quality in QUALITIES:
        images.encode(sheet, path, overwrite=True, quality=quality)
        if path.stat().st_size <= LARGEST:
            break
    print(path)


if __name__ == "__main__":
    sys.exit(main())
