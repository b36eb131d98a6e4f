"""Plans which pictures are painted and where each painting is written. Does not import torch."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeAlias

from artgan import images
from artgan.data.passed_over import is_passed_over
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


@dataclass(frozen=True)
class NotPainted:
    """What lies in a folder and is not painted.

    Attributes:
        path: a file or a folder.
        why: the reason, as a noun, and what to do.
    """

    path: Path
    why: str


class PassedOverCount:
    """What is passed over by reason: how much, and the first names."""

    _NAMED = 3

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._names: dict[str, list[str]] = {}

    def add(self, path: Path | str, why: str) -> None:
        """Count one."""
        self._counts[why] = self._counts.get(why, 0) + 1
        names = self._names.setdefault(why, [])
        if len(names) < self._NAMED:
            names.append(str(path))

    def lines(self) -> Iterator[str]:
        """A line for each reason."""
        for why, names in self._names.items():
            count = self._counts[why]
            more = f" and {count - len(names):,} more" if count > len(names) else ""
            yield f"passed over {count:,} ({why}): {', '.join(names)}{more}"


class Plan(list[Job]):
    """The jobs, one for each picture, in order.

    Attributes:
        passed_over: what else lies in the folders, in order.
    """

    def __init__(self, jobs: Iterable[Job] = (), passed_over: Iterable[NotPainted] = ()) -> None:
        super().__init__(jobs)
        self.passed_over = tuple(passed_over)


def plan(
    inputs: Iterable[str | os.PathLike[str]],
    out: str | os.PathLike[str] | None = None,
    *,
    tag: str,
    recursive: bool = False,
    overwrite: bool = False,
    skip_existing: bool = False,
) -> Plan:
    """Find the pictures and decide where their paintings are written; nothing is painted yet.

    Without ``out``, the painting of ``photo.jpg`` is ``photo-TAG.jpg`` in the same folder, and paintings of the folder
    ``photos`` go to ``photos-TAG`` under their original names, so that a second run finds no paintings among the
    photos. With ``out``, they go into that folder under their original names. ``out`` is a folder if it exists as one,
    ends in a separator or has no suffix; otherwise it is the name of a single painting. A suffix that artgan cannot
    write becomes that of the picture's format, or ``.png``; of a film, ``.mp4``.

    In folders, hidden names and ``photo-TAG`` beside ``photo`` are passed over, links are followed, and sub-folders are
    read if ``recursive`` (and recreated in the output). A file is a picture if its name has the suffix of one, or if
    its first bytes are those of one. Names are sorted.

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
    single = out is not None and _is_single_painting(paths, os.fspath(out))
    passed_over: list[NotPainted] = []
    jobs: list[Job] = []
    for path in paths:
        for found in _find(path, target, single, tag, recursive):
            if isinstance(found, Job):
                jobs.append(found)
            else:
                passed_over.append(found)
    if target is not None and any(job.output for job in jobs):
        make_folder(target.parent if single else target)
    return Plan(_refuse_collisions(jobs, overwrite, skip_existing), passed_over)


def _is_single_painting(paths: Sequence[Path], out: str) -> bool:
    """Whether ``out`` names a painting rather than a folder."""
    suffix = Path(out).suffix
    if out.endswith(("/", os.sep)) or not suffix or Path(out).is_dir():
        return False
    try:
        if images.film_format(out) is None:
            images.format_for_writing(out)
    except PictureError as error:
        raise ArtganError(f"{error}; for a folder of this name, write {out}/") from None
    if len(paths) != 1 or paths[0].is_dir():
        raise ArtganError(
            f"{out}: is the name of one picture, but several need a folder; for a folder of this name, write {out}/"
        )
    film, named = images.is_film(paths[0]), images.film_format(out) is not None
    if film != named and os.path.lexists(paths[0]):
        kinds = ("a film", "a picture: write -o NAME.mp4") if film else ("a picture", "a film: write -o NAME.jpg")
        raise ArtganError(f"{paths[0]}: is {kinds[0]}, and {out} is the name of {kinds[1]}; or, for a folder, {out}/")
    return True


def _find(path: Path, out: Path | None, single: bool, tag: str, recursive: bool) -> Iterator[Job | NotPainted]:
    if path.is_dir():
        yield from _find_in_folder(path, out, tag, recursive)
    elif not os.path.lexists(path):
        yield Job(path, None, images.missing(path, "no such file or folder"))
    elif out is None:
        suffix = _suffix(path)
        stem = path.name.removesuffix(suffix)
        yield Job(path, _writable(path.with_name(f"{stem}-{tag}{suffix}"), path))
    else:
        yield Job(path, out if single else _writable(out / path.name, path))


def _find_in_folder(folder: Path, out: Path | None, tag: str, recursive: bool) -> Iterator[Job | NotPainted]:
    if out is None:
        named = folder if folder.name not in ("", "..") else folder.resolve()  # "." has no name to extend
        out = named.with_name(f"{named.name}-{tag}") if named.name else named / tag
    found = False
    for job in walk(folder, recursive, identity(out), tag):
        if isinstance(job, NotPainted):
            yield job
            continue
        found = True
        yield job if job.error else Job(job.input, _writable(out / job.input.relative_to(folder), job.input))
    if not found:
        yield Job(folder, None, no_pictures(folder, recursive))


def no_pictures(folder: Path | str, recursive: bool) -> str:
    """What is wrong with a folder in which nothing is painted."""
    hint = "" if recursive else "; its sub-folders are read on request only (--recursive)"
    return f"{folder}: no pictures in it{hint}"


SUB_FOLDER = "sub-folder, read with --recursive only"
HIDDEN = "hidden or metadata"
OWN_FOLDER = "the folder of the paintings"


def walk(folder: Path, recursive: bool, skip: tuple[int, int] | None, tag: str) -> Iterator[Job | NotPainted]:
    """The pictures in a folder and unreadable folders, as jobs without output, and what is passed over.

    Args:
        folder: to look into.
        recursive: whether to descend into sub-folders.
        skip: the :func:`identity` of a folder that is passed over.
        tag: of the names of paintings that lie beside their photos.
    """
    unread: list[OSError] = []
    seen: set[tuple[int, int] | None] = set()  # breaks link cycles
    for parent, folders, names in os.walk(folder, onerror=unread.append, followlinks=True):
        here = identity(parent)
        if here in seen:
            folders.clear()
            continue
        seen.add(here)
        read = []
        for name in sorted(folders):
            path = Path(parent, name)
            if is_passed_over(name):
                yield NotPainted(path, HIDDEN)
            elif identity(path) == skip:
                yield NotPainted(path, OWN_FOLDER)
            elif recursive:
                read.append(name)
            else:
                yield NotPainted(path, SUB_FOLDER)
        folders[:] = read
        photos = {Path(name).stem for name in names}
        for name in sorted(names):
            path = Path(parent, name)
            why = HIDDEN if is_passed_over(name) else why_passed_over(path, partial(_content, path))
            photo = path.stem.removesuffix(f"-{tag}")
            if why is None and photo != path.stem and photo in photos:
                why = f"painted from the {photo} beside it, by its name"
            yield Job(path, None) if why is None else NotPainted(path, why)
    for error in unread:
        yield Job(Path(error.filename), None, f"{error.filename}: cannot be read ({error.strerror})")


Content: TypeAlias = "images.Format | images.Foreign | None"
"""What a file is by its first bytes; None if it is nothing known, or cannot be read."""


def why_passed_over(name: str | Path, content: Callable[[], Content]) -> str | None:
    """Why a file in a folder is not painted; None if it is a picture, or has the name of one.

    Args:
        name: the file's.
        content: looks into it; called only if the name does not say enough.
    """
    named = images.format_of_suffix(name)
    if named is not None and named.available:
        return None
    found = content()
    foreign = images.foreign_by_suffix(name)
    if isinstance(found, images.Format) and not (found.name == "TIFF" and foreign):  # raw files begin like TIFF files
        return None if found.available else f"{found.name} picture; {found.install}"
    if named is not None:
        return f"{named.name} picture; {named.install}"
    foreign = found if isinstance(found, images.Foreign) else foreign
    if foreign is images.VIDEO and images.films_available():
        return None
    return "not a picture" if foreign is None else f"{foreign.kind}; {foreign.remedy}"


def _content(path: Path) -> Content:
    """What a file is by its first bytes."""
    return images.recognize(images.first_bytes(path))


def identity(path: str | Path) -> tuple[int, int] | None:
    """Identifies a file regardless of its name; None if it does not exist."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _suffix(path: Path) -> str:
    """The suffix of a name, unless what follows its last dot is no more than a part of it, as in "IMG.0001"."""
    return path.suffix if re.fullmatch(r"\.[A-Za-z]\w{0,15}", path.suffix) else ""


def _writable(path: Path, source: Path) -> Path:
    if images.is_film(source):
        return path.with_name(_film_name(path.name))
    return path.with_name(painting_name(path.name, partial(_content, source)))


def painting_name(name: str, content: Callable[[], Content]) -> str:
    """A picture's or film's name with a suffix that can be written: its own, that of its format, ``.png`` or ``.mp4``.

    Args:
        name: the picture's; folders before it are kept.
        content: looks into the picture; called only if its suffix cannot be written.
    """
    if images.is_writable(name):
        return name
    found = content()
    if found is images.VIDEO or (found is None and images.foreign_by_suffix(name) is images.VIDEO):
        return _film_name(name)
    suffix = found.writable_suffix if isinstance(found, images.Format) else None
    return name.removesuffix(_suffix(Path(name))) + (suffix or ".png")


def _film_name(name: str) -> str:
    """A film's name with a suffix that can be written: its own, or ``.mp4``."""
    return name if images.film_format(name) else name.removesuffix(_suffix(Path(name))) + ".mp4"


def _refuse_collisions(jobs: Sequence[Job], overwrite: bool, skip_existing: bool) -> list[Job]:
    inputs = {identity(job.input) for job in jobs} - {None}
    taken: dict[str, Path] = {}

    def checked(job: Job) -> Job:
        if job.output is None:
            return job
        first = taken.setdefault(os.path.realpath(job.output), job.input)
        if first is not job.input:
            why = is_that_of(job.output, first)
        elif identity(job.output) in inputs:
            why = f"its painting would replace a picture that is to be painted, {job.output}"
        elif skip_existing and job.output.is_file():
            return replace(job, skipped=True)
        elif os.path.lexists(job.output) and not overwrite:
            why = exists_already(job.output)
        else:
            return job
        return Job(job.input, None, f"{job.input}: {why}")

    return [checked(job) for job in jobs]


def is_that_of(output: Path | str, first: Path | str) -> str:
    """Why a painting is not written whose name another one has."""
    return f"its painting would be {output}, as would that of {first}"


def exists_already(output: Path | str) -> str:
    """Why a painting is not written that is there."""
    return f"its painting {output} exists already; move it away, or give --overwrite or --skip-existing"


def make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise PictureError(f"{folder}: is a file; give a folder") from None
    except OSError as error:
        raise PictureError(f"{folder}: this folder cannot be created ({error.strerror})") from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PictureError(f"{folder}: you are not permitted to write into this folder")
