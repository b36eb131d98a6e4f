"""The command line: one file per group of commands, without logic of its own."""

from __future__ import annotations

import gc
import io
import os
import sys
import warnings
from typing import NoReturn, TextIO

from artgan.cli.status import COMPLETING, interrupted
from artgan.errors import ArtganError, RenamedWarning, printable

_BROUGHT_BY = {
    "training": ("torch", "accelerate", "jinja2", "matplotlib", "tensorboard", "timm"),
    "metrics": ("sklearn", "torch_fidelity"),
    "demo": ("gradio", "uvicorn"),
}
"""Extra -> modules that commands import without asking, as a plugin's installation brings them."""


def main() -> None:
    """Entry point of the program ``artgan``.

    Exit status: 0 success, 1 some inputs failed, 2 the call itself was wrong, 130 interrupted by Ctrl-C.
    """
    # What libraries create when they are imported stays; to look through it for garbage as often as Python does by
    # default, each 700 objects or 2,000, takes a tenth of the time in which a training starts.
    gc.set_threshold(10_000, 10, 10)
    if COMPLETING in os.environ:
        _complete()
    _print_renamed_warnings()
    if isinstance(sys.stdout, io.TextIOWrapper):  # do not fail on a name that it cannot encode
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        from artgan.cli.app import app

        app()
    except ArtganError as error:
        print(f"artgan: {printable(str(error))}", file=sys.stderr)
        sys.exit(2)
    except ModuleNotFoundError as error:
        extra = next((extra for extra, modules in _BROUGHT_BY.items() if error.name in modules), None)
        if extra is None:
            raise
        command = next((word for word in sys.argv[1:] if not word.startswith("-")), "")
        print(f'artgan: {command} needs {error.name}, which comes with: pip install "artgan[{extra}]"', file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:  # while the commands are being imported
        sys.exit(interrupted())
    except BrokenPipeError:  # the reader of our output (such as head) has closed the pipe
        sys.stderr.close()
        sys.exit(141)


def _complete() -> NoReturn:
    """Answer a shell that asks for candidates: whatever goes wrong, nothing is written into the line being typed."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    try:
        from artgan.cli.app import app

        app()
    except Exception:
        sys.exit(1)
    sys.exit(0)


def _print_renamed_warnings() -> None:
    """Print each :class:`RenamedWarning` once per process, on one line."""
    show = warnings.showwarning

    def show_once(
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
    warnings.showwarning = show_once
