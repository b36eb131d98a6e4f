"""How a picture is painted apart from the network: brush, palette, strength, colors. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from artgan.painting.brushwork import Brush
from artgan.painting.palette import Palette


@dataclass(frozen=True, eq=False)
class Brushwork:
    """What a model carries of its artist's hand, beside the network.

    Attributes:
        brush: how strokes are laid under the network's painting.
        palette: the colors of the artist's paintings, or None.
        strength: how far a photo's colors are moved to them unless the user says so, 0 to 1.
    """

    brush: Brush
    palette: Palette | None = None
    strength: float = 0.0

    def to_card(self) -> dict[str, Any]:
        """What a model's card says of it, as JSON types; the palette's table is not in the card."""
        card: dict[str, Any] = {"brush": self.brush.to_dict()}
        if self.palette is not None:
            card["palette"] = self.strength
        return card


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
