"""Ctrl-C in a real process: what there is by then is written, and the program ends as one that was interrupted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from artgan.images import decode

PLUGIN = """
from artgan.plugin import Plugin

plugin = Plugin("slow", "Takes its time.", config="slow_plugin.networks:Config", generator="slow_plugin.networks:Slow",
                registry="registry.yaml")
"""

# A dark picture is painted for ever. "ready" is there once it has begun.
NETWORKS = """
import time
from dataclasses import dataclass
from pathlib import Path

from artgan.config import option
from artgan.interfaces import Generator, Interrupted


@dataclass(frozen=True)
class Config:
    keeps: bool = option(True, "give what there is when interrupted")


class Slow(Generator):
    def __init__(self, config):
        super().__init__()
        self.keeps = config.keeps

    def forward(self, x):
        if x.max() > -1:
            return x
        painted = x + 1
        Path("ready").touch()
        try:
            time.sleep(60)
        except KeyboardInterrupt:
            if self.keeps:
                raise Interrupted(painted) from None
            raise
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, install_plugin: Callable[..., Path]) -> Path:
    """Three pictures, the second one dark, and the models of the plugin."""
    package = install_plugin("slow", PLUGIN)
    (package / "networks.py").write_text(NETWORKS)
    entry = {"plugin": "slow", "distribution": "artgan-slow"}
    models = {"slow.keeps": entry, "slow.drops": {**entry, "config": {"keeps": False}}}
    (package / "registry.yaml").write_text(json.dumps({"schema": 1, "models": models}))
    monkeypatch.setenv("PYTHONPATH", str(package.parent))
    folder = tmp_path / "work"
    folder.mkdir()
    for name, color in {"a": "red", "b": "black", "c": "blue"}.items():
        Image.new("RGB", (9, 7), color).save(folder / f"{name}.png")
    return folder


def interrupted(*arguments: str, folder: Path) -> tuple[str, str]:
    """What the program prints that is interrupted in its second picture."""
    process = subprocess.Popen(
        [sys.executable, "-m", "artgan", *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # the tests' may be ignored
    )
    try:
        end = time.monotonic() + 60
        while not (folder / "ready").exists() and process.poll() is None and time.monotonic() < end:
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, err
    assert "Traceback" not in err
    return out, err


@pytest.mark.slow
@pytest.mark.parametrize(("model", "made"), [("slow.keeps", ["a", "b"]), ("slow.drops", ["a"])])
def test_ctrl_c_keeps_what_is_painted_and_tells_it(folder: Path, model: str, made: list[str]) -> None:
    out, err = interrupted("paint", ".", "-o", "out", "--model", model, "--format", "json", folder=folder)
    assert err == "artgan: interrupted\n"
    assert [Path(result["output"]).stem for result in json.loads(out)] == made
    assert sorted(path.name for path in (folder / "out").iterdir()) == [f"{name}.png" for name in made]
    if "b" in made:
        assert decode(folder / "out" / "b.png").rgb.getpixel((4, 4)) == (128, 128, 128)


@pytest.mark.slow
def test_ctrl_c_without_json_and_after_a_failure(folder: Path) -> None:
    (folder / "a.png").write_text("no picture")
    out, err = interrupted("paint", "a.png", "b.png", "c.png", "--model", "slow.keeps", folder=folder)
    assert out == "b-keeps.png\n"
    *failures, last = err.splitlines()
    assert "a.png: not a picture" in failures[0]
    assert failures[1:] == ["artgan: 1 of 3 failed"]
    assert last == "artgan: interrupted"


@pytest.mark.slow
def test_ctrl_c_in_a_comparison_leaves_no_sheet(folder: Path) -> None:
    _, err = interrupted("compare", "b.png", "--models", "slow.keeps", "-o", "sheet.png", folder=folder)
    assert err == "artgan: interrupted\n"
    assert sorted(path.name for path in folder.iterdir()) == ["a.png", "b.png", "c.png", "ready"]
