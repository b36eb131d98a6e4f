"""Frames of a film painted so that what does not move does not flicker.

Strokes stick to what they paint: those of the frame before are carried along by optical flow, go when their place is no
longer of their color, and new ones are laid only where the picture is bare or changed. They are decided on an average
of the small copies over time, which has little of the camera's noise. The first frame of a film, and of each shot, is
exactly the still picture's painting.

All that a :class:`Steady` knows from the frames before is in :meth:`Steady.state`, so that a film can be painted in
several sittings with the same result.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from artgan.painting import brushwork
from artgan.painting.brushwork import WORKING, Brush, Laid, Photo, length, pixel, planes
from artgan.painting.canvas import Floats, Pixels, Strokes
from artgan.painting.flow import Flow, measure
from artgan.painting.manner import Manner
from artgan.painting.palette import Transfer, rgb_of
from artgan.painting.smoothing import blurred
from artgan.painting.underpainting import Study, finishing_size, small_copy

State: TypeAlias = "dict[str, NDArray[Any]]"

_CUT = 0.55  # share of the picture that is another, from which on it is another shot
_GAIN = 1 / 6  # least share of a new frame in the average
_SLOW = 0.1  # share of a new frame in palette and statistics
_TRUST = 3.0  # multiples of the noise beyond which a difference is none of noise
_STEADY = 1.5  # CIE76 by which a stroke's place may change before its color follows
_FOLLOW = 0.3  # how fast that is
_UNFIT = (1.4, 9.0)  # factor and CIE76 by which a stroke may fit its place less well than when it was laid
_STRETCH = (0.6, 1.6)  # of a stroke's length, beyond which it is torn
_GROWN = (0.7, 1.4)  # of its width
_CROWDED = 2.6  # strokes in the place of one from which on some go
_BARE = 0.3  # strokes in the place of one up to which another is laid
_AGAIN = 1.3  # multiple of the brush's threshold for strokes after the first frame
_NEW = 0.2  # least share of a new frame in what a network makes
_REPAINTED = 40.0  # levels by which that differs where it is all new


@dataclass(frozen=True, eq=False)
class _Layer:
    """The strokes of a layer that are carried on.

    Attributes:
        laid: as they lie now.
        seen: the picture's color where each begins, which its own color follows: L*a*b*, N x 3.
        misfit: distance of that color from what was below each stroke when it was laid, CIE76, N.
        extent: length and radius when it was laid, N x 2.
    """

    laid: Laid
    seen: Floats
    misfit: Floats
    extent: Floats

    def __getitem__(self, which: Any) -> _Layer:
        laid = Laid(*(getattr(self.laid, field.name)[which] for field in fields(Laid)))
        return _Layer(laid, self.seen[which], self.misfit[which], self.extent[which])

    @staticmethod
    def names() -> list[str]:
        """Of the arrays."""
        return [*(f.name for f in fields(Laid)), *(f.name for f in fields(_Layer)[1:])]

    def arrays(self) -> State:
        """All arrays by name."""
        return {name: getattr(self.laid if hasattr(self.laid, name) else self, name) for name in self.names()}

    @classmethod
    def from_arrays(cls, arrays: State) -> _Layer:
        """From what :meth:`arrays` returned."""
        return cls(Laid(*(arrays[f.name] for f in fields(Laid))), *(arrays[f.name] for f in fields(cls)[1:]))

    @classmethod
    def of(cls, laid: Laid, reference: Floats) -> _Layer:
        """Strokes just laid on a picture, L*a*b*, 3 x H x W."""
        seen = _at(reference, laid.points[:, 0])
        return cls(laid, seen, _misfit(laid, seen, reference), np.stack([_lengths(laid.points), laid.radius], 1))

    def and_(self, other: _Layer) -> _Layer:
        """Both, in the order of their random numbers."""
        laid = Laid(*(np.concatenate([getattr(one.laid, f.name) for one in (self, other)]) for f in fields(Laid)))
        seen, misfit, extent = (
            np.concatenate([getattr(one, name) for one in (self, other)]) for name in ("seen", "misfit", "extent")
        )
        return _Layer(laid, seen, misfit, extent)[laid.random[:, 0].argsort(kind="stable")]

    def carried(self, flow: Flow) -> _Layer:
        """The strokes where the flow takes them, without those that it tears or loses."""
        points = self.laid.points
        moved = points + _bilinear(flow.forth, points)
        scale = (
            np.sqrt(_lengths(moved) / np.maximum(_lengths(points), 1e-3)) if not flow.still else np.ones(len(points))
        )
        # A stroke is as wide as what it paints is near; its length says how that changed, but for turns and noise.
        radius = self.laid.radius * np.clip(scale, 0.97, 1.03).astype(np.float32)
        height, width = flow.holds.shape
        margin = radius[:, None]
        x, y = moved[..., 0], moved[..., 1]
        inside = ((x > -margin) & (x < width + margin) & (y > -margin) & (y < height + margin)).any(1)
        holds = _at(flow.holds[None].astype(np.float32), moved.reshape(-1, 2)).reshape(x.shape)
        beyond = (x < 0) | (y < 0) | (x >= width) | (y >= height)
        kept = np.where(beyond, 1, holds).mean(1) > 0.5
        stretch = _lengths(moved) / np.maximum(self.extent[:, 0], 1e-3)
        grown = radius / self.extent[:, 1]
        # Not all at once, which would be seen.
        leeway = 1 + 0.25 * self.laid.random[:, 5]
        kept &= (stretch * leeway > _STRETCH[0]) & (stretch < _STRETCH[1] * leeway)
        kept &= (grown * leeway > _GROWN[0]) & (grown < _GROWN[1] * leeway)
        laid = replace(self.laid, points=moved.astype(np.float32), radius=radius)
        return replace(self, laid=laid)[kept & inside]

    def fitting(self, reference: Floats, spacing: float) -> _Layer:
        """The strokes that still fit the picture, in colors that follow it."""
        now = _at(reference, self.laid.points[:, 0])
        change = now - self.seen
        far = np.sqrt((change**2).sum(1))
        step = change * (np.clip((far - _STEADY) / np.maximum(far, 1e-6), 0, 1) * _FOLLOW)[:, None]
        seen = self.seen + step
        layer = replace(self, laid=replace(self.laid, colors=self.laid.colors + step), seen=seen)
        fits = _misfit(layer.laid, seen, reference) < _UNFIT[0] * self.misfit + _UNFIT[1]
        if spacing:
            crowd = _at(_density(layer.laid, reference.shape[1:], spacing)[None], layer.laid.points[:, 0])[:, 0]
            fits &= (crowd < _CROWDED) | (self.laid.random[:, 4] > 0.3)
        return layer[fits]


class Steady:
    """Studies of a film's frames, each with the strokes of the one before.

    Args:
        manner: how frames are painted.
    """

    def __init__(self, manner: Manner) -> None:
        self._manner = manner
        self._average: Floats | None = None  # of the small copies, H x W x 3, 0 to 255
        self._layers: list[_Layer] = []
        self._transfer: Transfer | None = None
        self._statistics = np.zeros(2)  # contrast and tint of brushwork.Photo
        self._number = 0  # of frames since the shot began
        self._before: Floats | None = None  # what the network added, or what was painted
        self._flow: Flow | None = None

    def study(self, photo: Image.Image) -> Study:
        """Look at the next frame."""
        manner, small = self._manner, small_copy(photo)
        self._flow = None
        if self._average is not None and self._average.shape == small.shape:
            flow = measure(np.rint(self._average).clip(0, 255).astype(np.uint8), small)
            if flow.holds.mean() >= 1 - _CUT:
                self._flow = flow
        if self._flow is None:
            self._restart()
        self._average = average = self._averaged(small)
        self._number += 1
        shown = np.rint(average).clip(0, 255).astype(np.uint8)
        if manner.palette is not None and manner.moves_colors:
            self._transfer = _mixed(self._transfer, manner.palette.transfer(shown, manner.palette_strength))
        strokes = drawn = None
        if manner.brush is not None:
            colors = shown if self._transfer is None else self._transfer(shown)
            strokes = self._strokes(colors, manner.brush)
            drawn = strokes.draw(finishing_size(photo.size))
        return Study(manner, photo.size, shown, self._transfer, strokes, drawn, self.mixed)

    def mixed(self, made: Floats) -> Floats:
        """What was painted of the frame last studied, or what the network added to its strokes, without the flicker.

        Mixed with that of the frame before, carried along, unless the picture or its painting is another there.

        Args:
            made: H x W x 3, in 8-bit levels; always of one size.
        """
        import cv2

        flow = self._flow
        if flow is not None and self._before is not None and self._before.shape == made.shape:
            before = flow.carried(self._before.astype(np.float32))
            far = cv2.GaussianBlur(np.abs(made - before).mean(2), (0, 0), 1.5) / np.float32(_REPAINTED)
            holds = cv2.resize(flow.holds.astype(np.float32), (made.shape[1], made.shape[0]))
            share = np.maximum(np.clip(far * far, _NEW, 1), 1 - holds)[..., None]
            made = before + share * (made - before)
        self._before = made.astype(np.float16)
        return made

    def state(self) -> State:
        """All that is carried on to the next frame, as arrays by name."""
        known = {"statistics": self._statistics, "number": np.array(self._number)}
        known |= {name: value for name in ("average", "before") if (value := getattr(self, f"_{name}")) is not None}
        if self._transfer is not None:
            known |= {f"transfer.{f.name}": getattr(self._transfer, f.name) for f in fields(Transfer)}
        for number, layer in enumerate(self._layers):
            known |= {f"{number}.{name}": value for name, value in layer.arrays().items()}
        return known

    def restore(self, state: State) -> None:
        """Go on from what :meth:`state` returned."""
        self._statistics, self._number = state["statistics"], int(state["number"])
        self._average, self._before = state.get("average"), state.get("before")
        parts = [state.get(f"transfer.{f.name}") for f in fields(Transfer)]
        self._transfer = None if parts[0] is None else Transfer(*parts)  # type: ignore[arg-type]  # all are there
        self._layers = []
        while f"{len(self._layers)}.seen" in state:
            number = len(self._layers)
            self._layers.append(_Layer.from_arrays({name: state[f"{number}.{name}"] for name in _Layer.names()}))

    def _restart(self) -> None:
        self._average, self._transfer, self._before, self._number = None, None, None, 0
        self._layers = []

    def _averaged(self, small: Pixels) -> Floats:
        new = small.astype(np.float32)
        flow = self._flow
        if flow is None or self._average is None:
            return new
        before = flow.carried(self._average)
        difference = np.moveaxis(new - before, -1, 0)
        far = length(blurred(difference, 1.5)) / np.float32(_TRUST * flow.noise + 2)
        gain = np.where(flow.holds, np.clip(far * far, _GAIN, 1), 1)[..., None]
        return np.asarray(before + gain * (new - before), np.float32)

    def _strokes(self, colors: Pixels, brush: Brush) -> Strokes:
        photo, manner = Photo.of(colors), self._manner
        first = not self._layers
        known = np.array([photo.contrast, photo.tint])
        self._statistics = known if first else self._statistics + _SLOW * (known - self._statistics)
        photo = replace(photo, contrast=float(self._statistics[0]), tint=float(self._statistics[1]))
        painted = brushwork.ground_of(photo, brush, manner.stroke_size)
        canvas = ground = rgb_of(np.moveaxis(painted, 0, -1))
        layers = []
        for number, share in enumerate(brush.radii):
            radius = share * manner.stroke_size * WORKING
            reference = blurred(photo.colors, 0.5 * radius)
            if first:
                layer = _Layer.of(brushwork.lay(photo, painted, brush, radius, number, manner.seed), reference)
            else:
                layer = self._layers[number]
                if self._flow is not None:
                    layer = layer.carried(self._flow)
                spacing = brushwork.spacing(brush, radius, number)
                layer = layer.fitting(reference, spacing)
                layer = layer.and_(_Layer.of(self._more(photo, painted, brush, radius, number, layer), reference))
            layers.append(layer)
            if number + 1 < brush.layers:
                canvas = layer.laid.over(canvas, brush)
                painted = planes(canvas)
        self._layers = layers
        return brushwork.visible([layer.laid for layer in layers], ground, brush, photo.tint)

    def _more(self, photo: Photo, painted: Floats, brush: Brush, radius: float, number: int, layer: _Layer) -> Laid:
        """Strokes where there are too few."""

        def free(wanted: Floats, spacing: float) -> Floats:
            bare = _density(layer.laid, wanted.shape, spacing) < _BARE
            return np.where(bare, wanted / np.float32(_AGAIN), np.float32(-2))

        manner = self._manner
        return brushwork.lay(photo, painted, brush, radius, number, manner.seed, free=free, again=self._number)


def _mixed(before: Transfer | None, new: Transfer) -> Transfer:
    if before is None:
        return new
    parts = ((getattr(before, f.name), getattr(new, f.name)) for f in fields(Transfer))
    return Transfer(*(old + _SLOW * (late - old) for old, late in parts))


def _density(laid: Laid, shape: tuple[int, ...], spacing: float) -> Floats:
    """How many strokes begin where one should, H x W; 1 where they begin at their usual distance."""
    count = np.zeros(shape, np.float32)
    start = laid.points[:, 0]
    inside = ((start >= 0) & (start < np.array(shape[::-1]))).all(1)
    x, y = start[inside].astype(int).T
    np.add.at(count, (y, x), np.float32(spacing * spacing))
    return blurred(count, 0.6 * spacing)


def _misfit(laid: Laid, seen: Floats, reference: Floats) -> Floats:
    """Mean distance of strokes' colors from the picture's along them, CIE76, N."""
    count = laid.points.shape[1]
    along = _at(reference, laid.points.reshape(-1, 2)).reshape(-1, count, 3)
    return np.asarray(np.sqrt(((along - seen[:, None]) ** 2).sum(-1)).mean(1), np.float32)


def _lengths(points: Floats) -> Floats:
    return np.asarray(np.sqrt((np.diff(points, axis=1) ** 2).sum(-1)).sum(1), np.float32)


def _at(values: Floats, places: Floats) -> Floats:
    """Of n x H x W, at places N x 2 (x, y): N x n."""
    where = pixel((places[:, 0] + 1j * places[:, 1]).astype(np.complex64), values[0])
    return np.asarray(values[(slice(None), *where)].T)


def _bilinear(flow: Floats, points: Floats) -> Floats:
    """A flow, H x W x 2, at places N x M x 2; beyond the edge as at the edge."""
    height, width = flow.shape[:2]
    x = np.clip(points[..., 0] - 0.5, 0, width - 1)  # a pixel's center lies half a pixel from its corner
    y = np.clip(points[..., 1] - 0.5, 0, height - 1)
    left, top = np.minimum(x.astype(int), width - 2), np.minimum(y.astype(int), height - 2)
    u, v = (x - left)[..., None], (y - top)[..., None]
    upper = flow[top, left] * (1 - u) + flow[top, left + 1] * u
    lower = flow[top + 1, left] * (1 - u) + flow[top + 1, left + 1] * u
    return np.asarray(upper * (1 - v) + lower * v, np.float32)
