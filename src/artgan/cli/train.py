"""``artgan train PLUGIN``: one sub-command a plugin, with options made from its configuration's fields."""

from __future__ import annotations

import dataclasses
import inspect
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from artgan.errors import ArtganError, ConfigError


class _PluginGroup(TyperGroup):
    """Sub-commands that are made when they are asked for: another plugin's fault cannot get in the way."""

    def list_commands(self, ctx: Any) -> list[str]:
        from artgan.plugin import find_plugins

        return sorted(find_plugins())

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        from artgan.plugin import find_plugins

        if cmd_name not in find_plugins():
            return None
        try:
            return _command(cmd_name)
        except ArtganError as error:  # told when it is called; until then it must not spoil the list
            return _broken(cmd_name, str(error))


app = typer.Typer(cls=_PluginGroup, no_args_is_help=True, help="Train a plugin's networks on your own pictures.")


@app.callback()
def _train() -> None:
    """Train a plugin's networks on your own pictures."""


def _broken(name: str, problem: str) -> Any:
    def command() -> None:
        raise ArtganError(problem)

    single = typer.Typer(add_completion=False)
    anything = {"ignore_unknown_options": True, "allow_extra_args": True}
    single.command(name, help=f"(broken) {problem}", context_settings=anything)(command)
    return typer.main.get_command(single)


def _command(name: str) -> Any:
    from artgan.config import field_types, renamed_options
    from artgan.plugin import load_plugin, resolve
    from artgan.training.options import TrainingOptions

    plugin = load_plugin(name)
    if plugin.trainer is None:
        raise ArtganError(f"{name}: this plugin has nothing to train")
    config_class = resolve(plugin, "config")
    parameters = [
        _parameter("out", Path | None, "the run's folder", flags=("--out", "-o")),
        _parameter("resume", bool, "go on from the newest checkpoint of the run's folder", default=False),
        _parameter("config", Path | None, "YAML file with options, as a run's config.yaml has them"),
    ]
    parameters += [_parameter(domain, str | None, help, panel="Pictures") for domain, help in plugin.domains.items()]
    if plugin.presets:
        presets = ", ".join(plugin.presets)
        parameters.append(_parameter("preset", str | None, f"a set of values for what follows: {presets}", panel=name))
    for cls, panel, defaults in ((config_class, name, {}), (TrainingOptions, "Training", plugin.training)):
        kinds = field_types(cls)
        known = {parameter.name for parameter in parameters}  # an option of both is one
        parameters += [
            _parameter(field.name, kinds[field.name][0] | None, _describe(field, defaults), panel=panel)
            for field in dataclasses.fields(cls)
            if field.name not in known
        ]
        parameters += [
            _parameter(old, kinds[new][0] | None, f"the old name of --{new}", hidden=True)
            for old, (new, _) in renamed_options(cls).items()
        ]

    def command(**given: Any) -> None:
        _run(plugin, {key: value for key, value in given.items() if value is not None})

    # typer reads the options from the signature.
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # functions may carry one
    single = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    single.command(name, help=plugin.summary)(command)
    return typer.main.get_command(single)


def _parameter(
    name: str,
    kind: Any,
    help: str,
    *,
    default: Any = None,
    flags: tuple[str, ...] = (),
    panel: str | None = None,
    hidden: bool = False,
) -> inspect.Parameter:
    option = typer.Option(*flags, help=help, show_default=False, rich_help_panel=panel, hidden=hidden)
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, option])


def _describe(field: dataclasses.Field[Any], defaults: Mapping[str, Any]) -> str:
    """A field's help; every option defaults to None, so that what was given can be told from what was not."""
    help = str(field.metadata.get("help", ""))
    default = defaults.get(field.name, field.default)
    if default not in (None, ""):
        help += f" [default: {default}]"
    return help.replace("[", "\\[")  # brackets are markup to rich


def _run(plugin: Any, given: Mapping[str, Any]) -> None:
    """Train, from the beginning or from where a stored run stands."""
    from artgan.training.folder import read_run_config
    from artgan.training.loop import train
    from artgan.training.settings import configure

    out, resume = given.get("out"), given["resume"]
    if out is None:
        raise ConfigError("give the run's folder: -o RUN")
    stored: Mapping[str, Any] = {"config": {}, "training": {}, "data": {}}
    if resume:
        stored = read_run_config(out)
    elif "config" in given:
        stored = _read_config(given["config"], plugin.name)
    config, options = configure(plugin, given, preset=given.get("preset"), stored=stored)
    folders = {}
    for domain, help in plugin.domains.items():
        folder = given.get(domain) or stored["data"].get(domain, {}).get("folder")
        if folder is None:
            raise ConfigError(f"give the {help}: --{domain} DIR")
        folders[domain] = folder
    model = train(plugin, config, options, folders, out, resume=resume)
    if int(os.environ.get("RANK", "0")):  # one of several processes speaks
        return
    if model is None:
        typer.echo(f"artgan: interrupted; go on with: artgan train {plugin.name} -o {out} --resume", err=True)
        raise typer.Exit(130)
    print(model)


def _read_config(path: Path, plugin: str) -> dict[str, Any]:
    """A file with any of the sections of a run's ``config.yaml``."""
    import yaml

    try:
        document = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: cannot be read as YAML ({' '.join(str(error).split())})") from None
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
