"""What the page does: paints uploads within limits, makes pictures from noise, puts results into one file."""

from __future__ import annotations

import io
import os
import zipfile
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PIL import Image

from artgan import images
from artgan.demo.painters import Painter
from artgan.demo.work import Task
from artgan.errors import ArtganError, ConfigError, PictureError, WeightsError, one_line, printable
from artgan.files import atomic_write, refused_by_windows
from artgan.models.cards import example_picture
from artgan.models.entry import STYLE
from artgan.models.loading import load, load_torch_model
from artgan.models.model import Model
from artgan.painting import paint_files, plan

MOST_FILES = 50
"""Photos painted at once."""

MOST_BYTES = 50 * 2**20
"""Size of one uploaded file."""

MOST_PIXELS = 50_000_000
"""Pixels of one picture, of all its frames together."""

MOST_MADE = 24
"""Pictures from noise made at once."""

_LOADED = 2  # models held in memory
_EXAMPLE = 384  # pixels, the side of the example on the choice of painters
_PREVIEW = 1600  # pixels, the longer side of what the browser shows
_VARIATION = 4  # a variation goes one of so many steps from its seed to another


@dataclass(frozen=True)
class Order:
    """How to paint; the values are those of :class:`artgan.painting.options.PaintOptions`.

    Attributes:
        palette: None for the painter's own strength; not used if colors are kept.
        style: the picture whose style to paint in, for painters that need one.
    """

    painter: Painter
    stroke_size: float = 1.0
    strength: float = 1.0
    palette: float | None = None
    keep_colors: bool = False
    style: Path | None = None

    def options(self) -> dict[str, Any]:
        """The painting options that the painter has.

        Raises:
            ArtganError: the style picture is missing, or cannot be used.
        """
        given: dict[str, Any] = {"strength": self.strength, "keep_colors": self.keep_colors}
        if self.painter.has_strokes:
            given["stroke_size"] = self.stroke_size
        if self.painter.palette is not None and not self.keep_colors:
            given["palette"] = self.palette
        if self.painter.takes_style:
            if self.style is None:
                raise ArtganError("choose a style picture first: the photo is painted in its style")
            check_bounds(self.style)
            given[STYLE] = (str(self.style),)
        return given


@dataclass(frozen=True)
class Painted:
    """What became of one photo.

    Attributes:
        name: the photo's, as uploaded.
        painting: the file, with the photo's size and format; None if there is none.
        before, after: small copies of photo and painting, of equal size, for a browser.
        error: why there is no painting, as a sentence that begins with the name.
        note: what the painting lacks of the photo, likewise.
    """

    name: str
    painting: Path | None = None
    before: Path | None = None
    after: Path | None = None
    error: str | None = None
    note: str | None = None


class Studio:
    """Loads models and works with them; used by one thread, the worker's.

    Args:
        device: as for :func:`artgan.load`.
    """

    def __init__(self, device: str | None = None) -> None:
        self.device = device
        self._models: OrderedDict[str, Model] = OrderedDict()
        self._examples: dict[str, bytes] = {}

    def paint(self, photos: Sequence[Path], order: Order, folder: Path, task: Task[Any] | None = None) -> list[Painted]:
        """Paint photos into a folder; one that fails does not stop the others.

        Args:
            photos: files that were uploaded.
            order: how.
            folder: empty, and kept until the results are no longer needed.
            task: looked at between photos and at each step of painting.

        Raises:
            ArtganError: the call itself is wrong: too many photos, an invalid option, or a model that cannot be used.
            Stopped: the task was stopped.
        """
        if len(photos) > MOST_FILES:
            raise ArtganError(f"{len(photos)} photos were given; at most {MOST_FILES} are painted at once")
        given = order.options()
        model = self._model(order.painter.name)
        results = []
        for number, photo in enumerate(photos, 1):
            if task is not None:
                task.turn_to(photo.name if len(photos) == 1 else f"{photo.name} ({number} of {len(photos)})")
            try:
                results.append(self._paint_one(model, given, photo, order.painter.name, folder / str(number)))
            except (ConfigError, WeightsError):  # no photo can be painted
                raise
            except Exception as error:  # the others must still be painted
                results.append(Painted(photo.name, error=_about(photo, sentence(error))))
        return results

    def _paint_one(self, model: Model, given: dict[str, Any], photo: Path, name: str, folder: Path) -> Painted:
        check_bounds(photo)
        manner, own = model.painting(given)
        tag = name.rpartition(".")[2]
        [job] = plan([photo], f"{folder}{os.sep}", tag=tag)
        if job.output is not None:
            job = replace(job, output=job.output.with_stem(f"{photo.stem}-{tag}"))
        [result] = paint_files(model.running_on(), [job], manner=manner, options=own)
        if result.output is None:
            raise PictureError(result.error or f"{photo.name}: cannot be painted")
        before, after = folder / "before.jpg", folder / "after.jpg"
        preview(photo, before)
        preview(result.output, after)
        note = result.note and _about(result.output, _about(photo, result.note))
        return Painted(photo.name, result.output, before, after, note=note)

    def example(self, painter: Painter) -> bytes:
        """A JPEG file that shows how a painter paints that needs no style; made once.

        It is the example picture, painted; of a saved style, the pictures that it is of.

        Raises:
            ArtganError: the model cannot be used, or the pictures not be read.
        """
        name = painter.name
        if name not in self._examples:
            if painter.thumbnail is not None and painter.thumbnail.is_file():
                check_bounds(painter.thumbnail)
                picture = images.decode(painter.thumbnail).rgb
                picture.thumbnail((_EXAMPLE, _EXAMPLE))
            else:
                picture = self._model(name).paint(example_picture(_EXAMPLE))
            self._examples[name] = jpeg(picture)
        return self._examples[name]

    def known_example(self, name: str) -> bytes | None:
        """What :meth:`example` has made already; for any thread."""
        return self._examples.get(name)

    def make(self, name: str, kind: str, seed: int, other: int, count: int, folder: Path) -> list[tuple[Path, str]]:
        """Make pictures from noise, as PNG files with what to say of each.

        Args:
            name: the model's.
            kind: "several" pictures, each of its own seed from ``seed`` on; "variations" of the picture of ``seed``; or
                the "way" from it to that of the seed ``other``.
            count: the number of pictures, 2 to :data:`MOST_MADE`.
            folder: where they are written.

        Raises:
            ArtganError: a number is out of its range, or the model cannot be used.
        """
        if not 2 <= count <= MOST_MADE or not 0 <= seed < 2**62 or not 0 <= other < 2**62:
            raise ArtganError(f"the number of pictures must be 2 to {MOST_MADE}, and the seed 0 or more")
        generator = load_torch_model(name, device=self.device).generator
        from artgan.sampling.sampling import interpolate, sample

        if kind == "several":
            made = sample(generator, count, seed=seed)
            said = [f"seed {seed + number}" for number in range(count)]
        elif kind == "variations":
            first = interpolate(generator, seed, seed + 1, 2)[0]
            near = [interpolate(generator, seed, seed + n, _VARIATION + 1)[1] for n in range(1, count)]
            made, said = [first, *near], [f"seed {seed}", *(f"variation {n}" for n in range(1, count))]
        elif kind == "way":
            made = interpolate(generator, seed, other, count)
            said = [f"{100 * step // (count - 1)} %" for step in range(count)]
        else:
            raise ArtganError(f"pictures must be several, variations or way, not {kind!r}")
        results = []
        for number, (picture, text) in enumerate(zip(made, said, strict=True)):
            path = folder / f"noise-{number:02d}.png"
            images.encode(picture, path)
            results.append((path, text))
        return results

    def _model(self, name: str) -> Model:
        if name not in self._models:
            while len(self._models) >= _LOADED:
                self._models.popitem(last=False)
            self._models[name] = load(name, device=self.device, runtime=None if self.device else "auto")
        self._models.move_to_end(name)
        return self._models[name]


def check_bounds(path: Path) -> None:
    """Refuse a picture that is too large, by its size on disk and its header, before memory for its pixels is taken.

    Raises:
        PictureError: it is too large, or no picture; the message begins with the file's name alone.
    """
    try:
        size = path.stat().st_size
    except OSError:
        raise PictureError(f"{path.name}: is no longer here; choose it again") from None
    if size > MOST_BYTES:
        raise PictureError(f"{path.name}: has {size / 2**20:.0f} MB; the limit is {MOST_BYTES // 2**20} MB")
    try:
        with images.open_picture(path) as (image, _):
            width, height = image.size
            frames = images.count_frames(image)
    except PictureError as error:
        raise PictureError(_about(path, str(error))) from None
    if width * height * frames > MOST_PIXELS:
        of = f" in {frames:,} frames" if frames > 1 else ""
        raise PictureError(
            f"{path.name}: has {width * height * frames / 1e6:.0f} megapixels{of}; "
            f"the limit is {MOST_PIXELS // 10**6}; make it smaller"
        )


def preview(source: Path, path: Path) -> None:
    """Write a JPEG copy of a picture, of at most 1600 pixels a side, as browsers can show it.

    Raises:
        PictureError: the picture cannot be read, or the copy not be written.
    """
    picture = images.decode(source)
    small = picture.rgb
    small.thumbnail((_PREVIEW, _PREVIEW))
    if picture.icc is not None:
        small.info["icc_profile"] = picture.icc
    images.encode(small, path, quality=90)


def jpeg(image: Image.Image) -> bytes:
    """A picture as the bytes of a JPEG file."""
    file = io.BytesIO()
    image.convert("RGB").save(file, "JPEG", quality=88)
    return file.getvalue()


def bundle(paths: Iterable[Path], archive: Path) -> None:
    """Put files into a zip archive, under names that are safe on every system and occur once.

    Raises:
        OSError: it cannot be written.
    """
    taken: set[str] = set()
    with atomic_write(archive) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as file:
        for number, path in enumerate(paths, 1):
            name = safe_name(path, number)
            if name.lower() in taken:
                name = f"{Path(name).stem} ({number}){path.suffix}"
            taken.add(name.lower())
            file.write(path, name)


def safe_name(path: Path, number: int) -> str:
    """The file's own name if every system can keep it, else "painting-NUMBER" with its suffix."""
    name = path.name
    if name.startswith(".") or not name.isprintable() or "/" in name or "\\" in name or refused_by_windows(path):
        return f"painting-{number}{path.suffix if path.suffix[1:].isalnum() else ''}"
    return name


def _about(path: Path, message: str) -> str:
    """An error without the page's folder."""
    return printable(message.replace(str(path), path.name))


def sentence(error: BaseException) -> str:
    """What to say of any error, on one line."""
    text = one_line(error) if isinstance(error, ArtganError) else f"this cannot be done ({one_line(error, kind=True)})"
    return printable(text)
