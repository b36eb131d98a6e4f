"""Animations and pages: read frame by frame, and written while the frames are made."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from PIL import Image

from artgan.errors import PictureError
from artgan.images.formats import format_for_writing, format_named
from artgan.images.picture import MAX_PIXELS, Picture, check_size, describe
from artgan.images.reading import decode_image, open_picture
from artgan.images.writing import finish, options_of, write

MAX_FRAME_PIXELS = 250_000_000
"""The most pixels that all frames of an animation may have together: Pillow's writers hold some of them in memory."""

_DURATION = 100  # milliseconds, of frames that state none


def count_frames(image: Image.Image) -> int:
    """How many frames an opened image has that are painted: 1 for formats whose other images are not frames."""
    known = format_named(image.format or "")
    if known is None or not known.frames:
        return 1
    return max(1, getattr(image, "n_frames", 1) - _first(image))


def _first(image: Image.Image) -> int:
    """The number of the first frame: a PNG may have a picture that is no part of its animation."""
    return int(bool(image.info.get("default_image")))


class Animation:
    """The frames of an opened picture file, decoded one at a time.

    Attributes:
        durations: of each frame, in milliseconds; for pages, what a page is shown.
        loop: how often the animation is repeated, 0 for without end; None if the file does not say.
        disposal: whether each frame replaces the one before, for frames with transparency.
        same_size: whether all frames have one size, as all formats but TIFF need it.
        animated: whether frames follow each other in time; pages do not.

    Raises:
        PictureError: a frame cannot be read, or there are too many.
    """

    def __init__(self, image: Image.Image, file: IO[bytes], name: str) -> None:
        self._image = image
        self._file = file
        self._name = name
        self._first = _first(image)
        self.durations: list[int] = []
        self.transparent = False
        sizes = set()
        pixels = 0
        for index in range(count_frames(image)):
            try:
                image.seek(self._first + index)
            except EOFError:  # fewer than the header says
                break
            check_size(image.size, name, MAX_PIXELS)
            pixels += image.width * image.height
            if pixels > MAX_FRAME_PIXELS:
                raise PictureError(
                    f"{name}: its frames of {describe(image.size)} are over the limit of {MAX_FRAME_PIXELS / 1e6:g} "
                    "megapixels together; make them smaller, or paint the first one: -o NAME.jpg"
                )
            if image.format in ("WEBP", "AVIF"):  # only decoding tells how long a frame is shown
                image.load()
            sizes.add(image.size)
            self.transparent |= image.has_transparency_data
            self.durations.append(round(image.info.get("duration") or _DURATION))
        loop = image.info.get("loop")
        self.loop = loop if isinstance(loop, int) else None
        self.same_size = len(sizes) == 1
        self.animated = image.format != "TIFF"

    def __len__(self) -> int:
        return len(self.durations)

    def frame(self, index: int) -> Picture:
        """Decode a frame; cheap if they are decoded in order."""
        self._image.seek(self._first + index)
        return decode_image(self._image, self._name, MAX_PIXELS, self._file)


@contextmanager
def open_animation(path: str | os.PathLike[str]) -> Iterator[Animation]:
    """Open a picture file with several frames, while the block runs.

    Raises:
        PictureError: the file, or a frame of it, cannot be read; or its frames have too many pixels together.
    """
    with open_picture(path) as (image, _), Path(path).open("rb") as again:  # the image needs its file where it is
        yield Animation(image, again, str(path))


def encode_animation(
    animation: Animation,
    make: Callable[[Picture], Image.Image],
    path: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    quality: int | None = None,
) -> tuple[int, int]:
    """Make a painting of each frame, and write them with durations and repetitions, as far as the format has them.

    Args:
        animation: from :func:`open_animation`.
        make: a painting of a frame; all its errors are raised again.
        path: a name with the suffix of a format with frames; written atomically.
        overwrite: whether it may exist.
        quality: 1 to 100, for WebP and AVIF.

    Returns:
        Width and height of the first frame.

    Raises:
        PictureError: a frame cannot be read, or the file cannot be written.
    """
    path = Path(path)
    format_ = format_for_writing(path)
    mode = "RGBA" if animation.transparent and format_.alpha else "RGB"

    def painting(index: int) -> Image.Image:
        made = make(animation.frame(index))
        return made if made.mode == mode else made.convert(mode)

    first = painting(0)
    frames = _Frames(first, len(animation), painting)
    _write(frames, path, first.info, animation.durations, animation.loop, quality=quality, overwrite=overwrite)
    return first.size


def encode_frames(
    frames: Iterable[Image.Image],
    count: int,
    path: str | os.PathLike[str],
    *,
    duration: int,
    overwrite: bool = False,
) -> None:
    """Write frames as they are made, as an animation that is repeated without end.

    Args:
        frames: mode RGB, of one size.
        count: their number, 2 or more.
        path: a name with the suffix of a format of animations; written atomically.
        duration: of each frame, in milliseconds.
        overwrite: whether the file may exist.

    Raises:
        PictureError: the frames have too many pixels together, or the file cannot be written.
    """
    made = iter(frames)
    first = next(made)
    if count * first.width * first.height > MAX_FRAME_PIXELS:
        raise PictureError(
            f"{path}: {count:,} frames of {describe(first.size)} are over the limit of {MAX_FRAME_PIXELS / 1e6:g} "
            "megapixels together; make fewer, or a film: -o NAME.mp4"
        )
    in_order = _Frames(first, count, lambda index: next(made))
    _write(in_order, Path(path), {}, [duration] * count, 0, quality=None, overwrite=overwrite)


def _write(
    frames: _Frames,
    path: Path,
    info: dict[Any, Any],
    durations: list[int],
    loop: int | None,
    *,
    quality: int | None,
    overwrite: bool,
) -> None:
    """Write frames with durations and repetitions, as far as the format has them."""
    format_ = format_for_writing(path)
    mode, size = frames.mode, frames.size  # of the first frame, which is the one that is made
    options = options_of(format_, info, quality)
    if format_.name != "TIFF":
        options["duration"] = durations
        if loop is not None:
            options["loop"] = loop
        elif format_.name != "GIF":  # a GIF that says nothing is shown once; so are these with 1
            options["loop"] = 1
    if format_.name == "GIF":
        options["disposal"] = 2 if mode == "RGBA" else 1
    if format_.name == "PNG":
        options |= {"default_image": False, "disposal": 0, "blend": 0}

    def save(file: IO[bytes]) -> None:
        frames.save(file, format_.name, save_all=True, **options)
        finish(file, format_, info)

    write(save, path, format_, size, overwrite=overwrite)


class _Frames(Image.Image):
    """An image whose frames are made when a writer asks for their pixels, each once and in order.

    Args:
        first: the first frame.
        count: of frames.
        make: a frame by its number.
    """

    def __init__(self, first: Image.Image, count: int, make: Callable[[int], Image.Image]) -> None:
        super().__init__()
        self.n_frames = count
        self.is_animated = count > 1
        self._make = make
        self._index = self._made = 0
        self._take(first)

    def seek(self, frame: int) -> None:
        """Choose a frame."""
        if frame >= self.n_frames:
            raise EOFError
        self._index = frame

    def tell(self) -> int:
        """The chosen frame."""
        return self._index

    def load(self) -> Any:
        """Make the chosen frame, unless it is made already."""
        if self._index > self._made:
            self._made = self._index
            self._take(self._make(self._index))
        return super().load()

    def _take(self, frame: Image.Image) -> None:
        self.im = frame.im
        self._mode = frame.mode
        self._size = frame.size
