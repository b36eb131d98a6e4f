"""Pictures of stores painted in batches: any machine paints any batch, and does it again without harm.

:func:`paint_here` paints the batches of a :class:`artgan.painting.listing.Listing` in this process,
:func:`paint_on_cluster` on the machines of a cluster. Both give the same verdicts.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from artgan import images
from artgan.data.cluster import Cluster, Lost, Spool, Work
from artgan.data.hub import HubPictures
from artgan.data.stores import Held, Location, Members, check_name
from artgan.data.tar_sets import TarFiles, TarTarget, TarWriter, open_tar, origin_of
from artgan.errors import ArtganError, ConfigError, PictureError, WeightsError, one_line
from artgan.files import remove_unfinished, temporary_folder
from artgan.painting.files import Result, paint_files
from artgan.painting.listing import FAILED, Batch, HubSet, Item, Rules, Source, Target, decided
from artgan.painting.network import Network
from artgan.painting.planning import (
    Content,
    Job,
    exists_already,
    painting_name,
)


@dataclass(frozen=True)
class Verdict:
    """What became of a picture; as :class:`artgan.painting.files.Result`, with addresses in place of paths."""

    input: str
    output: str | None
    error: str | None
    seconds: float = 0.0
    size: tuple[int, int] | None = None
    skipped: bool = False
    note: str | None = None


class _Pictures(Protocol):
    """Where the pictures of a batch are fetched from."""

    def address(self, name: str) -> str: ...

    def fetch(self, name: str, to: Path) -> Path: ...


@dataclass(frozen=True)
class BatchPainter:
    """Paints batches; can be pickled.

    Attributes:
        source: of pictures.
        target: of paintings.
        rules: what is painted.
        held: what the target held when the listing was made.
        how: arguments of :func:`artgan.painting.files.paint_files`.
    """

    source: Source
    target: Target
    rules: Rules
    held: Held
    how: Mapping[str, Any] = field(default_factory=dict)

    def paint(self, network: Network, batch: Batch) -> Iterator[Verdict]:
        """Paint a batch, and yield what became of each picture, in order.

        Raises:
            ConfigError: the options are unusable for any picture.
            WeightsError: weights that the model needs are unavailable.
        """
        if batch.held and not self.rules.overwrite:
            yield from self._held(batch)
            return
        done = 0
        try:
            with ExitStack() as opened:
                scratch = Path(opened.enter_context(temporary_folder(Path(tempfile.gettempdir()))))
                pictures, items = self._open(batch, opened)
                if isinstance(self.target, Location):
                    verdicts = self._paint(network, pictures, items, _ToPlace(self.target, scratch), scratch)
                else:
                    verdicts = self._paint_tar(network, pictures, items, batch, scratch)
                for verdict in verdicts:
                    done += 1
                    yield verdict
        except (ConfigError, WeightsError):
            raise
        except (ArtganError, OSError) as error:  # the batch as a whole: its tar file cannot be read, no space is left
            why = str(error) if isinstance(error, ArtganError) else f"cannot be painted ({one_line(error)})"
            yield from islice(self._all_failed(batch, why), done, None)

    def _all_failed(self, batch: Batch, why: str) -> Iterator[Verdict]:
        for item in batch.items or [Item(batch.shard, None)]:
            address = self._address(batch, item.name)
            yield Verdict(address, None, why if address in why else f"{address}: {why}")

    def lost(self, batch: Batch) -> Iterator[Verdict]:
        """The verdicts on a batch whose process ended each time."""
        return self._all_failed(batch, "cannot be painted (its process ended: too little memory?)")

    def _address(self, batch: Batch, name: str) -> str:
        if isinstance(self.source, TarFiles):
            return self.source.place.address(batch.shard)
        return self.source.address(name)

    def _open(self, batch: Batch, opened: ExitStack) -> tuple[_Pictures, Sequence[Item]]:
        if isinstance(self.source, Location):
            return self.source, batch.items
        if isinstance(self.source, HubSet):
            return Members(_hub(self.source.location)), batch.items
        members = opened.enter_context(open_tar(self.source.place, batch.shard))
        stem = batch.shard.rpartition(".")[0]
        items = []
        for name in members.names:
            output = painting_name(name, partial(_member_content, members, name))
            if isinstance(self.target, Location):  # names may be the same in several tar files
                item = decided(name, f"{stem}/{output}", self.held, self.target, self.rules, members.address(name))
            else:
                item = Item(name, output)
            items.append(item)
        return members, items

    def _paint(
        self, network: Network, pictures: _Pictures, items: Iterable[Item], target: _Output, scratch: Path
    ) -> Iterator[Verdict]:
        """Paint the pictures one after the other; each is fetched while others are painted."""
        items = list(items)
        folder = scratch / "in"
        folder.mkdir()
        begun: dict[int, tuple[Path, Path]] = {}  # the files of pictures and paintings on this machine

        def jobs() -> Iterator[Job]:
            for number, item in enumerate(items):
                try:
                    if item.output is not None and not item.skipped:
                        check_name(item.output)
                        suffix = Path(item.output).suffix
                        path = pictures.fetch(item.name, folder / f"{number}{suffix}")
                        begun[number] = path, target.path(number, item.output)
                        yield Job(*begun[number])
                        continue
                    why = item.error
                except ArtganError as error:
                    why = str(error)
                yield Job(Path(item.name), Path(item.output or "") if item.skipped else None, why, item.skipped)

        results = paint_files(network, jobs(), overwrite=True, **self.how)
        for number, (item, result) in enumerate(zip(items, results, strict=True)):
            paths = begun.pop(number, None)
            yield self._verdict(pictures.address(item.name), item, result, target, paths)
            if paths is not None and paths[0].parent == folder:
                with suppress(OSError):
                    paths[0].unlink()

    def _verdict(
        self, address: str, item: Item, result: Result, target: _Output, paths: tuple[Path, Path] | None
    ) -> Verdict:
        """The verdict on a picture; stores its painting.

        Args:
            address: of the picture.
            item: it.
            result: of painting it.
            target: where the painting goes.
            paths: the files of both on this machine, which messages name; None if the picture was not read.
        """
        if paths is None or item.output is None:
            there = target.address(item.output) if item.skipped and item.output is not None else None
            return Verdict(address, there, result.error, result.seconds, skipped=item.skipped)
        output: str | None = target.address(item.output)

        def named(text: str | None) -> str | None:
            """A message in which files have their addresses."""
            text = text and text.replace(str(paths[0]), address)
            return text and text.replace(str(paths[1]), target.address(str(item.output)))

        error = named(result.error)
        if result.output is None:
            output = None
        else:
            try:
                target.put(result.output, item.output)
            except PictureError as refusal:
                output, error = None, str(refusal)
        return Verdict(address, output, error, result.seconds, result.size, note=named(result.note) if output else None)

    def _paint_tar(
        self, network: Network, pictures: _Pictures, items: Sequence[Item], batch: Batch, scratch: Path
    ) -> Iterator[Verdict]:
        """Paint the pictures into one tar file; nothing is certain before that is stored."""
        assert isinstance(self.target, TarTarget)
        target = _ToTar(self.target, batch, scratch)
        verdicts = list(self._paint(network, pictures, items, target, scratch))
        target.store({verdict.input: verdict.error for verdict in verdicts if verdict.error is not None}, batch.failed)
        yield from verdicts

    def _held(self, batch: Batch) -> Iterator[Verdict]:
        """The verdicts on a batch whose tar file is there: as they were when it was made."""
        assert isinstance(self.target, TarTarget)
        name = self.target.name(batch.number)
        address = self.target.place.address(name)
        if not self.rules.skip_existing:
            yield from self._all_failed(batch, exists_already(address))
            return
        if origin_of(self.target.place, name) != batch.origin:
            why = f"{address} was made from others, as the source has changed since; give another target or --overwrite"
            yield from self._all_failed(batch, why)
            return
        failed: dict[str, str] = {}
        if batch.failed:
            with suppress(PictureError, ValueError):
                failed = dict(json.loads(self.target.place.head(name + FAILED, 64 << 20)))
        for item in batch.items or [Item(batch.shard, None)]:
            input = self._address(batch, item.name)
            if input not in failed:
                yield Verdict(input, f"{address}: {item.output}" if item.output else address, None, skipped=True)
        yield from (Verdict(str(input), None, str(error)) for input, error in failed.items())


class _Output(Protocol):
    """Where the paintings of a batch go."""

    def path(self, number: int, name: str) -> Path:
        """Where a painting is written first."""

    def put(self, painting: Path, name: str) -> None:
        """Store what was written."""

    def address(self, name: str) -> str:
        """Where it is then, for people."""


class _ToPlace:
    def __init__(self, place: Location, scratch: Path) -> None:
        self.address = place.address
        self._place, self._folder = place, scratch / "out"
        self._folder.mkdir()

    def path(self, number: int, name: str) -> Path:
        if self._place.local is not None:
            return self._place.local / name
        return self._folder / f"{number}{Path(name).suffix}"

    def put(self, painting: Path, name: str) -> None:
        if self._place.local is not None:  # it was written there
            return
        self._place.put(painting, name)
        painting.unlink()


class _ToTar:
    def __init__(self, target: TarTarget, batch: Batch, scratch: Path) -> None:
        self._place, self._name = target.place, target.name(batch.number)
        self._folder, self._file = scratch / "out", scratch / "shard.tar"
        self._folder.mkdir()
        self._writer = TarWriter(self._file, batch.origin)

    def path(self, number: int, name: str) -> Path:
        return self._folder / f"{number}{Path(name).suffix}"

    def put(self, painting: Path, name: str) -> None:
        self._writer.add(painting, name)
        painting.unlink()

    def address(self, name: str) -> str:
        return f"{self._place.address(self._name)}: {name}"

    def store(self, failed: Mapping[str, str], recorded: bool) -> None:
        """Store the tar file, and before it the record of failures, so that a file without one has none."""
        self._writer.close()
        record = self._name + FAILED
        if failed:
            path = self._file.with_suffix(".json")
            path.write_text(json.dumps(failed))
            self._place.put(path, record)
        elif recorded:
            self._place.remove(record)
        if self._writer.count or not failed:
            self._place.put(self._file, self._name)


def _member_content(members: Members, name: str) -> Content:
    with tempfile.TemporaryDirectory(prefix="artgan-") as folder, suppress(PictureError):
        return images.recognize(members.fetch(name, Path(folder, "head")).read_bytes()[: images.SNIFFED])
    return None


_opened_sets: dict[str, HubPictures] = {}


def _hub(location: str) -> HubPictures:
    """A data set of the Hub, opened once by each process."""
    if location not in _opened_sets:
        _opened_sets[location] = HubPictures(location)
    return _opened_sets[location]


# ---- where batches are painted


def paint_here(painter: BatchPainter, network: Network, spool: Spool) -> Iterator[Verdict]:
    """Paint the batches in this process; raises as :meth:`BatchPainter.paint`."""
    remove_unfinished(tempfile.gettempdir())
    for value in spool:
        yield from painter.paint(network, Batch.from_json(value))


def paint_on_cluster(
    painter: BatchPainter, load: Callable[[], Network], spool: Spool, cluster: Cluster, *, gpu: bool = False
) -> Iterator[Verdict]:
    """Paint the batches in the processes of a cluster.

    A batch whose process ends is painted again, at last one picture at a time: so no picture takes others with it.
    These verdicts come last.

    Args:
        painter: paints.
        load: loads the network, in each process.
        spool: batches as JSON types.
        cluster: where.
        gpu: whether each process needs a GPU.

    Raises:
        ArtganError: a machine cannot load the network or does not see the folders; as :meth:`BatchPainter.paint`.
    """

    def split(value: Any) -> Iterator[Any]:
        batch = Batch.from_json(value)
        single = isinstance(painter.target, Location) and batch.items
        return (
            replace(batch, items=part).to_json() for part in ([[i] for i in batch.items] if single else [batch.items])
        )

    with _seen(painter) as checks:
        for value, found in cluster.map(_Make(painter, load, tuple(checks)), spool, split=split, gpu=gpu):
            yield from painter.lost(Batch.from_json(value)) if isinstance(found, Lost) else found


@contextmanager
def _seen(painter: BatchPainter) -> Iterator[list[Callable[[], None]]]:
    """What each machine checks before it paints."""
    target = painter.target.place if isinstance(painter.target, TarTarget) else painter.target
    with target.seen_from_everywhere() as check:
        checks = [check]
        source = painter.source
        place = source.place if isinstance(source, TarFiles) else source
        if isinstance(place, Location):
            checks.append(place.check)
        yield checks


@dataclass(frozen=True)
class _Make:
    """Makes what paints batches in a process of a cluster."""

    painter: BatchPainter
    load: Callable[[], Network]
    checks: Sequence[Callable[[], None]]

    def __call__(self) -> Work:
        remove_unfinished(tempfile.gettempdir())  # of processes that were killed
        for check in self.checks:
            check()
        # One thread each: there are as many processes as processors. Never closed, as the process ends with its work.
        alone, begin = self.load().one_thread_each().__enter__()
        begin()
        return lambda value: list(self.painter.paint(alone, Batch.from_json(value)))
