"""``artgan paint``: turn photos into paintings."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from enum import Enum
from functools import partial
from pathlib import Path
from textwrap import indent
from typing import TYPE_CHECKING, Annotated, Any

import typer

from artgan.cli import completing
from artgan.cli.messages import name_failures, say_what_runs
from artgan.cli.model_options import ModelOptionsCommand
from artgan.cli.options import (
    SPEED,
    STROKES,
    EngineName,
    Format,
    Runtime,
    Verbose,
    address_option,
    cluster_of,
    default_model,
    engine_option,
    given,
    with_options_of,
)
from artgan.errors import printable
from artgan.painting.options import PaintOptions

if TYPE_CHECKING:
    from artgan.data.cluster import Cluster
    from artgan.models.model import Model
    from artgan.painting import Plan, Result
    from artgan.painting.batches import Verdict
    from artgan.painting.listing import Rules
    from artgan.painting.pipes import Pipes


class Statistics(str, Enum):
    """How the statistics of the whole picture are computed when painting in tiles."""

    exact = "exact"
    estimated = "estimated"


_FILES = "Input and output"


@with_options_of(PaintOptions, STROKES)
def paint(
    inputs: Annotated[
        list[Path],
        typer.Argument(
            metavar="INPUT...",
            help="Photos, films, or folders of them; - is standard input. With -o: one s3://... (any URL of fsspec), "
            "SET-{000..123}.tar or hf-hub:ORG/NAME.",
        ),
    ],
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            help="A name that `artgan models` lists.",
            show_default="the registry's default",
            autocompletion=completing.painters,
        ),
    ] = None,
    out: Annotated[
        str | None,
        typer.Option(
            "--out",
            "-o",
            help="The painting's name, or a folder for several: one that exists, ends in / or has no suffix. "
            "- is standard output, in the photo's format. \\[default: next to the photo, PHOTO-MODEL.jpg]",
            show_default=False,
            rich_help_panel=_FILES,
        ),
    ] = None,
    recursive: Annotated[
        bool, typer.Option("--recursive", "-r", help="Include sub-folders.", rich_help_panel=_FILES)
    ] = False,
    watch: Annotated[
        bool,
        typer.Option(
            "--watch",
            help="Keep running, and paint pictures that arrive in the folders, until Ctrl-C.",
            rich_help_panel=_FILES,
        ),
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace paintings that exist.", rich_help_panel=_FILES)
    ] = False,
    skip_existing: Annotated[
        bool,
        typer.Option(
            "--skip-existing",
            help="Skip photos whose paintings exist, to continue an interrupted run.",
            rich_help_panel=_FILES,
        ),
    ] = False,
    quality: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=100,
            help="Quality of JPEG, WebP, AVIF, HEIC, JPEG XL and films. \\[default: a JPEG photo's own; films: 75]",
            show_default=False,
            rich_help_panel=_FILES,
        ),
    ] = None,
    codec: Annotated[
        str | None,
        typer.Option(
            help="Codec of films: h264, hevc, vp9, av1, mpeg4 or ffv1. \\[default: h264; vp9 for .webm]",
            show_default=False,
            rich_help_panel=_FILES,
        ),
    ] = None,
    no_metadata: Annotated[
        bool,
        typer.Option(
            "--no-metadata",
            help="Leave out the photo's date, camera, author and resolution; a color profile stays.",
            rich_help_panel=_FILES,
        ),
    ] = False,
    keep_location: Annotated[
        bool,
        typer.Option(
            "--keep-location", help="Keep the place where the photo was taken (GPS) too.", rich_help_panel=_FILES
        ),
    ] = False,
    format: Annotated[Format, typer.Option(help="How results are printed.", rich_help_panel=_FILES)] = Format.text,
    device: Annotated[
        str | None,
        typer.Option(help="cpu, cuda, mps ... \\[default: cpu]", show_default=False, rich_help_panel=SPEED),
    ] = None,
    batch: Annotated[
        int, typer.Option(min=1, help="Number of photos of equal size to paint at once.", rich_help_panel=SPEED)
    ] = 1,
    tile: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Side of the tiles to paint in, in pixels. \\[default: paint whole; in tiles if too large for that]",
            show_default=False,
            rich_help_panel=SPEED,
        ),
    ] = None,
    statistics: Annotated[
        Statistics,
        typer.Option(
            help="How whole-picture statistics are computed with tiles; estimated is faster.", rich_help_panel=SPEED
        ),
    ] = Statistics.exact,
    runtime: Runtime = "auto",
    engine: Annotated[EngineName, engine_option(SPEED)] = EngineName.local,
    address: Annotated[str | None, address_option(SPEED)] = None,
    verbose: Verbose = False,
    **options: Any,
) -> None:
    """Turn photos into paintings of the same size.

    A painting is written next to its photo, those of a folder to a new folder next to it, or all of them to --out.
    Animations, pages and films are painted whole. Other files in a folder are named at the end.
    A model may have additional options: --model MODEL --help shows them.
    """
    from artgan.data.stores import is_store, location_of
    from artgan.errors import ConfigError
    from artgan.models.loading import load
    from artgan.painting import Saving, Tiling, paint_files, paint_in_processes, plan, useful_processes
    from artgan.painting.pipes import STANDARD, open_pipes

    if no_metadata and keep_location:
        raise ConfigError("--no-metadata and --keep-location contradict each other")
    cluster = cluster_of(engine, address)
    locations = [location_of(path) for path in inputs]
    batches = cluster is not None or any(map(is_store, [*locations, *filter(None, [out])]))
    if batches:
        _check_batches(locations, out, watch=watch, ray=cluster is not None)
    if codec is not None:
        from artgan.images.films import known_codec

        known_codec(codec)
    model = model or default_model()
    loaded = load(model, device=device, runtime=runtime)
    manner, own = loaded.painting(given(options))
    network = loaded.running_on()
    if verbose:
        say_what_runs(loaded.name, network)
    saving = Saving(quality, metadata=not no_metadata, location=keep_location, codec=codec)
    how: dict[str, Any] = {"tiling": Tiling(tile, statistics.value), "manner": manner, "saving": saving}
    if batches:
        from artgan.painting.listing import Rules

        again = {"device": device, "runtime": runtime}
        rules = Rules(_tag(model), recursive, overwrite, skip_existing)
        how |= {"batch": batch, "options": own}
        with _painted_in_batches(loaded, again, locations[0], str(out), rules, how, cluster) as listed:
            _paint(*listed, format is Format.json)
        return
    paint_jobs: Callable[..., Iterator[Result]] = partial(paint_files, network, batch=batch, options=own, **how)
    if watch:
        if not all(path.is_dir() for path in inputs) or out == STANDARD:
            raise ConfigError("--watch takes folders, and writes into folders")

        def look() -> Plan:
            return plan(inputs, out, tag=_tag(model), recursive=recursive, overwrite=True)

        _watch(look, paint_jobs, overwrite=overwrite, as_json=format is Format.json)
        return
    with open_pipes(inputs, out) as pipes:
        if pipes is not None:
            if pipes.to_standard_output and format is Format.json:
                raise ConfigError("--format json and -o - contradict each other: both use standard output")
            inputs, out = pipes.inputs, pipes.out
        jobs = plan(inputs, out, tag=_tag(model), recursive=recursive, overwrite=overwrite, skip_existing=skip_existing)
        processes = useful_processes(network, jobs, manner)
        if processes > 1:
            done = paint_in_processes(network, jobs, processes, overwrite=overwrite, options=own, **how)
        else:
            done = paint_jobs(jobs, overwrite=overwrite)
        title = f"painting {jobs[0].input.name}" if len(jobs) == 1 else "painting"
        _paint(done, title, len(jobs), partial(_passed_over, jobs), format is Format.json, pipes)


def _check_batches(locations: list[str], out: str | None, *, watch: bool, ray: bool) -> None:
    """Raise if something is asked for that is not possible in batches."""
    from artgan.data.stores import is_store, shown
    from artgan.errors import ConfigError
    from artgan.painting.pipes import STANDARD

    given = next(filter(is_store, [*locations, *filter(None, [out])]), "")
    what = "--engine ray" if ray else shown(given)
    if watch:
        raise ConfigError(f"{what} and --watch contradict each other: --watch takes folders of this machine")
    if STANDARD in (*locations, out):
        raise ConfigError(f"{what} and - contradict each other: a pipe holds one picture")
    if len(locations) != 1 or out is None:
        raise ConfigError(f"{what}: give one source and one target: artgan paint SOURCE -o TARGET")


@contextmanager
def _painted_in_batches(
    loaded: Model,
    again: dict[str, Any],
    source: str,
    out: str,
    rules: Rules,
    how: dict[str, Any],
    cluster: Cluster | None,
) -> Iterator[tuple[Iterator[Verdict], str, int | None, Callable[[], Iterator[str]]]]:
    """The verdicts of a source painted in batches, and what else :func:`_paint` is told of them."""
    from artgan.data.cluster import Spool
    from artgan.models.loading import load_network
    from artgan.painting.batches import BatchPainter, paint_here, paint_on_cluster
    from artgan.painting.listing import Listing, open_source, open_target

    with ExitStack() as opened:
        listing = Listing(open_source(source), open_target(out), rules)
        spool = opened.enter_context(Spool(batch.to_json() for batch in listing))
        painter = BatchPainter(listing.source, listing.target, rules, listing.held, how)
        if cluster is not None:
            opened.enter_context(cluster)
            name = loaded.name
            if name.startswith("local-dir:"):
                name = f"local-dir:{Path(name.removeprefix('local-dir:')).absolute()}"
            load = partial(load_network, name, digest=loaded.digest, **again)
            gpu = str(again["device"]).startswith("cuda")
            done = paint_on_cluster(painter, load, spool, cluster, gpu=gpu)
        else:
            done = paint_here(painter, loaded.running_on(), spool)
        total = listing.count if listing.knows_count else None
        yield done, "painting", total, listing.passed_over.lines


def _paint(
    done: Iterator[Result] | Iterator[Verdict],
    title: str,
    total: int | None,
    passed_over: Callable[[], Iterator[str]],
    as_json: bool,
    pipes: Pipes | None = None,
) -> None:
    """Print the results as they come, and at the end what failed.

    Args:
        done: the results.
        title: of the progress bar.
        total: how many there will be; None if that is not known.
        passed_over: lines about what is not painted.
        as_json: whether results are printed as a JSON list.
        pipes: if there are any.
    """
    from artgan.progress import progress

    failures, notes, skipped, count = [], [], 0, 0
    try:
        with progress(title, None if total == 1 else total) as advance:
            for result in done:
                advance()
                skipped += result.skipped
                if result.error is not None:
                    failures.append(result.error)
                if result.note is not None:
                    notes.append(result.note)
                if as_json:  # item by item, as there may be a million
                    print(("," if count else "[") + "\n" + indent(json.dumps(_as_json(result), indent=2), "  "), end="")
                elif result.output is not None and not result.skipped:
                    if pipes is not None and pipes.to_standard_output:
                        pipes.send(Path(result.output))
                    else:
                        print(printable(str(result.output)))
                count += 1
    finally:  # report finished work, even after Ctrl-C
        total = count if total is None else total
        if as_json:
            print("\n]" if count else "[]")
        if skipped:
            print(f"artgan: {skipped} of {total} exist already and are skipped", file=sys.stderr)
        if pipes is not None:
            failures, notes = list(map(pipes.named, failures)), list(map(pipes.named, notes))
        for note in [*notes, *passed_over()]:
            print(f"artgan: {printable(note)}", file=sys.stderr)
        name_failures(failures, total)
    if failures:
        raise typer.Exit(1)


def _watch(
    look: Callable[[], Plan], paint_jobs: Callable[..., Iterator[Result]], *, overwrite: bool, as_json: bool
) -> None:
    """Paint what is there and what arrives, until Ctrl-C; each result is printed at once."""
    from artgan.painting.watching import watch

    failed = False
    try:
        for note in _passed_over(look()):
            print(f"artgan: {printable(note)}", file=sys.stderr)
        print("artgan: watching; press Ctrl-C to stop", file=sys.stderr)
        for jobs in watch(look, overwrite=overwrite):
            for result in paint_jobs(jobs, overwrite=True) if jobs else ():
                if result.error is not None and result.input.exists():  # else it was removed meanwhile
                    failed = True
                    print(f"artgan: {printable(result.error)}", file=sys.stderr)
                if result.note is not None:
                    print(f"artgan: {printable(result.note)}", file=sys.stderr)
                if as_json:
                    print(json.dumps(_as_json(result)), flush=True)
                elif result.output is not None and not result.skipped:
                    print(printable(str(result.output)), flush=True)
    except KeyboardInterrupt:  # the way to end it
        if failed:
            raise typer.Exit(1) from None


def _as_json(result: Result | Verdict) -> dict[str, Any]:
    return {
        "input": str(result.input),
        "output": result.output and str(result.output),
        "error": result.error,
        "seconds": round(result.seconds, 4),
        "size": result.size,
        "skipped": result.skipped,
        "note": result.note,
    }


class PaintCommand(ModelOptionsCommand):
    """``artgan paint``, with the painting options of the plugin whose model is used."""

    function = staticmethod(paint)


def _passed_over(plan: Plan) -> Iterator[str]:
    """A line for each reason why something in the folders is not painted, with the number of files and some names."""
    from artgan.painting.planning import PassedOverCount

    counted = PassedOverCount()
    for each in plan.passed_over:
        counted.add(each.path, each.why)
    return counted.lines()


def _tag(model: str) -> str:
    """The tag that a model adds to file names: "seurat" for "pointillism.seurat" and for "local-dir:runs/seurat"."""
    kind, _, place = model.rpartition(":")
    last = re.split(r"[/\\:]", model.rstrip("/\\"))[-1]  # Windows' folders too
    if kind == "hf-hub":
        last = re.split(r"[/@]", place)[1] if "/" in place else place
    elif not kind:  # a name of the registry
        last = last.rsplit(".", 1)[-1]
    return last or "painting"
