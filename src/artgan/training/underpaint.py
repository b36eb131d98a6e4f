"""Under-paintings as training pictures: each crop is painted in an artist's strokes when it is drawn. Free of torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from artgan.models.hands import named_brushwork
from artgan.painting.canvas import Pixels
from artgan.painting.manner import Brushwork, Manner
from artgan.painting.underpainting import Study

_SIZES = (1.0, 2.0)  # stroke sizes: from those of a picture at its own size to those of one seen at half of it
_STRENGTHS = (0.5, 1.2)  # multiples of the palette's strength, so that the network meets what --palette asks for


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
        return cls(named_brushwork(name))

    def to_dict(self) -> dict[str, Any]:
        """The brushwork with its palette's table, as JSON types."""
        palette = self.brushwork.palette
        table: Mapping[str, Any] = {} if palette is None else {"colors": palette.to_dict()}
        return {**self.brushwork.to_card(), **table}

    def __call__(self, pixels: Pixels, random: np.random.Generator) -> Pixels:
        """The under-painting of a crop, H x W x 3, 8-bit RGB."""
        manner = Manner(
            brush=self.brushwork.brush,
            palette=self.brushwork.palette,
            palette_strength=min(1.0, self.brushwork.strength * random.uniform(*_STRENGTHS)),
            stroke_size=_SIZES[0] * (_SIZES[1] / _SIZES[0]) ** random.random(),
            seed=int(random.integers(2**63)),
        )
        study = Study.of(Image.fromarray(pixels), manner)
        assert study.strokes is not None  # there is a brush
        return study.strokes.draw(study.size)
