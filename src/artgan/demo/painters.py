"""What the page offers: the models that work here, in words for people, and what to install for the rest."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from artgan.errors import ArtganError
from artgan.models.entry import Entry
from artgan.models.folder import THUMBNAIL
from artgan.models.registry import read_registry


@dataclass(frozen=True)
class Painter:
    """A model that paints photos.

    Attributes:
        name: its alias in the registry, or its full name.
        title: for people.
        summary: what it does, in a sentence.
        palette: how far it moves colors to the artist's unless told otherwise, 0 to 1; None if it has no palette.
        has_strokes: whether it lays brush strokes, whose size can be chosen.
        takes_style: whether it paints in the style of a picture that it is given; no saved style does.
        has_short_name: whether the registry names it by an alias, or it is the user's own: these are shown first.
        thumbnail: the pictures of a saved style, which show what it is; None for others.
    """

    name: str
    title: str
    summary: str
    palette: float | None
    has_strokes: bool
    takes_style: bool
    has_short_name: bool
    thumbnail: Path | None = None


@dataclass(frozen=True)
class Offer:
    """What works here, and what to say about the rest.

    Attributes:
        painters: by name: the registry's default, then those with short names, the user's own after the registry's;
            those that need a style picture last, and of them those first that paint in one pass.
        noise: the models that make pictures from noise: name to title.
        usable: the models that can be loaded here, by full name: the registry's default first, then by title.
        missing: the others, likewise.
        for_more_painters, for_styles, for_noise: what to install, as a sentence; "" if nothing is missing.
    """

    painters: dict[str, Painter]
    noise: dict[str, str]
    usable: dict[str, Entry]
    missing: dict[str, Entry]
    for_more_painters: str
    for_styles: str
    for_noise: str

    def painter(self, name: str | None) -> Painter:
        """A painter by name; the first one if none is named.

        Raises:
            ArtganError: there is none of this name here.
        """
        if name is None and self.painters:
            return next(iter(self.painters.values()))
        if name in self.painters:
            return self.painters[name]
        raise ArtganError(f"no painter named {name!r} works here; there are {', '.join(self.painters) or 'none'}")


def offer() -> Offer:
    """Look at what is installed. Reads manifests and the registry; loads no model, and nothing from the Hub.

    Raises:
        RegistryError: the registry is invalid.
    """
    registry = read_registry()
    usual = registry.aliases.get(registry.default, registry.default)
    entries = sorted(registry.entries.values(), key=lambda entry: (entry.name != usual, title_of(entry), entry.name))
    there = {entry.name: works(entry) for entry in entries}
    usable = [entry for entry in entries if there[entry.name]]
    missing = [entry for entry in entries if not there[entry.name]]
    paint = [entry for entry in usable if entry.task == "image-to-image"]
    paint.sort(key=lambda e: (_styled(e), not e.saves_styles(), not _is_short(e), e.folder is not None))
    quick = any(entry.saves_styles() for entry in paint)
    painters = [_painter(entry, quick=quick) for entry in paint]
    noise = {
        name_of(entry): f"{title_of(entry)}, by {entry.plugin}" for entry in usable if entry.task == "noise-to-image"
    }
    takes_style = any(painter.takes_style for painter in painters)
    return Offer(
        {painter.name: painter for painter in painters},
        noise,
        {entry.name: entry for entry in usable},
        {entry.name: entry for entry in missing},
        _install("More painters", (e for e in missing if e.task == "image-to-image" and e.weights is not None)),
        "" if takes_style else _install("The style of any picture", (e for e in missing if e.weights is None)),
        "" if noise else _install("Pictures from noise", (e for e in missing if e.task == "noise-to-image")),
    )


def works(entry: Entry) -> bool:
    """Whether a model can be loaded here, without the network."""
    if entry.availability() not in ("bundled", "cached", "no weights", "own"):
        return False
    if entry.base:
        base = read_registry().entries.get(str(entry.base.get("model")))
        if base is None or base.base or not works(base):
            return False
        if base.weights is None or base.weights.sha256 != entry.base.get("sha256"):
            return False
    return entry.exported is not None or find_spec("torch") is not None


def name_of(entry: Entry) -> str:
    """The short name of a model, where it has one."""
    return entry.alias or entry.name


def title_of(entry: Entry) -> str:
    """The artist for a model with a short name, else the name in words: "Monet fine" for "PLUGIN.monet-fine"."""
    artist = entry.license.get("artist")
    if entry.alias and isinstance(artist, str):
        return artist
    words = (entry.alias or entry.name.rpartition(".")[2]).replace("-", " ").replace("_", " ")
    return words[:1].upper() + words[1:]


def _styled(entry: Entry) -> bool:
    """Whether a style picture has to be given."""
    return not entry.style and entry.takes_style()


def _is_short(entry: Entry) -> bool:
    return entry.alias is not None or entry.folder is not None


def _painter(entry: Entry, *, quick: bool) -> Painter:
    """How the page shows a model.

    Args:
        entry: the model.
        quick: whether some model paints in any style in one pass; others that take a style are said to be slow then.
    """
    styled = _styled(entry)
    title = title_of(entry)
    if styled:
        own = "Your own style picture" if entry.saves_styles() or not quick else "Your style: slow, closest"
        title = own if entry.alias else f"{own}, {title}"
    palette = entry.brushwork.get("palette")
    return Painter(
        name_of(entry),
        title,
        " ".join(entry.summary.split()),
        float(palette) if palette is not None else None,
        bool(entry.brushwork),
        styled,
        _is_short(entry),
        entry.folder / THUMBNAIL if entry.folder is not None and entry.style else None,
    )


def _install(what: str, entries: Iterable[Entry]) -> str:
    """A sentence that says what to install for these models; "" if nothing is missing."""
    missing = [*entries]
    commands = dict.fromkeys(e.install_command() for e in missing if e.availability() == "not installed")
    if commands:
        return f"{what}: {'; '.join(commands)}"
    return f"{what}: pip install torch" if missing and find_spec("torch") is None else ""
