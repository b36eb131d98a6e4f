"""One picture, or a batch of one size, through a generator."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

import psutil
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from artgan import images
from artgan.errors import ArtganError, PictureError
from artgan.images import Picture, Source
from artgan.interfaces import Generator, Interrupted


def paint(generator: Generator, image: Source, **options: Any) -> Image.Image:
    """Paint one picture, on the device and in the precision of the generator's parameters.

    Args:
        generator: an image-to-image model.
        image: a path, a Pillow image, an array or a tensor, as :func:`artgan.images.decode` takes them.
        options: the model's own, passed to its ``generate``.

    Returns:
        A painting of exactly the (upright) picture's size: mode RGB, or RGBA where the picture is
        transparent, with the picture's ICC profile in ``info["icc_profile"]``.

    Raises:
        PictureError: the picture cannot be read or painted.
        ArtganError: the model does not paint pictures.
        TypeError: an option that the model does not have.
        Interrupted: the user pressed Ctrl-C, and the model had a picture by then; ``made`` is a list of it.
    """
    [painting] = paint_batch(generator, [images.decode(image)], **options)
    return painting


def paint_batch(generator: Generator, pictures: Sequence[Picture], **options: Any) -> list[Image.Image]:
    """Paint decoded pictures of one size in one run of the generator; the rest as in :func:`paint`."""
    if generator.task != "image-to-image":
        raise ArtganError(f"this model does not paint pictures, its task is {generator.task}; use sample()")
    if not pictures:
        return []
    width, height = pictures[0].size
    if any(picture.size != (width, height) for picture in pictures):
        raise PictureError("pictures of one batch must have one size")
    like = _reference(generator)
    _check_memory(generator, like, len(pictures) * width * height)
    interrupted = False
    try:
        x = torch.stack([images.to_tensor(picture.rgb) for picture in pictures])
        x = pad(x, generator.stride, generator.minimum_size).to(like.device, like.dtype)
        try:
            y = generator.generate(x, **options)
        except Interrupted as stop:
            y, interrupted = stop.made, True
            x = x[: len(y)]  # those that it came to
        if not isinstance(y, Tensor) or y.shape != x.shape:
            got = tuple(y.shape) if isinstance(y, Tensor) else type(y).__name__
            raise PictureError(f"the model returned {got} for pictures of shape {tuple(x.shape)}")
        painted = [images.to_rgb(row) for row in y[:, :, :height, :width]]
    except (RuntimeError, MemoryError) as error:
        if not _out_of_memory(error):
            raise
        number = f"{len(pictures)} pictures" if len(pictures) > 1 else "a picture"
        fewer = " or paint fewer at once" if len(pictures) > 1 else ""
        raise PictureError(
            f"{number} of {width} x {height} pixels did not fit in the memory of {like.device}; make it smaller{fewer}"
        ) from None
    paintings = [images.assemble(picture, rgb) for picture, rgb in zip(pictures, painted, strict=not interrupted)]
    if interrupted:
        raise Interrupted(paintings)
    return paintings


def pad(x: Tensor, stride: int, minimum_size: int = 1) -> Tensor:
    """Extend N x C x H x W at the right and bottom: to multiples of ``stride``, at least ``minimum_size``.

    The picture is mirrored at its edge; where it is too small for that, its last row or column is repeated.
    """
    for axis, before in ((3, ()), (2, (0, 0))):
        side = x.shape[axis]
        extra = -(-max(side, minimum_size) // stride) * stride - side
        if extra:
            mode = "reflect" if extra < side else "replicate"
            after = (0, 0) if axis == 3 else ()
            x = functional.pad(x, (*before, 0, extra, *after), mode=mode)
    return x


def _reference(generator: Generator) -> Tensor:
    """A tensor with the generator's device and dtype: its first floating parameter or buffer."""
    tensors = chain(generator.parameters(), generator.buffers())
    return next((tensor for tensor in tensors if tensor.is_floating_point()), torch.empty(0))


def _check_memory(generator: Generator, like: Tensor, pixels: int) -> None:
    """Refuse what does not fit: many systems kill a process that asks for too much rather than refuse it."""
    needed = pixels * generator.memory_per_pixel * like.element_size() / 4
    free = psutil.virtual_memory().available
    if like.device.type == "cpu" and needed > free:
        raise PictureError(
            f"{pixels / 1e6:.1f} megapixels take about {needed / 1e9:.1f} GB of memory to paint, "
            f"{free / 1e9:.1f} GB are free; make the picture smaller"
        )


def _out_of_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    text = str(error).lower()
    return "out of memory" in text or "can't allocate memory" in text  # CUDA libraries; torch on a CPU
