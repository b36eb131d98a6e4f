"""Pictures to train and measure on."""

from artgan.data.draws import Draws
from artgan.data.folders import PictureFolder

__all__ = ["Draws", "PictureFolder"]
