"""Colors that a file signals by numbers instead of an ICC profile (ITU-T H.273), converted to sRGB.

High dynamic range is shown as on a plain display: reference white, 203 cd/m2 (ITU-R BT.2408), becomes white, and what
is brighter keeps its hue at the display's limit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Floats: TypeAlias = "NDArray[np.float32]"
Chromaticities: TypeAlias = tuple[float, float, float, float, float, float, float, float]
"""x and y of white, red, green and blue."""

REFERENCE_WHITE = 203.0  # cd/m2
_PIXELS_AT_ONCE = 1 << 18

_D65 = (0.3127, 0.3290)
_BT709: Chromaticities = (*_D65, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
_PRIMARIES: dict[int, Chromaticities] = {
    1: _BT709,
    4: (0.310, 0.316, 0.67, 0.33, 0.21, 0.71, 0.14, 0.08),
    5: (*_D65, 0.64, 0.33, 0.29, 0.60, 0.15, 0.06),
    6: (*_D65, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070),
    7: (*_D65, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070),
    9: (*_D65, 0.708, 0.292, 0.170, 0.797, 0.131, 0.046),
    11: (0.314, 0.351, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
    12: (*_D65, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
    22: (*_D65, 0.630, 0.340, 0.295, 0.605, 0.155, 0.077),
}
_SRGB, _PQ, _HLG = 13, 16, 18
_VIDEO = (1, 6, 14, 15)  # one curve, of cameras; displays show it much as they show sRGB


@dataclass(frozen=True)
class Coding:
    """How numbers stand for colors.

    Attributes:
        primaries: chromaticities of white, red, green and blue.
        to_linear: from values 0 to 1 to linear light, where 1 is white; N x 3.
        hdr: whether light may exceed white.
    """

    primaries: Chromaticities
    to_linear: Callable[[Floats], Floats]
    hdr: bool = False


def from_codes(primaries: int, transfer: int) -> Coding | None:
    """The coding that two numbers of H.273 signal; None if it is sRGB, unspecified or unknown."""
    known = _PRIMARIES.get(primaries, _BT709)
    curve = _CURVES.get(transfer, _srgb_to_linear)
    if known == _BT709 and (transfer in _VIDEO or curve is _srgb_to_linear):
        return None
    return Coding(known, curve, hdr=transfer in (_PQ, _HLG))


def from_gamma(gamma: float, primaries: Chromaticities | None) -> Coding | None:
    """The coding of a PNG file's gAMA and cHRM chunks; None if it is sRGB to the eye, or invalid.

    Args:
        gamma: the exponent that made the values from linear light, 1/2.2 for most pictures.
        primaries: those of cHRM, if it is there.
    """
    if not 0.1 <= gamma <= 10:
        return None
    known = primaries or _BT709
    if not all(0 < y < 1 and 0 <= x < 1 for x, y in zip(known[::2], known[1::2], strict=True)):
        known = _BT709
    same = np.abs(np.subtract(known, _BT709)).max() < 0.002
    if abs(gamma - 1 / 2.2) < 0.01:
        return None if same else Coding(known, _srgb_to_linear)
    return Coding(known, lambda values: values ** np.float32(1 / gamma))


def to_srgb(pixels: NDArray[np.uint8] | NDArray[np.uint16], coding: Coding) -> Image.Image:
    """Convert pixels to sRGB, rounded; what sRGB cannot hold is clipped.

    Args:
        pixels: H x W x 3, 8 or 16 bits.
        coding: what they mean.
    """
    height, width, _ = pixels.shape
    result = np.empty((height, width, 3), np.uint8)
    scale = np.float32(np.iinfo(pixels.dtype).max)
    matrix = (np.linalg.inv(_to_xyz(_BT709)) @ _adaptation(coding.primaries) @ _to_xyz(coding.primaries)).astype("f4")
    step = max(1, _PIXELS_AT_ONCE // width)
    for top in range(0, height, step):
        values = pixels[top : top + step].astype(np.float32) / scale
        light = np.maximum(coding.to_linear(values) @ matrix.T, 0)
        if coding.hdr:
            light /= np.maximum(light.max(axis=2, keepdims=True), 1)
        result[top : top + step] = np.rint(_linear_to_srgb(np.minimum(light, 1)) * 255)
    return Image.fromarray(result)


def _to_xyz(primaries: Chromaticities) -> NDArray[np.float64]:
    """The matrix from linear RGB to XYZ, with white at Y = 1 (SMPTE RP 177)."""
    white, *colors = (np.array([x / y, 1, (1 - x - y) / y]) for x, y in zip(*[iter(primaries)] * 2, strict=True))
    columns = np.stack(colors, axis=1)
    return columns * np.linalg.solve(columns, white)


_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])


def _adaptation(primaries: Chromaticities) -> NDArray[np.float64]:
    """The matrix from a white to that of sRGB (Bradford)."""
    (x, y), (to_x, to_y) = primaries[:2], _D65
    source, target = (_BRADFORD @ [x / y, 1, (1 - x - y) / y] for x, y in ((x, y), (to_x, to_y)))
    return np.linalg.inv(_BRADFORD) @ np.diag(target / source) @ _BRADFORD  # type: ignore[no-any-return]  # of NumPy's stubs


def _srgb_to_linear(values: Floats) -> Floats:  # IEC 61966-2-1
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4).astype(np.float32)


def _linear_to_srgb(light: Floats) -> Floats:
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055).astype(np.float32)


def _video_to_linear(values: Floats) -> Floats:  # BT.709 and BT.2020
    return np.where(values < 0.0812429, values / 4.5, ((values + 0.0992968) / 1.0992968) ** (1 / 0.45)).astype("f4")


def _pq_to_linear(values: Floats) -> Floats:  # SMPTE ST 2084
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
    power = np.power(values, 1 / m2)
    light = np.power(np.maximum(power - c1, 0) / (c2 - c3 * power), 1 / m1)
    return (light * (10_000 / REFERENCE_WHITE)).astype(np.float32)


def _hlg_to_linear(values: Floats) -> Floats:  # ITU-R BT.2100, on a display of 1000 cd/m2
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = np.where(values <= 0.5, values**2 / 3, (np.exp((values - c) / a) + b) / 12)
    luminance = scene @ np.array([0.2627, 0.6780, 0.0593])
    light: Floats = (scene * luminance[..., None] ** 0.2 * (1000 / REFERENCE_WHITE)).astype(np.float32)
    return light


_CURVES: dict[int, Callable[[Floats], Floats]] = {
    **dict.fromkeys(_VIDEO, _video_to_linear),
    4: lambda values: values ** np.float32(2.2),
    5: lambda values: values ** np.float32(2.8),
    8: lambda values: values,
    _PQ: _pq_to_linear,
    _HLG: _hlg_to_linear,
}
