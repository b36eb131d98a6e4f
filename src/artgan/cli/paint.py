"""``artgan paint`` and ``artgan compare``: photos to paintings."""

from __future__ import annotations

import inspect
import json
import sys
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from artgan.cli.options import command, parameters
from artgan.errors import ArtganError, printable


class Statistics(str, Enum):
    """How a picture in tiles gets the statistics of the whole."""

    exact = "exact"
    estimated = "estimated"


class Format(str, Enum):
    """How results are printed."""

    text = "text"
    json = "json"


Device = Annotated[str | None, typer.Option(help="cpu, cuda, mps ... [default: cpu]", show_default=False)]


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
            help="The painting's name, or a folder for several. [default: beside the photo, PHOTO-MODEL.jpg]",
            show_default=False,
        ),
    ] = None,
    device: Device = None,
    batch: Annotated[int, typer.Option(min=1, help="Photos of one size painted at once.")] = 1,
    recursive: Annotated[bool, typer.Option("--recursive", "-r", help="Go into sub-folders.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace paintings that exist.")] = False,
    skip_existing: Annotated[
        bool, typer.Option("--skip-existing", help="Leave photos alone whose paintings exist: go on where it stopped.")
    ] = False,
    format: Annotated[Format, typer.Option(help="How results are printed.")] = Format.text,
    tile: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Side of the tiles that a picture is painted in. [default: whole; tiles if it is too large for that]",
            show_default=False,
        ),
    ] = None,
    statistics: Annotated[
        Statistics, typer.Option(help="Of the whole picture, where it is painted in tiles; estimated ones are faster.")
    ] = Statistics.exact,
    runtime: Annotated[str, typer.Option(help="What runs the model: torch, onnxruntime or openvino.")] = "torch",
    **options: Any,
) -> None:
    """Turn photos into paintings of the same size.

    A painting is written beside its photo, those of a folder into a new folder beside it, or all under --out.
    A model may have options of its own: --model MODEL --help shows them.
    """
    from artgan.models.loading import load
    from artgan.painting import Tiling, paint_files, plan
    from artgan.progress import progress

    model = model or _default_model()
    loaded = load(model, device=device)
    chosen = loaded.options(options)
    generator = loaded.running_on(runtime)
    jobs = plan(inputs, out, tag=_tag(model), recursive=recursive, overwrite=overwrite, skip_existing=skip_existing)
    tiling = Tiling(tile, statistics.value)
    done = paint_files(generator, jobs, batch=batch, overwrite=overwrite, tiling=tiling, options=chosen)
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
    finally:  # what is done is told, after Ctrl-C too
        if format is Format.json:
            print(json.dumps(results, indent=2))
        if skipped:
            print(f"artgan: {skipped} of {len(jobs)} exist already and are left alone", file=sys.stderr)
        _name_failures(failures, len(jobs))
    if failures:
        raise typer.Exit(1)


# Typer knows no **options: where the model's plugin has some, PaintCommand puts them there.
_OWN = [p for p in inspect.signature(paint, eval_str=True).parameters.values() if p.kind is not p.VAR_KEYWORD]
paint.__signature__ = inspect.Signature(_OWN)  # type: ignore[attr-defined]  # functions may carry one


class PaintCommand(TyperCommand):
    """``artgan paint``, with the painting options of the plugin whose model it is to use."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """As of any command, and if the plugin has options, of one that has them too."""
        found = self._plugin_options(info_name, args, parent)
        if found is None:
            return super().make_context(info_name, args, parent, **extra)
        plugin, cls = found
        options = [*_OWN, *parameters(cls, plugin, taken={own.name for own in _OWN})]
        return command(self.name or "paint", _paint_as_given, options, help=self.help).make_context(
            info_name, args, parent, **extra
        )

    def _plugin_options(self, info_name: str | None, args: list[str], parent: Any) -> tuple[str, type] | None:
        """The plugin and its options, if the command line asks for help with a model or has what is not our own.

        Raises:
            ArtganError: there is no such model, or its plugin is broken.
        """
        from artgan.discovery import resolve
        from artgan.models.locating import plugin_of

        read = super().make_context(info_name, [*args], parent, resilient_parsing=True, ignore_unknown_options=True)
        help = not set(args).isdisjoint(read.help_option_names)
        foreign = any(str(path).startswith("-") for path in read.params["inputs"] or ())
        source = read.get_parameter_source("model")
        named = source is not None and source.name == "COMMANDLINE"
        if not foreign and not (help and named):
            return None
        try:
            plugin = plugin_of(read.params["model"] or _default_model())
            return (plugin.name, resolve(plugin, "options")) if plugin.options else None
        except ArtganError:
            if help:  # there is some without it
                return None
            raise


def _paint_as_given(**given: Any) -> None:
    paint(**{name: value for name, value in given.items() if value is not None})


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
) -> None:
    """Draw the same photos in several styles, labeled, on one sheet; or lay training runs side by side on a page."""
    from artgan.reports.run import is_run, write_comparison

    if any(is_run(path) for path in inputs):
        write_comparison(inputs, out, overwrite=overwrite)
        print(out)
    else:
        _compare_styles(inputs, out, models or _default_model(), device, size, overwrite)


def _compare_styles(photos: list[Path], out: Path, models: str, device: str | None, size: int, overwrite: bool) -> None:
    from PIL.Image import Image

    from artgan import images, sheets
    from artgan.errors import PictureError
    from artgan.models.loading import load
    from artgan.painting import paint_batch
    from artgan.progress import progress

    images.check_writable(out, overwrite=overwrite)
    names = [name.strip() for name in models.split(",") if name.strip()]
    loaded = {name: load(name, device=device) for name in names}
    rows: dict[str, list[Image]] = {"photo": [], **{name: [] for name in names}}
    failures = []
    with progress("painting", len(photos)) as advance:
        for photo in photos:
            try:
                picture = images.decode(photo)
                column = {"photo": picture.rgb}
                column |= {name: paint_batch(m.generator, [picture], **m.options({}))[0] for name, m in loaded.items()}
            except PictureError as error:
                failures.append(str(error))
            else:
                for name, image in column.items():
                    image.thumbnail((size, size))  # all that the sheet needs; the rest is memory
                    rows[name].append(image)
            advance()
    if rows["photo"]:
        images.encode(sheets.sheet(rows, cell=size), out, overwrite=overwrite)
        print(out)
    _name_failures(failures, len(photos))
    if failures:
        raise typer.Exit(1)


def _default_model() -> str:
    """The model that is used where none is named."""
    from artgan.errors import ConfigError
    from artgan.models.registry import read_registry

    default = read_registry().default
    if not default:
        raise ConfigError("no registry file says a default; name a model that artgan models lists")
    return default


def _tag(model: str) -> str:
    """What a model adds to a file's name: "seurat" for "pointillism.seurat" and for "local-dir:runs/seurat"."""
    return model.rstrip("/").replace(":", "/").rsplit("/", 1)[-1].rsplit(".", 1)[-1] or "painting"


def _name_failures(failures: list[str], total: int) -> None:
    """On standard error, with their number where there are several inputs."""
    for failure in failures:
        print(f"artgan: {printable(failure)}", file=sys.stderr)
    if failures and total > 1:
        print(f"artgan: {len(failures)} of {total} failed", file=sys.stderr)
