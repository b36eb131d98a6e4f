"""Pictures from and to arrays and tensors. Torch is imported only when a tensor is needed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from artgan.errors import PictureError
from artgan.images.picture import Picture, check_size

if TYPE_CHECKING:
    from torch import Tensor

Floats: TypeAlias = "NDArray[np.floating[Any]]"


def from_array(array: np.ndarray[Any, Any], max_pixels: int) -> Image.Image:
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)):
        raise PictureError(f"array: expected H x W or H x W x C with 1, 3 or 4 channels, got shape {array.shape}")
    check_size((array.shape[1], array.shape[0]), "array", max_pixels)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.dtype == np.uint16:
        array = np.rint(array / np.float32(257))
    elif np.issubdtype(array.dtype, np.floating):
        if not (array.min() >= 0 and array.max() <= 1):  # false for NaN too
            raise PictureError("array: float values must be finite and in [0, 1]")
        array = np.rint(array * 255)
    elif array.dtype != np.uint8:
        raise PictureError(f"array: expected uint8, uint16 or float in [0, 1], got {array.dtype}")
    return Image.fromarray(np.ascontiguousarray(array, dtype=np.uint8))


def decode_tensor(tensor: Tensor, max_pixels: int) -> Picture:
    shape = tuple(tensor.shape)
    if len(shape) == 4 and shape[0] == 1:
        tensor = tensor[0]
    if tensor.ndim != 3 or tensor.shape[0] != 3 or not tensor.is_floating_point():
        raise PictureError(f"tensor: expected float 3 x H x W or 1 x 3 x H x W, got {tensor.dtype} {shape}")
    check_size((tensor.shape[2], tensor.shape[1]), "tensor", max_pixels)
    if not bool((tensor.detach().abs() <= 1).all()):  # false for NaN too
        raise PictureError("tensor: values must be finite and in [-1, 1]")
    return Picture(to_rgb(tensor))


def to_floats(rgb: Image.Image) -> Floats:
    """An RGB image as 3 x H x W, float32 in [-1, 1]; :func:`to_image` gives the same image back.

    Raises:
        PictureError: the image has another mode (decode it first).
    """
    if rgb.mode != "RGB":
        raise PictureError(f"picture: expected mode RGB, got {rgb.mode}; decode it first")
    values = np.array(np.asarray(rgb).transpose(2, 0, 1), np.float32, order="C")
    values /= np.float32(127.5)
    values -= np.float32(1)
    return values


def to_levels(values: Floats) -> Floats:
    """3 x H x W in [-1, 1] as the values 0 to 255 that :func:`to_image` rounds: H x W x 3, float32.

    Raises:
        PictureError: there are values that are not finite.
    """
    return np.ascontiguousarray(_levels(values).transpose(1, 2, 0))


def to_image(values: Floats) -> Image.Image:
    """3 x H x W as an RGB image: [-1, 1] to 0..255, rounded; values outside are clamped.

    Raises:
        PictureError: there are values that are not finite.
    """
    levels = _levels(values)
    np.rint(levels, out=levels)
    planes = np.clip(levels, 0, 255, out=levels).astype(np.uint8)
    return Image.merge("RGB", [Image.fromarray(plane) for plane in planes])  # faster than moving the axis


def _levels(values: Floats) -> Floats:
    """New values from 0 to 255 for those from -1 to 1."""
    if not (np.isfinite(values.min()) and np.isfinite(values.max())):  # with a NaN, both are NaN
        raise PictureError("the model made values that are not finite")
    levels = values.astype(np.float32)
    levels += np.float32(1)
    levels *= np.float32(127.5)
    return levels


def to_tensor(rgb: Image.Image) -> Tensor:
    """An RGB image as a tensor: 3 x H x W, float32 in [-1, 1], on the CPU; :func:`to_rgb` gives the same image back.

    Raises:
        PictureError: the image has another mode (decode it first).
    """
    import torch

    return torch.from_numpy(to_floats(rgb))


def to_rgb(tensor: Tensor) -> Image.Image:
    """A tensor 3 x H x W as an RGB image: [-1, 1] to 0..255, rounded; values outside are clamped.

    Args:
        tensor: of any floating dtype, on any device, with or without gradients.

    Raises:
        PictureError: the tensor has another shape, or values that are not finite.
    """
    import torch

    if tensor.ndim != 3 or tensor.shape[0] != 3:
        raise PictureError(f"tensor: expected shape 3 x H x W, got {tuple(tensor.shape)}")
    values = tensor.detach().float()
    if not bool(torch.stack(values.aminmax()).isfinite().all()):  # with a NaN, both extremes are NaN
        half = tensor.dtype in (torch.float16, torch.bfloat16)
        hint = f": the range of {tensor.dtype} is too small; try dtype float32" if half else ""
        raise PictureError(f"tensor: holds values that are not finite{hint}")
    return to_image(values.cpu().numpy())
