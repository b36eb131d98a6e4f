"""Under-paintings as training pictures: each crop is painted in an artist's strokes when it is drawn. Free of torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from artgan.models.hands import find_brushwork, read_brush
from artgan.painting.brushwork import reduced, trace
from artgan.painting.canvas import Pixels
from artgan.painting.manner import Brushwork

_SIZES = (1.0, 2.0)  # stroke sizes: from those of a picture at its own size to those of one seen at half of it
_STRENGTHS = (0.5, 1.2)  # multiples of the palette's strength, so that the network meets what --palette asks for
_FILES = (".json", ".yaml", ".yml")


@dataclass(frozen=True, eq=False)
class Underpainter:
    """Paints crops in an artist's strokes, each with a seed, a stroke size and a strength of the palette of its own.

    Attributes:
        brushwork: the artist's.
    """

    brushwork: Brushwork

    @classmethod
    def of(cls, name: str) -> Underpainter:
        """With the brushwork of a file (JSON or YAML) or of a model.

        Raises:
            ConfigError: the file cannot be read or is no brushwork; there is no such model, or it has none.
        """
        return cls(read_brush(Path(name)) if name.lower().endswith(_FILES) else find_brushwork(name))

    def to_dict(self) -> dict[str, Any]:
        """The brushwork with its palette's table, as JSON types."""
        palette = self.brushwork.palette
        table: Mapping[str, Any] = {} if palette is None else {"colors": palette.to_dict()}
        return {**self.brushwork.to_card(), **table}

    def __call__(self, pixels: Pixels, random: np.random.Generator) -> Pixels:
        """The under-painting of a crop, H x W x 3, 8-bit RGB."""
        cv2.setNumThreads(1)  # crops are drawn in as many processes as there are cores to spare
        size = (pixels.shape[1], pixels.shape[0])
        small = reduced([pixels], size)
        palette, strength = self.brushwork.palette, self.brushwork.strength * random.uniform(*_STRENGTHS)
        if palette is not None:
            small = palette.transfer(small, min(1.0, strength))(small)
        stroke_size = _SIZES[0] * (_SIZES[1] / _SIZES[0]) ** random.random()
        return trace(small, self.brushwork.brush, int(random.integers(2**63)), stroke_size).draw(size)
