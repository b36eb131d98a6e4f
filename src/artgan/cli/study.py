"""``artgan study``: one training option varied."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from artgan.cli.paint import Format

Folder = Annotated[str | None, typer.Option(metavar="DIR", show_default=False)]


def study(
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="The study's folder.")],
    name: Annotated[str | None, typer.Argument(metavar="[noise]", help="A study by name.", show_default=False)] = None,
    vary: Annotated[
        str | None,
        typer.Option(
            metavar="KEY=A,B,C", help="What is studied instead: an option and its values.", show_default=False
        ),
    ] = None,
    plugin: Annotated[str, typer.Option(help="What is trained.")] = "dcgan",
    preset: Annotated[str | None, typer.Option(help="A preset of the plugin.", show_default=False)] = None,
    steps: Annotated[int, typer.Option(min=1, help="Steps of each training.")] = 400,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Another option of the training; several times if need be."),
    ] = None,
    pictures: Folder = None,
    photos: Folder = None,
    paintings: Folder = None,
    format: Annotated[Format, typer.Option(help="How results are printed.")] = Format.text,
) -> None:
    """Train again and again with one option varied, seed, data and steps equal; compare what came of it on a page.

    Stopped and called again, it goes on. `artgan study noise` is the study of a student project on Monet: seven kinds
    of noise.
    """
    from artgan.discovery import load_plugin
    from artgan.errors import ConfigError
    from artgan.training.study import STUDIES, Outcome
    from artgan.training.study import study as run

    if (name is None) == (vary is None):
        raise ConfigError(f"give a study by name ({', '.join(STUDIES)}), or --vary KEY=A,B,C")
    if name is not None and name not in STUDIES:
        raise ConfigError(f"there is no study {name!r}; there is {', '.join(STUDIES)}, or --vary KEY=A,B,C")
    chosen = {"steps": str(steps), **({"preset": preset} if preset else {})}
    for setting in settings or ():
        key, equals, value = setting.partition("=")
        if not equals:
            raise ConfigError(f"--set {setting}: write KEY=VALUE")
        chosen[key.strip().replace("-", "_")] = value.strip()
    given = {"pictures": pictures, "photos": photos, "paintings": paintings}

    def tell(outcome: Outcome) -> None:
        if outcome.error is not None:
            print(f"artgan: {outcome.value}: {outcome.error}", file=sys.stderr)
        elif format is Format.text:
            print("  ".join([outcome.value, *(f"{key} {value:.4f}" for key, value in outcome.figures.items())]))

    outcomes = run(
        load_plugin(plugin),
        vary or STUDIES[str(name)],
        chosen,
        {domain: folder for domain, folder in given.items() if folder is not None},
        out,
        advance=tell,
    )
    if format is Format.json:
        print(json.dumps([{**vars(o), "run": str(o.run)} for o in outcomes], indent=2))
    else:
        print(out / "report.html")
    if any(outcome.error for outcome in outcomes):
        raise typer.Exit(1)
