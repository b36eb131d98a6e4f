"""The errors and warnings that artgan raises on purpose: each says what was wrong, where, and what to do."""

from __future__ import annotations

import difflib
import re
import sys
import warnings
from collections.abc import Callable, Iterable


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


_LONGEST = 500  # of a line; some libraries explain themselves over pages
_COLOURS = re.compile("\x1b\\[[0-9;]*m")


def one_line(error: BaseException, *, kind: bool = False) -> str:
    """What an error says on one line, shortened, for a message that names the file or the part itself.

    Args:
        error: whatever was raised. Of an OSError the reason alone is given; of one without a message, its class.
        kind: whether to begin with the class, and to give an OSError in full: for errors from the code of others.
    """
    reason = error.strerror if isinstance(error, OSError) and not kind else None
    text = " ".join(_COLOURS.sub("", reason or str(error)).split())
    name = type(error).__name__
    line = (f"{name}: {text}" if kind else text) if text else name
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]} ..."


def did_you_mean(name: str, known: Iterable[str], *, most: int = 1, show: Callable[[str], str] = repr) -> str:
    """Ask "did you mean ...?" with at most so many near names, each as ``show`` gives it; "" where none is near."""
    near = difflib.get_close_matches(name, list(known), n=most)
    return f"did you mean {' or '.join(map(show, near))}?" if near else ""


def printable(text: str) -> str:
    """``text`` in one line that any terminal takes: what a name can hold else is escaped."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


class RenamedWarning(FutureWarning):
    """An old name was used; the message tells the new one, and the version in which the old one goes."""


def warn_renamed(what: str, new: str, removed_in: str) -> None:
    """Warn of an old name, at the line outside artgan that used it.

    Args:
        what: the old name and what it is of: ``"the model 'cyclegan.claude'"``.
        new: the name to use.
        removed_in: the version, of the distribution that brings it, in which the old name goes.
    """
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_globals.get("__name__", "").split(".")[0] == "artgan":
        frame, level = frame.f_back, level + 1
    warnings.warn(f"{what} is now {new!r}; the old name goes in version {removed_in}", RenamedWarning, stacklevel=level)
