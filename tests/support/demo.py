"""The demo's page, as the real program serves it on loopback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

START = ("-m", "artgan", "demo")

_SETTINGS = {
    "OMP_NUM_THREADS": "1",
    "GRADIO_IS_E2E_TEST": "1",  # Gradio looks four times a second, not every 15 s, whether a visitor has left
}


@dataclass(frozen=True)
class Served:
    """A running page.

    Attributes:
        url: its address, with a slash at the end.
        folder: where the program keeps its temporary files.
        process: the program.
    """

    url: str
    folder: Path
    process: subprocess.Popen[str]

    def files(self) -> list[str]:
        """The names of the files that visitors left: neither the page's own example nor that of a library."""
        walked = os.walk(self.folder)  # which passes over what is removed meanwhile
        found = [Path(parent, name).relative_to(self.folder) for parent, _, names in walked for name in names]
        return sorted(str(path) for path in found if "example" not in path.parts and path.name != ".ses")

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send a signal; returns the exit status."""
        self.process.send_signal(number)
        return self.process.wait(60)


@contextmanager
def served(
    folder: Path, *options: str, start: Sequence[str] = START, environment: dict[str, str] | None = None
) -> Iterator[Served]:
    """The page of ``artgan demo OPTIONS`` on a free port, whose temporary files are in ``folder``."""
    with (folder.parent / f"{folder.name}-stderr.txt").open("w+") as said:
        process = subprocess.Popen(
            [sys.executable, *start, "--port", "0", "--no-open", *options],
            env={**os.environ, **_SETTINGS, "TMPDIR": str(folder), **(environment or {})},
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
        )
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            said.seek(0)
            assert url.startswith("http://"), said.read()
            yield Served(url, folder, process)
        finally:
            if process.poll() is None:
                process.terminate()
            try:
                process.wait(60)
            finally:
                process.kill()
                assert process.stdout is not None
                process.stdout.close()
