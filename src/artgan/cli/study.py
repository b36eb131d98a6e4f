"""``artgan study``: vary one training option."""

from __future__ import annotations

import inspect
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from artgan.cli import completing
from artgan.cli.options import (
    Format,
    GeneratedCommand,
    NetworkFile,
    command,
    parameter,
    parse_settings,
    without_variable_options,
)

if TYPE_CHECKING:
    from artgan.discovery import Plugin


@without_variable_options
def study(
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="The study's folder.")],
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME", help="The name of a study.", show_default=False, autocompletion=completing.studies
        ),
    ] = None,
    vary: Annotated[
        str | None,
        typer.Option(metavar="KEY=A,B,C", help="Vary this option instead, over these values.", show_default=False),
    ] = None,
    plugin: Annotated[
        str | None,
        typer.Option(
            help="The plugin to train. \\[default: the one that defines the named study]",
            show_default=False,
            autocompletion=completing.plugins,
        ),
    ] = None,
    preset: Annotated[
        str | None, typer.Option(help="A preset of the plugin.", show_default=False, autocompletion=completing.presets)
    ] = None,
    steps: Annotated[int, typer.Option(min=1, help="Steps of each run.")] = 400,
    seeds: Annotated[
        int, typer.Option(min=1, metavar="N", help="Runs of each value, with different seeds; 3 or more for intervals.")
    ] = 1,
    jobs: Annotated[
        int, typer.Option(min=1, metavar="N", help="Runs at the same time, each in a process of its own.")
    ] = 1,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Another training option; may be repeated."),
    ] = None,
    vgg19: NetworkFile = None,
    format: Annotated[Format, typer.Option(help="How results are printed.")] = Format.text,
    **folders: str | None,
) -> None:
    """Train once per value of one option, or once per value and seed, all else equal; compare the results on a page.

    An interrupted study continues when called again.
    """
    from artgan.discovery import load_plugin, working_plugins
    from artgan.errors import ConfigError
    from artgan.training.settings import named_study

    plugins = [load_plugin(plugin)] if plugin is not None else working_plugins()
    if (name is None) == (vary is None):
        known = ", ".join(sorted({study for plugin in plugins for study in plugin.studies}))
        raise ConfigError(f"give a study by name ({known or 'there is none'}), or --vary KEY=A,B,C")
    if name is not None:
        chosen, vary = named_study(plugins, name)
    elif plugin is not None:
        chosen = plugins[0]
    else:
        raise ConfigError("name the plugin to train: --plugin NAME")
    given = {domain: folder for domain, folder in folders.items() if folder is not None}
    foreign = [domain for domain in given if domain not in chosen.domains]
    if foreign:
        raise ConfigError(f"--{foreign[0]}: the plugin {chosen.name} has {_flags(chosen)}")
    values = {"steps": str(steps), **({"preset": preset} if preset else {})}
    values |= {"vgg19": str(vgg19)} if vgg19 else {}
    values |= parse_settings(settings)
    _study(chosen, str(vary), values, given, out, seeds, jobs, format)


def _study(
    plugin: Plugin,
    vary: str,
    values: dict[str, str],
    folders: dict[str, str],
    out: Path,
    seeds: int,
    jobs: int,
    format: Format,
) -> None:
    from artgan.training.study import Outcome, study, summarize

    def show(outcome: Outcome) -> None:
        name = outcome.value if seeds == 1 else f"{outcome.value}  seed {outcome.seed}"
        if outcome.error is not None:
            print(f"artgan: {name}: {outcome.error}", file=sys.stderr)
        elif format is Format.text:
            print("  ".join([name, *(f"{key} {value:.4f}" for key, value in outcome.figures.items())]))

    outcomes = study(plugin, vary, values, folders, out, seeds=seeds, jobs=jobs, advance=show)
    if format is Format.json:
        print(json.dumps([{**vars(o), "run": str(o.run)} for o in outcomes], indent=2))
    else:
        for kind in summarize(outcomes):
            if kind.intervals:
                means = (f"{key} {low:.4f} to {high:.4f}" for key, (low, high) in kind.intervals.items())
                print("  ".join([f"{kind.name}  95 % of {seeds} seeds", *means]))
        print(out / "report.html")
    if any(outcome.error for outcome in outcomes):
        raise typer.Exit(1)


def _flags(plugin: Plugin) -> str:
    return ", ".join(f"--{domain}" for domain in plugin.domains) or "no pictures to be trained on"


class StudyCommand(GeneratedCommand):
    """``artgan study``, with the domains and the named studies of the installed plugins."""

    def whole(self) -> Any:
        """See the base class."""
        from artgan.discovery import working_plugins

        plugins = [plugin for plugin in working_plugins() if plugin.trainer is not None]
        having: dict[str, list[Plugin]] = {}
        for plugin in plugins:
            for domain in plugin.domains:
                having.setdefault(domain, []).append(plugin)
        own_options = [*inspect.signature(study).parameters.values()]
        taken = {own.name for own in own_options}
        options = [
            parameter(
                domain, str | None, f"{own[0].domains[domain]} ({', '.join(p.name for p in own)})", panel="Pictures"
            )
            for domain, own in having.items()
            if domain.isidentifier() and domain not in taken  # else its plugin is at fault, and must not affect others
        ]
        named = [f"{study} ({plugin.name})" for plugin in plugins for study in plugin.studies]
        help = f"{self.help}\n\nStudies by name: {', '.join(named) or 'none'}."
        return command(self.name or "study", study, [*own_options, *options], help=help)
