"""What there is to paint in a store of pictures, in batches: which pictures, and where each painting goes.

The same decisions as in :mod:`artgan.painting.planning`, for sets that are not held in memory.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from artgan import images
from artgan.data.hub import PREFIX, HubPictures
from artgan.data.passed_over import is_passed_over
from artgan.data.stores import Held, Listed, Location, check_name, is_tar
from artgan.data.tar_sets import TarFiles, TarTarget
from artgan.errors import ConfigError, PictureError
from artgan.painting.planning import (
    HIDDEN,
    OWN_FOLDER,
    SUB_FOLDER,
    Content,
    NotPainted,
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
FAILED = ".failed.json"
"""Added to the name of a tar file: why pictures are not in it."""


@dataclass(frozen=True)
class Rules:
    """What is painted; see :func:`artgan.painting.planning.plan`."""

    tag: str
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

    @property
    def origin(self) -> str:
        """A hash of what it is made from: the names."""
        names = [self.shard, [item.name for item in self.items]]
        return hashlib.sha256(json.dumps(names).encode()).hexdigest()

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

    def address(self, name: str) -> str:
        """Where a picture is, for people."""
        return f"{self.location}: {name}"


Source: TypeAlias = "Location | TarFiles | HubSet"
Target: TypeAlias = "Location | TarTarget"


def open_source(location: str) -> Source:
    """The store that a location names.

    Raises:
        ConfigError: a package that it needs is missing.
    """
    if location.startswith(PREFIX):
        return HubSet(location)
    return TarFiles.of(location) if is_tar(location) else Location(location)


def open_target(location: str) -> Target:
    """The store that a location names.

    Raises:
        ConfigError: it cannot be one, or a package that it needs is missing.
    """
    if location.startswith(PREFIX):
        name = location.removeprefix(PREFIX)
        raise ConfigError(f"{location}: paintings go to a folder of a data set: -o hf://datasets/{name}/FOLDER")
    return TarTarget.of(location) if is_tar(location) else Location(location)


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
        if isinstance(source, Location):
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
        if isinstance(self.target, Location):
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
        if isinstance(self.target, Location):
            return Batch(number, items)
        name = self.target.name(number)
        return Batch(number, items, held=name in self.held, failed=name + FAILED in self.held)

    def _items(self) -> Iterator[Item]:
        """The pictures of a folder or of the Hub, and folders that cannot be read."""
        if isinstance(self.source, HubSet):
            for name in HubPictures(self.source.location).names:
                yield self._decided(name, f"{name}.png", {})
            return
        assert isinstance(self.source, Location)
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

    def _of_folder(self, place: Location) -> Iterator[tuple[str, Callable[[], Content], str | None]]:
        root = Path(place.location)
        skip = None if self._place.local is None else identity(self._place.local)
        for found in walk(root, self.rules.recursive, skip, self.rules.tag):
            path = found.path if isinstance(found, NotPainted) else found.input
            name = path.relative_to(root).as_posix()
            if isinstance(found, NotPainted):
                self.passed_over.add(found.path, found.why)
            else:
                yield name, partial(content_of, place, name), found.error

    def _of_url(self, place: Location) -> Iterator[tuple[str, Callable[[], Content], str | None]]:
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
                if not entry.name:
                    self.passed_over.add(place.address(name), "a folder without a name")
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
                yield name, partial(content_of, place, name), None

    def _decided(self, name: str, output: str, taken: dict[str, str]) -> Item:
        if isinstance(self.source, Location):
            first = taken.setdefault(output, name)
            if first != name:
                address = self.source.address
                return Item(name, None, f"{address(name)}: {is_that_of(self._place.address(output), address(first))}")
        if isinstance(self.target, TarTarget):
            return Item(name, output)
        return decided(name, output, self.held, self._place, self.rules, self._address(name))

    def _address(self, name: str) -> str:
        assert not isinstance(self.source, TarFiles)
        return self.source.address(name)


def decided(name: str, output: str, held: Held, place: Location, rules: Rules, address: str) -> Item:
    """A picture whose painting may be there already."""
    if output in held and rules.skip_existing:
        return Item(name, output, skipped=True)
    if output in held and not rules.overwrite:
        return Item(name, None, f"{address}: {exists_already(place.address(output))}")
    return Item(name, output)


def content_of(place: Location, name: str) -> Content:
    return images.recognize(place.head(name, images.SNIFFED))
