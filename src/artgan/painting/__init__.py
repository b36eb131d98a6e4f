"""Paints pictures: a single one, a batch of equal size, or files and folders."""

from artgan.painting.files import Result, paint_files
from artgan.painting.painter import paint, paint_batch
from artgan.painting.plan import Job, plan
from artgan.painting.tiles import Tiling

__all__ = ["Job", "Result", "Tiling", "paint", "paint_batch", "paint_files", "plan"]
