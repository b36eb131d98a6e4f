"""Under-paintings as training pictures: each crop is painted in an artist's strokes when it is drawn. Free of torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml

from artgan.errors import ConfigError, TrainingError
from artgan.painting.brushwork import Brush, reduced, trace
from artgan.painting.canvas import Pixels
from artgan.painting.palette import Palette

_SIZES = (1.0, 2.0)  # stroke sizes: from those of a picture at its own size to those of one seen at half of it
_PALETTE = (0.5, 1.2)  # multiples of the palette's strength, so that the network meets what --palette asks for
_MOST_BYTES = 1_000_000  # of a file of brushwork


@dataclass(frozen=True, eq=False)
class Underpainter:
    """Paints crops in an artist's strokes, each with a seed, a stroke size and a strength of the palette of its own.

    Attributes:
        brush: the artist's.
        palette: the artist's, or None to leave the colors as they are.
        strength: how far colors are moved to the palette, 0 to 1.
    """

    brush: Brush
    palette: Palette | None = None
    strength: float = 0.0

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], *, where: str) -> Underpainter:
        """From ``brush`` (its parameters), ``palette`` (its strength) and ``colors`` (its table), all optional.

        Raises:
            ConfigError: a key or a value is not one of these.
        """
        unknown = values.keys() - {"brush", "palette", "colors"}
        if unknown:
            raise ConfigError(f"{where}: has brush, palette and colors, not {min(unknown)!r}")
        strength = values.get("palette", 0.0)
        if not isinstance(strength, (int, float)) or not 0 <= strength <= 1:
            raise ConfigError(f"{where}: palette must be from 0 to 1, not {strength!r}")
        colors = values.get("colors")
        palette = Palette.from_dict(colors, where=f"{where}: colors") if colors else None
        return cls(Brush.from_dict(values.get("brush", {}), where=f"{where}: brush"), palette, float(strength))

    @classmethod
    def load(cls, path: Path) -> Underpainter:
        """From a JSON or YAML file.

        Raises:
            TrainingError: the file cannot be read.
            ConfigError: as :meth:`from_dict` says.
        """
        try:
            if path.stat().st_size > _MOST_BYTES:
                raise TrainingError(f"{path}: is too large for a file of brushwork")
            values = yaml.safe_load(path.read_text("utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise TrainingError(f"{path}: cannot be read as a file of brushwork ({error})") from None
        if not isinstance(values, dict):
            raise ConfigError(f"{path}: is no mapping of brush, palette and colors")
        return cls.from_dict(values, where=str(path))

    def __call__(self, pixels: Pixels, random: np.random.Generator) -> Pixels:
        """The under-painting of a crop, H x W x 3, 8-bit RGB."""
        cv2.setNumThreads(1)  # crops are drawn in as many processes as there are cores to spare
        size = (pixels.shape[1], pixels.shape[0])
        small = reduced([pixels], size)
        if self.palette is not None:
            strength = min(1.0, self.strength * random.uniform(*_PALETTE))
            small = self.palette.transfer(small, strength)(small)
        stroke_size = _SIZES[0] * (_SIZES[1] / _SIZES[0]) ** random.random()
        return trace(small, self.brush, int(random.integers(2**63)), stroke_size).draw(size)


def underpainter(name: str) -> Underpainter:
    """The under-painter of ``--underpaint``: a file of brushwork."""
    return Underpainter.load(Path(name))
