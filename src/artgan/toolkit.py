"""Building blocks for a plugin's networks and trainers: one of the two modules of the plugin author's API.

The other is :mod:`artgan.plugin`, which holds what a plugin declares and does not import torch. A plugin imports these
two modules, and :mod:`artgan.testing` in its tests. Everything else in artgan is private by convention and may change
in any version.

- Networks: :class:`Generator`, :class:`Discriminator`, and :class:`Networks`, which groups those of one model;
  :class:`Place`, where a part of a picture lies, for generators that depend on it.
- Training: :class:`Trainer`, and :class:`Run`, what a trainer knows about its run.
- Adversarial training: :class:`Adversary`, :func:`adam`; for a trainer without an adversary
  :func:`discriminator_loss`, :func:`generator_loss`, :func:`accuracy`, :func:`r1_penalty`.
- Layers: :class:`ResizeConv2d`.
- Pictures from noise: :class:`NoiseGenerator`, :class:`Noise`, :class:`NoiseTrainer`.
- Several resolutions: :class:`MultiscaleGenerator`, :class:`ProgressiveDiscriminator`,
  :class:`MultiscaleGradientDiscriminator`, :class:`MultiscaleTrainer`; the layers :class:`PixelNorm`,
  :class:`MinibatchDeviation`, and :func:`equalize`.
- Metrics: :class:`Metric`, :class:`Score`.
- Pretrained features: :class:`VGG19`, :func:`load_vgg19`; :func:`weights_file`, of any of timm's networks.
- Weights: :func:`save_model`; :class:`Converted`, what ``convert`` returns.
- Styles that a user gives: :class:`Style`, :func:`find_styles`, :func:`read_mask`.
- Strokes: :class:`Brush`, :class:`Palette`, :class:`Brushwork`, both as a model carries them.
- Pictures: :func:`decode`, :func:`to_tensor`, :func:`to_rgb`, :func:`encode`, :func:`check_writable`; data sets:
  :func:`open_pictures`.
- Long-running work: :func:`progress`, :class:`Interrupted`, :func:`free_memory`.
- Files: :func:`atomic_write`; the user's cache: :func:`cache_folder`, :func:`make_room`.
- Messages: :func:`one_line`, an error as a single line.
"""

from __future__ import annotations

from artgan.data import open_pictures
from artgan.devices import free_memory
from artgan.errors import one_line
from artgan.features import VGG19, load_vgg19, weights_file
from artgan.files import atomic_write, cache_folder, make_room
from artgan.images import check_writable, decode, encode, to_rgb, to_tensor
from artgan.interfaces import Discriminator, Generator, Interrupted, Metric, Networks, Run, Score, Trainer
from artgan.models.converting import Converted
from artgan.models.folder import save_model
from artgan.models.layers import ResizeConv2d
from artgan.painting.brushwork import Brush
from artgan.painting.manner import Brushwork
from artgan.painting.network import Place
from artgan.painting.palette import Palette
from artgan.painting.styles import Style, find_styles, read_mask
from artgan.progress import progress
from artgan.sampling.generator import NoiseGenerator
from artgan.sampling.noise import Noise
from artgan.training.adversarial import Adversary, adam
from artgan.training.from_noise import NoiseTrainer
from artgan.training.losses import accuracy, discriminator_loss, generator_loss, r1_penalty
from artgan.training.multiscale.layers import MinibatchDeviation, PixelNorm, equalize
from artgan.training.multiscale.networks import (
    MultiscaleGenerator,
    MultiscaleGradientDiscriminator,
    ProgressiveDiscriminator,
)
from artgan.training.multiscale.trainer import MultiscaleTrainer

__all__ = [
    "VGG19",
    "Adversary",
    "Brush",
    "Brushwork",
    "Converted",
    "Discriminator",
    "Generator",
    "Interrupted",
    "Metric",
    "MinibatchDeviation",
    "MultiscaleGenerator",
    "MultiscaleGradientDiscriminator",
    "MultiscaleTrainer",
    "Networks",
    "Noise",
    "NoiseGenerator",
    "NoiseTrainer",
    "Palette",
    "PixelNorm",
    "Place",
    "ProgressiveDiscriminator",
    "ResizeConv2d",
    "Run",
    "Score",
    "Style",
    "Trainer",
    "accuracy",
    "adam",
    "atomic_write",
    "cache_folder",
    "check_writable",
    "decode",
    "discriminator_loss",
    "encode",
    "equalize",
    "find_styles",
    "free_memory",
    "generator_loss",
    "load_vgg19",
    "make_room",
    "one_line",
    "open_pictures",
    "progress",
    "r1_penalty",
    "read_mask",
    "save_model",
    "to_rgb",
    "to_tensor",
    "weights_file",
]
