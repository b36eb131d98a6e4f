"""Names that changed: the old one works for some versions more, and whoever uses it is told."""

from __future__ import annotations

import sys
import warnings
from typing import TextIO


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


def tell_on_standard_error() -> None:
    """Print each :class:`RenamedWarning` of this process once, as one line: for the command line."""
    show = warnings.showwarning

    def tell(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if issubclass(category, RenamedWarning):
            print(f"artgan: {message}", file=sys.stderr)
        else:
            show(message, category, filename, lineno, file, line)

    warnings.simplefilter("once", RenamedWarning)
    warnings.showwarning = tell
