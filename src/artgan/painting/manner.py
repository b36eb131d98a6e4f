"""How a picture is painted apart from the network: brush, palette, strength, colors. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from artgan.errors import ConfigError
from artgan.painting.brushwork import Brush
from artgan.painting.palette import Palette

_PARTS = {"brush", "palette", "colors"}


@dataclass(frozen=True, eq=False)
class Brushwork:
    """A brush and a palette, as a model carries them in addition to its network.

    Attributes:
        brush: how strokes are laid under the network's painting.
        palette: the colors of the artist's paintings, or None.
        strength: how far a photo's colors are moved to them unless the user says so, 0 to 1.
    """

    brush: Brush
    palette: Palette | None = None
    strength: float = 0.0

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], *, where: str = "brushwork") -> Brushwork:
        """From a file's content: ``brush`` (its parameters), ``palette`` (its strength), ``colors`` (its table).

        All are optional. A mapping with none of these names is that of the brush alone.

        Raises:
            ConfigError: a key or a value is not one of these.
        """
        if not isinstance(values, Mapping):
            raise ConfigError(f"{where}: must be a mapping of options to values, not {type(values).__name__}")
        if not values.keys() & _PARTS:
            values = {"brush": values}
        unknown = values.keys() - _PARTS
        if unknown:
            raise ConfigError(f"{where}: has brush, palette and colors, not {min(map(str, unknown))!r}")
        brush = Brush.from_dict(values.get("brush", {}), where=f"{where}: brush" if "brush" in values else where)
        strength, colors = palette_strength(values, where=where), values.get("colors")
        palette = None if colors is None else Palette.from_dict(colors, where=f"{where}: colors")
        return cls(brush, palette, strength if palette is not None else 0.0)

    def to_card(self) -> dict[str, Any]:
        """What a model's card says of it, as JSON types; the palette's table is not in the card."""
        card: dict[str, Any] = {"brush": self.brush.to_dict()}
        if self.palette is not None:
            card["palette"] = self.strength
        return card


def palette_strength(values: Mapping[str, Any], *, where: str) -> float:
    """How far colors are moved to the palette, as ``palette`` of a file or a card says; 0 if it says nothing.

    Raises:
        ConfigError: it is not a number from 0 to 1.
    """
    strength = values.get("palette", 0)
    if isinstance(strength, bool) or not isinstance(strength, int | float) or not 0 <= strength <= 1:
        raise ConfigError(f"{where}: palette: must be a number from 0 to 1, not {strength!r}")
    return float(strength)


@dataclass(frozen=True, eq=False)
class Manner:
    """How a picture is painted, all of it decided and valid.

    Attributes:
        brush: of the under-painting; None: the network paints the photo itself.
        stroke_size: a multiple of the brush's radii.
        palette: the table to which colors are moved before the network, or None.
        palette_strength: how far, 0 to 1.
        strength: 0 is the photo, 1 the painting; up to 1 they are blended, beyond the network's change is amplified.
        keep_colors: whether the painting's colors, though not its lightness, are the photo's.
        seed: of the strokes.
    """

    brush: Brush | None = None
    stroke_size: float = 1.0
    palette: Palette | None = None
    palette_strength: float = 0.0
    strength: float = 1.0
    keep_colors: bool = False
    seed: int = 0

    @property
    def moves_colors(self) -> bool:
        """Whether there is a palette, and colors move to it."""
        return self.palette is not None and self.palette_strength > 0

    @property
    def is_plain(self) -> bool:
        """Whether the painting is what the network makes of the photo."""
        return self.brush is None and self.strength == 1 and not self.keep_colors and not self.moves_colors


PLAIN = Manner()
"""The network alone."""
