"""Films painted from file to file, in memory that does not grow with their length, and in several sittings.

A film is painted in segments of :data:`SEGMENT` frames, each a file in the folder ``NAME.mp4.part`` beside the
painting, with the state after its last frame. When all are there they are joined with the sound, and the folder goes.
An interrupted film leaves the folder, and ``NAME.part.mp4``, which shows what is done. The same call continues it, and
the result is the same as in one go, since the segments are.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from artgan.errors import Interrupted, PictureError
from artgan.files import atomic_write, check_writable
from artgan.images import Picture
from artgan.images.films import QUALITY, Film, FilmWriter, Frame, codec_for, join, kept_metadata, open_film, padded
from artgan.painting.moving import Frames
from artgan.progress import progress

SEGMENT = 50
"""Frames of a segment: what is lost, at most, where a computer is switched off."""

_FORMAT = 1  # of the folder
_PLAN = "plan.json"


@dataclass(frozen=True)
class FilmSaving:
    """How a film is written.

    Attributes:
        codec: one of :data:`artgan.images.films.CODECS`; None: the usual one of the format.
        quality: 1 to 100.
        metadata: whether title, date and the like are kept.
        location: whether they say where the film was taken.
        overwrite: whether the file may exist.
    """

    codec: str | None = None
    quality: int = QUALITY
    metadata: bool = True
    location: bool = False
    overwrite: bool = False

    def kept(self, known: Mapping[str, str]) -> dict[str, str]:
        """Of a film's metadata, what its painting is to have."""
        return kept_metadata(known, location=self.location) if self.metadata else {}


def unfinished(path: Path) -> Path:
    """The playable part of a film that was interrupted, by the film's name."""
    return path.with_name(f"{path.stem}.part{path.suffix}")


def paint_film(source: Path, path: Path, painter: Frames, saving: FilmSaving) -> tuple[tuple[int, int], list[str]]:
    """Paint a film.

    Args:
        source: the film.
        path: of the painting; its suffix says the format. Written atomically.
        painter: new.
        saving: how it is written.

    Returns:
        Width and height, and what is to be said of the film, each the rest of a sentence.

    Raises:
        PictureError: it cannot be read, painted or written.
        ConfigError: the codec is none of the format's, or PyAV is not installed.
        Interrupted: the user pressed Ctrl-C; ``made`` says what is done and where.
        KeyboardInterrupt: the same, before anything was done.
    """
    check_writable(path, overwrite=saving.overwrite, error=PictureError)
    codec = codec_for(path, saving.codec)
    with open_film(source) as film:
        work = _Work(source, path, codec, saving)
        try:
            size = work.paint(film, painter)
        except KeyboardInterrupt:
            seconds = work.leave(film)
            if seconds is None:
                raise KeyboardInterrupt from None
            total = "" if film.seconds is None else f" of {film.seconds:.1f}"
            then = "; the same command continues it" if work.whole else ""
            raise Interrupted(
                f"interrupted after {seconds:.1f}{total} s, which are in {unfinished(path)}{then}"
            ) from None
        notes = [*film.notes, *work.join(film, path)]
        if padded(size, codec) != size:
            even = " x ".join(map(str, padded(size, codec)))
            notes.append(f"its {size[0]} x {size[1]} pixels became {even}, because {codec} needs even sides")
        work.remove()
    return size, notes


@dataclass
class _Work:
    """What is painted of a film so far: a folder beside it."""

    source: Path
    path: Path
    codec: str
    saving: FilmSaving
    folder: Path = field(init=False)
    _done: list[Path] = field(init=False, default_factory=list)
    _started: bool = field(init=False, default=False)
    _end: float = field(init=False, default=0.0)  # seconds

    def __post_init__(self) -> None:
        self.folder = self.path.with_name(f"{self.path.name}.part")

    def paint(self, film: Film, painter: Frames) -> tuple[int, int]:
        """Paint what is not painted yet; returns the size of the frames."""
        with closing(film.frames()) as frames:
            first = next(frames)
            painting: Image.Image | None = painter.paint(Picture(first.rgb))
            assert painting is not None
            size = painting.size
            plan = self._plan(painting)
            done = self._resumed(plan)
            left: Iterator[Frame] = chain([first], frames)
            if done:
                painting = None
                with np.load(self._state(done - 1), allow_pickle=False) as saved:
                    state = dict(saved)
                self._end = float(state.pop("end"))
                painter.restore(state)
                for _ in _some(left, done * SEGMENT):  # decoded again, which is quick
                    pass
            else:
                self._start(plan)
            with progress(f"frames of {self.source.name}", film.count, done=done * SEGMENT) as advance:
                for frame in left:
                    with self._segment(film, size) as writer:
                        for each in chain([frame], _some(left, SEGMENT - 1)):
                            made = painter.paint(Picture(each.rgb)) if painting is None else painting
                            painting = None
                            if made.size != size:
                                raise PictureError(f"{self.source}: its frames change from {size} to {made.size}")
                            writer.write(made, each.pts, each.duration)
                            self._end = float((each.pts + each.duration) * film.time_base)
                            advance()
                    self._keep(painter)
        return size

    def _keep(self, painter: Frames) -> None:
        """Keep what is carried on from a segment's last frame, in place of that of the segment before."""
        last = len(self._done) - 1
        try:
            with atomic_write(self._state(last)) as part, part.open("wb") as file:
                np.savez(file, end=self._end, **painter.state())  # type: ignore[arg-type]  # of NumPy's stubs
            if last:
                self._state(last - 1).unlink(missing_ok=True)
        except OSError as error:
            raise PictureError(f"{self._state(last)}: cannot be written ({error.strerror or error})") from None

    @property
    def whole(self) -> int:
        """The number of segments that need not be painted again."""
        return len(self._done)

    def leave(self, film: Film) -> float | None:
        """Write what is done as a film of its own; returns its seconds, None if nothing is done."""
        if not self._done:
            if self._started:  # else it is that of an earlier sitting
                self.remove()
            return None
        part = unfinished(self.path)
        self._join(film, part, self._end)
        if not self._state(len(self._done) - 1).exists():  # an unfinished segment, painted again next time
            self._done.pop().unlink()
        return self._end

    def join(self, film: Film, path: Path) -> list[str]:
        """Write the film; returns what is to be said of it."""
        notes = self._join(film, path, None)
        unfinished(path).unlink(missing_ok=True)
        return notes

    def remove(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _join(self, film: Film, path: Path, end: float | None) -> list[str]:
        metadata = self.saving.kept(film.metadata)
        try:
            with atomic_write(path) as part, part.open("w+b") as file:
                return join(self._done, self.source, file, path, metadata=metadata, end=end)
        except OSError as error:
            raise PictureError(f"{path}: cannot be written ({error.strerror or error})") from None

    @contextmanager
    def _segment(self, film: Film, size: tuple[int, int]) -> Iterator[FilmWriter]:
        """A writer of the next segment, which is complete, though short, if the user presses Ctrl-C."""
        path = self.folder / f"{len(self._done):06}{self.path.suffix}"
        make = partial(FilmWriter, size=size, time_base=film.time_base, rate=film.rate, codec=self.codec)
        try:
            with atomic_write(path) as part, part.open("w+b") as file:
                writer = make(file, self.path, quality=self.saving.quality)
                interrupted = False
                try:
                    yield writer
                except KeyboardInterrupt:
                    if not writer.count:
                        raise
                    interrupted = True
                writer.close()
        except OSError as error:
            raise PictureError(f"{path}: cannot be written ({error.strerror or error})") from None
        self._done.append(path)
        if interrupted:
            raise KeyboardInterrupt

    def _plan(self, first: Image.Image) -> dict[str, Any]:
        """What makes two sittings the same: the film, the first painting, and how both are written."""
        status = self.source.stat()
        return {
            "format": _FORMAT,
            "source": [status.st_size, status.st_mtime_ns],
            "painting": hashlib.sha256(first.tobytes()).hexdigest(),
            "size": list(first.size),
            "codec": self.codec,
            "quality": self.saving.quality,
            "segment": SEGMENT,
        }

    def _start(self, plan: dict[str, Any]) -> None:
        self.remove()
        self._started = True
        try:
            self.folder.mkdir()
            (self.folder / _PLAN).write_text(json.dumps(plan))
        except OSError as error:
            raise PictureError(f"{self.folder}: this folder cannot be created ({error.strerror})") from None

    def _resumed(self, plan: dict[str, Any]) -> int:
        """How many segments there are of the same film, painted in the same way."""
        try:
            if json.loads((self.folder / _PLAN).read_text()) != plan:
                return 0
        except (OSError, ValueError):
            return 0
        states = sorted(self.folder.glob("*.npz"))
        if not states:
            return 0
        count = int(states[-1].stem) + 1
        self._done = [self.folder / f"{number:06}{self.path.suffix}" for number in range(count)]
        if all(path.is_file() for path in self._done):
            return count
        self._done.clear()
        return 0

    def _state(self, number: int) -> Path:
        return self.folder / f"{number:06}.npz"


def _some(frames: Iterator[Frame], count: int) -> Iterator[Frame]:
    for _, frame in zip(range(count), frames, strict=False):
        yield frame
