"""The generator: finds the codes of the styles that a user gives, and paints with them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from artgan.plugin import ConfigError, PictureError
from artgan.toolkit import Generator, Networks, Place, Style, decode, find_styles, read_mask, to_tensor
from artgan_anystyle.config import AnyStyleConfig, AnyStyleOptions
from artgan_anystyle.networks import PERIOD, Painter, StyleEncoder, Styles, large_enough

_SIDE = 256  # pixels that a style's shorter side has where it is looked at, as in training
_LONGEST = 1024  # pixels that its longer side has at most
_KEPT = 64  # codes and masks that are kept


class AnyStyleGenerator(Generator):
    """Photo and style to painting, in one pass.

    Attributes:
        style: the code of the style that it paints in if no other is given: that of a saved style, or the mean of the
            training.
    """

    thread_safe = True
    placed = True
    stride = 4
    minimum_size = 8
    style: Tensor

    def __init__(self, config: AnyStyleConfig) -> None:
        super().__init__()
        self.encoder = StyleEncoder(config.encoder_width, config.code)
        self.painter = Painter(config.width, config.blocks, config.code)
        self.register_buffer("style", torch.zeros(config.code))
        self.to(memory_format=torch.channels_last)  # faster on a CPU
        self.reach = self.painter.reach
        self.memory_per_pixel = 6 * config.width
        self._known: dict[tuple[Any, ...], Tensor] = {}

    def forward(self, x: Tensor) -> Tensor:
        """N x 3 x H x W photos in [-1, 1] to their paintings in :attr:`style`; H and W multiples of 4, at least 8.

        In training there is no such style, and each photo is painted in its own.
        """
        code = self.encoder(large_enough(x)) if self.training else self.style[None]
        return self.paint(x, [(code, None)])

    def paint(
        self, x: Tensor, styles: Styles, *, seed: int | None = 0, places: Sequence[Place] | None = None
    ) -> Tensor:
        """N x 3 x H x W photos in [-1, 1] to their paintings.

        Args:
            x: photos.
            styles: codes, and where each applies.
            seed: of the noise; None draws it anew, from torch's global state.
            places: for each row, where it lies in its picture, at multiples of 4; by default each is a whole picture.
        """
        made: Tensor = self.painter(x, styles, self._noise(x, seed, places))
        return made

    @torch.inference_mode()
    def generate(self, x: Tensor, places: Sequence[Place] | None = None, **options: Any) -> Tensor:
        """N x 3 x H x W photos, or parts of them, in [-1, 1] to their paintings.

        Args:
            x: photos.
            places: as for :meth:`paint`.
            options: fields of :class:`artgan_anystyle.config.AnyStyleOptions`.

        Raises:
            ConfigError: the options are inconsistent, or a style cannot be read.
            PictureError: a mask cannot be read, or has another size than its picture.
            TypeError: an option that there is not.
        """
        given = AnyStyleOptions(**options)
        return self.paint(x, self._styles(x, given, places), seed=given.seed, places=places)

    @torch.inference_mode()
    def encode(self, styles: Sequence[Style], scale: float = 1.0, color: int | None = None) -> Tensor:
        """The code of a blend of styles, 1 x D.

        Args:
            styles: with their weights.
            scale: the size of the style relative to the painting's.
            color: of the region, in the styles' masks, that is looked at.

        Raises:
            ConfigError: a picture cannot be read.
        """
        codes = torch.cat([style.weight * self._code(style, scale, color) for style in styles])
        return codes.sum(0, keepdim=True) / sum(style.weight for style in styles)

    def _styles(self, x: Tensor, options: AnyStyleOptions, places: Sequence[Place] | None) -> Styles:
        """What :meth:`paint` takes."""
        if not options.style:
            if options.mask is not None:
                raise ConfigError("mask and style_mask need styles: --style PATH")
            return [(self.style[None], None)]
        styles = find_styles(options.style, options.style_mask)
        if options.mask is None:
            return [(self.encode(styles, options.style_scale).to(x), None)]
        labels = self._labels(options.mask, x, places)
        blends: dict[int, list[Style]] = {}
        for style in styles:
            for color in self._colors(style):
                blends.setdefault(color, []).append(style)
        found: list[tuple[Tensor, Tensor | None]] = []
        for color in torch.unique(labels).tolist():
            if color not in blends:
                raise ConfigError(f"{options.mask}: no style mask has its color #{color:06x}")
            code = self.encode(blends[color], options.style_scale, color).to(x)
            found.append((code, (labels == color).to(x)))
        return found

    def _code(self, style: Style, scale: float, color: int | None) -> Tensor:
        """The code of a style picture, or of a region of it, 1 x D."""
        return self._remembered((style.name, scale, style.mask, color), lambda: self._encoded(style, scale, color))

    def _encoded(self, style: Style, scale: float, color: int | None) -> Tensor:
        picture = style.read()
        longer = min(_SIDE * scale / min(picture.size) * max(picture.size), _LONGEST * max(1.0, scale))
        width, height = (max(1, round(side * longer / max(picture.size))) for side in picture.size)
        seen = to_tensor(picture.resize((width, height), Image.Resampling.LANCZOS))[None].to(self.style)
        weights = None
        if color is not None:
            inside = torch.from_numpy(style.regions()[color])[None, None]
            weights = large_enough(F.interpolate(inside.to(seen), seen.shape[2:], mode="area"))
        code: Tensor = self.encoder(large_enough(seen), weights)
        return code

    def _colors(self, style: Style) -> list[int]:
        """The colors of a style picture's mask."""
        return self._remembered((style.name, style.mask), lambda: torch.tensor([*style.regions()])).tolist()

    def _labels(self, mask: str, x: Tensor, places: Sequence[Place] | None) -> Tensor:
        """The colors of the photo's mask at each pixel of N x 3 x H x W photos or parts of them: N x 1 x H x W."""
        height, width = x.shape[2:]
        places = places or [Place(0, 0, width, height)] * len(x)
        size = places[0][2:]
        whole = self._remembered((mask, *size), lambda: _read_labels(mask, size)).to(x.device)
        rows = [
            whole[(top + torch.arange(height)).clamp(max=size[1] - 1)][
                :, (left + torch.arange(width)).clamp(max=size[0] - 1)
            ]
            for left, top, *_ in places
        ]
        return torch.stack(rows)[:, None]

    def _remembered(self, key: tuple[Any, ...], make: Callable[[], Tensor]) -> Tensor:
        """What is made of files, again for each tile of a picture and for each picture of a folder."""
        try:
            stamps = [(os.stat(part).st_mtime_ns, os.stat(part).st_size) for part in key if isinstance(part, str)]
        except OSError:  # in an archive
            return make()
        key = (*key, *stamps)
        if key not in self._known:
            if len(self._known) >= _KEPT:
                self._known.clear()
            self._known[key] = make()
        return self._known[key]

    def _noise(self, x: Tensor, seed: int | None, places: Sequence[Place] | None) -> tuple[Tensor, Tensor]:
        """Noise for N x 3 x H x W pictures, at a quarter and at half of their size."""
        height, width = x.shape[2:]
        if seed is None:
            small, large = (x.new_empty(len(x), 1, height // by, width // by).normal_() for by in (4, 2))
            return small, large
        found = []
        for by, field in zip((4, 2), _noise_fields(seed), strict=True):
            field = field.to(x)
            rows, columns = torch.arange(height // by), torch.arange(width // by)
            parts = [
                field[(top // by + rows) % len(field)][:, (left // by + columns) % len(field)]
                for left, top, *_ in places or [Place(0, 0, width, height)] * len(x)
            ]
            found.append(torch.stack(parts)[:, None])
        return found[0], found[1]

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Load weights, and arrange them as new ones are: those that are assigned have their file's order."""
        keys = super().load_state_dict(state_dict, strict, assign)
        self._known.clear()
        self.to(memory_format=torch.channels_last)
        return keys

    def train(self, mode: bool = True) -> AnyStyleGenerator:
        """Switch to training, after which codes of styles change."""
        self._known.clear()
        return super().train(mode)


@lru_cache(maxsize=4)
def _noise_fields(seed: int) -> tuple[Tensor, Tensor]:
    """Standard normal noise that repeats beyond its edges, for a quarter and for half of the size."""
    generator = torch.Generator().manual_seed(seed)
    small, large = (torch.randn(side, side, generator=generator) for side in (PERIOD, 2 * PERIOD))
    return small, large


def _read_labels(path: str, size: tuple[int, int]) -> Tensor:
    """A mask's colors, H x W, at the size (W x H) of the picture that is painted.

    Raises:
        PictureError: it cannot be read, has other proportions than the picture, or too many colors.
    """
    width, height = decode(path).rgb.size
    if abs(width * size[1] - height * size[0]) > max(width, height, *size):
        raise PictureError(
            f"{path}: a mask must have the size of the photo; it is {width} x {height} pixels, and the photo is "
            f"painted at {size[0]} x {size[1]}"
        )
    labels = torch.zeros(1, 1, height, width, dtype=torch.int32)
    for color, inside in read_mask(path, (width, height), "the photo").items():
        labels[0, 0, torch.from_numpy(inside)] = color
    # float64 holds 24 bits of a color exactly.
    return F.interpolate(labels.double(), (size[1], size[0]), mode="nearest-exact")[0, 0].to(torch.int32)


def encode_style(generator: AnyStyleGenerator, **options: Any) -> dict[str, Tensor]:
    """The state of a generator that paints in the style of ``options``, which are those of painting, by default."""
    given = AnyStyleOptions(**options)
    return {"style": generator.encode(find_styles(given.style), given.style_scale)[0]}


def build_generator(config: AnyStyleConfig) -> AnyStyleGenerator:
    """A generator, newly initialized."""
    return AnyStyleGenerator(config)


def build(config: AnyStyleConfig) -> Networks:
    """The networks for training: there is no discriminator."""
    return Networks(generators={"paintings": build_generator(config)})
