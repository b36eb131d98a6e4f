"""The sets of pictures of a run: looked through before the first step, and compared with those it began with."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

from artgan.data import PictureSet, open_pictures
from artgan.data.pictures import Subset, fingerprint_of
from artgan.data.verify import each
from artgan.errors import PictureError, TrainingError, printable
from artgan.files import atomic_write
from artgan.progress import progress

FILE = "pictures.json"
"""In a run's folder: the pictures that it uses, and which of them are held out."""

_NAMED = 5  # in a message about changes


Listing: TypeAlias = "Mapping[str, tuple[int, str]]"
"""By name, the size of a picture's file in bytes and a short hash of its beginning and end."""


@dataclass(frozen=True)
class Looked:
    """A set whose files were looked at.

    Attributes:
        pictures: the set, with everything that is there.
        sound: indices of the pictures that can be used.
        faults: by name, why each of the others cannot.
        listing: of the pictures that can be used; None if the set does not list sizes.
    """

    pictures: PictureSet
    sound: Sequence[int]
    faults: Mapping[str, str]
    listing: Listing | None


def look_through(location: str | Path, crop: int) -> Looked:
    """Open a set, and read the header of each of its pictures, in threads.

    Data sets of the Hub are taken as they are: their headers are as much to read as their pictures.

    Args:
        location: see :func:`artgan.data.open_pictures`.
        crop: side of the crops to be taken, in pixels.

    Raises:
        PictureError: there is no such set, or none of its pictures can be used.
    """
    pictures = open_pictures(location)
    if not pictures.lists_sizes:
        return Looked(pictures, range(len(pictures)), {}, None)
    sound: list[int] = []
    faults: dict[str, str] = {}
    listing: dict[str, tuple[int, str]] = {}
    with progress(f"looking through {location}", len(pictures), after=1) as advance:
        for index, (fault, digest) in enumerate(each(lambda index: pictures.glance(index, crop), len(pictures))):
            name = pictures.names[index]
            if fault is None:
                sound.append(index)
                listing[name] = pictures.size_in_bytes(index), digest
            else:
                faults[name] = fault
            advance()
    if not sound:
        first = "; ".join(list(faults.values())[:3]) + ("; ..." if len(faults) > 3 else "")
        raise PictureError(f"{location}: none of its {len(pictures):,} pictures can be used: {first}")
    return Looked(pictures, sound, faults, listing)


class Arranged(PictureSet):
    """The pictures of a set in the order of a list of names. One that is missing raises an error when it is read.

    Args:
        pictures: the set.
        names: of the pictures.
    """

    def __init__(self, pictures: PictureSet, names: Sequence[str]) -> None:
        self.location = pictures.location
        self.names = names
        self.passed_over = pictures.passed_over
        self._pictures = pictures
        places = {name: index for index, name in enumerate(pictures.names)}
        self._places = [places.get(name) for name in names]

    def read(self, index: int) -> bytes:
        """See :meth:`PictureSet.read`."""
        return self._pictures.read(self._place(index))

    def size_in_bytes(self, index: int) -> int:
        """See :meth:`PictureSet.size_in_bytes`."""
        return self._pictures.size_in_bytes(self._place(index))

    def _place(self, index: int) -> int:
        place = self._places[index]
        if place is None:
            raise PictureError(f"{self.location}: {self.names[index]}: is no longer there")
        return place


@dataclass(frozen=True)
class Change:
    """How a set differs from the one that a run began with: names of pictures."""

    added: Sequence[str] = ()
    removed: Sequence[str] = ()
    changed: Sequence[str] = ()

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed)

    def __str__(self) -> str:
        kinds = {"added": self.added, "removed": self.removed, "changed": self.changed}
        return "; ".join(f"{len(names):,} {kind} ({shortened(names)})" for kind, names in kinds.items() if names)


def shortened(names: Sequence[str], most: int = _NAMED) -> str:
    """Names for a message: the first few, and how many more there are."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return printable(", ".join(names[:most])) + more


@dataclass(frozen=True)
class StoredSet:
    """What is known of a set of a run that is resumed.

    Attributes:
        fingerprint: of its pictures.
        listing: of its pictures; None in runs of older versions, and of sets that do not list sizes.
        held_out: names of the pictures that are never drawn.
    """

    fingerprint: str
    listing: Listing | None = None
    held_out: Sequence[str] | None = None


@dataclass(frozen=True)
class RunSet:
    """A set as a run uses it.

    Attributes:
        pictures: in the order by which they are drawn.
        fingerprint: of these.
        listing: of these; None if the set does not list sizes.
        faults: by name, why pictures are left out.
        change: since the run began, if it is one to be accepted.
        held_out: names of held-out pictures that the run has chosen before; None if there is no choice yet.
    """

    pictures: PictureSet
    fingerprint: str
    listing: Listing | None
    faults: Mapping[str, str] = field(default_factory=dict)
    change: Change = Change()
    held_out: Sequence[str] | None = None


def as_used(looked: Looked, stored: StoredSet | None = None, left_out: Iterable[str] = ()) -> RunSet:
    """The set that a run uses.

    A resumed run has the same pictures at the same indices, on which its draws depend: a picture that it could not
    read keeps its index when it is removed.

    Args:
        looked: the set as it is now.
        stored: what the run began with, if it is resumed.
        left_out: names of pictures that the run could not read.
    """
    whole, listing, faults = looked.pictures, looked.listing, looked.faults
    pictures = Subset(whole, looked.sound) if faults else whole
    new = RunSet(pictures, _fingerprint(pictures, listing), listing, faults)
    if stored is None:
        return new
    if stored.listing is None or listing is None:
        if stored.fingerprint == new.fingerprint:
            return replace(new, held_out=stored.held_out)
        if faults and stored.fingerprint == whole.fingerprint():  # an older version drew from all
            return RunSet(whole, stored.fingerprint, None)
        return replace(new, change=Change(changed=["which was not recorded"]), held_out=stored.held_out)
    known = frozenset(left_out)
    change = Change(
        added=[name for name in listing if name not in stored.listing],
        removed=[name for name in stored.listing if name not in listing and name not in {*faults, *known}],
        changed=[
            name
            for name, had in stored.listing.items()
            if (name in faults and name not in known) or listing.get(name, had) != had
        ],
    )
    if change:
        return replace(new, change=change, held_out=stored.held_out)
    same = Arranged(whole, list(stored.listing))
    return RunSet(same, stored.fingerprint, stored.listing, faults, held_out=stored.held_out)


def _fingerprint(pictures: PictureSet, listing: Listing | None) -> str:
    if listing is None:
        return pictures.fingerprint()
    return fingerprint_of({name: size for name, (size, _) in listing.items()})


def read_stored(out: Path, data: Mapping[str, Mapping[str, object]]) -> dict[str, StoredSet]:
    """What a run's folder says about its sets; ``data`` is that section of its ``config.yaml``.

    Raises:
        TrainingError: the folder's list of pictures is damaged.
    """
    path = out / FILE
    try:
        lists = json.loads(path.read_text()) if path.exists() else {}
        return {
            name: StoredSet(
                fingerprint=str(domain.get("fingerprint")),
                listing=_as_listing(lists.get(name, {}).get("pictures")),
                held_out=lists.get(name, {}).get("held_out"),
            )
            for name, domain in data.items()
        }
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise TrainingError(f"{path}: damaged list of the run's pictures ({type(error).__name__})") from None


def _as_listing(stored: Any) -> Listing | None:
    """A listing as JSON has it, in its own types."""
    return None if stored is None else {name: (int(size), str(digest)) for name, (size, digest) in stored.items()}


def write_stored(out: Path, sets: Mapping[str, RunSet], held_out: Mapping[str, PictureSet]) -> None:
    """Write the list of pictures to a run's folder.

    Raises:
        OSError: it cannot be written.
    """
    lists = {
        name: {
            "pictures": used.listing,
            "held_out": list(held_out[name].names) if name in held_out else [],
        }
        for name, used in sets.items()
    }
    with atomic_write(out / FILE) as part:
        part.write_text(json.dumps(lists))
