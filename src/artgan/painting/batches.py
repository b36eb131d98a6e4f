"""Pictures of stores painted in batches: any machine paints any batch, and does it again without harm.

:class:`Listing` says what there is to paint, :class:`BatchPainter` paints one batch. :func:`paint_here` does so in this
process, :func:`paint_on_cluster` on the machines of a cluster; both give the same verdicts, in the same order.
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
from typing import Any, NamedTuple, Protocol, TypeAlias

from artgan import images
from artgan.data.cluster import Cluster, Lost, Spool, Work
from artgan.data.hub import PREFIX, HubPictures
from artgan.data.passed_over import is_passed_over
from artgan.data.stores import (
    Held,
    Listed,
    Members,
    Place,
    TarFiles,
    TarTarget,
    TarWriter,
    check_name,
    is_tar,
    open_tar,
)
from artgan.errors import ArtganError, ConfigError, PictureError, WeightsError, one_line
from artgan.painting.files import Result, paint_files
from artgan.painting.network import Network
from artgan.painting.planning import (
    HIDDEN,
    OWN_FOLDER,
    SUB_FOLDER,
    Content,
    Job,
    PassedOver,
    PassedOverCount,
    exists_already,
    identity,
    is_that_of,
    no_pictures,
    painting_name,
    walk,
    why_passed_over,
)

_BATCH, _SHARD = 32, 1000  # pictures of a batch, and of a tar file
_FAILED = ".failed.json"  # beside a tar file: why pictures are not in it


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


@dataclass(frozen=True)
class Rules:
    """What is painted; see :func:`artgan.painting.planning.plan`."""

    recursive: bool = False
    overwrite: bool = False
    skip_existing: bool = False


class Item(NamedTuple):
    """A picture of a batch: its name, that of its painting, why there will be none, whether it is there already."""

    name: str
    output: str | None
    error: str | None = None
    skipped: bool = False


@dataclass(frozen=True)
class Batch:
    """What is painted by one process at a time.

    Attributes:
        number: of the batch; that of the tar file that it becomes.
        items: the pictures; those of ``shard`` are known when it is read.
        shard: the tar file to read, or "".
        held: whether the tar file that it becomes is there already.
        failed: whether there is a record of failures beside that.
    """

    number: int
    items: Sequence[Item] = ()
    shard: str = ""
    held: bool = False
    failed: bool = False

    def to_json(self) -> list[Any]:
        """As JSON types."""
        return [self.number, self.items, self.shard, self.held, self.failed]

    @classmethod
    def from_json(cls, value: Any) -> Batch:
        """From what :meth:`to_json` gives."""
        number, items, *rest = value
        return cls(number, [Item(*item) for item in items], *rest)


@dataclass(frozen=True)
class HubSet:
    """A data set of the Hub to read."""

    location: str


Source: TypeAlias = "Place | TarFiles | HubSet"
Target: TypeAlias = "Place | TarTarget"


def open_source(location: str) -> Source:
    """The store that a location names.

    Raises:
        ConfigError: a package that it needs is missing.
    """
    if location.startswith(PREFIX):
        return HubSet(location)
    return TarFiles.of(location) if is_tar(location) else Place(location)


def open_target(location: str) -> Target:
    """The store that a location names.

    Raises:
        ConfigError: it cannot be one, or a package that it needs is missing.
    """
    if location.startswith(PREFIX):
        name = location.removeprefix(PREFIX)
        raise ConfigError(f"{location}: paintings go to a folder of a data set: -o hf://datasets/{name}/FOLDER")
    return TarTarget.of(location) if is_tar(location) else Place(location)


class Listing:
    """What there is to paint; an iterable of batches that may be taken once.

    The target is listed once, when this is made.

    Args:
        source: of pictures.
        target: of paintings.
        rules: what is painted.

    Attributes:
        count: how many pictures have been listed; those of tar files are not known.
        passed_over: what else is there.

    Raises:
        ConfigError: the target holds the source.
        PictureError: the source or the target is not there, or cannot be listed.
    """

    def __init__(self, source: Source, target: Target, rules: Rules) -> None:
        if rules.overwrite and rules.skip_existing:
            raise ConfigError("existing paintings can be replaced or skipped, not both")
        self.source, self.target, self.rules = source, target, rules
        self.count = 0
        self.passed_over = PassedOverCount()
        self._place = target.place if isinstance(target, TarTarget) else target
        self._check_apart()
        if isinstance(source, Place):
            source.check()
        self._place.check(make=True)
        self.held = Held(self._place.names())

    @property
    def knows_count(self) -> bool:
        """Whether ``count`` will be that of the pictures."""
        return not isinstance(self.source, TarFiles)

    def _check_apart(self) -> None:
        """Raise if a painting might replace a picture."""
        if isinstance(self.source, HubSet):
            return
        tar = isinstance(self.source, TarFiles)
        ours = self.source.place if isinstance(self.source, TarFiles) else self.source
        mine, theirs = (
            str(place.local.resolve()) if place.local is not None else place.given.rstrip("/")
            for place in (ours, self._place)
        )
        if isinstance(self.target, Place):
            clash = not tar and f"{mine}/".startswith(f"{theirs}/")
        else:
            clash = tar and mine == theirs
        if clash:
            raise ConfigError(
                f"-o {self._place.location}: holds the pictures that are to be painted; give another folder"
            )

    def __iter__(self) -> Iterator[Batch]:
        if isinstance(self.source, TarFiles):
            yield from map(self._shard, range(10**9), self.source.names())
            return
        items: list[Item] = []
        number = 0
        most = _SHARD if isinstance(self.target, TarTarget) else _BATCH
        for item in self._items():
            items.append(item)
            self.count += 1
            if len(items) == most:
                yield self._batch(number, items)
                items, number = [], number + 1
        if items:
            yield self._batch(number, items)

    def _shard(self, number: int, name: str) -> Batch:
        self.count += 1
        return replace(self._batch(number, ()), shard=name)

    def _batch(self, number: int, items: Sequence[Item]) -> Batch:
        if isinstance(self.target, Place):
            return Batch(number, items)
        name = self.target.name(number)
        return Batch(number, items, held=name in self.held, failed=name + _FAILED in self.held)

    def _items(self) -> Iterator[Item]:
        """The pictures of a folder or of the Hub, and folders that cannot be read."""
        if isinstance(self.source, HubSet):
            for name in HubPictures(self.source.location).names:
                yield self._decided(name, f"{name}.png", {})
            return
        assert isinstance(self.source, Place)
        folder, taken = "", dict[str, str]()
        found = self._of_folder(self.source) if self.source.local is not None else self._of_url(self.source)
        empty = True
        for name, content, error in found:
            empty = False
            if error is not None:
                yield Item(name, None, error)
                continue
            if name.rpartition("/")[0] != folder:
                folder, taken = name.rpartition("/")[0], {}
            yield self._decided(name, painting_name(name, content), taken)
        if empty:
            yield Item("", None, no_pictures(self.source.location, self.rules.recursive))

    def _of_folder(self, place: Place) -> Iterator[tuple[str, Callable[[], Content], str | None]]:
        root = Path(place.location)
        skip = None if self._place.local is None else identity(self._place.local)
        for found in walk(root, self.rules.recursive, skip):
            path = found.path if isinstance(found, PassedOver) else found.input
            name = path.relative_to(root).as_posix()
            if isinstance(found, PassedOver):
                self.passed_over.add(found.path, found.why)
            else:
                yield name, partial(_content, place, name), found.error

    def _of_url(self, place: Place) -> Iterator[tuple[str, Callable[[], Content], str | None]]:
        def wanted(entry: Listed) -> bool:
            address = place.address(entry.folder + entry.name)
            if is_passed_over(entry.name):
                self.passed_over.add(address, HIDDEN)
            elif address == self._place.location:
                self.passed_over.add(address, OWN_FOLDER)
            elif not self.rules.recursive:
                self.passed_over.add(address, SUB_FOLDER)
            else:
                return True
            return False

        for entry in place.walk(wanted):
            name = entry.folder + entry.name
            if entry.is_folder:
                continue
            # What a name does not say is not asked for: each look would be a request.
            why = HIDDEN if is_passed_over(entry.name) else why_passed_over(name, lambda: None)
            if why is not None:
                self.passed_over.add(place.address(name), why)
                continue
            try:
                check_name(name)
            except PictureError as error:
                yield name, lambda: None, str(error)
            else:
                yield name, partial(_content, place, name), None

    def _decided(self, name: str, output: str, taken: dict[str, str]) -> Item:
        if isinstance(self.source, Place):
            first = taken.setdefault(output, name)
            if first != name:
                address = self.source.address
                return Item(name, None, f"{address(name)}: {is_that_of(self._place.address(output), address(first))}")
        if isinstance(self.target, TarTarget):
            return Item(name, output)
        return decided(name, output, self.held, self._place, self.rules, self._address(name))

    def _address(self, name: str) -> str:
        return self.source.address(name) if isinstance(self.source, Place) else name


def decided(name: str, output: str, held: Held, place: Place, rules: Rules, address: str) -> Item:
    """A picture whose painting may be there already."""
    if output in held and rules.skip_existing:
        return Item(name, output, skipped=True)
    if output in held and not rules.overwrite:
        return Item(name, None, f"{address}: {exists_already(place.address(output))}")
    return Item(name, output)


def _content(place: Place, name: str) -> Content:
    return images.recognize(place.head(name, images.SNIFFED))


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
                scratch = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="artgan-")))
                pictures, items = self._open(batch, opened)
                if isinstance(self.target, Place):
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
        return self.source.address(name) if isinstance(self.source, Place) else f"{self.source.location}: {name}"

    def _open(self, batch: Batch, opened: ExitStack) -> tuple[_Pictures, Sequence[Item]]:
        if isinstance(self.source, Place):
            return self.source, batch.items
        if isinstance(self.source, HubSet):
            return Members(_hub(self.source.location)), batch.items
        members = opened.enter_context(open_tar(self.source.place, batch.shard))
        stem = batch.shard.rpartition(".")[0]
        items = []
        for name in members.names:
            output = painting_name(name, partial(_content_of, members, name))
            if isinstance(self.target, Place):  # names may be the same in several tar files
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
        fetched: dict[int, Path] = {}

        def jobs() -> Iterator[Job]:
            for number, item in enumerate(items):
                try:
                    if item.output is not None and not item.skipped:
                        check_name(item.output)
                        suffix = Path(item.output).suffix
                        fetched[number] = pictures.fetch(item.name, folder / f"{number}{suffix}")
                        yield Job(fetched[number], target.path(number, item.output))
                        continue
                    why = item.error
                except ArtganError as error:
                    why = str(error)
                yield Job(Path(item.name), Path(item.output or "") if item.skipped else None, why, item.skipped)

        results = paint_files(network, jobs(), overwrite=True, **self.how)
        for number, (item, result) in enumerate(zip(items, results, strict=True)):
            yield self._verdict(pictures, item, result, target)
            path = fetched.pop(number, None)
            if path is not None and path.parent == folder:
                with suppress(OSError):
                    path.unlink()

    def _verdict(self, pictures: _Pictures, item: Item, result: Result, target: _Output) -> Verdict:
        address = pictures.address(item.name)
        output, error = None, result.error
        if item.skipped and item.output is not None:
            output = target.address(item.output)
        elif error is None and result.output is not None and item.output is not None:
            output = target.address(item.output)
            try:
                target.put(result.output, item.output)
            except PictureError as refusal:
                output, error = None, str(refusal)

        def named(text: str | None) -> str | None:
            """A message in which files have their addresses."""
            if text is None or item.error is not None:
                return text
            text = text.replace(str(result.input), address)
            if result.output is None or item.output is None:
                return text
            return text.replace(str(result.output), target.address(item.output))

        return Verdict(address, output, named(error), result.seconds, result.size, item.skipped, named(result.note))

    def _paint_tar(
        self, network: Network, pictures: _Pictures, items: Sequence[Item], batch: Batch, scratch: Path
    ) -> Iterator[Verdict]:
        """Paint the pictures into one tar file; nothing is certain before that is stored."""
        assert isinstance(self.target, TarTarget)
        target = _ToTar(self.target, batch.number, scratch)
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
        failed: dict[str, str] = {}
        if batch.failed:
            with suppress(PictureError, ValueError):
                failed = dict(json.loads(self.target.place.head(name + _FAILED, 64 << 20)))
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
    def __init__(self, place: Place, scratch: Path) -> None:
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
    def __init__(self, target: TarTarget, number: int, scratch: Path) -> None:
        self._place, self._name = target.place, target.name(number)
        self._folder, self._file = scratch / "out", scratch / "shard.tar"
        self._folder.mkdir()
        self._writer = TarWriter(self._file)

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
        record = self._name + _FAILED
        if failed:
            path = self._file.with_suffix(".json")
            path.write_text(json.dumps(failed))
            self._place.put(path, record)
        elif recorded:
            self._place.remove(record)
        if self._writer.count or not failed:
            self._place.put(self._file, self._name)


def _content_of(members: Members, name: str) -> Content:
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
    for value in spool:
        yield from painter.paint(network, Batch.from_json(value))


def paint_on_cluster(
    painter: BatchPainter, load: Callable[[], Network], spool: Spool, cluster: Cluster, *, gpu: bool = False
) -> Iterator[Verdict]:
    """Paint the batches in the processes of a cluster.

    A batch whose process ends is painted again, at last one picture at a time: so no picture takes others with it.

    Args:
        painter: paints.
        load: loads the network, in each process.
        spool: batches as JSON types.
        cluster: where.
        gpu: whether each process needs a GPU.

    Raises:
        ArtganError: a machine cannot load the network or does not see the folders; as :meth:`BatchPainter.paint`.
    """
    with _seen(painter) as checks:
        make = _Make(painter, load, tuple(checks))
        lost: list[Batch] = []
        for value, found in cluster.map(make, spool, gpu=gpu):
            if isinstance(found, Lost):
                lost.append(Batch.from_json(value))
            else:
                yield from found
        if not lost:
            return
        single = isinstance(painter.target, Place)
        alone = (
            replace(batch, items=part).to_json()
            for batch in lost
            for part in ([[item] for item in batch.items] if single and batch.items else [batch.items])
        )
        with Spool(alone) as again:
            for value, found in cluster.map(make, again, gpu=gpu):
                yield from painter.lost(Batch.from_json(value)) if isinstance(found, Lost) else found


@contextmanager
def _seen(painter: BatchPainter) -> Iterator[list[Callable[[], None]]]:
    """What each machine checks before it paints."""
    target = painter.target.place if isinstance(painter.target, TarTarget) else painter.target
    with target.seen_from_everywhere() as check:
        checks = [check]
        source = painter.source
        place = source.place if isinstance(source, TarFiles) else source
        if isinstance(place, Place):
            checks.append(place.check)
        yield checks


@dataclass(frozen=True)
class _Make:
    """Makes what paints batches in a process of a cluster."""

    painter: BatchPainter
    load: Callable[[], Network]
    checks: Sequence[Callable[[], None]]

    def __call__(self) -> Work:
        for check in self.checks:
            check()
        # One thread each: there are as many processes as processors. Never closed, as the process ends with its work.
        alone, begin = self.load().one_thread_each().__enter__()
        begin()
        return lambda value: list(self.painter.paint(alone, Batch.from_json(value)))
