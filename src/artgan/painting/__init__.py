"""From a picture to a painting: one, a batch of one size, or files and folders of them."""

from artgan.painting.files import Result, paint_files
from artgan.painting.painter import paint, paint_batch
from artgan.painting.plan import Job, plan
from artgan.painting.tiles import Tiling

__all__ = ["Job", "Result", "Tiling", "paint", "paint_batch", "paint_files", "plan"]
