"""What a plugin declares: one of the two modules of the plugin author's API. It does not import torch.

The other is :mod:`artgan.toolkit`, the building blocks for a plugin's networks and trainers. A plugin imports these
two modules, and :mod:`artgan.testing` in its tests. Everything else in artgan is private by convention and may change
in any version.

- The manifest: :class:`Plugin`.
- Options of a config and of painting: :func:`option`, :class:`AdversarialOptions`, :class:`NoiseOptions`,
  :class:`MultiscaleOptions`.
- Errors shown to the user as one line: :class:`ConfigError` for an unusable option, :class:`PictureError` for a
  picture, :class:`WeightsError` for a weights file.
"""

from __future__ import annotations

from artgan.config import option
from artgan.discovery import Plugin
from artgan.errors import ConfigError, PictureError, WeightsError
from artgan.training.options import AdversarialOptions, MultiscaleOptions, NoiseOptions

__all__ = [
    "AdversarialOptions",
    "ConfigError",
    "MultiscaleOptions",
    "NoiseOptions",
    "PictureError",
    "Plugin",
    "WeightsError",
    "option",
]
