"""What a plugin declares. This is one of the two homes of the plugin author's API; it imports no torch.

The other one is :mod:`artgan.toolkit`, with what a plugin's networks and trainers are built from. A plugin imports
these two, and :mod:`artgan.testing` in its tests. Everything else in artgan is private by convention: it may change in
any version.

- The manifest: :class:`Plugin`.
- Options of a config and of painting: :func:`option`, :class:`AdversarialOptions`, :class:`NoiseOptions`.
- Errors that reach the user as one line: :class:`ConfigError` for an option that cannot be followed,
  :class:`PictureError` for a picture, :class:`WeightsError` for a file of weights.
"""

from __future__ import annotations

from artgan.config import option
from artgan.discovery import Plugin
from artgan.errors import ConfigError, PictureError, WeightsError
from artgan.training.options import AdversarialOptions, NoiseOptions

__all__ = [
    "AdversarialOptions",
    "ConfigError",
    "NoiseOptions",
    "PictureError",
    "Plugin",
    "WeightsError",
    "option",
]
