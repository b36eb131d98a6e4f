"""What the Tab key completes: names of models, plugins, presets, scores and noises. Imports no torch.

A completer gets what has been typed and returns candidates; typer drops those that begin otherwise, and where none is
left the shell completes names of files. :func:`artgan.cli.main` keeps errors from the terminal.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import typer

from artgan.cli.status import COMPLETING

if TYPE_CHECKING:
    from artgan.models.entry import Entry

NOISES = ("normal(0,1)", "truncated(0,1,2)", "uniform(-1,1)", "gamma(1,1)")


def models(incomplete: str) -> list[str]:
    """All models: aliases, then full names."""
    return _models(lambda entry: True)


def painters(incomplete: str) -> list[str]:
    """Models that paint photos."""
    return _models(lambda entry: entry.task == "image-to-image")


def several_painters(incomplete: str) -> list[str]:
    """The same, after those that are typed already, separated by commas."""
    return _after_commas(incomplete, painters(""))


def style_models(incomplete: str) -> list[str]:
    """Models of which styles can be saved."""
    return _models(lambda entry: entry.saves_styles())


def saved_styles(incomplete: str) -> list[str]:
    """The user's saved styles."""
    return _models(lambda entry: entry.folder is not None and bool(entry.style))


def samplers(incomplete: str) -> list[str]:
    """Models that make pictures from noise."""
    return _models(lambda entry: entry.task == "noise-to-image")


def brushes(incomplete: str) -> list[str]:
    """Models that carry a brush, and ``none``."""
    return ["none", *_models(lambda entry: bool(entry.brushwork))]


def plugins(incomplete: str) -> list[str]:
    """Installed plugins."""
    from artgan.discovery import find_plugins

    return list(find_plugins())


def presets(ctx: typer.Context) -> list[str]:
    """Presets of the plugin that ``--plugin`` names, or of all."""
    from artgan.discovery import load_plugin, working_plugins

    named = ctx.params.get("plugin")
    return [preset for each in ([load_plugin(named)] if named else working_plugins()) for preset in each.presets]


def studies(incomplete: str) -> list[str]:
    """Studies that plugins name."""
    from artgan.discovery import working_plugins

    return [study for plugin in working_plugins() for study in plugin.studies]


def scores(incomplete: str) -> list[str]:
    """Scores, those of plugins included."""
    from artgan.discovery import working_plugins
    from artgan.metrics import METRICS

    return [*METRICS, *(name for plugin in working_plugins() for name in plugin.metrics)]


def several_scores(incomplete: str) -> list[str]:
    """The same, after those that are typed already, separated by commas."""
    return _after_commas(incomplete, scores(""))


def noises(incomplete: str) -> list[str]:
    """A noise of each kind."""
    if os.environ.get(COMPLETING) == "complete_bash":  # the one shell that inserts candidates as they are
        return [noise.replace("(", r"\(").replace(")", r"\)") for noise in NOISES]
    return list(NOISES)


def runtimes(incomplete: str) -> list[str]:
    """What ``--runtime`` takes."""
    from artgan.models.runtimes.opening import RUNTIMES

    return ["auto", *RUNTIMES]


def public_sets(incomplete: str) -> list[str]:
    """Sets that ``artgan data fetch`` downloads."""
    from artgan.data.public import PUBLIC

    return list(PUBLIC)


OF_FIELDS: dict[str, Callable[[str], list[str]]] = {
    "brush": brushes,
    "keep_best": scores,
    "metrics": several_scores,
    "noise": noises,
    "start_from": models,
    "underpaint": brushes,
}
"""Completers of options that are made from fields of dataclasses, by the field's name."""


def one_of(names: Iterable[str]) -> Callable[[str], list[str]]:
    """A completer of names that are known beforehand."""

    def complete(incomplete: str) -> list[str]:
        return list(names)

    return complete


def _models(wanted: Callable[[Entry], bool]) -> list[str]:
    from artgan.models.registry import read_registry

    entries = [entry for entry in read_registry().entries.values() if wanted(entry)]
    return [*(entry.alias for entry in entries if entry.alias), *(entry.name for entry in entries)]


def _after_commas(incomplete: str, names: list[str]) -> list[str]:
    before, comma, _ = incomplete.rpartition(",")
    typed = before.split(",")
    return [before + comma + name for name in names if name not in typed]
