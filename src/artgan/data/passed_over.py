"""What a set of pictures leaves out: the one rule for hidden files and metadata, and the record of each exclusion."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from artgan.errors import printable

_EXAMPLES = 3

_METADATA = frozenset(
    {
        "__macosx",  # macOS, in zip archives
        "@eadir",  # Synology: thumbnails
        "#recycle",
        "$recycle.bin",  # Windows
        "system volume information",
        "thumbs.db",
        "desktop.ini",
        "lost+found",
        "__pycache__",
    }
)
"""In lower case; names that begin with a dot (.ipynb_checkpoints, .thumbnails, .AppleDouble, ._NAME) need no list."""


def is_passed_over(name: str) -> bool:
    """Whether a file or folder of this name is hidden or metadata of an operating system or a program.

    Args:
        name: one part of a path.
    """
    return name.startswith(".") or name.lower() in _METADATA


_ARCHIVES = (".zip", ".tar", ".tar.gz", ".tar.bz2", ".tar.xz", ".tgz", ".tbz", ".tbz2", ".txz", ".7z", ".rar")


def is_archive(name: str) -> bool:
    """Whether the name of a file is that of an archive, in which pictures may be."""
    return name.lower().endswith(_ARCHIVES)


_KINDS = {
    # kind: in the singular, in the plural, whether it needs a warning
    "hidden": ("hidden or metadata file or folder", "hidden or metadata files and folders", False),
    "other": ("file that is no picture", "files that are no pictures", False),
    "repeated": ("link to what the set has already", "links to what the set has already", False),
    "nested": ("archive within it (unpack it)", "archives within it (unpack them)", True),
    "broken-link": ("broken link", "broken links", True),
    "unreadable-folder": ("folder that cannot be read", "folders that cannot be read", True),
    "link": ("link or device", "links and devices", True),
    "leads-out": ("member that leads out of the archive", "members that lead out of the archive", True),
    "same-name": ("member that a later one of its name replaces", "members that later ones replace", True),
    "sparse": ("sparse member (make the archive without --sparse)", "sparse members (make it without --sparse)", True),
    "encrypted": ("encrypted member (unpack the archive and give the folder)", "encrypted members (unpack it)", True),
    "method": ("member of unknown compression", "members of unknown compression", True),
    "deflate64": (
        "member packed with Deflate64 (pip install inflate64, or unpack the archive)",
        "members packed with Deflate64 (pip install inflate64, or unpack the archive)",
        True,
    ),
}


@dataclass
class PassedOver:
    """What a set leaves out, of one kind.

    Attributes:
        kind: "hidden", "other" (no picture), "nested" (an archive), "link", "leads-out", "encrypted" and others.
        count: how many.
        examples: the first few names.
    """

    kind: str
    count: int = 0
    examples: list[str] = field(default_factory=list)

    @property
    def unexpected(self) -> bool:
        """Whether a picture may be missing, so that whoever uses the set is warned."""
        return _KINDS[self.kind][2]

    @property
    def what(self) -> str:
        """The kind in words, singular or plural."""
        one, several, _ = _KINDS[self.kind]
        return one if self.count == 1 else several

    def __str__(self) -> str:
        more = f" and {self.count - len(self.examples):,} more" if self.count > len(self.examples) else ""
        return printable(f"{self.count:,} {self.what}: {', '.join(self.examples)}{more}")


class Tally:
    """Counts what a set leaves out, by kind."""

    def __init__(self) -> None:
        self._found: dict[str, PassedOver] = {}

    def add(self, kind: str, name: str) -> None:
        """Count one; ``name`` is relative to the set."""
        found = self._found.setdefault(kind, PassedOver(kind))
        found.count += 1
        if len(found.examples) < _EXAMPLES:
            found.examples.append(name)

    def result(self) -> tuple[PassedOver, ...]:
        """All kinds that were found."""
        return tuple(self._found.values())


def hint(passed_over: Iterable[PassedOver]) -> str:
    """The end of an error about a set that has no pictures: what was passed over; "" if nothing was."""
    found = "; ".join(map(str, passed_over))
    return f"; passed over: {found}" if found else ""
