"""What people install: wheels built from this checkout, and a virtual environment with nothing of artgan but them.

Without a network: the third-party packages are those of the running environment.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Collection, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from support import ROOT

PLUGINS = sorted(path.parent.relative_to(ROOT) for path in ROOT.glob("plugins/*/pyproject.toml"))


_BUILD = """
import os, sys
from hatchling.build import build_wheel

dist, *projects = sys.argv[1:]
for project in projects:
    os.chdir(project)  # which build backends look at
    build_wheel(dist)
"""


@cache
def build(folder: Path) -> Mapping[str, Path]:
    """The wheels of the core and of the plugins by package, built in ``folder`` from a copy of the checkout."""
    copy, dist = folder / "source", folder / "dist"
    dist.mkdir(parents=True)
    unwanted = shutil.ignore_patterns("__pycache__", ".*_cache", "dist", "build", "*.egg-info")
    for name in ("src", "tests", "plugins"):
        shutil.copytree(ROOT / name, copy / name, ignore=unwanted)
    # The build leaves out what .gitignore names.
    for name in ("pyproject.toml", "registry.yaml", "README.md", "LICENSE", ".gitignore"):
        shutil.copy(ROOT / name, copy / name)
    run(sys.executable, "-c", _BUILD, dist, copy, *(copy / plugin for plugin in PLUGINS), cwd=dist)
    return {path.name.split("-")[0]: path for path in dist.glob("*.whl")}


def make_venv(venv: Path, wheels: Mapping[str, Path], *, without: Collection[str] = ()) -> Path:
    """A new virtual environment with the wheels, and beside it a folder for what else it needs.

    The third-party packages come in through a folder of links, since a path to the whole site-packages would bring
    the running artgan's metadata. Only the environment's own .pth files run, not those in the folder: no editable
    install gets in.

    Args:
        venv: where it is made.
        wheels: installed there.
        without: third-party packages that stay out, by the names of their folders.

    Returns:
        The folder of its programs: python, artgan, pip (which uses no network) and pytest.
    """
    assert not venv.resolve().is_relative_to(ROOT)
    links = venv.with_name(f"{venv.name}-third-party")
    links.mkdir(parents=True)
    run(sys.executable, "-m", "venv", "--without-pip", venv, cwd=venv.parent)
    for site in (Path(entry) for entry in sys.path if Path(entry).name in ("site-packages", "dist-packages")):
        for entry in site.iterdir() if site.is_dir() else ():
            link = links / entry.name  # of two with one name, the first on the path counts
            unwanted = "artgan" in entry.name.lower() or entry.suffix == ".pth" or entry.name == "__pycache__"
            unwanted |= re.split(r"[-.]", entry.name)[0] in without  # NAME, NAME.py and NAME-VERSION.dist-info
            if not unwanted and not link.exists():
                link.symlink_to(entry, target_is_directory=entry.is_dir())
    [site] = venv.glob("[Ll]ib/**/site-packages")
    (site / "third-party.pth").write_text(f"{links}\n", encoding="utf-8")
    programs = venv / ("Scripts" if os.name == "nt" else "bin")
    pip = f'"{sys.executable}" -m pip --python "{programs / "python"}" --disable-pip-version-check -q'
    offline = "--no-index --no-build-isolation"
    for name, command in (
        ("pip", f'command=$1\nshift\nexec {pip} "$command" {offline} "$@"'),
        ("pytest", f'exec "{programs / "python"}" -m pytest "$@"'),
    ):
        (programs / name).write_text(f"#!/bin/sh\n{command}\n")
        (programs / name).chmod(0o755)
    run(programs / "pip", "install", "--no-deps", *wheels.values(), cwd=venv.parent)
    return programs


def run(*command: Any, cwd: Path) -> str:
    """What a command that must succeed prints; nothing of the checkout reaches it through the environment."""
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=cwd, env=environment(), capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, f"{words}: exit status {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def environment() -> dict[str, str]:
    """The variables of this process, without those that would lead to the checkout or into the network."""
    unwanted = {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "ARTGAN_DISABLE_PLUGINS"}
    env = {key: value for key, value in os.environ.items() if key not in unwanted}
    return env | {"HF_HUB_OFFLINE": "1", "PYTHONDONTWRITEBYTECODE": "1"}
