"""Paints one picture, or a batch of equal size, whole or in tiles."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from PIL import Image

from artgan import images
from artgan.errors import ConfigError, Interrupted, PictureError, TooLargeError
from artgan.images import Picture, Source, to_floats, to_image, to_levels
from artgan.painting.canvas import Floats, Window
from artgan.painting.fitting import WORKING_MEMORY, memory_per_pixel, pad
from artgan.painting.manner import PLAIN, Manner
from artgan.painting.network import Network, Place
from artgan.painting.tiles import Tiling, paint_tiles
from artgan.painting.underpainting import Raster, Study
from artgan.progress import progress

WHERE_NEEDED = Tiling()
"""Whole if the picture fits in memory, else in tiles."""

_HEADROOM = 0.8  # share of the free memory that a picture may take if it could be painted in tiles instead
_AT_ONCE = 2_000_000  # pixels up to which strokes are drawn in about a second
_FEW = 1  # instance norms; with at most this many, tiles take at most one extra pass


def paint(
    network: Network, image: Source, *, tiling: Tiling = WHERE_NEEDED, manner: Manner = PLAIN, **options: Any
) -> Image.Image:
    """Paint one picture, on the device and in the precision of the network.

    Args:
        network: paints.
        image: a path, a Pillow image, an array or a tensor; see :func:`artgan.images.decode`.
        tiling: how to divide it; by default, a picture is divided if it would take too much memory whole. With a brush
            its side, rounded up to whole blocks, is that of the windows in which strokes are drawn, and the network's
            share is divided if needed.
        manner: brush, palette and strength.
        options: the model's own, which reach the network as they are.

    Returns:
        A painting of exactly the (upright) picture's size: mode RGB, or RGBA if the picture has transparency, with the
        picture's ICC profile in ``info["icc_profile"]``, and EXIF, XMP and resolution in ``exif``, ``xmp`` and ``dpi``,
        as Pillow's ``save`` takes them. Of an animation, the first frame is painted.

    Raises:
        PictureError: the picture cannot be read or painted.
        ConfigError: tiles were requested, but the model cannot paint in tiles.
        TypeError: an option that the model does not have.
        Interrupted: the user pressed Ctrl-C after the model had made a picture; ``made`` is a list that holds it.
    """
    [painting] = paint_batch(network, [images.decode(image)], tiling=tiling, manner=manner, **options)
    return painting


def paint_batch(
    network: Network,
    pictures: Sequence[Picture],
    *,
    tiling: Tiling = WHERE_NEEDED,
    manner: Manner = PLAIN,
    studies: Sequence[Study] | None = None,
    **options: Any,
) -> list[Image.Image]:
    """Paint decoded pictures of equal size, in one call of the network or one by one in tiles; see :func:`paint`.

    Tiles do not degrade a painting (see :class:`Tiling`), and memory then grows only with the picture's own 8-bit
    pixels. A model with at most one instance norm uses tiles for everything that takes more than
    :data:`WORKING_MEMORY`, as that costs little; a model with several, only for what does not fit in memory otherwise.

    Args:
        network: paints.
        pictures: of one size.
        tiling: how to divide them.
        manner: brush, palette and strength.
        studies: of the pictures in this manner, if they have been made already.
        options: the model's own.

    Raises:
        TooLargeError: the pictures do not fit in memory.
    """
    if not pictures:
        return []
    width, height = pictures[0].size
    if any(picture.size != (width, height) for picture in pictures):
        raise PictureError("pictures of one batch must have one size")
    brushed = manner.brush is not None
    divided = not brushed and _to_be_divided(network, len(pictures), width * height, tiling)
    if divided and len(pictures) > 1:
        return _one_by_one(network, pictures, tiling, manner, options)
    if studies is None and not manner.is_plain:
        studies = [Study.of(picture.rgb, manner) for picture in pictures]
    interrupted = False
    with telling_what_did_not_fit(len(pictures), (width, height), network.device):
        if studies is not None and brushed:
            painted, interrupted = _paint_brushed(network, pictures, studies, tiling, options)
        elif divided:
            painting = Image.new("RGB", (width, height))
            study = studies[0] if studies else None
            paint_parts(network, pictures[0].rgb, painting.paste, tiling, study, options)
            painted = [painting]
        else:
            painted, interrupted = _paint_whole(network, pictures, studies, options)
    paintings = [images.assemble(picture, rgb) for picture, rgb in zip(pictures, painted, strict=not interrupted)]
    if interrupted:
        raise Interrupted(paintings)
    return paintings


def paint_parts(
    network: Network,
    source: Raster,
    lay: Callable[[Image.Image, tuple[int, int]], None],
    tiling: Tiling,
    study: Study | None,
    options: Mapping[str, Any],
) -> None:
    """Paint a picture part by part, in memory that does not grow with it.

    Args:
        network: has a ``reach`` unless there are strokes.
        source: the photo.
        lay: called with each part of the painting, mode RGB, and its place: left and top.
        tiling: how to divide it.
        study: of the photo; None: the network alone paints.
        options: the model's own.

    Raises:
        PictureError: the model returned something other than a picture, or its feature maps cannot be divided.
        KeyboardInterrupt: the user pressed Ctrl-C.
    """
    if study is None:
        paint_tiles(network, source, lambda part, place: lay(to_image(part), place), tiling, options)
    elif study.strokes is None:
        known = study

        def finish(part: Floats, place: tuple[int, int]) -> None:
            (left, top), (height, width) = place, part.shape[1:]
            photo = source.crop((left, top, left + width, top + height))
            lay(known.finished(photo, to_levels(part), place), place)

        paint_tiles(network, _Shown(source, known), finish, tiling, options)
    else:
        [painted], interrupted = _paint_over(network, [study], tiling, options)
        if interrupted:
            raise KeyboardInterrupt
        _render(study, painted, source, lay, tiling.side)


class _Shown:
    """A photo as the network is shown it."""

    def __init__(self, source: Raster, study: Study) -> None:
        self.size = source.size
        self._source = source
        self._study = study

    def crop(self, box: Window, /) -> Image.Image:
        return self._study.shown(self._source.crop(box))


def _one_by_one(
    network: Network, pictures: Sequence[Picture], tiling: Tiling, manner: Manner, options: dict[str, Any]
) -> list[Image.Image]:
    paintings: list[Image.Image] = []
    try:
        for picture in pictures:
            paintings += paint_batch(network, [picture], tiling=tiling, manner=manner, **options)
    except KeyboardInterrupt:
        if paintings:
            raise Interrupted(paintings) from None
        raise
    return paintings


def _paint_whole(
    network: Network,
    pictures: Sequence[Picture],
    studies: Sequence[Study] | None,
    options: Mapping[str, Any],
) -> tuple[list[Image.Image], bool]:
    """The paintings, and whether the user pressed Ctrl-C, in which case some may be missing."""
    photos = [picture.rgb for picture in pictures]
    if studies is None:
        made, interrupted = _generate(network, photos, options)
        return [to_image(row) for row in made], interrupted
    shown = [study.shown(photo) for study, photo in zip(studies, photos, strict=True)]
    made, interrupted = _generate(network, shown, options)
    rows = zip(studies, photos, made, strict=not interrupted)
    return [study.finished(photo, to_levels(row), (0, 0)) for study, photo, row in rows], interrupted


def _paint_brushed(
    network: Network,
    pictures: Sequence[Picture],
    studies: Sequence[Study],
    tiling: Tiling,
    options: Mapping[str, Any],
) -> tuple[list[Image.Image], bool]:
    """As :func:`_paint_whole`, over strokes."""
    made, interrupted = _paint_over(network, studies, tiling, options)
    paintings = []
    for picture, study, painted in zip(pictures, studies, made, strict=not interrupted):
        painting = Image.new("RGB", picture.size)
        _render(study, painted, picture.rgb, painting.paste, tiling.side)
        paintings.append(painting)
    return paintings, interrupted


def _render(
    study: Study,
    painted: Floats,
    source: Raster,
    lay: Callable[[Image.Image, tuple[int, int]], None],
    side: int | None,
) -> None:
    """As :meth:`Study.render`, with progress."""
    width, height = study.size
    with progress("strokes", width * height if width * height > _AT_ONCE else 1) as advance:

        def counted(part: Image.Image, place: tuple[int, int]) -> None:
            lay(part, place)
            advance(steps=part.width * part.height)

        study.render(painted, source, counted, side)


def _paint_over(
    network: Network, studies: Sequence[Study], tiling: Tiling, options: Mapping[str, Any]
) -> tuple[list[Floats], bool]:
    """What the network makes of small under-paintings of one size, 0 to 255, and whether the user pressed Ctrl-C."""
    width, height = studies[0].finishing
    tiling = Tiling(statistics=tiling.statistics)  # so that how the picture is divided makes no difference
    divided = _to_be_divided(network, len(studies), width * height, tiling)
    if divided and len(studies) > 1:
        several: list[Floats] = []
        for study in studies:
            try:
                made, interrupted = _paint_over(network, [study], tiling, options)
            except KeyboardInterrupt:
                if not several:
                    raise
                return several, True
            several += made
            if interrupted:
                return several, True
        return several, False
    unders = [Image.fromarray(study.under) for study in studies]
    if not divided:
        rows, interrupted = _generate(network, unders, options)
        return [to_levels(row) for row in rows], interrupted
    whole = np.empty((height, width, 3), np.float32)

    def lay(part: Floats, place: tuple[int, int]) -> None:
        left, top = place
        whole[top : top + part.shape[1], left : left + part.shape[2]] = to_levels(part)

    paint_tiles(network, unders[0], lay, tiling, options)
    return [whole], False


def _generate(network: Network, photos: Sequence[Image.Image], options: Mapping[str, Any]) -> tuple[list[Floats], bool]:
    """The network's pictures of photos, 3 x H x W each, and whether the user pressed Ctrl-C, and some are missing."""
    width, height = photos[0].size
    interrupted = False
    x = pad(np.stack([to_floats(photo) for photo in photos]), network.stride, network.minimum_size)
    try:
        y = network.paint(x, options, [Place(0, 0, width, height)] * len(photos))
    except Interrupted as stop:
        y, interrupted = stop.made, True
    return [*y[:, :, :height, :width]], interrupted


def _to_be_divided(network: Network, count: int, pixels: int, tiling: Tiling) -> bool:
    """Whether to paint ``count`` pictures of ``pixels`` each one by one, in tiles if necessary.

    Raises:
        ConfigError: tiles were requested, but the model cannot paint in tiles.
        TooLargeError: the pictures do not fit in memory and cannot be divided. Checked in advance, because many
            systems kill a process that allocates too much rather than reject the allocation.
    """
    free = network.free_memory()
    if network.reach is None:
        if tiling.side is not None:
            raise ConfigError("this model cannot paint in tiles: each pixel may depend on the whole picture")
        needed = count * pixels * network.memory_per_pixel
        if needed > free:
            raise TooLargeError(
                f"{count * pixels / 1e6:.1f} megapixels take about {needed / 1e9:.1f} GB of memory to paint, "
                f"{free / 1e9:.1f} GB are free; this model cannot paint in tiles: make the picture smaller"
            )
        return False
    needed = pixels * memory_per_pixel(network)
    return (
        tiling.side is not None
        or count * needed > _HEADROOM * free
        or (needed > WORKING_MEMORY and network.norms <= _FEW)
    )


@contextmanager
def telling_what_did_not_fit(count: int, size: tuple[int, int], device: str) -> Iterator[None]:
    """Turn a MemoryError into a :class:`TooLargeError` that names number and size of the pictures."""
    try:
        yield
    except MemoryError:
        number = f"{count} pictures" if count > 1 else "a picture"
        fewer = " or paint fewer at once" if count > 1 else ""
        raise TooLargeError(
            f"{number} of {size[0]} x {size[1]} pixels did not fit in the memory of {device}; make it smaller{fewer}"
        ) from None
