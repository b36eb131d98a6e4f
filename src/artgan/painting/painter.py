"""Paints one picture, or a batch of equal size, whole or in tiles."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from artgan import images
from artgan.errors import ArtganError, ConfigError, PictureError, TooLargeError
from artgan.images import Picture, Source
from artgan.interfaces import Generator, Interrupted
from artgan.painting.fitting import (
    WORKING_MEMORY,
    checked_output,
    free_memory,
    memory_per_pixel,
    pad,
    reference,
)
from artgan.painting.norms import whole_picture_norms
from artgan.painting.tiles import Tiling, paint_tiles

WHERE_NEEDED = Tiling()
"""Whole if the picture fits in memory, else in tiles."""

_HEADROOM = 0.8  # share of the free memory that a picture may take if it could be painted in tiles instead
_FEW = 1  # instance norms; with at most this many, tiles take at most one extra pass


def paint(generator: Generator, image: Source, *, tiling: Tiling = WHERE_NEEDED, **options: Any) -> Image.Image:
    """Paint one picture, on the device and in the precision of the generator's parameters.

    Args:
        generator: an image-to-image model.
        image: a path, a Pillow image, an array or a tensor; see :func:`artgan.images.decode`.
        tiling: how to divide it; by default, a picture is divided if it would take too much memory whole.
        options: the model's own, passed to its ``generate``.

    Returns:
        A painting of exactly the (upright) picture's size: mode RGB, or RGBA if the picture has transparency, with the
        picture's ICC profile in ``info["icc_profile"]``.

    Raises:
        PictureError: the picture cannot be read or painted.
        ConfigError: tiles were requested, but the model cannot paint in tiles.
        ArtganError: the model does not paint pictures.
        TypeError: an option that the model does not have.
        Interrupted: the user pressed Ctrl-C after the model had made a picture; ``made`` is a list that holds it.
    """
    [painting] = paint_batch(generator, [images.decode(image)], tiling=tiling, **options)
    return painting


def paint_batch(
    generator: Generator, pictures: Sequence[Picture], *, tiling: Tiling = WHERE_NEEDED, **options: Any
) -> list[Image.Image]:
    """Paint decoded pictures of equal size, in one call of the generator or one by one in tiles; see :func:`paint`.

    Tiles do not degrade a painting (see :class:`Tiling`), and memory then grows only with the picture's own 8-bit
    pixels. A model with at most one instance norm uses tiles for everything that takes more than
    :data:`WORKING_MEMORY`, as that costs little; a model with several, only for what does not fit in memory otherwise.

    Raises:
        TooLargeError: the pictures do not fit in memory.
    """
    if generator.task != "image-to-image":
        raise ArtganError(f"this model does not paint pictures, its task is {generator.task}; use sample()")
    if not pictures:
        return []
    width, height = pictures[0].size
    if any(picture.size != (width, height) for picture in pictures):
        raise PictureError("pictures of one batch must have one size")
    like = reference(generator)
    divided = _to_be_divided(generator, like, len(pictures), width * height, tiling)
    if divided and len(pictures) > 1:
        return _one_by_one(generator, pictures, tiling, options)
    interrupted = False
    with telling_what_did_not_fit(len(pictures), (width, height), like.device):
        if divided:
            painted = [_paint_tiles(generator, like, pictures[0].rgb, tiling, options)]
        else:
            painted, interrupted = _paint_whole(generator, like, pictures, options)
    paintings = [images.assemble(picture, rgb) for picture, rgb in zip(pictures, painted, strict=not interrupted)]
    if interrupted:
        raise Interrupted(paintings)
    return paintings


def _one_by_one(
    generator: Generator, pictures: Sequence[Picture], tiling: Tiling, options: dict[str, Any]
) -> list[Image.Image]:
    paintings: list[Image.Image] = []
    try:
        for picture in pictures:
            paintings += paint_batch(generator, [picture], tiling=tiling, **options)
    except KeyboardInterrupt:
        if paintings:
            raise Interrupted(paintings) from None
        raise
    return paintings


def _paint_whole(
    generator: Generator, like: Tensor, pictures: Sequence[Picture], options: dict[str, Any]
) -> tuple[list[Image.Image], bool]:
    """The paintings, and whether the user pressed Ctrl-C, in which case some may be missing."""
    width, height = pictures[0].size
    interrupted = False
    x = torch.stack([images.to_tensor(picture.rgb) for picture in pictures])
    x = pad(x, generator.stride, generator.minimum_size).to(like.device, like.dtype)
    try:
        y = generator.generate(x, **options)
    except Interrupted as stop:
        y, interrupted = stop.made, True
        x = x[: len(y)]  # those finished before the interruption
    y = checked_output(y, x)
    return [images.to_rgb(row) for row in y[:, :, :height, :width]], interrupted


def _paint_tiles(
    generator: Generator, like: Tensor, rgb: Image.Image, tiling: Tiling, options: dict[str, Any]
) -> Image.Image:
    painting = Image.new("RGB", rgb.size)
    paint_tiles(generator, like, rgb, lambda part, place: painting.paste(images.to_rgb(part), place), tiling, options)
    return painting


def _to_be_divided(generator: Generator, like: Tensor, count: int, pixels: int, tiling: Tiling) -> bool:
    """Whether to paint ``count`` pictures of ``pixels`` each one by one, in tiles if necessary.

    Raises:
        ConfigError: tiles were requested, but the model cannot paint in tiles.
        TooLargeError: the pictures do not fit in memory and cannot be divided. Checked in advance, because many
            systems kill a process that allocates too much rather than reject the allocation.
    """
    free = free_memory(like.device)
    if generator.reach is None:
        if tiling.side is not None:
            raise ConfigError("this model cannot paint in tiles: all of a picture may matter to each of its pixels")
        needed = count * pixels * generator.memory_per_pixel * like.element_size() / 4
        if needed > free:
            raise TooLargeError(
                f"{count * pixels / 1e6:.1f} megapixels take about {needed / 1e9:.1f} GB of memory to paint, "
                f"{free / 1e9:.1f} GB are free; this model cannot paint in tiles: make the picture smaller"
            )
        return False
    needed = pixels * memory_per_pixel(generator) * like.element_size() / 4
    return (
        tiling.side is not None
        or count * needed > _HEADROOM * free
        or (needed > WORKING_MEMORY and len(whole_picture_norms(generator)) <= _FEW)
    )


@contextmanager
def telling_what_did_not_fit(count: int, size: tuple[int, int], device: torch.device) -> Iterator[None]:
    """Turn torch's out-of-memory errors into a :class:`TooLargeError` that names number and size of the pictures."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not _out_of_memory(error):
            raise
        number = f"{count} pictures" if count > 1 else "a picture"
        fewer = " or paint fewer at once" if count > 1 else ""
        raise TooLargeError(
            f"{number} of {size[0]} x {size[1]} pixels did not fit in the memory of {device}; make it smaller{fewer}"
        ) from None


def _out_of_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    text = str(error).lower()
    return "out of memory" in text or "can't allocate memory" in text  # CUDA libraries; torch on a CPU
