"""The training loop that all plugins share."""

from artgan.training.loop import train
from artgan.training.options import TrainingOptions

__all__ = ["TrainingOptions", "train"]
