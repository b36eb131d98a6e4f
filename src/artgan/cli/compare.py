"""``artgan compare``: the same photos in several styles on a sheet, or runs on a page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from artgan.cli import completing
from artgan.cli.messages import name_failures, say_what_runs
from artgan.cli.options import STROKES, Device, Runtime, Verbose, default_model, given, with_options_of
from artgan.painting.options import PaintOptions

if TYPE_CHECKING:
    from PIL.Image import Image


@with_options_of(PaintOptions, STROKES)
def compare(
    inputs: Annotated[
        list[Path], typer.Argument(metavar="PHOTO...|RUN...", help="Photos, one column each; or folders of runs.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The sheet; for runs, the page (.html).")],
    models: Annotated[
        str | None,
        typer.Option(
            help="Names of models and of saved styles, and style pictures (van-gogh.jpg), separated by commas.",
            show_default="the registry's default",
            autocompletion=completing.several_painters,
        ),
    ] = None,
    style: Annotated[
        list[str] | None,
        typer.Option(
            help="A style picture, or a folder of one artist's pictures: one row each, after the models.",
            show_default=False,
        ),
    ] = None,
    device: Device = None,
    size: Annotated[int, typer.Option(min=32, help="Longer side of a picture on the sheet, in pixels.")] = 320,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the sheet or page if it exists.")] = False,
    runtime: Runtime = "auto",
    verbose: Verbose = False,
    **options: Any,
) -> None:
    """Draw the same photos in several styles on one labeled sheet, or compare training runs on a page."""
    from artgan.reports.record import is_run

    if any(is_run(path) for path in inputs):
        from artgan.reports.run import write_comparison

        write_comparison(inputs, out, overwrite=overwrite)
        print(out)
    else:
        names = [name.strip() for name in (models or "").split(",") if name.strip()]
        if not names and not style:
            names = [default_model()]
        rows = _distinct([*map(_row, names), *map(_style_row, style or ())])
        _compare_styles(inputs, out, rows, device, size, overwrite, runtime, verbose, given(options))


Row: TypeAlias = "tuple[str, str, dict[str, Any]]"
"""Of a comparison: its label, the model's name, and options of the model's own."""


def _row(name: str) -> Row:
    """The row of a model's name, or of a style picture, which its suffix tells."""
    from artgan.images import READABLE

    return _style_row(name) if Path(name).suffix.lower() in READABLE else (name, name, {})


def _style_row(path: str) -> Row:
    from artgan.models.entry import STYLE
    from artgan.models.registry import read_registry
    from artgan.models.styles import style_model

    return Path(path).name or path, style_model(read_registry()), {STYLE: (path,)}


def _distinct(rows: list[Row]) -> list[Row]:
    """Rows of one label are labeled by the style's whole path."""
    labels = [label for label, _, _ in rows]
    return [
        (label if labels.count(label) == 1 else next(iter(own.values()), [label])[0], name, own)
        for label, name, own in rows
    ]


def _compare_styles(
    photos: list[Path],
    out: Path,
    drawn: list[Row],
    device: str | None,
    size: int,
    overwrite: bool,
    runtime: str,
    verbose: bool,
    options: dict[str, Any],
) -> None:
    from artgan import images, sheets
    from artgan.errors import PictureError
    from artgan.models.loading import load
    from artgan.painting import paint_batch
    from artgan.progress import progress

    images.check_writable(out, overwrite=overwrite)
    loaded = {name: load(name, device=device, runtime=runtime) for _, name, _ in drawn}
    chosen = {label: (name, *loaded[name].painting({**options, **own})) for label, name, own in drawn}
    networks = {name: model.running_on() for name, model in loaded.items()}
    if verbose:
        for name, network in networks.items():
            say_what_runs(loaded[name].name, network)
    rows: dict[str, list[Image]] = {"photo": [], **{label: [] for label in chosen}}
    failures = []
    with progress("painting", len(photos)) as advance:
        for photo in photos:
            try:
                picture = images.decode(sheets.shrunk(images.decode(photo).rgb, size))
                column = {"photo": picture.rgb}
                for label, (name, manner, own) in chosen.items():
                    [column[label]] = paint_batch(networks[name], [picture], manner=manner, **own)
            except PictureError as error:
                failures.append(str(error))
            else:
                for label, image in column.items():
                    rows[label].append(image)
            advance()
    if rows["photo"]:
        images.encode(sheets.sheet(rows, cell=size), out, overwrite=overwrite)
        print(out)
    name_failures(failures, len(photos))
    if failures:
        raise typer.Exit(1)
