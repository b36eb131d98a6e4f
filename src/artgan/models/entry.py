"""Registry entries: what is known about a model before it is loaded. Does not import torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal

from artgan.config import field_types
from artgan.discovery import find_plugins, install_command, load_plugin, plugin_works, resolve
from artgan.errors import ModelNotFoundError, PluginError, WeightsError, warn_renamed

_SUGGESTED = 3  # names, at most

STYLE = "style"
"""The painting option of a model that paints in the style of any picture."""

Task = Literal["image-to-image", "noise-to-image"]


Availability = Literal["bundled", "cached", "remote", "no weights", "not installed", "own"]


@dataclass(frozen=True)
class HubFile:
    """A file on the Hugging Face Hub, pinned to a commit (40 hex digits)."""

    repo_id: str
    revision: str
    file: str


@dataclass(frozen=True)
class Weights:
    """Where a model's weights are: bundled (a path that starts with a package name), on the Hub, or both."""

    sha256: str
    size: int
    bundled: str | None = None
    hub: HubFile | None = None


@dataclass(frozen=True)
class Entry:
    """A model in the registry. The mappings form its card, as written in the file.

    Attributes:
        weights: None for a model without learned weights, which the plugin builds from its config alone.
        exported: the same network as an ONNX file, which needs neither the plugin nor torch; None if there is none.
        brushwork: the brush of the under-painting, and how far colors move to the palette in the weights' file; empty
            if the network paints photos as they are.
        base: the model whose other weights are this one's too (``model``), and the hash of its file (``sha256``); empty
            if this one's weights are whole.
        style: the pictures whose style it paints in, if it is a saved style; else empty.
        folder: where a model of the user's own is, which is loaded as a folder; None for those of registry files. Not
            part of the card.
        source: the registry file that it comes from. Not part of the card, which is distributed with the weights.
    """

    name: str
    plugin: str
    distribution: str
    weights: Weights | None = None
    exported: Weights | None = None
    alias: str | None = None
    summary: str = ""
    task: Task = "image-to-image"
    config: Mapping[str, Any] = field(default_factory=dict)
    license: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    metrics: tuple[Mapping[str, Any], ...] = ()
    check: Mapping[str, Any] = field(default_factory=dict)
    brushwork: Mapping[str, Any] = field(default_factory=dict)
    base: Mapping[str, Any] = field(default_factory=dict)
    style: Mapping[str, Any] = field(default_factory=dict)
    folder: Path | None = field(default=None, compare=False)
    source: str = field(default="", compare=False)

    def to_dict(self) -> dict[str, Any]:
        """The card as JSON types."""
        card = {**asdict(self), "metrics": list(self.metrics)}
        del card["source"], card["folder"]
        return {key: value for key, value in card.items() if value or key not in ("exported", "base", "style")}

    def install_command(self) -> str:
        """The command that installs the model's plugin."""
        if self.distribution == f"artgan-{self.plugin}":
            return install_command(self.plugin)
        return f"pip install {self.distribution}"

    def usage(self) -> str:
        """A command that makes a picture with the model."""
        name = self.alias or self.name
        if self.task == "noise-to-image":
            return f"artgan sample {name} -o grid.png"
        style = f" --{STYLE} style.jpg" if self.takes_style() and not self.style else ""
        return f"artgan paint photo.jpg --model {name}{style}"

    def takes_style(self) -> bool:
        """Whether the options of its plugin have a style; a plugin that is missing or broken has none."""
        try:
            plugin = load_plugin(self.plugin)
            return plugin.options is not None and STYLE in field_types(resolve(plugin, "options"))
        except PluginError:
            return False

    def saves_styles(self) -> bool:
        """Whether it paints in any style in one pass, so that a style can be saved; False for a saved style."""
        try:
            return load_plugin(self.plugin).encode_style is not None and not self.style
        except PluginError:
            return False

    def availability(self) -> Availability:
        """Where its weights are: ``"own"`` for a folder of the user's own models.

        ``"no weights"`` if it has none, ``"not installed"`` if its plugin is missing.
        """
        weights = self.weights
        if self.folder is not None and (self.exported is not None or self.plugin in find_plugins()):
            return "own"
        if not plugin_works(self.plugin) and self.exported is not None:
            weights = self.exported
        elif self.plugin not in find_plugins():
            return "not installed"
        if weights is None:
            return "no weights"
        if weights.bundled is not None:
            return "bundled"
        from huggingface_hub import try_to_load_from_cache  # takes a third of a second: only if needed

        remote = weights.hub
        assert remote is not None  # the schema requires one of the two
        cached = try_to_load_from_cache(remote.repo_id, remote.file, revision=remote.revision)
        return "cached" if isinstance(cached, str) else "remote"


@dataclass(frozen=True)
class Deprecation:
    """A former name of a model: the name to use instead, and the version that removes the old one."""

    use: str
    removed_in: str
    source: str = field(default="", compare=False)


@dataclass(frozen=True)
class Registry:
    """The models of one or several registry files.

    Attributes:
        entries: by full name.
        deprecated: by old name.
        files: the files read, in increasing precedence.
        problems: errors in the plugins' and the user's files; the models in these files are left out.
        broken: what is wrong with folders of the user's own models, by name; these are left out too.
        default: the name or alias of the model used if none is given; "" if no file sets one.
        default_source: the file that sets it.
    """

    entries: Mapping[str, Entry]
    deprecated: Mapping[str, Deprecation] = field(default_factory=dict)
    files: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    default: str = ""
    default_source: str = ""
    broken: Mapping[str, str] = field(default_factory=dict)

    @property
    def aliases(self) -> dict[str, str]:
        """Alias -> full name."""
        return {entry.alias: full for full, entry in self.entries.items() if entry.alias}

    @property
    def saved_styles(self) -> list[Entry]:
        """The user's saved styles, by name."""
        return [entry for entry in self.entries.values() if entry.folder is not None and entry.style]

    def names(self, pattern: str = "*") -> list[str]:
        """The full names that match an fnmatch pattern, sorted."""
        return sorted(name for name in self.entries if fnmatchcase(name, pattern))

    def entry(self, name: str) -> Entry:
        """Look a model up by full name or alias; an old name works too, with a :class:`RenamedWarning`.

        Raises:
            ModelNotFoundError: no such model; the message lists similar names.
            WeightsError: it is one of the user's own, and its folder is broken.
        """
        if name in self.deprecated:
            old = self.deprecated[name]
            warn_renamed(f"the model {name!r}", old.use, old.removed_in)
            name = old.use
        aliases = self.aliases
        full = aliases.get(name, name)
        if full in self.entries:
            return self.entries[full]
        if name in self.broken:
            raise WeightsError(self.broken[name])
        if "/" in name or "\\" in name or name.startswith(("~", ".")):
            raise ModelNotFoundError(
                f"{name!r} is not a registry name; for a folder write 'local-dir:{name}', "
                f"for a repository of the Hub 'hf-hub:org/repo@revision'"
            )
        raise ModelNotFoundError(f"no model named {name!r}; {self._suggestion(name)}")

    def _suggestion(self, name: str) -> str:
        """What to write in place of a name that no model has: models that are installed here, by their short names."""
        usable = [entry for entry in self.entries.values() if entry.availability() != "not installed"]
        known = {entry.name: entry.alias or entry.name for entry in usable}
        known |= {short: short for short in known.values()}
        near = dict.fromkeys(known[each] for each in get_close_matches(name, known, n=2 * _SUGGESTED))
        if near:
            hint = f"did you mean {' or '.join([*near][:_SUGGESTED])}? "
        else:
            first = [entry.alias for entry in usable if entry.alias and self.default in (entry.alias, entry.name)]
            some = dict.fromkeys([*first, *sorted(entry.alias for entry in usable if entry.alias)])
            hint = f"there are {', '.join([*some][:_SUGGESTED])} and others; " if some else ""
        return f"{hint}artgan models lists all" + (
            "; a registry file is invalid, artgan doctor shows why" if self.problems else ""
        )
