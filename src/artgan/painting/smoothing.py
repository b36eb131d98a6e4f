"""Gaussian blurs, copies at a fraction of the size, and gradients, of the small pictures on which strokes are decided.

Number by number, without products of matrices, whose last digits depend on the number of threads. Pictures are float32,
... x H x W; beyond their edges the outermost values are repeated.
"""

from __future__ import annotations

from math import ceil

import numpy as np

from artgan.painting.canvas import Floats

_CUT = 3.0  # standard deviations at which a Gaussian ends
_WIDE = 1.5  # least standard deviation on a smaller copy, in its pixels


def blurred(values: Floats, sigma: float) -> Floats:
    """Gaussian blur of standard deviation ``sigma`` in pixels; a wide one is made on a smaller copy."""
    share = max(1, int(sigma / _WIDE))
    if share == 1:
        return _convolved(values, sigma)
    # Means over squares of this side, and bilinear interpolation between them, blur too.
    own = (share**2 - 1) / 12 + share**2 / 6
    return enlarged(_convolved(shrunk(values, share), (sigma**2 - own) ** 0.5 / share), share, values.shape[-2:])


def shrunk(values: Floats, share: int) -> Floats:
    """Means over squares of side ``share``, ... x ceil(H / share) x ceil(W / share)."""
    if share == 1:
        return values
    for axis in (-2, -1):
        missing = -values.shape[axis] % share
        rows = _rows(_padded(values, axis, missing), axis)[..., missing:, :]
        total = rows[..., ::share, :] + rows[..., 1::share, :]
        for first in range(2, share):
            total += rows[..., first::share, :]
        total *= np.float32(1 / share)
        values = _rows(total, axis)
    return values


def enlarged(values: Floats, share: int, size: tuple[int, ...]) -> Floats:
    """What is ``share`` times as large, cut to ``size`` (height and width): bilinear interpolation."""
    for axis in (-1, -2):
        rows = _rows(_padded(values, axis, 1), axis)
        count = rows.shape[-2] - 2
        shape = [*values.shape[:-2], count, share, values.shape[-1]]
        if axis == -1:
            shape = [*values.shape[:-1], count, share]
        larger = np.empty(shape, np.float32)
        for phase in range(share):
            at = (phase + 0.5) / share + 0.5  # from the center of the value before
            first = int(at)
            before, after = rows[..., first : first + count, :], rows[..., first + 1 : first + 1 + count, :]
            part = _rows(larger[..., phase] if axis == -1 else larger[..., phase, :], axis)
            np.subtract(after, before, out=part)
            part *= np.float32(at - first)
            part += before
        if axis == -1:
            values = larger.reshape(*values.shape[:-1], count * share)[..., : size[1]]
        else:
            values = larger.reshape(*values.shape[:-2], count * share, values.shape[-1])[..., : size[0], :]
    return values


def gradient(values: Floats) -> tuple[Floats, Floats]:
    """How fast values grow to the right and downwards, by Sobel's filter, in units of an eighth of a pixel."""
    padded = _padded(_padded(values, -2, 1), -1, 1)
    across = padded[..., 2:] - padded[..., :-2]
    right = across[..., :-2, :] + across[..., 2:, :]
    right += 2 * across[..., 1:-1, :]
    across = padded[..., :-2] + padded[..., 2:]
    across += 2 * padded[..., 1:-1]
    return right, across[..., 2:, :] - across[..., :-2, :]


def _convolved(values: Floats, sigma: float) -> Floats:
    """Values summed with the weights of a Gaussian."""
    reach = ceil(_CUT * sigma)
    bell = np.exp(-0.5 * (np.arange(reach + 1) / sigma) ** 2)
    weights = (bell / (2 * bell.sum() - bell[0])).astype(np.float32)
    result = np.empty_like(values)
    planes = result.shape[-2:]
    pair = np.empty(planes, np.float32)
    # One plane after the other, which so stay in the processor's cache.
    for plane, target in zip(values.reshape(-1, *planes), result.reshape(-1, *planes), strict=True):
        for axis in (-2, -1):
            padded, total, both = _rows(_padded(plane, axis, reach), axis), _rows(target, axis), _rows(pair, axis)
            length = len(total)
            np.multiply(padded[reach : reach + length], weights[0], out=total)
            for step, weight in enumerate(weights[1:], 1):
                np.add(padded[reach - step :][:length], padded[reach + step :][:length], out=both)
                both *= weight
                total += both
            plane = target
    return result


def _padded(values: Floats, axis: int, count: int) -> Floats:
    """With the first and the last values along an axis, -2 or -1, repeated so many times."""
    if not count:
        return values
    ends = (values[..., :1, :], values[..., -1:, :]) if axis == -2 else (values[..., :1], values[..., -1:])
    first, last = (end.repeat(count, axis) for end in ends)
    return np.concatenate([first, values, last], axis)


def _rows(values: Floats, axis: int) -> Floats:
    """A view whose rows are along an axis, -2 or -1."""
    return values if axis == -2 else values.swapaxes(-2, -1)
