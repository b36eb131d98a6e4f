"""``artgan data``: fetch, check and look at pictures to train and measure on."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from artgan.cli.paint import Format
from artgan.errors import ConfigError

app = typer.Typer(help="Fetch, check and look at pictures to train and measure on.", no_args_is_help=True)


@app.command()
def fetch(
    name: Annotated[str | None, typer.Argument(help="A public set of pictures; --list shows them.")] = None,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="The folder to put it in.")] = Path("."),
    list_: Annotated[bool, typer.Option("--list", help="List the sets there are.")] = False,
) -> None:
    """Download a public set of pictures; goes on where a broken download stopped."""
    from artgan.data import public
    from artgan.files import sha256

    if list_:
        for entry in public.PUBLIC.values():
            print(f"{entry.name}: {entry.summary}\n    license: {entry.licence}\n    {entry.url}")
        return
    if name is None:
        raise ConfigError(f"name a set to fetch: {', '.join(public.PUBLIC)}")
    path = public.fetch(name, out)
    print(path)
    print(f"artgan: SHA-256 {sha256(path)}; license: {public.PUBLIC[name].licence}", file=sys.stderr)


@app.command()
def verify(
    path: Annotated[str, typer.Argument(help="A folder, or another place of pictures.")],
    format: Annotated[Format, typer.Option(help="How results are printed.")] = Format.text,
) -> None:
    """Look for broken files, copies, padding and odd pictures; exit status 1 if the set is doubtful."""
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
    path: Annotated[str, typer.Argument(help="A folder, or another place of pictures.")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="REPORT.html", help="The page to write.")],
) -> None:
    """Draw what a set of pictures is like, on one page: sizes, colors, mean and variance, the odd ones."""
    from artgan.data import open_pictures
    from artgan.data.explore import explore
    from artgan.reports.data import write_report

    write_report(explore(open_pictures(path)), out)
    print(out)
