"""The errors and warnings that artgan raises on purpose: each says what is wrong, where, and what to do."""

from __future__ import annotations

import difflib
import re
import sys
import warnings
from collections.abc import Callable, Iterable
from typing import Any


class ArtganError(Exception):
    """Base class of all errors meant for users: the command line prints the message, never a traceback."""


class ModelNotFoundError(ArtganError):
    """No model has this name; the message lists similar names."""


class PluginError(ArtganError):
    """A plugin is missing, broken, duplicated, disabled or made for another version of artgan."""


class RegistryError(ArtganError):
    """A registry file is invalid; the message names file, model and key."""


class WeightsError(ArtganError):
    """Weights are missing, damaged, another model's, or not safetensors."""


class PictureError(ArtganError):
    """A picture cannot be read, painted or written."""


class TooLargeError(PictureError):
    """A picture, or a batch of them, does not fit in memory while it is painted."""


class ConfigError(ArtganError):
    """An option or a configuration key is unknown, of the wrong type or out of range."""


class TrainingError(ArtganError):
    """A training run cannot start, continue or be resumed."""


class ExportError(ArtganError):
    """A model cannot be exported for another runtime, or its output there differs from PyTorch's."""


class Interrupted(KeyboardInterrupt):
    """The user pressed Ctrl-C while a model that works step by step already had results.

    Attributes:
        made: the results obtained before the interruption, in batch order, as the call would have returned them: from
            :meth:`artgan.toolkit.Generator.generate` N x 3 x H x W pictures in [-1, 1], from
            :func:`artgan.painting.paint_batch` finished paintings.
    """

    def __init__(self, made: Any) -> None:
        super().__init__()
        self.made = made


_LONGEST = 500  # characters; some libraries write messages of several pages
_COLORS = re.compile("\x1b\\[[0-9;]*m")


def one_line(error: BaseException, *, kind: bool = False) -> str:
    """An error's message on one line, for use in a message that already names the file or the part.

    Colors for terminals are removed, and all but the first 500 characters.

    Args:
        error: any exception. An OSError gives only its reason; an exception without a message, its class name.
        kind: whether to begin with the class name and give an OSError in full; for errors from third-party code.
    """
    reason = error.strerror if isinstance(error, OSError) and not kind else None
    text = " ".join(_COLORS.sub("", reason or str(error)).split())
    name = type(error).__name__
    line = (f"{name}: {text}" if kind else text) if text else name
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]} ..."


def did_you_mean(name: str, known: Iterable[str], *, most: int = 1, show: Callable[[str], str] = repr) -> str:
    """Ask "did you mean ...?" with up to ``most`` similar names, each formatted by ``show``; "" if none is similar."""
    near = difflib.get_close_matches(name, list(known), n=most)
    return f"did you mean {' or '.join(map(show, near))}?" if near else ""


def printable(text: str) -> str:
    """``text`` as one line that is safe to print on a terminal: all other characters are escaped."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


class RenamedWarning(FutureWarning):
    """An old name was used; the message gives the new one, and the version that removes the old one."""


def warn_renamed(what: str, new: str, removed_in: str) -> None:
    """Warn about an old name, attributed to the line outside artgan that used it.

    Args:
        what: the kind of thing and its old name: ``"the model 'cyclegan.claude'"``.
        new: the name to use.
        removed_in: the version, of the distribution that provides it, that removes the old name.
    """
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_globals.get("__name__", "").split(".")[0] == "artgan":
        frame, level = frame.f_back, level + 1
    warnings.warn(
        f"{what} is now {new!r}; the old name will be removed in version {removed_in}", RenamedWarning, stacklevel=level
    )
