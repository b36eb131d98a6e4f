"""Plans which pictures are painted and where each painting is written. Does not import torch."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from artgan import images
from artgan.errors import ArtganError, PictureError


@dataclass(frozen=True)
class Job:
    """One picture to paint.

    Attributes:
        input: the picture (or what was given instead: a missing file, an empty folder).
        output: where the painting is written; None if it is known that there will be none.
        error: why there will be none, on one line that names the file.
        skipped: whether ``output`` already exists and is left unchanged.
    """

    input: Path
    output: Path | None
    error: str | None = None
    skipped: bool = False


def plan(
    inputs: Iterable[str | os.PathLike[str]],
    out: str | os.PathLike[str] | None = None,
    *,
    tag: str,
    recursive: bool = False,
    overwrite: bool = False,
    skip_existing: bool = False,
) -> list[Job]:
    """Find the pictures and decide where their paintings are written; nothing is painted yet.

    Without ``out``, the painting of ``photo.jpg`` is ``photo-TAG.jpg`` in the same folder, and paintings of the folder
    ``photos`` go to ``photos-TAG`` under their original names, so that a second run finds no paintings among the
    photos. With ``out``, they go into that folder under their original names; for a single file, ``out`` with a
    picture suffix is the painting itself. A suffix that artgan cannot write becomes ``.png``.

    In folders, hidden names are skipped, links are followed, and sub-folders are read if ``recursive`` (and recreated
    in the output). Names are sorted.

    Args:
        inputs: picture files and folders of pictures.
        out: a folder, created if needed, or the name of a single painting.
        tag: added to names; must not contain path separators.
        recursive: whether to descend into sub-folders.
        overwrite: whether existing files may be replaced; an input never is.
        skip_existing: whether to treat an existing painting as done, in order to continue interrupted work.

    Returns:
        One job per picture, in order. An input that is missing or holds no picture, or whose painting cannot be
        written (its name exists, belongs to an input, or is that of another painting), is a job with an error.

    Raises:
        ArtganError: ``out`` cannot be used as requested.
    """
    if overwrite and skip_existing:
        raise ArtganError("existing paintings can be replaced or skipped, not both")
    paths = [Path(path) for path in inputs]
    target = Path(out) if out is not None else None
    single = _is_single_painting(paths, target)
    jobs = [job for path in paths for job in _find(path, target, single, tag, recursive)]
    if target is not None and any(job.output for job in jobs):
        make_folder(target.parent if single else target)
    return _refuse_collisions(jobs, overwrite, skip_existing)


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
        named = folder if folder.name not in ("", "..") else folder.resolve()  # "." has no name to extend
        out = named.with_name(f"{named.name}-{tag}") if named.name else named / tag
    found = False
    for job in _walk(folder, recursive, skip=_identity(out)):
        found = True
        yield job if job.error else Job(job.input, _writable(out / job.input.relative_to(folder)))
    if not found:
        hint = "" if recursive else "; its sub-folders are read on request only"
        yield Job(folder, None, f"{folder}: no pictures in it{hint}")


def _walk(folder: Path, recursive: bool, skip: tuple[int, int] | None) -> Iterator[Job]:
    """The pictures in a folder, and unreadable folders, as jobs without output."""
    unread: list[OSError] = []
    seen = {skip} - {_identity(folder)}  # also breaks link cycles
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
    """Identifies a file regardless of its name; None if it does not exist."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _writable(path: Path) -> Path:
    return path if path.suffix.lower() in images.WRITABLE else path.with_suffix(".png")


def _refuse_collisions(jobs: Sequence[Job], overwrite: bool, skip_existing: bool) -> list[Job]:
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
        elif skip_existing and job.output.is_file():
            return replace(job, skipped=True)
        elif os.path.lexists(job.output) and not overwrite:
            why = f"its painting {job.output} exists already; move it away or allow overwriting"
        else:
            return job
        return Job(job.input, None, f"{job.input}: {why}")

    return [checked(job) for job in jobs]


def make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise PictureError(f"{folder}: is a file, where a folder is needed") from None
    except OSError as error:
        raise PictureError(f"{folder}: this folder cannot be made ({error.strerror})") from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PictureError(f"{folder}: you are not permitted to write into this folder")
