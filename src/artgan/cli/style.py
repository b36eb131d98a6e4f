"""``artgan style`` and ``artgan styles``: keep the style of pictures as a model, and list those that are kept."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from artgan.cli import completing
from artgan.cli.options import Format, Output
from artgan.cli.tables import print_table

if TYPE_CHECKING:
    from artgan.models.entry import Entry

app = typer.Typer(help="Save the style of pictures as a model of your own.", no_args_is_help=True)

_SHOWN = 2  # pictures of a style that the list names


@app.command()
def save(
    pictures: Annotated[
        list[str],
        typer.Argument(
            metavar="PICTURE...",
            help="Style pictures, or folders of one artist's pictures; PATH:0.3 gives one of several a weight.",
        ),
    ],
    name: Annotated[str, typer.Option("--as", metavar="NAME", help="The name of the style, to paint with by --model.")],
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            help="A model that paints in any style in one pass.",
            show_default="the one that is installed",
            autocompletion=completing.style_models,
        ),
    ] = None,
    style_scale: Annotated[
        float | None, typer.Option(help="Size of the style relative to the painting's.", show_default="1")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a style of this name.")] = False,
) -> None:
    """Save the style of pictures under a name, as a model of a few kilobytes.

    Prints the name. Several pictures are blended.
    """
    from artgan.models.styles import save_style

    folder = save_style(name, pictures, model=model, style_scale=style_scale, overwrite=overwrite)
    print(f"artgan: saved in {folder}; paint with it: artgan paint photo.jpg --model {name}", file=sys.stderr)
    print(name)


@app.command()
def remove(
    name: Annotated[str, typer.Argument(help="The style's name.", autocompletion=completing.saved_styles)],
) -> None:
    """Remove a saved style."""
    from artgan.models.styles import remove_style

    remove_style(name)


def styles(
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FILE",
            help="Draw a sheet too: the pictures of each style, and a photo painted in it.",
            show_default=False,
        ),
    ] = None,
    photo: Annotated[
        Path | None, typer.Option(help="The photo on the sheet.", show_default="a synthetic landscape")
    ] = None,
    size: Annotated[int, typer.Option(min=32, help="Longer side of a picture on the sheet, in pixels.")] = 256,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the sheet if it exists.")] = False,
    format: Output = Format.text,
) -> None:
    """List the saved styles."""
    from artgan.models.registry import read_registry

    registry = read_registry()
    saved = registry.saved_styles
    if format is Format.json:
        print(json.dumps([_card(entry) for entry in saved], indent=2))
    elif saved:
        rows = [
            (entry.name, str(entry.base.get("model", "")), _pictures(entry), str(entry.style.get("saved", ""))[:10])
            for entry in saved
        ]
        print_table(("STYLE", "BASE", "PICTURES", "SAVED"), rows)
    for problem in registry.broken.values():
        print(f"artgan: {problem}", file=sys.stderr)
    if not saved:
        print("artgan: no styles are saved yet; save one: artgan style save PICTURE --as NAME", file=sys.stderr)
    if out is not None:
        _draw(saved, out, photo, size, overwrite)


def _card(entry: Entry) -> dict[str, Any]:
    return {"name": entry.name, "base": dict(entry.base), "style": dict(entry.style), "folder": str(entry.folder)}


def _pictures(entry: Entry) -> str:
    """The first pictures of a style, and how many more there are."""
    names = entry.style.get("pictures")
    names = [str(name) for name in names] if isinstance(names, list) else []
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _draw(saved: list[Entry], out: Path, photo: Path | None, size: int, overwrite: bool) -> None:
    from artgan import images, sheets
    from artgan.errors import ConfigError, printable
    from artgan.models.cards import example_picture
    from artgan.models.styles import style_rows, style_sheet
    from artgan.progress import progress

    images.check_writable(out, overwrite=overwrite)
    if not saved:
        raise ConfigError(f"{out}: is not drawn, as there are no styles to show")
    shown = sheets.shrunk(images.decode(photo).rgb, size) if photo is not None else example_picture(size)
    rows, failures = {}, []
    with progress("painting", len(saved)) as advance:
        for name, made in style_rows(saved, shown):
            if isinstance(made, Exception):
                failures.append(str(made))
            else:
                rows[name] = made
            advance()
    if rows:
        images.encode(style_sheet(rows, shown, size), out, overwrite=overwrite)
        print(f"artgan: the sheet is {out}", file=sys.stderr)
    for failure in failures:
        print(f"artgan: {printable(failure)}", file=sys.stderr)
    if failures:
        raise typer.Exit(1)
