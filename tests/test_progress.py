"""The progress bar, on a real terminal and without one."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from artgan.progress import progress, reporting_to

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


def on_a_terminal(code: str, *, notebook: bool = False) -> str:
    """What a program writes to its standard error if that is a terminal of 120 columns, or what a notebook has as one.

    Control sequences are left out, as a notebook does.
    """
    ours, theirs = pty.openpty()
    parent = "1" if notebook else ""  # a kernel's and its children's
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stderr=theirs,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "120", "JPY_PARENT_PID": parent},
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


@pytest.mark.slow
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


def test_in_a_notebook_one_line_is_overwritten() -> None:
    lines = on_a_terminal(TWO_BARS, notebook=True).replace("\r\n", "\n").rstrip("\n").split("\n")
    assert len(lines) == 2, lines  # one for each of the outer bars
    for line, name in zip(lines, ("pictures [all]", "later"), strict=True):
        assert line.split("\r")[-1].startswith(name)
        assert "steps" not in line


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


UNKNOWN_AND_DEEP = """
import time
from threading import Thread
from artgan.progress import progress

def elsewhere():
    with progress("in a thread", 3) as advance:
        advance()

with progress("one picture", None), progress("strokes", 4e6) as stroke, progress("too deep", 5) as deep:
    thread = Thread(target=elsewhere)
    thread.start()
    thread.join()
    for _ in range(2):
        time.sleep(0.2)
        stroke(steps=1e6)
        deep()
    print("result")
"""


def test_a_bar_without_a_total_shares_of_steps_and_no_third_bar_nor_one_of_a_thread() -> None:
    shown = on_a_terminal(UNKNOWN_AND_DEEP)
    assert "one picture" in shown
    assert re.search(r"strokes .* 25 % .* 0:01 left", shown)
    assert "too deep" not in shown
    assert "in a thread" not in shown
    assert "result" not in shown  # standard output is not a terminal here: what is printed goes there


def test_rich_is_imported_where_a_bar_is_drawn_only() -> None:
    code = (
        "import sys\nfrom artgan.progress import progress\nwith progress('all', 3): pass\nprint('rich' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr


def test_a_listener_hears_every_step_and_may_end_the_work() -> None:
    heard: list[tuple[str, float, float | None]] = []

    def listen(what: str, done: float, total: float | None) -> None:
        heard.append((what, done, total))
        if done >= 2:
            raise KeyboardInterrupt

    with reporting_to(listen), progress("tiles", 4, done=0.5, after=60) as advance:
        advance(steps=0.75)
        with pytest.raises(KeyboardInterrupt):
            advance(steps=0.75)
    assert heard == [("tiles", 0.5, 4), ("tiles", 1.25, 4), ("tiles", 2.0, 4)]
    with progress("tiles", 4) as advance:
        advance()
    assert len(heard) == 3  # after the block nobody listens
