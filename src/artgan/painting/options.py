"""The options of painting that every model has: the same in Python and on the command line. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

from artgan import config
from artgan.config import option


@dataclass(frozen=True)
class PaintOptions:
    """What a user may say about a painting, whatever the model.

    Raises:
        ConfigError: a value is of the wrong type or out of its range.
    """

    brush: str | None = option(
        None,
        "whose strokes: a model's name; a JSON or YAML file of brush parameters; or none [default: the model's own]",
    )
    stroke_size: float = option(1.0, "size of the strokes, 0.5 to 3 times the artist's", least=0.5, most=3.0)
    strength: float = option(1.0, "0 is the photo, 1 the painting; up to 1.5 exaggerates it", least=0.0, most=1.5)
    keep_colors: bool = option(False, "keep the photo's own colors; the painting gives the lightness")
    palette: float | None = option(
        None, "how far colors move to the artist's, 0 to 1 [default: the model's]", least=0.0, most=1.0
    )
    seed: int | None = option(
        None, "seed of the strokes, and of the model if it draws random numbers [default: 0]", least=0
    )

    def __post_init__(self) -> None:
        config.check(self, where="painting")
