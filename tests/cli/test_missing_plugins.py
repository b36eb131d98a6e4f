"""What the commands say where plugins, and PyTorch with them, are not installed: a process that hides them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support import ROOT

# Hides what the first argument names: entry points of plugins, and modules.
HIDING = """
import importlib.metadata, importlib.util, sys
hidden, sys.argv = sys.argv[1].split(","), ["artgan", *sys.argv[2:]]
entry_points, find_spec = importlib.metadata.entry_points, importlib.util.find_spec
importlib.metadata.entry_points = lambda **k: [e for e in entry_points(**k) if e.name not in hidden]
importlib.util.find_spec = lambda name, *a: None if name in hidden else find_spec(name, *a)
sys.modules.update(dict.fromkeys(hidden))
from artgan.cli import main
main()
"""

BARE = "anystyle,cyclegan,dcgan,fastgan,gatys,sngan,torch"
"""All plugins and PyTorch: an installation of artgan alone."""


def refusal(hidden: str, *words: str | Path, cwd: Path = ROOT) -> str:
    """The one line that a command ends with, with status 2."""
    command = [sys.executable, "-c", HIDING, hidden, *map(str, words)]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    [line] = done.stderr.splitlines()
    return line


@pytest.mark.slow
@pytest.mark.parametrize(
    ("plugin", "words"),
    [
        ("gatys", "paint photo.jpg --model gatys"),
        ("gatys", "paint photo.jpg --model gatys --style s.jpg"),
        ("dcgan", "train dcgan --pictures DIR -o RUN"),
        ("dcgan", "sample dcgan.monet -o OUT.png"),
        ("cyclegan", "export monet -o OUT"),
        ("cyclegan", "convert FILE --to OUT --plugin cyclegan"),
    ],
)
def test_a_missing_plugin_says_how_to_install_it(plugin: str, words: str) -> None:
    said = refusal(f"{plugin},torch", *words.split())
    assert "is not installed" in said
    assert f'pip install "artgan[{plugin}]"' in said
    assert said.endswith(f"pip install -e plugins/artgan-{plugin}")  # the tests run in a checkout


@pytest.mark.slow
@pytest.mark.parametrize("words", ["convert FILE --to OUT", "study noise -o OUT"])
def test_without_any_plugin_all_are_named(words: str) -> None:
    assert 'pip install "artgan[anystyle,cyclegan,dcgan,fastgan,gatys,sngan]"' in refusal(BARE, *words.split())


@pytest.mark.slow
def test_a_folder_whose_plugin_is_missing_names_both(tmp_path: Path) -> None:
    shutil.copy(
        ROOT / "plugins/artgan-dcgan/src/artgan_dcgan/weights/monet.safetensors", tmp_path / "model.safetensors"
    )
    (tmp_path / "config.json").write_text(json.dumps({"plugin": "gatys", "config": {}}))
    said = refusal("gatys,torch", "paint", "photo.jpg", "--model", f"local-dir:{tmp_path}", cwd=tmp_path)
    assert said.startswith(f"artgan: local-dir:{tmp_path}: the plugin 'gatys' is not installed: pip install ")
    assert said.endswith(f"pip install -e {ROOT / 'plugins' / 'artgan-gatys'}")  # from elsewhere, the whole path
