"""The artist's hand that a model carries beside its network: a brush and a palette. Does not import torch.

A card holds the brush and the palette's default strength under ``brushwork``; the table of the palette is in the header
of the weights, so that their hash covers it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from artgan.errors import ArtganError, ConfigError, WeightsError, one_line
from artgan.models.locating import locate
from artgan.painting.brushwork import Brush
from artgan.painting.manner import Brushwork, Manner, palette_strength
from artgan.painting.options import PaintOptions
from artgan.painting.palette import Palette

_KEYS = ("brush", "palette")
_FILES = (".json", ".yaml", ".yml")
_MOST_BYTES = 1_000_000  # of a brush's file
_NO_STROKES = "without a brush there are no strokes"
_NO_BRUSH = "this model has no brush, so it lays no strokes; the option brush gives it one"


def read_brushwork(card: Mapping[str, Any], about: Callable[[], Mapping[str, Any]], *, where: str) -> Brushwork | None:
    """The brushwork of a model, or None if its card names none.

    Args:
        card: of the model.
        about: returns what the header of its weights says; its ``palette`` is the table.
        where: the origin of the card, with which errors begin.

    Raises:
        ConfigError: the card's brushwork or the palette is invalid.
        WeightsError: the card says how far colors move to the palette, but the weights hold none.
    """
    given = card.get("brushwork")
    if not given:
        return None
    where = f"{where}: brushwork"
    if not isinstance(given, Mapping) or not isinstance(given.get("brush"), Mapping) or not set(given) <= {*_KEYS}:
        raise ConfigError(f"{where}: must hold brush, a mapping, and may hold palette, a number from 0 to 1")
    brush = Brush.from_dict(given["brush"], where=f"{where}: brush")
    strength = palette_strength(given, where=where)
    table = about().get("palette")
    if table is None and strength:
        raise WeightsError(f"{where}: palette: is {strength}, but the model's weights hold no palette")
    return Brushwork(brush, table and Palette.from_dict(table, where=f"{where}: palette"), strength)


def manner_of(options: PaintOptions, own: Brushwork | None, *, where: str, brush: Brush | None = None) -> Manner:
    """How a model paints with these options.

    Args:
        options: what the user says.
        own: what the model carries.
        where: the model's name, with which errors begin.
        brush: in place of the one that ``options`` names.

    Raises:
        ConfigError: the model cannot do it, or the file of the brush is invalid.
        ArtganError: the model whose brush is asked for cannot be found.
    """
    hand, table, plain = own, own, False  # whose strokes and strength, and whose colors
    if brush is None and options.brush is not None:
        if options.brush == "none":
            hand, plain = None, True
        else:
            found = named_brushwork(options.brush)
            if found.palette is None and _is_file(options.brush):  # the strokes alone
                brush = found.brush
            else:
                hand = table = found
    if brush is None and hand is not None:
        brush = hand.brush
    palette = table.palette if table is not None else None
    usual = hand.strength if hand is not None and not options.keep_colors else 0.0
    strength = usual if options.palette is None else options.palette
    if brush is None and options.stroke_size != 1:
        raise ConfigError(f"{where}: stroke_size: {_NO_STROKES if plain else _NO_BRUSH}")
    if strength and palette is None:
        raise ConfigError(f"{where}: palette: this model has none; the option brush can name a model that has")
    if strength and options.keep_colors:
        raise ConfigError(f"{where}: palette and keep_colors cannot be combined")
    return Manner(
        brush, options.stroke_size, palette, strength, options.strength, options.keep_colors, options.seed or 0
    )


def named_brushwork(name: str) -> Brushwork:
    """The brushwork of a file (JSON or YAML, by its suffix) or of a model.

    Raises:
        ConfigError: the file cannot be read or is no brushwork; there is no such model, or it has none.
    """
    return read_brush(Path(name)) if _is_file(name) else find_brushwork(name)


def _is_file(name: str) -> bool:
    return name.lower().endswith(_FILES)


def find_brushwork(name: str) -> Brushwork:
    """The brushwork of another model, which is not built.

    Raises:
        ConfigError: it has none.
        ArtganError: there is no such model.
    """
    try:
        found = locate(name)
    except ArtganError as error:
        raise ConfigError(f"brush: {error}") from None
    brushwork = read_brushwork(found.card, found.about, where=found.source)
    if brushwork is None:
        raise ConfigError(f"brush: the model {found.name} has none; give one that has, a file, or none")
    return brushwork


def read_brush(path: Path) -> Brushwork:
    """The brush in a JSON or YAML file, with its palette if there is one; see :meth:`Brushwork.from_dict`.

    Raises:
        ConfigError: the file cannot be read, or is no brush.
    """
    try:
        with path.expanduser().open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except (OSError, RuntimeError) as error:
        raise ConfigError(f"{path}: this brush cannot be read ({one_line(error)})") from None
    if len(data) > _MOST_BYTES:
        raise ConfigError(f"{path}: is larger than {_MOST_BYTES} bytes, too large for a brush")
    try:
        values = yaml.safe_load(data)  # JSON is YAML
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: is not a valid brush: {one_line(error)}") from None
    return Brushwork.from_dict(values if values is not None else {}, where=str(path))
