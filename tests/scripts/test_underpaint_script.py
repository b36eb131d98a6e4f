"""scripts/underpaint.py: a cluster paints what one machine does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from support import ROOT
from support.pictures import BROKEN, write_pictures


def underpaint(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, ROOT / "scripts" / "underpaint.py", *arguments, "--size", "64", "--variants", "2"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.exhaustive
def test_a_cluster_makes_the_same_under_paintings(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    photos = write_pictures(tmp_path / "photos", 3)
    made = {}
    for name, engine in (("one", "local"), ("two", "ray")):
        done = underpaint(photos, tmp_path / name, "--engine", engine)
        assert done.returncode == 0, done.stderr
        made[name] = {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()}
    assert made["one"] == made["two"]
    assert len(made["one"]) == 6
    (photos / "9.png").write_bytes(BROKEN)
    done = underpaint(photos, tmp_path / "two", "--engine", "ray")
    assert done.returncode == 2
    assert f"{photos / '9.png'}: damaged" in done.stderr.splitlines()[-1]
