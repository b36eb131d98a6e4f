"""The errors that artgan raises on purpose: each message says what was wrong, where, and what to do."""

from __future__ import annotations


class ArtganError(Exception):
    """Base of all errors that are meant for people: the command line prints the message, never a traceback."""


class ModelNotFoundError(ArtganError):
    """No model of that name; the message lists the near ones."""


class PluginError(ArtganError):
    """A plugin is missing, broken, duplicated, disabled or made for another version of artgan."""


class RegistryError(ArtganError):
    """A registry file has a fault; the message names file, model and key."""


class WeightsError(ArtganError):
    """Weights are missing, damaged, of another model, or not safetensors."""


class PictureError(ArtganError):
    """A picture cannot be read, painted or written."""


class TooLargeError(PictureError):
    """A picture, or several at once, do not fit in memory while they are painted."""


class ConfigError(ArtganError):
    """An option or a configuration key is unknown, of the wrong type or out of range."""


class TrainingError(ArtganError):
    """A training run cannot start, go on or be resumed."""


class ExportError(ArtganError):
    """A model cannot be exported for another runtime, or does not paint there as it does here."""


def printable(text: str) -> str:
    """``text`` in one line that any terminal takes: what a name can hold else is escaped."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
