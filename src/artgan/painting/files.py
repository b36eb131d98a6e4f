"""Files and folders of pictures to files of paintings: where each one goes, and the work itself."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from PIL import Image

from artgan import images
from artgan.errors import ArtganError, ConfigError, PictureError, WeightsError
from artgan.images import Picture
from artgan.interfaces import Generator, Interrupted
from artgan.painting.painter import paint_batch


@dataclass(frozen=True)
class Job:
    """One picture to paint.

    Attributes:
        input: the picture (or what was given in its place: a missing file, an empty folder).
        output: where the painting goes; None if it is known that there will be none.
        error: why there will be none, in one line that names the file.
    """

    input: Path
    output: Path | None
    error: str | None = None


@dataclass(frozen=True)
class Result:
    """What became of a :class:`Job`.

    Attributes:
        input: the picture.
        output: the painting that was written, or None.
        error: what went wrong, in one line that names the file, or None.
        seconds: time spent on it: its share where it was painted in a batch.
        size: width and height in pixels, or None if it could not be read.
    """

    input: Path
    output: Path | None
    error: str | None
    seconds: float
    size: tuple[int, int] | None = None


# ---- where each painting goes


def plan(
    inputs: Iterable[str | os.PathLike[str]],
    out: str | os.PathLike[str] | None = None,
    *,
    tag: str,
    recursive: bool = False,
    overwrite: bool = False,
) -> list[Job]:
    """Find the pictures and say where their paintings go; nothing is painted yet.

    Without ``out`` the painting of ``photo.jpg`` is ``photo-TAG.jpg`` beside it, and those of the folder
    ``photos`` go to ``photos-TAG`` under their own names: a second run finds no paintings among the photos.
    With ``out`` they go into that folder, under their own names; for a single file, ``out`` with a picture's
    suffix is the painting itself. A suffix that artgan does not write becomes ``.png``.

    In folders, hidden names are skipped, links followed, and sub-folders read if ``recursive`` (and kept in
    the output). Names come in sorted order.

    Args:
        inputs: picture files and folders of pictures.
        out: a folder, created if needed, or the name of a single painting.
        tag: what to add to names, without path separators.
        recursive: whether to go into sub-folders.
        overwrite: whether existing files may be replaced; an input never is.

    Returns:
        One job a picture, in order. An input that is missing or holds no picture, and a picture whose
        painting has nowhere to go (the name exists, belongs to an input, or is that of another painting), is
        a job with an error.

    Raises:
        ArtganError: ``out`` cannot be what it is asked to be.
    """
    paths = [Path(path) for path in inputs]
    target = Path(out) if out is not None else None
    single = _is_single_painting(paths, target)
    jobs = [job for path in paths for job in _find(path, target, single, tag, recursive)]
    if target is not None and any(job.output for job in jobs):
        _make_folder(target.parent if single else target)
    return _refuse_collisions(jobs, overwrite)


def _is_single_painting(paths: Sequence[Path], out: Path | None) -> bool:
    """Whether ``out`` names a painting rather than a folder."""
    if out is None or out.is_dir() or not (images.is_picture(out) or out.suffix.lower() in images.WRITABLE):
        return False
    if len(paths) != 1 or paths[0].is_dir():
        raise ArtganError(f"{out}: is the name of one picture, where a folder for several is needed")
    if out.suffix.lower() not in images.WRITABLE:
        raise ArtganError(
            f"{out}: cannot write pictures with suffix '{out.suffix}'; known: {', '.join(sorted(images.WRITABLE))}"
        )
    return True


def _find(path: Path, out: Path | None, single: bool, tag: str, recursive: bool) -> Iterator[Job]:
    if path.is_dir():
        yield from _find_in_folder(path, out, tag, recursive)
    elif not os.path.lexists(path):
        yield Job(path, None, f"{path}: no such file or folder")
    elif out is None:
        yield Job(path, _writable(path.with_name(f"{path.stem}-{tag}{path.suffix}")))
    else:
        yield Job(path, out if single else _writable(out / path.name))


def _find_in_folder(folder: Path, out: Path | None, tag: str, recursive: bool) -> Iterator[Job]:
    if out is None:
        named = folder if folder.name not in ("", "..") else folder.resolve()  # "." has no name to add to
        out = named.with_name(f"{named.name}-{tag}") if named.name else named / tag
    found = False
    for job in _walk(folder, recursive, skip=_identity(out)):
        found = True
        yield job if job.error else Job(job.input, _writable(out / job.input.relative_to(folder)))
    if not found:
        hint = "" if recursive else "; its sub-folders are read on request only"
        yield Job(folder, None, f"{folder}: no pictures in it{hint}")


def _walk(folder: Path, recursive: bool, skip: tuple[int, int] | None) -> Iterator[Job]:
    """The pictures in a folder, and the folders that cannot be read, as jobs without output."""
    unread: list[OSError] = []
    seen = {skip} - {_identity(folder)}  # also ends loops of links
    for parent, folders, names in os.walk(folder, onerror=unread.append, followlinks=True):
        identity = _identity(parent)
        if identity in seen:
            folders.clear()
            continue
        seen.add(identity)
        folders[:] = sorted(name for name in folders if recursive and not name.startswith("."))
        for name in sorted(names):
            if images.is_picture(name) and not name.startswith("."):
                yield Job(Path(parent, name), None)
    for error in unread:
        yield Job(Path(error.filename), None, f"{error.filename}: cannot be read ({error.strerror})")


def _identity(path: str | Path) -> tuple[int, int] | None:
    """What tells files apart whatever their names; None if there is no such file."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _writable(path: Path) -> Path:
    return path if path.suffix.lower() in images.WRITABLE else path.with_suffix(".png")


def _refuse_collisions(jobs: Sequence[Job], overwrite: bool) -> list[Job]:
    inputs = {_identity(job.input) for job in jobs} - {None}
    taken: dict[str, Path] = {}

    def checked(job: Job) -> Job:
        if job.output is None:
            return job
        first = taken.setdefault(os.path.realpath(job.output), job.input)
        if first is not job.input:
            why = f"its painting would be {job.output}, which is that of {first}"
        elif _identity(job.output) in inputs:
            why = f"its painting would replace a picture that is to be painted, {job.output}"
        elif os.path.lexists(job.output) and not overwrite:
            why = f"its painting {job.output} exists already; move it away or allow overwriting"
        else:
            return job
        return Job(job.input, None, f"{job.input}: {why}")

    return [checked(job) for job in jobs]


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise PictureError(f"{folder}: is a file, where a folder is needed") from None
    except OSError as error:
        raise PictureError(f"{folder}: this folder cannot be made ({error.strerror})") from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PictureError(f"{folder}: you are not permitted to write into this folder")


# ---- the work


@dataclass(frozen=True)
class _Read:
    """A picture that waits to be painted."""

    job: Job
    output: Path
    picture: Picture
    seconds: float


def paint_files(
    generator: Generator,
    jobs: Iterable[Job],
    *,
    batch: int = 1,
    overwrite: bool = False,
    options: Mapping[str, Any] | None = None,
) -> Iterator[Result]:
    """Paint one job after another and yield what became of each, in order, as soon as it is known.

    A job that fails never stops the others. Up to ``batch`` consecutive pictures of one size are painted in
    one run of the generator, one by one if that fails. Memory does not grow with the number of jobs.

    Args:
        generator: an image-to-image model.
        jobs: from :func:`plan`.
        batch: the most pictures to hold and paint at once.
        overwrite: whether existing files may be replaced.
        options: the model's own, already checked, passed to its ``generate``.

    Raises:
        ConfigError: the options cannot be followed, whatever the picture.
        WeightsError: the weights that the model paints by cannot be had.
        KeyboardInterrupt: the user pressed Ctrl-C; what the model had by then is written and told before.
    """
    if generator.one_at_a_time:
        batch = 1
    group: list[_Read] = []
    for job in jobs:
        read = _read(job)
        alike = isinstance(read, _Read) and group and read.picture.size == group[0].picture.size
        if not alike or len(group) >= batch:
            yield from _finish(generator, group, overwrite, options or {})
            group = []
        if isinstance(read, _Read):
            group.append(read)
        else:
            yield read
    yield from _finish(generator, group, overwrite, options or {})


def _read(job: Job) -> _Read | Result:
    start = perf_counter()
    if job.output is None:
        return Result(job.input, None, job.error or f"{job.input}: has no place for its painting", 0.0)
    try:
        picture = images.decode(job.input)
        _make_folder(job.output.parent)  # before the painting: there may be no point in it
    except ArtganError as error:
        return Result(job.input, None, str(error), perf_counter() - start)
    return _Read(job, job.output, picture, perf_counter() - start)


def _finish(
    generator: Generator, group: Sequence[_Read], overwrite: bool, options: Mapping[str, Any]
) -> Iterator[Result]:
    start = perf_counter()
    interrupted = False
    try:
        paintings = _paint(generator, group, options)
    except Interrupted as stop:
        paintings, interrupted = stop.made, True
    share = (perf_counter() - start) / max(1, len(group))
    for read, painting in zip(group, paintings, strict=not interrupted):
        start = perf_counter()
        error = painting if isinstance(painting, str) else _write(painting, read.output, overwrite)
        seconds = read.seconds + share + perf_counter() - start
        yield Result(read.job.input, None if error else read.output, error, seconds, read.picture.size)
    if interrupted:
        raise KeyboardInterrupt


def _paint(generator: Generator, group: Sequence[_Read], options: Mapping[str, Any]) -> list[Image.Image | str]:
    """A painting, or what went wrong, for each picture of the group.

    Raises:
        Interrupted: the user pressed Ctrl-C; ``made`` is of the first pictures of the group.
        ConfigError: the options cannot be followed, whatever the picture.
        WeightsError: the weights that the model paints by cannot be had.
    """
    try:
        return [*paint_batch(generator, [read.picture for read in group], **options)]
    except (ConfigError, WeightsError):
        raise
    except Exception as error:  # whatever a plugin raises on one picture, the others are to be painted
        if len(group) == 1:
            kind = "" if isinstance(error, ArtganError) else f"{type(error).__name__}: "
            return [f"{group[0].job.input}: cannot be painted ({kind}{' '.join(str(error).split())})"]
    # After the except block, where the traceback no longer holds the memory of the failed batch.
    paintings: list[Image.Image | str] = []
    for read in group:
        try:
            paintings += _paint(generator, [read], options)
        except KeyboardInterrupt as stop:
            raise Interrupted([*paintings, *(stop.made if isinstance(stop, Interrupted) else ())]) from None
    return paintings


def _write(painting: Image.Image, path: Path, overwrite: bool) -> str | None:
    try:
        images.encode(painting, path, overwrite=overwrite)
    except PictureError as error:
        return str(error)
    return None
