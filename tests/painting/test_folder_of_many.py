"""A folder of many pictures, some of them broken; killed on the way, and painted to its end by another run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from support.mirror import install_mirror

pytestmark = pytest.mark.slow

BROKEN_EVERY = 100

ARTGAN = [sys.executable, "-m", "artgan", "paint", "photos", "-o", "out", "--model", "mirror.plain", "--batch", "8"]


@pytest.fixture(params=[400, pytest.param(10_000, marks=pytest.mark.exhaustive)])
def pictures(request: pytest.FixtureRequest) -> int:
    """How many there are."""
    return int(request.param)


@pytest.fixture
def work(pictures: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, install_plugin: Callable[..., Path]) -> Path:
    """Hard links to a few small files, every hundredth of them broken."""
    install_mirror(install_plugin, monkeypatch)
    kinds = [tmp_path / f"{number}.ppm" for number in range(4)]
    for number, kind in enumerate(kinds):
        Image.new("RGB", (6 + number // 2, 5), (50 * number, 0, 0)).save(kind)
    (tmp_path / "broken.ppm").write_bytes(kinds[0].read_bytes()[:-9])
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(pictures):
        kind = tmp_path / "broken.ppm" if number % BROKEN_EVERY == 50 else kinds[number // 8 % len(kinds)]
        (photos / f"{number:05}.ppm").hardlink_to(kind)
    return tmp_path


def names(folder: Path) -> set[str]:
    return {entry.name for entry in os.scandir(folder)}


def test_killed_at_half_and_run_again_all_is_painted_and_the_broken_ones_are_named(work: Path, pictures: int) -> None:
    killed = subprocess.Popen(ARTGAN, cwd=work, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    out, broken_count = work / "out", pictures // BROKEN_EVERY
    try:
        end = time.monotonic() + 120
        while killed.poll() is None and time.monotonic() < end:
            if out.is_dir() and len(os.listdir(out)) > pictures // 2:
                break
            time.sleep(0.02)
        assert killed.poll() is None, killed.communicate()[1]
    finally:
        killed.send_signal(signal.SIGKILL)
        killed.communicate()
    painted = {name for name in names(out) if not name.startswith(".")}
    assert pictures // 2 - 10 < len(painted) < pictures - broken_count
    whole = {(work / f"{number}.ppm").stat().st_size for number in range(4)}
    assert {(out / name).stat().st_size for name in painted} <= whole
    (out / ".artgan-elsewhere-1-0.part").touch()  # of another machine, who knows how it fares there

    again = subprocess.run([*ARTGAN, "--skip-existing"], cwd=work, capture_output=True, text=True, timeout=120)
    assert again.returncode == 1
    *told, last = again.stderr.splitlines()
    broken = {f"photos/{number:05}.ppm" for number in range(50, pictures, BROKEN_EVERY)}
    assert told[0] == f"artgan: {len(painted)} of {pictures} exist already and are skipped"
    assert {line.split(": ")[1] for line in told[1:]} == broken
    assert len(told) == 1 + broken_count
    assert last == f"artgan: {broken_count} of {pictures} failed"
    assert len(again.stdout.splitlines()) == pictures - broken_count - len(painted)

    assert names(out) == {".artgan-elsewhere-1-0.part", *names(work / "photos")} - {Path(name).name for name in broken}
    assert {(out / name).stat().st_size for name in names(out) if not name.startswith(".")} == whole
