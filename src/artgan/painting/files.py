"""Paints files and folders of pictures: reads, paints and writes concurrently."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from time import perf_counter
from typing import Any, TypeAlias

from PIL import Image

from artgan import images
from artgan.data.prefetch import Prefetcher
from artgan.errors import ArtganError, ConfigError, Interrupted, PictureError, TooLargeError, WeightsError, one_line
from artgan.files import remove_unfinished
from artgan.images import Picture
from artgan.painting.manner import PLAIN, Manner
from artgan.painting.network import Network
from artgan.painting.painter import WHERE_NEEDED, paint_batch
from artgan.painting.planning import Job, make_folder
from artgan.painting.strips import paint_large
from artgan.painting.tiles import Tiling
from artgan.painting.underpainting import Study


@dataclass(frozen=True)
class Result:
    """What became of a :class:`Job`.

    Attributes:
        input: the picture.
        output: the painting that was written (or already existed and was skipped), or None.
        error: what went wrong, on one line that names the file, or None.
        seconds: time spent on it; its share of the time if it was painted in a batch.
        size: width and height in pixels, or None if the picture was not read.
        skipped: whether the painting already existed and was left unchanged.
    """

    input: Path
    output: Path | None
    error: str | None
    seconds: float
    size: tuple[int, int] | None = None
    skipped: bool = False


_PIXELS_AT_ONCE = 16_000_000
"""Prefetch limit: total number of pixels of the pictures that have been read but not yet written."""

_READERS = 2  # for paintings over strokes, whose under-paintings take longer than a small network

_WRITERS = 4  # writing a photo as PNG takes longer than painting it with a small network

_SMALL = 500_000
"""Number of pixels up to which painting one picture per thread is faster than using all threads for each picture."""


@dataclass(frozen=True)
class _Read:
    """A picture waiting to be painted."""

    job: Job
    output: Path
    picture: Picture
    pixels: int  # according to its header
    seconds: float
    study: Study | None = None  # if it was made while reading


@dataclass(frozen=True)
class _Large:
    """A picture that is too large to be read whole."""

    job: Job
    output: Path


def paint_files(
    network: Network,
    jobs: Iterable[Job],
    *,
    batch: int = 1,
    overwrite: bool = False,
    tiling: Tiling = WHERE_NEEDED,
    manner: Manner = PLAIN,
    options: Mapping[str, Any] | None = None,
) -> Iterator[Result]:
    """Paint the jobs and yield the result of each, in order.

    A failing job does not stop the others. Up to ``batch`` consecutive pictures of equal size are painted in one call
    of the network; the number is reduced when they do not fit in memory, and a batch that fails for another reason
    is painted one by one. Pictures are prefetched and paintings written in the background, so a result may be yielded
    while the next picture is painted; if the network takes one picture at a time, each result is yielded at once.
    A ``thread_safe`` network paints small pictures in parallel, one per thread, whatever ``batch`` is.
    Memory does not grow with the number of jobs.

    Args:
        network: paints.
        jobs: from :func:`plan`; iterated in a thread.
        batch: the maximum number of pictures to paint at once.
        overwrite: whether existing files may be replaced.
        tiling: how pictures are divided; see :func:`artgan.painting.paint`.
        manner: brush, palette and strength.
        options: the model's own, already validated.

    Raises:
        ConfigError: the options are unusable for any picture.
        WeightsError: weights that the model needs are unavailable.
        KeyboardInterrupt: the user pressed Ctrl-C; pictures finished before that are written and yielded first.
    """
    work = _Work(network, jobs, batch=batch, overwrite=overwrite, tiling=tiling, manner=manner, options=options or {})
    return work.run()


class _Work:
    """Reads, paints and writes pictures concurrently; arguments as for :func:`paint_files`."""

    def __init__(
        self,
        network: Network,
        jobs: Iterable[Job],
        *,
        batch: int,
        overwrite: bool,
        tiling: Tiling,
        manner: Manner,
        options: Mapping[str, Any],
    ) -> None:
        self._jobs = jobs
        self._overwrite = overwrite
        self._at_once = network.one_at_a_time  # results are yielded before the next picture is painted
        self._batch = 1 if network.one_at_a_time else batch
        self._manner = manner
        self._network = network
        self._painter = partial(_Painter, tiling=tiling, manner=manner, options=options)
        self._paint = self._painter(network)
        self._threads = _painting_threads(network, jobs) if tiling.side is None else 0
        self._pool: ThreadPoolExecutor | None = None  # of threads that paint one picture each
        self._group: list[_Read] = []
        self._results: deque[Result | Future[Result]] = deque()

    def run(self) -> Iterator[Result]:
        """Yield the result of each job, in order."""
        begin = partial(_begin, prepare=cache(_prepare), study=self._study)
        count = 2 * max(self._batch, self._threads) + _WRITERS
        readers = 1 if self._manner.brush is None else _READERS
        with ExitStack() as opened:
            ahead = Prefetcher(self._jobs, begin, weight=_PIXELS_AT_ONCE, count=count, threads=readers)
            self._ahead = opened.enter_context(closing(ahead))
            self._writers = opened.enter_context(ThreadPoolExecutor(_WRITERS, "artgan-write"))
            if self._threads:
                network, begin_thread = opened.enter_context(self._network.one_thread_each())
                self._paint_alone = self._painter(network)
                pool = ThreadPoolExecutor(self._threads, "artgan-paint", initializer=begin_thread)
                self._pool = opened.enter_context(pool)
            try:
                while self._take_next():
                    yield from self._finished(keep=self._unfinished_allowed())
                self._paint_group()
            except (Exception, KeyboardInterrupt):
                yield from self._finished(keep=0)
                raise
            yield from self._finished(keep=0)

    def _study(self, picture: Picture, pixels: int) -> Study | None:
        """A picture's study, made by those who read, unless many paint: these make it themselves."""
        if self._manner.is_plain or (self._threads and pixels <= _SMALL):
            return None
        return Study.of(picture.rgb, self._manner)

    def _take_next(self) -> bool:
        """Fetch the next picture and paint complete groups; False if there are no more.

        No reference to the picture is kept while waiting for the next one.
        """
        read = next(self._ahead, None)
        if read is None:
            return False
        if self._pool and isinstance(read, _Read) and read.pixels <= _SMALL:
            self._results.append(self._pool.submit(self._paint_one, read))
            return True
        if self._pool and not isinstance(read, Result):  # this one uses all threads
            wait([result for result in self._results if isinstance(result, Future)])
        if self._group and not (isinstance(read, _Read) and read.picture.size == self._group[0].picture.size):
            self._paint_group()
        if isinstance(read, _Read):
            self._group.append(read)
        else:
            result = _paint_large(read, self._paint, self._overwrite) if isinstance(read, _Large) else read
            self._results.append(result)
            self._ahead.release(0)
        if len(self._group) >= self._batch or (self._group and self._pool):
            self._paint_group()
        return True

    def _paint_group(self) -> None:
        """Paint the current group of pictures, and submit the paintings for writing."""
        self._results.extend(self._writers.submit(self._write, *painted) for painted in self._paint(self._group))
        self._group.clear()

    def _paint_one(self, read: _Read) -> Result:
        [painted] = self._paint_alone([read])
        return self._write(*painted)

    def _write(self, read: _Read, painting: Image.Image | str, seconds: float) -> Result:
        try:
            return _write(read, painting, seconds, self._overwrite)
        finally:
            self._ahead.release(read.pixels)

    def _unfinished_allowed(self) -> int:
        """How many results may remain unfinished while the next picture is painted."""
        if self._pool:
            return 2 * self._threads
        # If no picture is ready to paint, wait for the writers, which free prefetch capacity.
        return 0 if self._at_once or not self._ahead.ready else len(self._results)

    def _finished(self, *, keep: int) -> Iterator[Result]:
        """Yield finished results from the front of the queue; wait until at most ``keep`` are unfinished."""
        while self._results:
            first = self._results[0]
            if isinstance(first, Future):
                if len(self._results) <= keep and not first.done():
                    return
                first = first.result()
            self._results.popleft()
            yield first


def _painting_threads(network: Network, jobs: Iterable[Job]) -> int:
    """How many threads paint one picture each; 0 if all threads share one picture."""
    several = isinstance(jobs, Sequence) and len(jobs) >= network.threads > 1
    return network.threads if several and network.thread_safe else 0


_MakeStudy: TypeAlias = "Callable[[Picture, int], Study | None]"


def _begin(
    job: Job, prepare: Callable[[Path], None], study: _MakeStudy
) -> tuple[int, Callable[[], _Read | _Large | Result]]:
    """The number of pixels of a job's picture, and a function that reads it."""
    start = perf_counter()

    def refused(why: str) -> tuple[int, Callable[[], Result]]:
        return 0, partial(Result, job.input, None, why, perf_counter() - start)

    if job.skipped:
        return 0, partial(Result, job.input, job.output, None, 0.0, skipped=True)
    if job.output is None:
        return refused(job.error or f"{job.input}: has no place for its painting")
    try:
        width, height = images.measure(job.input)
        prepare(job.output.parent)  # before painting, which would be wasted if this fails
    except ArtganError as error:
        return refused(str(error))
    if width * height > images.MAX_PIXELS:
        return 0, partial(_Large, job, job.output)
    return width * height, partial(_read, job, job.output, width * height, study)


def _paint_large(large: _Large, paint: _Painter, overwrite: bool) -> Result:
    start = perf_counter()
    path = large.job.input
    try:
        size = paint.large(path, large.output, overwrite=overwrite)
    except (ConfigError, WeightsError):
        raise
    except PictureError as error:
        return Result(path, None, str(error), perf_counter() - start)
    except Exception as error:  # a plugin may raise anything
        return Result(path, None, _unpainted(path, error), perf_counter() - start)
    return Result(path, large.output, None, perf_counter() - start, size)


def _unpainted(path: Path, error: Exception) -> str:
    """Why a picture could not be painted."""
    return f"{path}: cannot be painted ({one_line(error, kind=not isinstance(error, ArtganError))})"


def _prepare(folder: Path) -> None:
    """Create a painting's folder, and remove stale temporary files from it."""
    make_folder(folder)
    remove_unfinished(folder)


def _read(job: Job, output: Path, pixels: int, study: _MakeStudy) -> _Read | Result:
    start = perf_counter()
    try:
        picture = images.decode(job.input)
    except ArtganError as error:
        return Result(job.input, None, str(error), perf_counter() - start)
    try:
        made = study(picture, pixels)
    except Exception as error:  # too little memory, say; the other pictures must still be painted
        return Result(job.input, None, _unpainted(job.input, error), perf_counter() - start)
    return _Read(job, output, picture, pixels, perf_counter() - start, made)


class _Painter:
    """Paints groups of pictures, and remembers how many pixels fit in memory at once."""

    def __init__(self, network: Network, tiling: Tiling, manner: Manner, options: Mapping[str, Any]) -> None:
        self._paint: Callable[..., list[Image.Image]] = partial(
            paint_batch, network, tiling=tiling, manner=manner, **options
        )
        self.large: Callable[..., tuple[int, int]] = partial(
            paint_large, network, tiling=tiling, manner=manner, **options
        )
        self._most = sys.maxsize  # pixels at once

    def __call__(self, group: Sequence[_Read]) -> Iterator[tuple[_Read, Image.Image | str, float]]:
        """Yield, for each picture of the group, the painting or an error message, and the seconds that it took.

        Raises:
            KeyboardInterrupt: the user pressed Ctrl-C; finished paintings are yielded first.
            ConfigError: the options are unusable for any picture.
            WeightsError: weights that the model needs are unavailable.
        """
        rest = [*group]
        while rest:
            width, height = rest[0].picture.size
            part = rest[: max(1, self._most // (width * height))]
            start = perf_counter()
            interrupted = False
            paintings: Sequence[Image.Image | str] | None = None
            try:
                studies = [read.study for read in part if read.study is not None]
                paintings = self._paint([read.picture for read in part], studies=studies or None)
            except Interrupted as stop:
                paintings, interrupted = stop.made, True
            except (ConfigError, WeightsError):
                raise
            except Exception as error:  # a plugin may raise anything; the other pictures must still be painted
                if len(part) == 1:
                    paintings = [_unpainted(part[0].job.input, error)]
                elif isinstance(error, TooLargeError):
                    self._most = len(part) // 2 * width * height
                    continue
            if paintings is None:  # outside the except block, whose traceback keeps the failed batch in memory
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
