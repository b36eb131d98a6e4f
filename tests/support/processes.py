"""The real program in a process of its own, without waiting for torch each time.

The processes are forked from a server that has imported what a training needs, and done nothing else.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import subprocess
import sys
import tempfile
from pathlib import Path

FORKED = multiprocessing.get_context("spawn" if sys.platform == "win32" else "forkserver")  # Windows cannot fork
if sys.platform != "win32":
    FORKED.set_forkserver_preload(
        [
            "artgan.cli.app",
            "artgan.reports.run",
            "artgan.training.loop",
            "artgan_cyclegan.trainer",
            "timm",
            "torch._dynamo",  # every optimizer imports it
            "torch.utils.tensorboard",
        ]
    )


def artgan(
    *arguments: str | Path, cwd: Path | None = None, timeout: float = 900, **environment: str
) -> subprocess.CompletedProcess[str]:
    """What ``artgan ARGUMENTS`` prints and how it ends; one thread.

    Variables that a library reads when it is imported (those of the Hub's client) have no effect; for these use
    :func:`started_artgan`.
    """
    words = [str(argument) for argument in arguments]
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder, name) for name in ("stdout", "stderr")]
        process = FORKED.Process(target=_main, args=(words, {**os.environ, **environment}, cwd or Path.cwd(), *paths))
        process.start()
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            raise TimeoutError(f"artgan {' '.join(words)}: still running after {timeout} s")
        out, err = (path.read_text() for path in paths)
    return subprocess.CompletedProcess(words, process.exitcode, out, err)


def started_artgan(
    *arguments: str | Path, cwd: Path | None = None, timeout: float = 300, **environment: str
) -> subprocess.CompletedProcess[str]:
    """The same in a new interpreter, as a user starts it: some seconds slower."""
    return subprocess.run(
        [sys.executable, "-m", "artgan", *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=timeout,
        check=False,
    )


def as_if_started() -> None:
    """Forget the server: what a program starts has none of its own, and dies with it."""
    gc.freeze()  # what the server has imported is not looked through again
    multiprocessing.set_start_method(None, force=True)


def _main(words: list[str], environment: dict[str, str], cwd: Path, out: Path, err: Path) -> None:
    import torch

    from artgan.cli import main

    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for path, descriptor in ((out, 1), (err, 2)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), descriptor)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    torch.set_num_threads(1)
    as_if_started()
    sys.argv = ["artgan", *words]
    main()
