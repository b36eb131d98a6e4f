"""Several processes paint what one would, in order, and end when it ends."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from PIL import Image

import artgan
from artgan.painting import PLAIN, Result, Saving, paint_files, paint_in_processes, plan, processes, useful_processes
from artgan.painting.network import Network
from artgan.painting.planning import Job


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for number in range(9):
        pixels = np.random.default_rng(number).integers(0, 256, (6, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((64, 48), Image.Resampling.BICUBIC).save(folder / f"{number}.png")
    (folder / "4.png").write_bytes(b"\x89PNG\r\n\x1a\n")  # damaged
    return folder


@pytest.fixture(scope="module")
def model() -> artgan.Model:
    return artgan.load("monet", runtime="onnxruntime")


@pytest.mark.slow
def test_the_results_are_those_of_one_process(photos: Path, model: Any, tmp_path: Path) -> None:
    manner, own = model.painting({"stroke_size": 2.0})
    how: dict[str, Any] = {"manner": manner, "options": own, "saving": Saving(quality=80)}
    network = model.running_on()
    found = {}
    for name, paint in (("one", paint_files), ("two", paint_in_processes)):
        count = (2,) if name == "two" else ()
        jobs = plan([photos], tmp_path / name, tag="m")
        results = list(paint(network, jobs, *count, **how))
        assert [result.input for result in results] == [job.input for job in jobs]
        found[name] = [(result.error, result.size, result.skipped) for result in results]
        assert [bool(result.error) for result in results] == [number == 4 for number in range(9)]
    assert found["one"] == found["two"]
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


def _slow_work(network: Network, jobs: Any, how: Any, pipe: Any) -> None:
    """Tells a result, and then paints no more for a while."""
    for job in jobs:
        pipe.send(Result(job.input, job.output, None, 0.0))
        time.sleep(0.3)


@pytest.mark.slow
def test_a_process_that_is_killed_fails_its_pictures_alone(
    photos: Path, model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manner, own = model.painting({})
    monkeypatch.setattr(processes, "_work", _slow_work)
    results = paint_in_processes(model.running_on(), plan([photos], tmp_path, tag="m"), 2, manner=manner, options=own)
    first = next(results)
    assert first.error is None
    multiprocessing.active_children()[0].kill()
    rest = list(results)
    assert len(rest) == 8
    failed = [result.error for result in rest if result.error]
    assert all("cannot be painted (its process ended: too little memory?)" in error for error in failed)
    assert 1 <= len(failed) <= 4  # the other process painted its own


def test_where_processes_are_of_use(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    manner, _ = model.painting({})
    network, jobs = model.running_on(), [Job(Path("a.jpg"), Path("b.jpg"))] * 100
    monkeypatch.setattr(processes, "usable_threads", lambda: 4)
    monkeypatch.setattr(Network, "free_memory", lambda self: 1e11)
    assert useful_processes(network, jobs, manner) == 4
    assert useful_processes(network, jobs[:20], manner) == 2
    assert useful_processes(network, jobs[:15], manner) == 1
    assert useful_processes(network, jobs, PLAIN) == 1
    assert useful_processes(artgan.load("monet", runtime="torch").running_on(), jobs, manner) == 1
    assert useful_processes(network, [*jobs, Job(Path("a.mp4"), Path("b.mp4"))], manner) == 1
    monkeypatch.setattr(Network, "free_memory", lambda self: 2.5e9)
    assert useful_processes(network, jobs, manner) == 2


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT")
@pytest.mark.parametrize(
    "all_told",
    [
        pytest.param(True, id="as a terminal does"),
        pytest.param(False, id="the first process alone", marks=pytest.mark.exhaustive),
    ],
)
def test_ctrl_c_ends_all_processes_and_keeps_what_is_finished(tmp_path: Path, all_told: bool) -> None:
    (tmp_path / "photos").mkdir()
    photo = Image.effect_noise((400, 300), 64).convert("RGB")
    for number in range(60):
        photo.save(tmp_path / "photos" / f"{number:02}.jpg")
    command = [sys.executable, "-m", "artgan", "paint", str(tmp_path / "photos"), "-o", str(tmp_path / "out")]
    environment = {**os.environ, "OMP_NUM_THREADS": "2", "PYTHONUNBUFFERED": "1"}
    lines = tmp_path / "lines"  # no pipe: what readline buffers beyond its line is lost to communicate
    with (
        lines.open("w") as output,
        subprocess.Popen(
            command, stdout=output, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True
        ) as process,
    ):
        while "\n" not in lines.read_text():
            time.sleep(0.01)
            assert process.poll() is None
        children = psutil.Process(process.pid).children(recursive=True)
        (os.killpg if all_told else os.kill)(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert err == "artgan: interrupted\n"
    told = len(lines.read_text().splitlines())
    written = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert all(name.endswith(".jpg") for name in written), written
    assert told == len(written) < 60
    for name in written:
        with Image.open(tmp_path / "out" / name) as painting:
            painting.load()
    deadline = time.monotonic() + 10
    while any(child.is_running() for child in children) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not [child for child in children if child.is_running()]
