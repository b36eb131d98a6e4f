"""``artgan data``: download, verify and explore pictures for training and evaluation."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from artgan.cli import completing
from artgan.cli.options import Format
from artgan.errors import ConfigError

app = typer.Typer(help="Download, verify and explore pictures for training and evaluation.", no_args_is_help=True)


@app.command()
def fetch(
    name: Annotated[
        str | None, typer.Argument(help="A public data set; --list shows them.", autocompletion=completing.public_sets)
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="The folder to download to.")] = Path("."),
    list_: Annotated[bool, typer.Option("--list", help="List the public data sets.")] = False,
) -> None:
    """Download a public data set, or resume an interrupted download."""
    from artgan.data import public
    from artgan.files import sha256

    if list_:
        for entry in public.PUBLIC.values():
            print(f"{entry.name}: {entry.summary}\n    license: {entry.license}\n    {entry.url}")
        return
    if name is None:
        raise ConfigError(f"name a set to fetch: {', '.join(public.PUBLIC)}")
    path = public.fetch(name, out)
    print(path)
    print(f"artgan: SHA-256 {sha256(path)}; license: {public.PUBLIC[name].license}", file=sys.stderr)


@app.command()
def verify(
    path: Annotated[str, typer.Argument(help="A folder, archive or other set of pictures.")],
    format: Annotated[Format, typer.Option(help="How results are printed.")] = Format.text,
) -> None:
    """Look for broken files, duplicates, padding and outliers; exit status 1 if there are problems."""
    from artgan.data import open_pictures
    from artgan.data.verify import verify

    report = verify(open_pictures(path))
    if format is Format.json:
        print(json.dumps(report.to_dict(), indent=2))
    else:
        print("\n".join(report.lines()))
    if not report.ok:
        raise typer.Exit(1)


@app.command()
def explore(
    path: Annotated[str, typer.Argument(help="A folder, archive or other set of pictures.")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="REPORT.html", help="The page to write.")],
) -> None:
    """Write a page about a set of pictures: sizes, colors, mean and variance, outliers."""
    from artgan.data import open_pictures
    from artgan.data.explore import explore
    from artgan.reports.data import write_report

    write_report(explore(open_pictures(path)), out)
    print(out)
