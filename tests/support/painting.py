"""The painting functions for generators, which painting itself does not know: these are run by PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from artgan import painting
from artgan.interfaces import Generator
from artgan.models.runtimes.pytorch import TorchNetwork
from artgan.painting import strips, tiles


def of_generators(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, whose first argument may also be a generator."""

    @wraps(function)
    def wrapped(painter: Any, *args: Any, **options: Any) -> Any:
        network = TorchNetwork(painter) if isinstance(painter, Generator) else painter
        return function(network, *args, **options)

    return wrapped


best_side = of_generators(tiles.best_side)
paint = of_generators(painting.paint)
paint_batch = of_generators(painting.paint_batch)
paint_files = of_generators(painting.paint_files)
paint_large = of_generators(strips.paint_large)
paint_tiles = of_generators(tiles.paint_tiles)
