"""Folders watched for pictures that arrive: looked at again and again, and painted when they are complete."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

from artgan import images
from artgan.errors import ArtganError
from artgan.images.films import open_film
from artgan.painting.planning import Job, Plan

INTERVAL = 1.0
"""Seconds between two looks."""

_PATIENCE = 10  # looks at an unchanged file that cannot be decoded, before it is a failure: copies may stall

_Stamp: TypeAlias = "tuple[int, int, int]"


def watch(look: Callable[[], Plan], *, overwrite: bool, interval: float = INTERVAL) -> Iterator[Sequence[Job]]:
    """Yield the jobs that are ready, now and later, without end; an empty sequence where there are none.

    A picture is ready when its size and time were the same at two looks and it can be decoded. One that is replaced is
    ready again, and its painting is replaced too; other paintings that exist are left alone unless ``overwrite``. A
    file that stays as it is and cannot be decoded becomes a job too, which will say why; a removed one is forgotten.

    Args:
        look: plans all pictures that are there, as if existing paintings could be replaced.
        overwrite: whether paintings that exist at the first sight of a picture may be replaced.
        interval: seconds between two looks.
    """
    waiting: dict[Path, tuple[_Stamp, int]] = {}  # the stamp at the last look, and how many looks it has been so
    handled: dict[Path, _Stamp | None] = {}
    while True:
        ready = []
        there = set()
        for job in look():
            path = job.input
            there.add(path)
            stamp = _stamp(path)
            if stamp is None or (path in handled and handled[path] == stamp):
                continue
            if path not in handled and job.output is not None and not overwrite and os.path.lexists(job.output):
                handled[path] = stamp
                ready.append(replace(job, skipped=True))
                continue
            before, looks = waiting.get(path, (None, 0))
            looks = looks + 1 if before == stamp else 0
            waiting[path] = stamp, looks
            if job.error is not None or looks >= _PATIENCE or (looks and _is_complete(path)):
                handled[path] = stamp
                del waiting[path]
                ready.append(job)
        for known in (waiting, handled):
            for path in known.keys() - there:
                del known[path]
        yield ready
        time.sleep(interval)


def _stamp(path: Path) -> _Stamp | None:
    """What changes when a file does; None if there is no file (an empty folder is no failure while it is watched)."""
    try:
        status = path.stat()
    except OSError:
        return None
    return None if path.is_dir() else (status.st_ino, status.st_size, status.st_mtime_ns)


def _is_complete(path: Path) -> bool:
    try:
        if images.is_film(path):
            with open_film(path):  # an MP4 file's index is written last
                return True
        with images.open_picture(path) as (image, _):
            large = image.width * image.height > images.MAX_PIXELS  # read by strips only
        if not large:
            images.decode(path)
    except ArtganError:
        return False
    return True
