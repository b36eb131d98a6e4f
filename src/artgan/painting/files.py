"""Files and folders of pictures to files of paintings: where each one goes, and the work itself."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from PIL import Image

from artgan import images
from artgan.data.prefetch import Prefetcher as Ahead
from artgan.errors import ArtganError, ConfigError, PictureError, TooLargeError, WeightsError
from artgan.files import remove_unfinished
from artgan.images import Picture
from artgan.interfaces import Generator, Interrupted
from artgan.painting.fitting import reference
from artgan.painting.painter import WHERE_NEEDED, paint_batch
from artgan.painting.plan import Job, make_folder
from artgan.painting.strips import paint_large
from artgan.painting.tiles import Tiling


@dataclass(frozen=True)
class Result:
    """What became of a :class:`Job`.

    Attributes:
        input: the picture.
        output: the painting that was written (or was there already, and skipped), or None.
        error: what went wrong, in one line that names the file, or None.
        seconds: time spent on it: its share where it was painted in a batch.
        size: width and height in pixels, or None if it was not read.
        skipped: whether the painting was there already, and was left alone.
    """

    input: Path
    output: Path | None
    error: str | None
    seconds: float
    size: tuple[int, int] | None = None
    skipped: bool = False


_PIXELS_AT_ONCE = 16_000_000
"""Pictures are read ahead while all that are not yet written have at most so many pixels together."""

_WRITERS = 4  # PNG of a photo takes longer to write than a small network to paint

_SMALL = 500_000
"""Pixels of a picture that is painted sooner by one thread than its share of what all threads do together."""


@dataclass(frozen=True)
class _Read:
    """A picture that waits to be painted."""

    job: Job
    output: Path
    picture: Picture
    pixels: int  # as its header told them
    seconds: float


@dataclass(frozen=True)
class _Large:
    """A picture that is too large to be read whole."""

    job: Job
    output: Path


def paint_files(
    generator: Generator,
    jobs: Iterable[Job],
    *,
    batch: int = 1,
    overwrite: bool = False,
    tiling: Tiling = WHERE_NEEDED,
    options: Mapping[str, Any] | None = None,
) -> Iterator[Result]:
    """Paint one job after another and yield what became of each, in order.

    A job that fails never stops the others. Up to ``batch`` consecutive pictures of one size are painted in one run of
    the generator: fewer from where they did not fit in memory, one by one where they fail for another reason. The next
    pictures are read and the last ones written meanwhile, so that what became of a picture may be told while the next
    one is painted; at once where the generator takes one at a time. On a CPU, small pictures are painted by a
    generator that is ``thread_safe`` one by each thread, whatever ``batch`` says. Memory does not grow with the number
    of jobs.

    Args:
        generator: an image-to-image model.
        jobs: from :func:`plan`; iterated in a thread.
        batch: the most pictures to paint at once.
        overwrite: whether existing files may be replaced.
        tiling: how pictures are divided, as in :func:`artgan.painting.paint`.
        options: the model's own, already checked, passed to its ``generate``.

    Raises:
        ConfigError: the options cannot be followed, whatever the picture.
        WeightsError: the weights that the model paints by cannot be had.
        KeyboardInterrupt: the user pressed Ctrl-C; what the model had by then is written and told before.
    """
    work = _Work(generator, jobs, batch=batch, overwrite=overwrite, tiling=tiling, options=options or {})
    return work.run()


class _Work:
    """Pictures that are read, painted and written at the same time; arguments as of :func:`paint_files`."""

    def __init__(
        self,
        generator: Generator,
        jobs: Iterable[Job],
        *,
        batch: int,
        overwrite: bool,
        tiling: Tiling,
        options: Mapping[str, Any],
    ) -> None:
        self._jobs = jobs
        self._overwrite = overwrite
        self._at_once = generator.one_at_a_time  # results are yielded before the next picture is painted
        self._batch = 1 if generator.one_at_a_time else batch
        self._paint = _Painter(generator, tiling, options)
        self._threads = _painting_threads(generator, jobs) if tiling.side is None else 0
        self._group: list[_Read] = []
        self._results: deque[Result | Future[Result]] = deque()

    def run(self) -> Iterator[Result]:
        """What became of each job, in order."""
        begin = partial(_begin, prepare=cache(_prepare))
        count = 2 * max(self._batch, self._threads) + _WRITERS
        with (
            closing(Ahead(self._jobs, begin, weight=_PIXELS_AT_ONCE, count=count)) as self._ahead,
            ThreadPoolExecutor(_WRITERS, "artgan-write") as self._writers,
            _single_threaded(self._threads) as self._painters,
        ):
            try:
                while self._take_next():
                    yield from self._finished(keep=self._unfinished_allowed())
                self._paint_group()
            except (Exception, KeyboardInterrupt):
                yield from self._finished(keep=0)
                raise
            yield from self._finished(keep=0)

    def _take_next(self) -> bool:
        """Take in the next picture, and paint what is complete; False if there is none.

        The picture is not referenced from here while the one after it is waited for.
        """
        read = next(self._ahead, None)
        if read is None:
            return False
        if self._painters and isinstance(read, _Read) and read.pixels <= _SMALL:
            self._results.append(self._painters.submit(self._paint_one, read))
            return True
        if self._painters and not isinstance(read, Result):  # all threads are for this one
            wait([result for result in self._results if isinstance(result, Future)])
        if self._group and not (isinstance(read, _Read) and read.picture.size == self._group[0].picture.size):
            self._paint_group()
        if isinstance(read, _Read):
            self._group.append(read)
        else:
            result = _paint_large(read, self._paint, self._overwrite) if isinstance(read, _Large) else read
            self._results.append(result)
            self._ahead.release(0)
        if len(self._group) >= self._batch or (self._group and self._painters):
            self._paint_group()
        return True

    def _paint_group(self) -> None:
        """Paint the pictures that were gathered, and have the paintings written."""
        self._results.extend(self._writers.submit(self._write, *painted) for painted in self._paint(self._group))
        self._group.clear()

    def _paint_one(self, read: _Read) -> Result:
        [painted] = self._paint([read])
        return self._write(*painted)

    def _write(self, read: _Read, painting: Image.Image | str, seconds: float) -> Result:
        try:
            return _write(read, painting, seconds, self._overwrite)
        finally:
            self._ahead.release(read.pixels)

    def _unfinished_allowed(self) -> int:
        """How many results may stay unfinished while the next picture is painted."""
        if self._painters:
            return 2 * self._threads
        # With nothing to paint there is time to wait for the writers, who make room.
        return 0 if self._at_once or not self._ahead.ready else len(self._results)

    def _finished(self, *, keep: int) -> Iterator[Result]:
        """The results at the front; waits until no more than ``keep`` are unfinished."""
        while self._results:
            first = self._results[0]
            if isinstance(first, Future):
                if len(self._results) <= keep and not first.done():
                    return
                first = first.result()
            self._results.popleft()
            yield first


def _painting_threads(generator: Generator, jobs: Iterable[Job]) -> int:
    """How many threads paint a picture each; 0 where all paint the same one."""
    threads = torch.get_num_threads()
    several = isinstance(jobs, Sequence) and len(jobs) >= threads > 1
    return threads if several and generator.thread_safe and reference(generator).device.type == "cpu" else 0


@contextmanager
def _single_threaded(number: int) -> Iterator[ThreadPoolExecutor | None]:
    """So many threads, in each of which torch uses no others; None for none."""
    if not number:
        yield None
        return
    before = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(number, "artgan-paint", initializer=partial(torch.set_num_threads, 1)) as pool:
            yield pool
    finally:
        torch.set_num_threads(before)  # torch remembers the number for threads that begin later


def _begin(job: Job, prepare: Callable[[Path], None]) -> tuple[int, Callable[[], _Read | _Large | Result]]:
    """The pixels of a job's picture, and what reads it."""
    start = perf_counter()

    def refused(why: str) -> tuple[int, Callable[[], Result]]:
        return 0, partial(Result, job.input, None, why, perf_counter() - start)

    if job.skipped:
        return 0, partial(Result, job.input, job.output, None, 0.0, skipped=True)
    if job.output is None:
        return refused(job.error or f"{job.input}: has no place for its painting")
    try:
        width, height = images.measure(job.input)
        prepare(job.output.parent)  # before the painting: there may be no point in it
    except ArtganError as error:
        return refused(str(error))
    if width * height > images.MAX_PIXELS:
        return 0, partial(_Large, job, job.output)
    return width * height, partial(_read, job, job.output, width * height)


def _paint_large(large: _Large, paint: _Painter, overwrite: bool) -> Result:
    start = perf_counter()
    path = large.job.input
    try:
        size = paint.large(path, large.output, overwrite=overwrite)
    except (ConfigError, WeightsError):
        raise
    except PictureError as error:
        return Result(path, None, str(error), perf_counter() - start)
    except Exception as error:  # whatever a plugin raises
        return Result(path, None, _unpainted(path, error), perf_counter() - start)
    return Result(path, large.output, None, perf_counter() - start, size)


def _unpainted(path: Path, error: Exception) -> str:
    """Why a picture could not be painted."""
    kind = "" if isinstance(error, ArtganError) else f"{type(error).__name__}: "
    return f"{path}: cannot be painted ({kind}{' '.join(str(error).split())})"


def _prepare(folder: Path) -> None:
    """Make the folder of a painting, and remove what was left unfinished there."""
    make_folder(folder)
    remove_unfinished(folder)


def _read(job: Job, output: Path, pixels: int) -> _Read | Result:
    start = perf_counter()
    try:
        picture = images.decode(job.input)
    except ArtganError as error:
        return Result(job.input, None, str(error), perf_counter() - start)
    return _Read(job, output, picture, pixels, perf_counter() - start)


class _Painter:
    """Paints groups of pictures, and learns how many pixels fit in memory at once."""

    def __init__(self, generator: Generator, tiling: Tiling, options: Mapping[str, Any]) -> None:
        self._paint: Callable[..., list[Image.Image]] = partial(paint_batch, generator, tiling=tiling, **options)
        self.large: Callable[..., tuple[int, int]] = partial(paint_large, generator, tiling=tiling, **options)
        self._most = sys.maxsize  # pixels at once

    def __call__(self, group: Sequence[_Read]) -> Iterator[tuple[_Read, Image.Image | str, float]]:
        """A painting, or what went wrong, for each picture of the group, and the seconds that it took.

        Raises:
            KeyboardInterrupt: the user pressed Ctrl-C; what there was by then came before.
            ConfigError: the options cannot be followed, whatever the picture.
            WeightsError: the weights that the model paints by cannot be had.
        """
        rest = [*group]
        while rest:
            width, height = rest[0].picture.size
            part = rest[: max(1, self._most // (width * height))]
            start = perf_counter()
            interrupted = False
            paintings: Sequence[Image.Image | str] | None = None
            try:
                paintings = self._paint([read.picture for read in part])
            except Interrupted as stop:
                paintings, interrupted = stop.made, True
            except (ConfigError, WeightsError):
                raise
            except Exception as error:  # whatever a plugin raises on one picture, the others are to be painted
                if len(part) == 1:
                    paintings = [_unpainted(part[0].job.input, error)]
                elif isinstance(error, TooLargeError):
                    self._most = len(part) // 2 * width * height
                    continue
            if paintings is None:  # after the except block, whose traceback holds the memory of the failed batch
                for read in part:
                    yield from self([read])
            else:
                share = (perf_counter() - start) / len(part)
                for read, painting in zip(part, paintings, strict=not interrupted):
                    yield read, painting, share
            if interrupted:
                raise KeyboardInterrupt
            del rest[: len(part)]


def _write(read: _Read, painting: Image.Image | str, seconds: float, overwrite: bool) -> Result:
    start = perf_counter()
    error = painting if isinstance(painting, str) else None
    if not isinstance(painting, str):
        try:
            images.encode(painting, read.output, overwrite=overwrite)
        except PictureError as refusal:
            error = str(refusal)
    seconds += read.seconds + perf_counter() - start
    return Result(read.job.input, None if error else read.output, error, seconds, read.picture.size)
