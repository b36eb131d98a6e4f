"""Paints files and folders of pictures: reads, paints and writes concurrently."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
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
from artgan.images.films import QUALITY
from artgan.painting import flow
from artgan.painting.films import FilmSaving, paint_film
from artgan.painting.manner import PLAIN, Manner
from artgan.painting.moving import Frames
from artgan.painting.network import Network
from artgan.painting.painter import WHERE_NEEDED, paint_batch
from artgan.painting.planning import Job, make_folder
from artgan.painting.strips import paint_large
from artgan.painting.tiles import Tiling
from artgan.painting.underpainting import Study
from artgan.progress import progress


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
        note: what the painting lacks of the picture, on one line that names the file; None if nothing.
    """

    input: Path
    output: Path | None
    error: str | None
    seconds: float
    size: tuple[int, int] | None = None
    skipped: bool = False
    note: str | None = None


@dataclass(frozen=True)
class Saving:
    """How paintings are written.

    Attributes:
        quality: 1 to 100, for formats with lossy compression and films; None: the photo's own, between 85 and 95, where
            both are JPEG, otherwise the format's default.
        metadata: whether the painting's file gets the photo's EXIF, XMP and resolution. A color profile is always kept.
        location: whether these say where the photo was taken.
        codec: of films; None: the usual one of their format.
    """

    quality: int | None = None
    metadata: bool = True
    location: bool = False
    codec: str | None = None

    def kept(self, known: images.Metadata) -> images.Metadata:
        """Of a photo's metadata, what its painting is to have."""
        if not self.metadata:
            return images.Metadata()
        return known.with_location() if self.location else known

    def quality_of(self, source: int | None, path: Path) -> int | None:
        """The quality to write a file with, where the photo has been written with ``source``."""
        if self.quality is not None or source is None or images.format_for_writing(path).name != "JPEG":
            return self.quality
        return min(max(source, _LEAST_QUALITY), _MOST_QUALITY)

    def write(self, painting: Image.Image, picture: Picture, path: Path, *, overwrite: bool) -> None:
        """Write the painting of a picture; see :func:`artgan.images.encode`."""
        quality = self.quality_of(picture.quality, path)
        images.encode(painting, path, overwrite=overwrite, quality=quality, subsampling=picture.subsampling)


AS_THE_PHOTO = Saving()
"""Quality and metadata as the photo has them, without the place where it was taken."""

_LEAST_QUALITY, _MOST_QUALITY = 85, 95  # of JPEG: strokes suffer below, and files grow above without being better

_PIXELS_AT_ONCE = 16_000_000
"""Prefetch limit: total number of pixels of the pictures that have been read but not yet written."""

_FLICKERS = 'each frame is painted for itself and may flicker; painted steadily with pip install "artgan[video]"'

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
    note: str | None = None


@dataclass(frozen=True)
class _Large:
    """A picture that is too large to be read whole."""

    job: Job
    output: Path
    note: str | None


@dataclass(frozen=True)
class _Animated:
    """A picture of several frames, all of which are painted."""

    job: Job
    output: Path


@dataclass(frozen=True)
class _Filmed:
    """A film."""

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
    saving: Saving = AS_THE_PHOTO,
    options: Mapping[str, Any] | None = None,
) -> Iterator[Result]:
    """Paint the jobs and yield the result of each, in order.

    A failing job does not stop the others. Up to ``batch`` consecutive pictures of equal size are painted in one call
    of the network; the number is reduced when they do not fit in memory, and a batch that fails for another reason
    is painted one by one. Pictures are prefetched and paintings written in the background, so a result may be yielded
    while the next picture is painted; if the network takes one picture at a time, each result is yielded at once.
    A ``thread_safe`` network paints small pictures in parallel, one per thread, whatever ``batch`` is.
    Memory does not grow with the number of jobs. Of animations and pages, every frame is painted, one at a time, if the
    painting's format can hold them; otherwise the first one is, and the result has a note.

    Args:
        network: paints.
        jobs: from :func:`plan`; iterated in a thread.
        batch: the maximum number of pictures to paint at once.
        overwrite: whether existing files may be replaced.
        tiling: how pictures are divided; see :func:`artgan.painting.paint`.
        manner: brush, palette and strength.
        saving: quality and metadata of the paintings' files.
        options: the model's own, already validated.

    Raises:
        ConfigError: the options are unusable for any picture.
        WeightsError: weights that the model needs are unavailable.
        KeyboardInterrupt: the user pressed Ctrl-C; pictures finished before that are written and yielded first.
    """
    painter = partial(_Painter, tiling=tiling, manner=manner, options=options or {})
    write = _Writer(saving, overwrite)
    return _Work(network, jobs, painter, write, batch=batch, tiling=tiling, manner=manner).run()


class _Work:
    """Reads, paints and writes pictures concurrently; arguments as for :func:`paint_files`."""

    def __init__(
        self,
        network: Network,
        jobs: Iterable[Job],
        painter: Callable[[Network], _Painter],
        write: _Writer,
        *,
        batch: int,
        tiling: Tiling,
        manner: Manner,
    ) -> None:
        self._jobs = jobs
        self._network = network
        self._painter = painter
        self._paint = painter(network)
        self._put = write
        self._at_once = network.one_at_a_time  # results are yielded before the next picture is painted
        self._batch = 1 if network.one_at_a_time else batch
        self._manner = manner
        self._threads = _painting_threads(network, jobs) if tiling.side is None else 0
        self._pool: ThreadPoolExecutor | None = None  # of threads that paint one picture each
        self._group: list[_Read] = []
        self._results: deque[Result | Future[Result]] = deque()

    def run(self) -> Iterator[Result]:
        """Yield the result of each job, in order."""
        begin = partial(_begin, prepare=cache(_prepare), study=self._study, saving=self._put.saving)
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
            try:
                self._results.append(read if isinstance(read, Result) else _paint_alone(read, self._paint, self._put))
            except Interrupted as stop:
                self._results.append(stop.made)
                raise KeyboardInterrupt from None
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
            return self._put(read, painting, seconds)
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
    job: Job, prepare: Callable[[Path], None], study: _MakeStudy, saving: Saving
) -> tuple[int, Callable[[], _Read | _Large | _Animated | _Filmed | Result]]:
    """The number of pixels of a job's picture, and a function that reads it."""
    start = perf_counter()

    def refused(why: str) -> tuple[int, Callable[[], Result]]:
        return 0, partial(Result, job.input, None, why, perf_counter() - start)

    if job.skipped:
        return 0, partial(Result, job.input, job.output, None, 0.0, skipped=True)
    if job.output is None:
        return refused(job.error or f"{job.input}: has no place for its painting")
    try:
        if images.film_format(job.output) and images.is_film(job.input):
            if not images.films_available():
                return refused(f"{job.input}: is {images.VIDEO.kind}; {images.VIDEO.remedy}")
            prepare(job.output.parent)
            return 0, partial(_Filmed, job, job.output)
        with images.open_picture(job.input) as (image, _):
            width, height = image.size
            frames = images.count_frames(image)
        prepare(job.output.parent)  # before painting, which would be wasted if this fails
    except ArtganError as error:
        return refused(str(error))
    large = width * height > images.MAX_PIXELS
    if frames > 1 and not large and images.holds_frames(job.output):
        return 0, partial(_Animated, job, job.output)
    note = f"{job.input}: only the first of its {frames:,} frames is in {job.output}" if frames > 1 else None
    if large:
        return 0, partial(_Large, job, job.output, note)
    return width * height, partial(_read, job, job.output, width * height, study, saving, note)


def _paint_alone(read: _Large | _Animated | _Filmed, paint: _Painter, write: _Writer) -> Result:
    """Paint and write a picture or a film that is not held in memory as a whole.

    Raises:
        Interrupted: the user pressed Ctrl-C; ``made`` is the result, which says how far it has come.
    """
    start = perf_counter()
    path = read.job.input
    note = read.note if isinstance(read, _Large) else None
    try:
        if isinstance(read, _Large):
            size = write.large(read, paint)
        elif isinstance(read, _Filmed):
            size, note = write.film(read, paint)
        else:
            size, note = write.animation(read, paint)
    except Interrupted as stop:
        if not isinstance(read, _Filmed):
            raise KeyboardInterrupt from None
        raise Interrupted(Result(path, None, f"{path}: {stop.made}", perf_counter() - start)) from None
    except (ConfigError, WeightsError):
        raise
    except PictureError as error:
        return Result(path, None, str(error), perf_counter() - start)
    except Exception as error:  # a plugin may raise anything
        return Result(path, None, _unpainted(path, error), perf_counter() - start)
    return Result(path, read.output, None, perf_counter() - start, size, note=note)


def _unpainted(path: Path, error: Exception) -> str:
    """Why a picture could not be painted."""
    return f"{path}: cannot be painted ({one_line(error, kind=not isinstance(error, ArtganError))})"


def _prepare(folder: Path) -> None:
    """Create a painting's folder, and remove stale temporary files from it."""
    make_folder(folder)
    remove_unfinished(folder)


def _read(job: Job, output: Path, pixels: int, study: _MakeStudy, saving: Saving, note: str | None) -> _Read | Result:
    start = perf_counter()
    try:
        picture = images.decode(job.input)
        picture = replace(picture, metadata=saving.kept(picture.metadata))
    except ArtganError as error:
        return Result(job.input, None, str(error), perf_counter() - start)
    try:
        made = study(picture, pixels)
    except Exception as error:  # too little memory, say; the other pictures must still be painted
        return Result(job.input, None, _unpainted(job.input, error), perf_counter() - start)
    return _Read(job, output, picture, pixels, perf_counter() - start, made, note)


class _Painter:
    """Paints groups of pictures, and remembers how many pixels fit in memory at once."""

    def __init__(self, network: Network, tiling: Tiling, manner: Manner, options: Mapping[str, Any]) -> None:
        self._paint: Callable[..., list[Image.Image]] = partial(
            paint_batch, network, tiling=tiling, manner=manner, **options
        )
        self.large: Callable[..., tuple[int, int]] = partial(
            paint_large, network, tiling=tiling, manner=manner, **options
        )
        self.frames: Callable[[], Frames] = partial(Frames, network, manner, options, tiling)
        self._most = sys.maxsize  # pixels at once

    def one(self, picture: Picture) -> Image.Image:
        """Paint a picture; see :func:`artgan.painting.paint_batch`."""
        [painting] = self._paint([picture])
        return painting

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


class _Writer:
    """Writes paintings, and says what became of each."""

    def __init__(self, saving: Saving, overwrite: bool) -> None:
        self.saving = saving
        self.overwrite = overwrite

    def __call__(self, read: _Read, painting: Image.Image | str, seconds: float) -> Result:
        start = perf_counter()
        error = painting if isinstance(painting, str) else None
        if not isinstance(painting, str):
            try:
                self.saving.write(painting, read.picture, read.output, overwrite=self.overwrite)
            except PictureError as refusal:
                error = str(refusal)
        seconds += read.seconds + perf_counter() - start
        output, note = (None, None) if error else (read.output, read.note)
        return Result(read.job.input, output, error, seconds, read.picture.size, note=note)

    def large(self, read: _Large, paint: _Painter) -> tuple[int, int]:
        """Paint a picture from file to file; returns its size.

        Raises:
            Exception: whatever painting or writing raises.
        """
        with images.open_picture(read.job.input) as (image, _):
            source, subsampling = images.jpeg_quality(image)
            metadata = self.saving.kept(images.read_metadata(image))
        return paint.large(
            read.job.input,
            read.output,
            overwrite=self.overwrite,
            quality=self.saving.quality_of(source, read.output),
            subsampling=subsampling,
            metadata=metadata,
        )

    def film(self, read: _Filmed, paint: _Painter) -> tuple[tuple[int, int], str | None]:
        """Paint a film from file to file; returns the size, and what its painting lacks.

        Raises:
            Exception: whatever painting or writing raises.
        """
        saving = FilmSaving(
            self.saving.codec,
            self.saving.quality or QUALITY,
            metadata=self.saving.metadata,
            location=self.saving.location,
            overwrite=self.overwrite,
        )
        size, notes = paint_film(read.job.input, read.output, paint.frames(), saving)
        return size, f"{read.job.input}: {'; '.join(notes)}" if notes else None

    def animation(self, read: _Animated, paint: _Painter) -> tuple[tuple[int, int], str | None]:
        """Paint the frames of a picture while they are written; returns the size, and what is not in the file.

        Raises:
            Exception: whatever painting or writing raises.
        """

        with (
            images.open_animation(read.job.input) as frames,
            progress(f"frames of {read.job.input.name}", len(frames)) as advance,
        ):
            steady = frames.animated and flow.available()
            one = paint.frames().paint if steady else paint.one

            def make(frame: Picture) -> Image.Image:
                try:
                    painting = one(replace(frame, metadata=self.saving.kept(frame.metadata)))
                    advance()
                    return painting
                except ArtganError:
                    raise
                except Exception as error:  # a plugin may raise anything
                    raise PictureError(_unpainted(read.job.input, error)) from error

            if frames.same_size or images.holds_pages(read.output):
                made = partial(images.encode_animation, quality=self.saving.quality, overwrite=self.overwrite)
                note = None if steady or not frames.animated else f"{read.job.input}: {_FLICKERS}"
                return made(frames, make, read.output), note
            picture = frames.frame(0)
            self.saving.write(make(picture), picture, read.output, overwrite=self.overwrite)
            why = f"only the first of its {len(frames):,} pages, which differ in size, is in {read.output}"
            return picture.size, f"{read.job.input}: {why}"
