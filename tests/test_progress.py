"""The progress bar, on a real terminal and without one."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pty = pytest.importorskip("pty")  # not on Windows

TWO_BARS = """
import time
from artgan.progress import progress

with progress("pictures [all]", 2) as picture:
    for _ in range(2):
        with progress("steps", 3) as step:
            for number in range(3):
                step(f"loss {number}.5" if number < 2 else "")
                time.sleep(0.15)
        picture()
with progress("later", 2, done=1) as advance:
    advance("all done")
"""


def on_a_terminal(code: str) -> str:
    """What a program writes to its standard error if that is a terminal of 120 columns."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", code], stderr=theirs, env={**os.environ, "TERM": "xterm", "COLUMNS": "120"}
    )
    os.close(theirs)
    written = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # so Linux tells the end
            break
        if not part:
            break
        written += part
    os.close(ours)
    assert process.wait(60) == 0, written
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", written.decode())


def test_a_bar_within_a_bar_is_drawn_below_it_with_its_note() -> None:
    lines = on_a_terminal(TWO_BARS).replace("\r", "\n").split("\n")
    outer = [line for line in lines if line.startswith("pictures [all]")]
    inner = [line for line in lines if line.startswith("steps")]
    assert " 1/2 " in " ".join(outer)
    assert re.search(r" 1/3 .* loss 0\.5", "\n".join(inner))
    assert re.search(r" 3/3 .* loss 1\.5", "\n".join(inner))  # a note stays until the next
    assert all("loss" not in line for line in outer)
    # At the end the outer one is left, and the next begins anew.
    *_, last = [line.split() for line in lines if line.strip()]
    assert last[0] == "later"
    assert last[-2:] == ["all", "done"]
    assert "2/2" in last
    after = lines[max(i for i, line in enumerate(lines) if "later" not in line and "pictures" in line) + 1 :]
    assert not any(line.startswith("steps") for line in after)


def test_without_a_terminal_nothing_is_drawn(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", TWO_BARS], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


LATE = """
import time
from artgan.progress import progress

with progress("quick", 50, after=1) as advance:
    for _ in range(50):
        advance()
with progress("slow", 8, after=0.2) as advance:
    for _ in range(8):
        time.sleep(0.1)
        advance()
"""


def test_a_bar_that_is_to_wait_appears_only_if_the_work_takes_so_long() -> None:
    written = on_a_terminal(LATE)
    assert "quick" not in written
    assert re.search(r"slow .* 8/8 ", written)
