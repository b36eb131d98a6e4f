"""``artgan train PLUGIN``: one sub-command per plugin, with options generated from its configuration's fields."""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperGroup

from artgan.cli import completing
from artgan.cli.options import command, parameter, parameters
from artgan.errors import ArtganError, ConfigError, one_line

if TYPE_CHECKING:
    from artgan.discovery import Plugin


class _PluginGroup(TyperGroup):
    """Sub-commands that are created on demand, so that one broken plugin does not affect the others."""

    def list_commands(self, ctx: Any) -> list[str]:
        from artgan.discovery import find_plugins

        return sorted(find_plugins())

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        from artgan.discovery import find_plugins, missing_plugins

        if cmd_name not in (*find_plugins(), *missing_plugins()):
            return None
        try:
            return _command(cmd_name)
        except ArtganError as error:  # reported when called; until then, it must not break the list
            return _broken(cmd_name, str(error))


app = typer.Typer(cls=_PluginGroup, no_args_is_help=True, help="Train a plugin's networks on your own pictures.")


@app.callback()
def _train() -> None:
    """Train a plugin's networks on your own pictures."""


def _broken(name: str, problem: str) -> Any:
    def fail() -> None:
        raise ArtganError(problem)

    single = typer.Typer(add_completion=False)
    anything = {"ignore_unknown_options": True, "allow_extra_args": True}
    single.command(name, help=f"(broken) {problem}", context_settings=anything)(fail)
    return typer.main.get_command(single)


def _command(name: str) -> Any:
    from artgan.discovery import load_plugin

    plugin = load_plugin(name)
    if plugin.trainer is None:
        raise ArtganError(f"{name}: this plugin has nothing to train")
    return training_command(plugin, f"train {name}", help=plugin.summary)


def training_command(
    plugin: Plugin, called: str, *, help: str | None, arguments: Sequence[inspect.Parameter] = ()
) -> Any:
    """A command that trains a plugin's networks, invoked as ``artgan CALLED``, with extra ``arguments`` first."""
    from artgan.discovery import resolve
    from artgan.training.options import TrainingOptions

    name = plugin.name
    config_class = resolve(plugin, "config")
    options = [
        *arguments,
        parameter("out", Path | None, "the run's folder", flags=("--out", "-o")),
        parameter("resume", bool, "continue from the newest checkpoint in the run's folder", default=False),
        parameter(
            "accept_changes",
            bool,
            "with --resume: continue although pictures were added, removed or changed since the run began",
            default=False,
        ),
        parameter("config", Path | None, "YAML file with options, in the format of a run's config.yaml"),
    ]
    options += [parameter(domain, str | None, help, panel="Pictures") for domain, help in plugin.domains.items()]
    if plugin.presets:
        presets = ", ".join(plugin.presets)
        options.append(
            parameter(
                "preset",
                str | None,
                f"a set of values for the following options: {presets}",
                panel=name,
                completer=completing.one_of(plugin.presets),
            )
        )
    for cls, panel, defaults in ((config_class, name, {}), (TrainingOptions, "Training", plugin.training)):
        known = {option.name for option in options}  # options in both are listed once
        options += parameters(cls, panel, defaults=defaults, taken=known)

    def run(**given: Any) -> None:
        _run(plugin, called, {key: value for key, value in given.items() if value is not None})

    return command(called.rsplit(maxsplit=1)[-1], run, options, help=help)


def _run(plugin: Plugin, called: str, given: Mapping[str, Any]) -> None:
    """Train, from the beginning or from a stored run's checkpoint."""
    from artgan.training.loop import train
    from artgan.training.run_folder import find_folders, read_run_config
    from artgan.training.settings import configure

    out, resume = given.get("out"), given["resume"]
    if out is None:
        raise ConfigError("give the run's folder: -o RUN")
    if given["accept_changes"] and not resume:
        raise ConfigError("--accept-changes needs --resume")
    stored: Mapping[str, Any] = {"config": {}, "training": {}, "data": {}}
    if resume:
        stored = read_run_config(out)
    elif "config" in given:
        stored = _read_config(given["config"], plugin.name)
    config, options = configure(plugin, given, preset=given.get("preset"), stored=stored)
    folders = find_folders(stored["data"], {domain: given[domain] for domain in plugin.domains if domain in given})
    for domain, help in plugin.domains.items():
        if domain not in folders:
            raise ConfigError(f"give the {help}: --{domain} DIR")
    model = train(plugin, config, options, folders, out, resume=resume, accept_changes=given["accept_changes"])
    if int(os.environ.get("RANK", "0")):  # only one of several processes prints
        return
    if model is None:
        typer.echo(f"artgan: interrupted; continue with: artgan {called} -o {out} --resume", err=True)
        raise typer.Exit(130)
    print(model)
    if options.keep_best is not None:
        _tell_the_best(out / "best")


def _tell_the_best(folder: Path) -> None:
    """Say which model was kept, on standard error: standard output is the path of the last one."""
    from artgan.models.folder import CONFIG, read_card

    if (folder / CONFIG).is_file():
        card = read_card(folder)
        scores = ", ".join(f"{name} {value:.4g}" for name, value in card["score"].items())
        typer.echo(f"artgan: the best model is from step {card['step']}, {scores}: {folder}", err=True)


def _read_config(path: Path, plugin: str) -> dict[str, Any]:
    """Read a file with any of the sections of a run's ``config.yaml``."""
    import yaml

    try:
        document = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: cannot be read as YAML ({one_line(error)})") from None
    if not isinstance(document, dict):
        raise ConfigError(f"{path}: must hold the sections config and training")
    unknown = document.keys() - {"plugin", "config", "training", "data"}
    if unknown:
        raise ConfigError(f"{path}: unknown section {min(map(str, unknown))!r}; known: plugin, config, training, data")
    if document.get("plugin", plugin) != plugin:
        raise ConfigError(f"{path}: is for the plugin {document['plugin']!r}, not {plugin!r}")
    sections = {name: document.get(name) or {} for name in ("config", "training", "data")}
    for name, section in sections.items():
        if not isinstance(section, dict) or (name == "data" and not all(isinstance(d, dict) for d in section.values())):
            raise ConfigError(f"{path}: section {name!r} must be a mapping")
    return sections
