"""``artgan convert``: convert other projects' checkpoints to models that artgan can load."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from artgan.cli import completing
from artgan.cli.options import parse_settings


def convert(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A checkpoint: .pth, .pt, .safetensors, .npz ...")],
    to: Annotated[Path, typer.Option("--to", metavar="DIR", help="The model's folder; local-dir:DIR loads it.")],
    plugin: Annotated[
        str | None,
        typer.Option(
            help="The plugin whose layouts to try. [default: all plugins]",
            show_default=False,
            autocompletion=completing.plugins,
        ),
    ] = None,
    key: Annotated[
        str | None,
        typer.Option(metavar="PREFIX", help="Which generator to convert, if there are several.", show_default=False),
    ] = None,
    license: Annotated[
        str | None,
        typer.Option(
            "--license",
            metavar="ID",
            help="The weights' license, for the model's card: its name at SPDX or on the Hub, for example cc-by-4.0.",
            show_default=False,
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="An option of the plugin's config that the weights do not show; may be repeated.",
            show_default=False,
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a model in DIR.")] = False,
) -> None:
    """Convert another project's checkpoint. No code in it is run; unknown layouts are rejected."""
    from artgan.discovery import find_plugins, load_plugin, what_to_install
    from artgan.errors import PluginError

    # Before PyTorch is imported, which a plugin's installation brings.
    if plugin is not None:
        load_plugin(plugin)
    elif not find_plugins():
        raise PluginError(f"no plugin is installed, and plugins convert checkpoints; {what_to_install()}")
    from artgan.models.converting import convert

    done = convert(
        file, to, plugin=plugin, key=key, license=license, settings=parse_settings(settings), overwrite=overwrite
    )
    about = f" ({done.about})" if done.about else ""
    print(f"artgan: {file} is {done.plugin}'s layout {done.layout}{about}", file=sys.stderr)
    if done.assumed and not settings:
        print(f"artgan: {done.assumed}", file=sys.stderr)
    print(done.folder)
