"""``artgan paint`` and ``artgan compare``: turn photos into paintings."""

from __future__ import annotations

import json
import re
import sys
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from artgan.cli.model_options import ModelOptionsCommand
from artgan.cli.options import Device, Format, default_model, with_options_of
from artgan.errors import printable
from artgan.painting.options import PaintOptions

if TYPE_CHECKING:
    from artgan.painting.network import Network


class Statistics(str, Enum):
    """How the statistics of the whole picture are computed when painting in tiles."""

    exact = "exact"
    estimated = "estimated"


_PANEL = "Strokes and colors"

Runtime = Annotated[
    str,
    typer.Option(
        help="What runs the model: torch, onnxruntime, openvino, or auto: ONNX Runtime if the model has an exported "
        "form and --device is not given."
    ),
]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Say what runs the model.")]


@with_options_of(PaintOptions, _PANEL)
def paint(
    inputs: Annotated[list[Path], typer.Argument(metavar="INPUT...", help="Photos, or folders of them.")],
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", help="A name that `artgan models` lists.", show_default="the registry's default"),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="The painting's name, or a folder for several. [default: next to the photo, PHOTO-MODEL.jpg]",
            show_default=False,
        ),
    ] = None,
    device: Device = None,
    batch: Annotated[int, typer.Option(min=1, help="Number of photos of equal size to paint at once.")] = 1,
    recursive: Annotated[bool, typer.Option("--recursive", "-r", help="Include sub-folders.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace paintings that exist.")] = False,
    skip_existing: Annotated[
        bool, typer.Option("--skip-existing", help="Skip photos whose paintings exist, to continue an interrupted run.")
    ] = False,
    format: Annotated[Format, typer.Option(help="How results are printed.")] = Format.text,
    tile: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Side of the tiles to paint in, in pixels. [default: paint whole; in tiles if too large for that]",
            show_default=False,
        ),
    ] = None,
    statistics: Annotated[
        Statistics, typer.Option(help="How whole-picture statistics are computed with tiles; estimated is faster.")
    ] = Statistics.exact,
    runtime: Runtime = "auto",
    verbose: Verbose = False,
    **options: Any,
) -> None:
    """Turn photos into paintings of the same size.

    A painting is written next to its photo, those of a folder to a new folder next to it, or all of them to --out.
    A model may have additional options: --model MODEL --help shows them.
    """
    from artgan.models.loading import load
    from artgan.painting import Tiling, paint_files, plan
    from artgan.progress import progress

    model = model or default_model()
    loaded = load(model, device=device, runtime=runtime)
    manner, own = loaded.painting(_given(options))
    network = loaded.running_on()
    if verbose:
        _tell(loaded.name, network)
    jobs = plan(inputs, out, tag=_tag(model), recursive=recursive, overwrite=overwrite, skip_existing=skip_existing)
    tiling = Tiling(tile, statistics.value)
    done = paint_files(network, jobs, batch=batch, overwrite=overwrite, tiling=tiling, manner=manner, options=own)
    failures, results, skipped = [], [], 0
    try:
        with progress("painting", len(jobs)) as advance:
            for result in done:
                advance()
                skipped += result.skipped
                if result.error is not None:
                    failures.append(result.error)
                if format is Format.json:
                    results.append(
                        {
                            "input": str(result.input),
                            "output": result.output and str(result.output),
                            "error": result.error,
                            "seconds": round(result.seconds, 4),
                            "size": result.size,
                            "skipped": result.skipped,
                        }
                    )
                elif result.output is not None and not result.skipped:
                    print(printable(str(result.output)))
    finally:  # report finished work, even after Ctrl-C
        if format is Format.json:
            print(json.dumps(results, indent=2))
        if skipped:
            print(f"artgan: {skipped} of {len(jobs)} exist already and are left alone", file=sys.stderr)
        _name_failures(failures, len(jobs))
    if failures:
        raise typer.Exit(1)


class PaintCommand(ModelOptionsCommand):
    """``artgan paint``, with the painting options of the plugin whose model is used."""

    function = staticmethod(paint)


@with_options_of(PaintOptions, _PANEL)
def compare(
    inputs: Annotated[
        list[Path], typer.Argument(metavar="PHOTO...|RUN...", help="Photos, one column each; or folders of runs.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The sheet; for runs, the page (.html).")],
    models: Annotated[
        str | None,
        typer.Option(help="Names of models, separated by commas.", show_default="the registry's default"),
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
        names = models or default_model()
        _compare_styles(inputs, out, names, device, size, overwrite, runtime, verbose, _given(options))


def _compare_styles(
    photos: list[Path],
    out: Path,
    models: str,
    device: str | None,
    size: int,
    overwrite: bool,
    runtime: str,
    verbose: bool,
    options: dict[str, Any],
) -> None:
    from PIL.Image import Image

    from artgan import images, sheets
    from artgan.errors import PictureError
    from artgan.models.loading import load
    from artgan.painting import paint_batch
    from artgan.progress import progress

    images.check_writable(out, overwrite=overwrite)
    names = [name.strip() for name in models.split(",") if name.strip()]
    loaded = {name: load(name, device=device, runtime=runtime) for name in names}
    chosen = {name: model.painting(options) for name, model in loaded.items()}
    networks = {name: model.running_on() for name, model in loaded.items()}
    if verbose:
        for name, network in networks.items():
            _tell(loaded[name].name, network)
    rows: dict[str, list[Image]] = {"photo": [], **{name: [] for name in names}}
    failures = []
    with progress("painting", len(photos)) as advance:
        for photo in photos:
            try:
                picture = images.decode(photo)
                column = {"photo": picture.rgb}
                for name, (manner, own) in chosen.items():
                    [column[name]] = paint_batch(networks[name], [picture], manner=manner, **own)
            except PictureError as error:
                failures.append(str(error))
            else:
                for name, image in column.items():
                    image.thumbnail((size, size))  # the sheet needs no more; saves memory
                    rows[name].append(image)
            advance()
    if rows["photo"]:
        images.encode(sheets.sheet(rows, cell=size), out, overwrite=overwrite)
        print(out)
    _name_failures(failures, len(photos))
    if failures:
        raise typer.Exit(1)


def _tell(name: str, network: Network) -> None:
    """Say on standard error what runs a model."""
    threads = f", {network.threads} thread{'' if network.threads == 1 else 's'}" if network.device == "cpu" else ""
    print(f"artgan: {name} runs in {network.runtime} on {network.device}{threads}", file=sys.stderr)


def _given(options: dict[str, Any]) -> dict[str, Any]:
    """The options that are on the command line."""
    return {name: value for name, value in options.items() if value is not None}


def _tag(model: str) -> str:
    """The tag that a model adds to file names: "seurat" for "pointillism.seurat" and for "local-dir:runs/seurat"."""
    last = re.split(r"[/\\:]", model.rstrip("/\\"))[-1]  # Windows' folders too
    return last.rsplit(".", 1)[-1] or "painting"


def _name_failures(failures: list[str], total: int) -> None:
    """Print failures on standard error, with their number if there are several inputs."""
    for failure in failures:
        print(f"artgan: {printable(failure)}", file=sys.stderr)
    if failures and total > 1:
        print(f"artgan: {len(failures)} of {total} failed", file=sys.stderr)
