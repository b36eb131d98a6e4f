"""A picture from standard input and a painting to standard output, by way of files in a temporary folder."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from artgan.errors import ConfigError, PictureError

STANDARD = "-"
"""Names standard input as an input and standard output as an output."""

_MOST = 2 * 2**30  # bytes of a picture from standard input
_PIECE = 2**20


class Pipes:
    """Where pictures are read and paintings written instead.

    Attributes:
        inputs: the inputs, with a file in place of standard input.
        out: a folder in place of standard output; otherwise what was given.
        to_standard_output: whether paintings go there.
    """

    def __init__(self, inputs: Sequence[Path], out: str | None, folder: Path) -> None:
        self._read = folder / "standard input"
        self.to_standard_output = out == STANDARD
        self.out = str(folder / "out") if self.to_standard_output else out
        self.inputs = [self._read if str(path) == STANDARD else path for path in inputs]
        if self._read in self.inputs:
            self._receive()

    def _receive(self) -> None:
        left = _MOST
        with self._read.open("wb") as file:
            while piece := sys.stdin.buffer.read(_PIECE):
                left -= len(piece)
                if left < 0:
                    raise PictureError(f"standard input: has more than {_MOST // 2**30} GB, and is not read")
                file.write(piece)

    def named(self, text: str) -> str:
        """A message in which standard input and output have these names, not those of their files."""
        text = text.replace(str(self._read), self._read.name)
        return text.replace(str(self.out), "standard output") if self.to_standard_output else text

    def send(self, painting: Path) -> None:
        """Write a painting's file to standard output."""
        with painting.open("rb") as file:
            shutil.copyfileobj(file, sys.stdout.buffer)
        sys.stdout.buffer.flush()


@contextmanager
def open_pipes(inputs: Sequence[Path], out: str | None) -> Iterator[Pipes | None]:
    """The pipes, if ``inputs`` or ``out`` name standard input or output; else None.

    Raises:
        ConfigError: there is more than one picture for standard output, no name for the painting of standard input, or
            standard input or output is a terminal.
        PictureError: standard input has too many bytes.
    """
    piped = [path for path in inputs if str(path) == STANDARD]
    if not piped and out != STANDARD:
        yield None
        return
    if len(piped) > 1 or (out == STANDARD and (len(inputs) != 1 or inputs[0].is_dir())):
        raise ConfigError("a pipe holds one picture: artgan paint - -o - < photo.jpg > painting.jpg")
    if piped and out is None:
        raise ConfigError("the painting of standard input needs a name: -o FILE, or -o - for standard output")
    if piped and out is not None and out != STANDARD and (Path(out).is_dir() or not Path(out).suffix):
        raise ConfigError(f"{out}: is a folder, but standard input has no name for its painting; write -o FILE")
    if piped and os.isatty(0):
        raise ConfigError("standard input is a terminal: artgan paint - -o painting.jpg < photo.jpg")
    if out == STANDARD and os.isatty(1):
        raise ConfigError("standard output is a terminal: artgan paint photo.jpg -o - > painting.jpg")
    with tempfile.TemporaryDirectory(prefix="artgan-") as folder:
        yield Pipes(inputs, out, Path(folder))
