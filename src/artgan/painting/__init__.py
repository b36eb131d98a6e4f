"""Paints pictures: a single one, a batch of equal size, or files and folders.

Importing this package loads next to nothing: names are resolved when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from artgan.painting.files import Result, Saving, paint_files
    from artgan.painting.manner import PLAIN, Brushwork, Manner
    from artgan.painting.options import PaintOptions
    from artgan.painting.painter import paint, paint_batch
    from artgan.painting.planning import Job, Plan, plan
    from artgan.painting.processes import paint_in_processes, useful_processes
    from artgan.painting.tiles import Tiling

__all__ = [
    "PLAIN",
    "Brushwork",
    "Job",
    "Manner",
    "PaintOptions",
    "Plan",
    "Result",
    "Saving",
    "Tiling",
    "paint",
    "paint_batch",
    "paint_files",
    "paint_in_processes",
    "plan",
    "useful_processes",
]

_HOMES = {
    "files": ("Result", "Saving", "paint_files"),
    "manner": ("PLAIN", "Brushwork", "Manner"),
    "options": ("PaintOptions",),
    "painter": ("paint", "paint_batch"),
    "planning": ("Job", "Plan", "plan"),
    "processes": ("paint_in_processes", "useful_processes"),
    "tiles": ("Tiling",),
}


def __getattr__(name: str) -> Any:
    home = next((home for home, names in _HOMES.items() if name in names), None)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), name)
